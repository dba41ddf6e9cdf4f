<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="title">Machines</%block>\
<div class="head"><h1>Machine instances</h1>${parts.create_one()}</div>
<form class="filter card" method="get" action="/machines" data-still role="search" aria-label="Filter machine instances">
<div><label for="f-name">Name contains</label><input id="f-name" type="search" name="name" maxlength="255" value="${query['name']}" autocomplete="off" spellcheck="false"></div>
<div><label for="f-cloud">Cloud instance</label><select id="f-cloud" name="cloud"><option value="">any</option>
% for name in clouds:
<option value="${name}"\
% if query["cloud"] == (name,):
 selected\
% endif
>${name}</option>
% endfor
% if len(query["cloud"]) > 1:
<option value="${','.join(query['cloud'])}" selected>${", ".join(query["cloud"])}</option>
% endif
</select></div>
<div><label for="f-state">State</label><select id="f-state" name="state"><option value="">any</option>
% for state in states:
<option value="${state.value}"\
% if query["state"] == (state.value,):
 selected\
% endif
>${state.value}</option>
% endfor
% if len(query["state"]) > 1:
<option value="${','.join(query['state'])}" selected>${", ".join(query["state"])}</option>
% endif
</select></div>
<div class="act"><button class="btn">Filter</button>\
% if filtered:
 <a href="/machines">Show all</a>\
% endif
</div>
</form>
<section class="card" aria-label="Machine instances" data-key="machines">
% if rows:
${parts.machine_table(rows, True, unreachable)}\
% elif filtered:
<p>None of the ${f"{total:,}"} machine instances fits this filter. <a href="/machines">Show all</a></p>
% elif first is not None:
<p>Nothing comes after this place in the list any more. <a href="/machines">Start over</a></p>
% elif clouds:
<p>There is no machine instance on any of the ${figures.count(len(clouds), "cloud instance", "cloud instances")}. One that is defined with libvirt on a cloud instance appears here by itself.</p>
% else:
<p>There is no cloud instance yet. <a href="/">How to enrol the first</a></p>
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
