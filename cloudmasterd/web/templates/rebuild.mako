<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}Install ${cloud.name} anew</%block>\
<p class="trail"><a href="/">Overview</a> <span aria-hidden="true">›</span> <a href="${href}">${cloud.name}</a></p>
<h1>Install ${cloud.name} anew</h1>
${fields.summary(form, labels, "Nothing was begun.")}\
% if rows:
<section class="card" aria-labelledby="lost">
<h2 id="lost">${figures.count(len(rows), "machine instance is", "machine instances are")} lost with it</h2>
${parts.machine_table(rows, False, set())}\
</section>
% endif
<form class="card prose" method="post" action="${href}/rebuild" data-busy="Beginning it …" novalidate>${fields.csrf()}
<p>This erases everything on ${cloud.name}: its disks\
% if rows:
, the machine instances above and their disks\
% else:
, on which no machine instance lives\
% endif
. It is put into maintenance, prepared, rebooted and installed from a profile, and comes back under its name. Until it reboots the task can be cancelled, and all is as before.</p>
<input type="hidden" name="lose" value="${lose}" autocomplete="off">
% if profiles:
${fields.choice(form, "profile", "Profile", [("", "the one it was installed from")] * (not form.text("profile")) + [(name, name) for name in profiles])}\
% else:
${fields.line(form, "profile", "Profile", "The name of a profile of the cobbler server.")}\
% endif
${fields.line(form, "reason", "Reason", "Shown as the reason of its maintenance.")}\
${fields.line(form, "name", "To confirm, type its name: " + cloud.name, required=True)}\
${fields.key(key)}
<p class="buttons"><button class="btn danger">Erase it and install it anew</button> <a href="${href}">Leave it as it is</a></p>
</form>
