<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">Audit</%block>\
<h1>Audit</h1>
% if verdict.whole:
<p class="dim">${f"{verdict.head.count:,}"} records, never changed and never removed. \
% if verdict.head.count and verdict.first == 1:
All of them are whole: none was changed, removed, put in or moved. \
% elif verdict.head.count:
Records ${f"{verdict.first:,}"} to ${f"{verdict.head.count:,}"} are whole; <code>cloudmasterctl audit verify</code> looks at all. \
% endif
</p>
<p class="dim">Head, to be noted elsewhere: <code>${verdict.head.count}:${verdict.head.hash}</code></p>
% else:
<div class="note bad" role="alert"><h2>The record is not whole</h2>
<p>Somebody wrote into the database past this cloud master. Keep a copy of it, then run <code>cloudmasterctl audit verify</code>.</p>
<ul>
% for text in verdict.wrong:
<li>${text}</li>
% endfor
</ul></div>
% endif
<form class="filter card" method="get" action="/audit" role="search" aria-label="Filter the record">
<div><label for="f-who">Who</label><input id="f-who" type="search" name="who" maxlength="255" value="${query['who']}" autocomplete="off" spellcheck="false"></div>
<div><label for="f-action">Did what</label><input id="f-action" type="search" name="action" maxlength="255" value="${query['action']}" placeholder="deleteMachine" autocomplete="off" spellcheck="false"></div>
<div><label for="f-target">To what</label><input id="f-target" type="search" name="target" maxlength="255" value="${query['target']}" placeholder="/api/v1/machines" autocomplete="off" spellcheck="false"></div>
<div><label for="f-result">Result</label><select id="f-result" name="result"><option value="">any</option>
% for result in results:
<option value="${result}"\
% if query["result"] == result:
 selected\
% endif
>${result}</option>
% endfor
</select></div>
<div><label for="f-request">Request id</label><input id="f-request" type="search" name="request_id" maxlength="255" value="${query['request_id']}" autocomplete="off" spellcheck="false"></div>
<div><label for="f-since">From (UTC)</label><input id="f-since" name="since" maxlength="40" value="${query['since']}" placeholder="2026-11-22" autocomplete="off"></div>
<div><label for="f-until">Before (UTC)</label><input id="f-until" name="until" maxlength="40" value="${query['until']}" placeholder="2026-11-23" autocomplete="off"></div>
<div class="act"><button class="btn">Filter</button>\
% if filtered:
 <a href="/audit">Show all</a>\
% endif
</div>
</form>
<section class="card" aria-label="Records, the newest first">
% if rows:
<table class="audit">
<thead><tr><th scope="col">When (UTC)</th><th scope="col">Who</th><th scope="col">Did what</th><th scope="col">Result</th><th scope="col" class="n wide-only">Record</th></tr></thead>
<tbody>
% for row in rows:
<tr id="r${row.entry.id}"><td><span class="day">${row.entry.at[:10]}</span><span class="sub always">${row.entry.at[11:19]}</span></td><td>${row.who}<span class="sub always">${row.how}</span></td><td>${row.entry.deed.action} \
% if row.page is not None:
<a href="${row.page}">${row.entry.deed.target}</a>\
% else:
${row.entry.deed.target}\
% endif
% for name, value in row.detail:
<span class="sub always">${name}: ${value}</span>\
% endfor
% if row.entry.deed.reason:
<span class="sub always">why: ${row.entry.deed.reason}</span>\
% endif
% if row.entry.deed.request_id:
<span class="sub always">request ${row.entry.deed.request_id}</span>\
% endif
</td><td><span class="state ${marks.get(row.entry.deed.result, "bad")}">${row.entry.deed.result}</span>\
% if row.entry.deed.status is not None:
<span class="sub always">${row.entry.deed.status}</span>\
% endif
</td><td class="n wide-only dim">${row.entry.id}</td></tr>
% endfor
</tbody>
</table>
% elif filtered:
<p>No record fits this filter. <a href="/audit">Show all</a></p>
% else:
<p>Nothing was done yet that goes on the record.</p>
% endif
% if newest is not None or older is not None:
<nav class="pages" aria-label="Pages">\
% if newest is not None:
<a href="${newest}">The newest</a> \
% endif
% if older is not None:
<a href="${older}" rel="next">Older records</a>\
% endif
</nav>
% endif
<p class="dim"><a href="${export}">As CSV</a>, the newest 1,000 of these; <code>cloudmasterctl audit export</code> writes all.</p>
</section>
