<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}Change ${cloud.name}</%block>\
<p class="trail"><a href="/">Overview</a> <span aria-hidden="true">›</span> <a href="${href}">${cloud.name}</a></p>
<h1>Change ${cloud.name}</h1>
${fields.summary(form, labels, "Nothing was changed.")}\
<form class="card form" method="post" action="${href}/change" data-busy="Changing it …" novalidate>${fields.csrf()}
<input type="hidden" name="revision" value="${form.text('revision')}" autocomplete="off">
${fields.line(form, "reserve_mb", "Memory reserved for it", reserve_hint)}\
${fields.lines(form, "tags", "Tags", "One a line, as name=value, such as rack=b12.")}\
${fields.lines(form, "notes", "Notes", rows=5)}\
<p class="buttons"><button class="btn">Change it</button> <a href="${href}">Leave it as it is</a></p>
</form>
