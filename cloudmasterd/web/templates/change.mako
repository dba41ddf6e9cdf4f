<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}Change ${called}</%block>\
<p class="trail"><a href="/machines">Machines</a> <span aria-hidden="true">›</span> <a href="${href}">${called}</a></p>
<h1>Change ${called}</h1>
${fields.summary(form, labels, "Nothing was changed.")}\
<form class="card form" method="post" action="${href}/change" data-busy="Changing it …" novalidate>${fields.csrf()}
${fields.key(key)}
<input type="hidden" name="revision" value="${form.text('revision')}" autocomplete="off">
${fields.line(form, "name", "Name", "It can be renamed while it is off." if off else f"It is {machine.state.value}: it can be renamed once it is off.")}\
<div class="row two">
${fields.line(form, "memory_mb", "Memory", memory_hint)}\
${fields.line(form, "vcpus", "Virtual CPUs", "" if off else "What cannot change while it runs counts from its next start.")}\
</div>
% if waiting:
${fields.tick(form, "take_back", f"Take back the change of its {waiting} that waits for its next start")}\
% endif
${fields.tick(form, "autostart", "Start it whenever its cloud instance starts")}\
${fields.lines(form, "tags", "Tags", "One a line, as name=value, such as team=web.")}\
${fields.lines(form, "notes", "Notes", rows=5)}\
<p class="buttons"><button class="btn">Change it</button> <a href="${href}">Leave it as it is</a></p>
</form>
