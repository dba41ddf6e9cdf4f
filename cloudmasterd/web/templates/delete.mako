<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}Delete ${called}</%block>\
<p class="trail"><a href="/machines">Machines</a> <span aria-hidden="true">›</span> <a href="${href}">${called}</a></p>
<h1>Delete ${called}</h1>
${fields.summary(form, labels, "It was not deleted.")}\
<form class="card prose" method="post" action="${href}/delete" data-busy="Deleting it …" novalidate>${fields.csrf()}
<p>This takes the machine instance off ${machine.cloud} for good, and its disks with it unless you keep them. A disk that another machine instance uses is never deleted.</p>
${fields.tick(form, "keep_disks", "Keep its disks", "They stay in their pools on the cloud instance, and nothing uses them any more.")}\
% if active:
<div class="note warn"><p><strong>It is ${machine.state.value}.</strong> Shut it down first, or tick the box below.</p></div>
${fields.tick(form, "force", "Power it off first", "Like pulling the plug: what it has not written to its disks is lost.")}\
% endif
${fields.line(form, "name", "To confirm, type its name: " + called, required=True)}\
${fields.line(form, "reason", labels["reason"], "For the audit record, which keeps it; may be left empty.")}\
${fields.key(key)}
<p class="buttons"><button class="btn danger">Delete it</button> <a href="${href}">Leave it as it is</a></p>
</form>
