<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">Delete ${user.name}?</%block>\
<p class="trail"><a href="/users">Users</a> <span aria-hidden="true">›</span> <a href="${href}">${user.name}</a></p>
<h1>Delete ${user.name}?</h1>
<form class="card prose" method="post" action="${href}/delete" data-busy="Deleting …">${fields.csrf()}
<p>${user.name} can sign in no more\
% if tokens:
, and ${figures.count(tokens, "API token goes", "API tokens go")} with the user: the programs that use them get no further\
% endif
. What ${user.name} did stays in the audit record. To keep somebody out for a while, tick “May not sign in” on the page before instead.</p>
<input type="hidden" name="confirm" value="yes">
<p class="buttons"><button class="btn danger">Delete ${user.name}</button> <a href="${href}">Leave it as it is</a></p>
</form>
