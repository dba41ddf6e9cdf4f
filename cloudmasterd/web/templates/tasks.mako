<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="title">Tasks</%block>\
<h1>Tasks</h1>
<form class="filter card" method="get" action="/tasks" data-still role="search" aria-label="Filter tasks">
<div><label for="f-state">State</label><select id="f-state" name="state"><option value="">any</option>
% for state in states:
<option value="${state.value}"\
% if query["state"] == (state.value,):
 selected\
% endif
>${state.value}</option>
% endfor
% if len(query["state"]) > 1:
<option value="${','.join(query['state'])}" selected>${" or ".join(query["state"])}</option>
% endif
</select></div>
<div><label for="f-cloud">Cloud instance</label><select id="f-cloud" name="cloud"><option value="">any</option>
% for name in clouds:
<option value="${name}"\
% if query["cloud"] == name:
 selected\
% endif
>${name}</option>
% endfor
</select></div>
<div><label for="f-machine">Machine instance</label><input id="f-machine" type="search" name="machine" maxlength="255" value="${query['machine']}" autocomplete="off" spellcheck="false"></div>
<div class="act"><button class="btn">Filter</button>\
% if filtered:
 <a href="/tasks">Show all</a>\
% endif
</div>
</form>
<section class="card" aria-label="Tasks" data-key="tasks">
${parts.task_table(rows, "No task fits this filter." if filtered else "There has been no task yet. Creating or starting a machine instance makes one.")}\
% if following is not None:
<nav class="pages" aria-label="Pages"><a href="${following}" rel="next">Older tasks</a></nav>
% endif
</section>
