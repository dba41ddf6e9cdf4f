<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%namespace name="people" file="people.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}Users</%block>\
<h1>Users</h1>
% if fresh is not None:
${people.password(fresh)}\
% endif
${fields.summary(form, labels, "No user was made.")}\
<section class="card" aria-label="Users">
% if rows:
<table class="people">
<thead><tr><th scope="col">Name</th><th scope="col">Role</th><th scope="col" class="wide-only">Changes</th><th scope="col" class="wide-only">State</th><th scope="col" class="n wide-only">Signed in last</th></tr></thead>
<tbody>
% for row in rows:
<tr><th scope="row"><a href="${user_path(row.user.name)}">${row.user.name}</a>\
% if row.user.title:
<span class="sub always">${row.user.title}</span>\
% endif
<span class="sub"><span class="state ${row.kind}">${row.state}</span></span></th><td>${row.user.role.value}</td><td class="wide-only">${row.changes}</td><td class="wide-only"><span class="state ${row.kind}">${row.state}</span></td><td class="n wide-only dim">${parts.seen(row.user.last_login_at)}</td></tr>
% endfor
</tbody>
</table>
% else:
<p>Nobody comes after this place in the list any more. <a href="/users">Start over</a></p>
% endif
% if first is not None or following is not None:
<nav class="pages" aria-label="Pages">\
% if first is not None:
<a href="${first}">First page</a> \
% endif
% if following is not None:
<a href="${following}" rel="next">Next page</a>\
% endif
</nav>
% endif
</section>
<form class="card form" method="post" action="/users" data-busy="Making it …" novalidate>${fields.csrf()}
<h2>Let somebody in</h2>
${fields.line(form, "name", labels["name"], "What they sign in with, such as jane or jane@example.org.", required=True)}\
${fields.line(form, "title", labels["title"], "For people to read, such as Jane Doe, web team.")}\
${fields.radios(form, "role", labels["role"], roles_offered)}\
${fields.lines(form, "scope", labels["scope"], "One a line, such as team=web: an operator changes only machine instances that have one of them, and sees all. Empty: all.")}\
${fields.tick(form, "password", "Make a password, shown once", "Without one they can come through the web server in front only, which signs them in.")}\
<p class="buttons"><button class="btn">Make the user</button></p>
</form>
