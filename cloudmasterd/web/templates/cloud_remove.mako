<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}Remove ${cloud.name}</%block>\
<p class="trail"><a href="/">Overview</a> <span aria-hidden="true">›</span> <a href="${href}">${cloud.name}</a></p>
<h1>Remove ${cloud.name}</h1>
${fields.summary(form, labels, "It was not removed.")}\
% if rows:
<section class="card" aria-labelledby="lost">
<h2 id="lost">${figures.count(len(rows), "machine instance is", "machine instances are")} lost sight of with it</h2>
${parts.machine_table(rows, False, set())}\
</section>
% endif
% if tasks:
<section class="card" aria-labelledby="ended">
<h2 id="ended">${figures.count(len(tasks), "task is", "tasks are")} ended with it</h2>
${parts.task_list(tasks, "")}\
</section>
% endif
<form class="card prose" method="post" action="${href}/remove" data-busy="Removing it …" novalidate>${fields.csrf()}
<p>This takes ${cloud.name} out of the cloud: its certificate is revoked, what this cloud master knows of it is forgotten, and it comes back only if somebody lets it in anew. It is not asked and need not be up; what runs on it goes on running there.</p>
% if rows or tasks:
${fields.tick(form, "force", "Although it is in use", "Its machine instances are no part of this cloud any more, and its tasks are ended as far as they came.")}\
% endif
${fields.line(form, "name", "To confirm, type its name: " + cloud.name, required=True)}\
<p class="buttons"><button class="btn danger">Remove it</button> <a href="${href}">Leave it as it is</a></p>
</form>
