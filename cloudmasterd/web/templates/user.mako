<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%namespace name="people" file="people.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}${user.name}</%block>\
<p class="trail"><a href="/users">Users</a> <span aria-hidden="true">›</span> User</p>
<div class="head">
<h1>${user.name}</h1>
<p><span class="state ${row.kind}">${row.state}</span> <span class="dim">signed in last: ${parts.seen(user.last_login_at)}</span></p>
</div>
${people.done(done)}\
% if fresh is not None:
${people.password(fresh)}\
% endif
${fields.summary(form, labels, "Nothing was changed.")}\
<form class="card form" method="post" action="${href}/change" data-busy="Changing it …" novalidate>${fields.csrf()}
<h2>What ${user.name} may do</h2>
<input type="hidden" name="revision" value="${form.text('revision')}" autocomplete="off">
${fields.line(form, "title", labels["title"], "For people to read, such as Jane Doe, web team.")}\
${fields.radios(form, "role", labels["role"], roles_offered)}\
${fields.lines(form, "scope", labels["scope"], "One a line, such as team=web: an operator changes only machine instances that have one of them, and sees all. Empty: all.")}\
${fields.tick(form, "disabled", "May not sign in", "Sessions end and API tokens are refused until this is unticked.")}\
<p class="buttons"><button class="btn">Change it</button></p>
</form>
<section class="card" aria-labelledby="password">
<h2 id="password">Password</h2>
<p>\
% if not user.has_password:
${user.name} has none, and comes through the web server in front only.\
% elif user.password_changed_at is None:
It is the one ${user.name} was given.\
% else:
It was changed ${parts.ago(user.password_changed_at)}.\
% endif
</p>
<form method="post" action="${href}/password" data-busy="Making it …">${fields.csrf()}<p class="buttons"><button class="btn quiet">${"Make a new one" if user.has_password else "Make one"}</button> <span class="dim">It is shown once. All sessions of ${user.name} end.</span></p></form>
</section>
<section class="card" aria-labelledby="sessions">
<div class="head"><h2 id="sessions">Sessions</h2>\
% if sessions:
<form method="post" action="${href}/sessions/end" data-busy="Signing out …">${fields.csrf()}<button class="btn quiet">Sign out everywhere</button></form>\
% endif
</div>
${people.session_table(sessions, None, f"{user.name} is signed in nowhere.")}\
</section>
<section class="card" aria-labelledby="tokens">
<h2 id="tokens">API tokens</h2>
${people.token_table(tokens, lambda one: f"{href}/tokens/{one}/revoke", f"{user.name} has none.")}\
</section>
<p><a class="btn quiet danger" href="${href}/delete">Delete ${user.name} …</a></p>
