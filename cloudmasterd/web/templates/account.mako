<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%namespace name="people" file="people.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if told.failed else ""}Account of ${who.name}</%block>\
<h1>Account <span class="dim title">${who.name}${f", {user.title}" if user is not None and user.title else ""}</span></h1>
${people.done(told.done)}\
% if told.failed:
${fields.summary(form, labels, told.failed)}\
% endif
% if told.token is not None:
<section class="card prose" aria-labelledby="made">
<h2 id="made">The token for ${told.token.title}</h2>
<p><strong>It is shown this once.</strong> Whoever has it can do what you can, as far as its role goes: keep it as you would a password. A program sends it with each request:</p>
<pre><code>Authorization: Bearer ${told.secret}</code></pre>
</section>
% endif
% if user is not None and user.has_password and user.password_changed_at is None and not told.failed:
<div class="note warn"><p><strong>Your password is the one you were given.</strong> Change it to one that you alone know.</p></div>
% endif
<section class="card" aria-labelledby="about">
<h2 id="about" class="vh">About you</h2>
<dl class="facts">
<div><dt>Role</dt><dd>${who.role.value}</dd></div>
<div><dt>Changes</dt><dd>${"nothing" if not who.may(roles.OPERATOR) else scope_text(who.scopes) if who.scopes else "all machine instances"}</dd></div>
<div><dt>Signed in</dt><dd>${{means.SESSION: "with a password, in this browser", means.PROXY: "by the web server in front", means.TOKEN: "with an API token"}.get(who.means, "")}</dd></div>
% if user is not None and user.has_password:
<div><dt>Password</dt><dd>\
% if user.password_changed_at is None:
the one you were given\
% else:
changed ${parts.ago(user.password_changed_at)}\
% endif
</dd></div>
% endif
</dl>
</section>
% if user is None:
<section class="card prose" aria-label="No user here"><p>The web server in front knows you, and there is no user of that name here: you have no password, no sessions and no API tokens in this cloud master. An admin can make a user <code>${who.name}</code>, who may have tokens.</p></section>
% else:
<section class="card" aria-labelledby="sessions">
<div class="head"><h2 id="sessions">Where you are signed in</h2>\
% if sessions and person:
<form method="post" action="/account/sessions/end" data-busy="Signing out …">${fields.csrf()}<button class="btn quiet">Sign out everywhere</button></form>\
% endif
</div>
${people.session_table(sessions, person and (lambda one: f"/account/sessions/{one}/end"), "You have no session in a browser.")}\
</section>
<section class="card" aria-labelledby="tokens">
<h2 id="tokens">API tokens</h2>
${people.token_table(tokens, person and (lambda one: f"/account/tokens/{one}/revoke"), "You have none. Programs show one instead of a password.")}\
</section>
<div class="pair">
% if user.has_password and person:
<form class="card" method="post" action="/account/password" data-busy="Changing it …" novalidate>${fields.csrf()}
<h2>Change your password</h2>
${fields.secret(form, "present", labels["present"], autocomplete="current-password")}\
${fields.secret(form, "new", labels["new"], "12 characters or more; four words are good. Your other sessions end, your API tokens stay.")}\
${fields.secret(form, "again", labels["again"])}\
<p class="buttons"><button class="btn">Change it</button></p>
</form>
% endif
% if person:
<form class="card" method="post" action="/account/tokens" data-busy="Making it …" novalidate>${fields.csrf()}
<h2>Make an API token</h2>
${fields.line(form, "title", labels["title"], "Such as: nightly backup.", required=True)}\
${fields.radios(form, "role", labels["role"], roles_offered)}\
${fields.lines(form, "scope", labels["scope"], "One a line, such as team=web: it changes only machine instances that have one of them. Empty: all that you may change.")}\
${fields.choice(form, "days", labels["days"], days)}\
<p class="buttons"><button class="btn">Make a token</button></p>
</form>
% endif
</div>
% endif
