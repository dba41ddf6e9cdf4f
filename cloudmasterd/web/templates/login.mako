<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.failed else ""}Sign in</%block>\
<div class="entry">
<h1>Sign in</h1>
% if not private:
<div class="note bad" data-key="open"><p><strong>Not over this connection.</strong> It is plain HTTP from another machine, and anybody on the way could read your password. Come by https through the web server in front of this cloud master (its setting <code>behind_proxy</code>), or through an SSH tunnel, on which this page is at <code>http://127.0.0.1:8107/</code>:</p>
<pre><code>ssh -L 8107:127.0.0.1:8107 ${site_name}</code></pre></div>
% else:
% if form.failed:
${fields.summary(form, labels, "You are not signed in.")}\
% elif notice:
<div class="note plain" role="status"><p>${notice}</p></div>
% endif
<form class="card" method="post" action="/login" data-busy="Signing in …" novalidate>${fields.csrf(entry)}
<input type="hidden" name="next" value="${to}" autocomplete="off">
<div class="field"><label for="f-user">User</label><input id="f-user" name="user" value="${form.text('user')}" maxlength="100" autocomplete="username" autocapitalize="none" spellcheck="false" required\
% if not form.failed:
 autofocus\
% endif
></div>
<div class="field"><label for="f-password">Password</label><input type="password" id="f-password" name="password" maxlength="1024" autocomplete="current-password" required></div>
<p class="buttons"><button class="btn">Sign in</button></p>
</form>
<details><summary>The first password, or a lost one</summary>
<p>A new cloud master has one user, <code>admin</code>. On the cloud master itself, as root:</p>
<pre><code>cat /var/lib/cloudmasterd/first-password
cloudmasterctl user password admin</code></pre>
<p>The first shows its first password, as long as nobody has changed it; the second gives it another one. Any admin can reset the passwords of others.</p>
</details>
% endif
</div>
