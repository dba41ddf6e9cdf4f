<%page expression_filter="h"/>\
<%def name="ago(moment)"><time datetime="${figures.iso(moment)}" title="${figures.clock_time(moment)}" data-age="ago">${figures.since(moment, now)} ago</time></%def>\
<%def name="lasting(moment)"><time datetime="${figures.iso(moment)}" title="since ${figures.clock_time(moment)}" data-age="for">${figures.since(moment, now)}</time></%def>\
<%def name="seen(moment)">\
% if moment is None:
never\
% else:
${ago(moment)}\
% endif
</%def>\
<%def name="state(value)"><span class="state ${figures.STATE_KINDS[value]}">${value.value}</span></%def>\
<%def name="meter(cloud)">\
<% bar = figures.bar(cloud) %>\
% if bar is None:
<span class="dim">no figures yet</span>\
% else:
<svg class="bar${' over' if bar.over else ''}" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="${bar.label}"><title>${bar.label}</title><rect class="free" x="0" y="0" width="1000" height="10"></rect><rect class="used" x="0" y="0" width="${bar.used}" height="10"></rect><rect class="held" x="${bar.used}" y="0" width="${bar.reserved}" height="10"></rect></svg>\
% endif
</%def>\
<%def name="legend()">
<ul class="legend" aria-label="What the bars show"><li><i class="used"></i>machine instances</li><li><i class="held"></i>reserved for the cloud instance</li><li><i class="free"></i>free</li></ul>
</%def>\
<%def name="note(item, link=True)">
<div class="note ${item.kind}" data-key="${item.cloud} ${item.says.split(' by ')[0]}">
<p><strong>\
% if link:
<a href="${paths.cloud_path(item.cloud)}">${item.cloud}</a> \
% else:
${item.cloud} \
% endif
${item.says}\
% if item.moment is not None:
 ${lasting(item.moment)}\
% endif
.</strong> ${item.detail}</p>
% if item.checks:
<details><summary>What to check</summary><ol>
% for check in item.checks:
<li>${check}</li>
% endfor
</ol></details>
% endif
</div>
</%def>\
<%def name="machine_table(rows, with_cloud, unreachable)">
<table class="machines">
<thead><tr><th scope="col">Name</th><th scope="col" class="wide-only">State</th>\
% if with_cloud:
<th scope="col" class="wide-only">Cloud instance</th>\
% endif
<th scope="col" class="n">Memory</th><th scope="col" class="n wide-only">Maximum</th><th scope="col" class="n wide-only">vCPUs</th><th scope="col" class="n wide-only">Seen</th></tr></thead>
<tbody>
% for row in rows:
<% machine = row.machine %>\
<tr data-key="${machine.uuid}"\
% if machine.cloud in unreachable:
 class="old"\
% endif
><th scope="row"><a href="${row.href}">${machine.name or machine.uuid}</a><span class="sub">${state(machine.state)}\
% if with_cloud:
 <span>${machine.cloud}</span>\
% endif
</span></th><td class="wide-only">${state(machine.state)}</td>\
% if with_cloud:
<td class="wide-only"><a class="quiet" href="${paths.cloud_path(machine.cloud)}">${machine.cloud}</a></td>\
% endif
<td class="n">${figures.memory(machine.memory_mb)}</td><td class="n wide-only">${figures.memory(machine.max_memory_mb)}</td><td class="n wide-only">${machine.vcpus}</td><td class="n wide-only dim">${seen(machine.observed_at)}</td></tr>
% endfor
</tbody>
</table>
</%def>
<%def name="verdicts(preview, labels)">
<div aria-live="polite">
<p class="answer ${preview.kind}">${preview.says}</p>
</div>
% if preview.wrong:
<ul class="dim">
% for name, words in preview.wrong.items():
<li>${labels[name]}: ${words}</li>
% endfor
</ul>
% endif
% if preview.rows:
<ul class="verdicts">
% for row in preview.rows:
<li class="${row.kind}" data-key="${row.cloud}"><span class="sign" aria-hidden="true">${row.sign}</span><span><b>${row.cloud}</b>\
% if row.kind == "chosen":
 <span class="chip">chosen</span>\
% endif
<br><span class="vh">${row.word}: </span>${row.reason}</span></li>
% endfor
</ul>
% endif
</%def>\
<%def name="task_state(value)"><span class="state ${figures.TASK_KINDS[value]}">${value.value}</span></%def>\
<%def name="task_table(rows, empty)">\
% if rows:
<table class="tasks">
<thead><tr><th scope="col">Task</th><th scope="col" class="wide-only">State</th><th scope="col" class="wide-only">Cloud instance</th><th scope="col" class="wide-only">Asked by</th><th scope="col" class="n wide-only">When</th></tr></thead>
<tbody>
% for row in rows:
<tr data-key="task ${row.task.id}"><th scope="row"><a href="${row.href}">${row.title}</a>\
% if row.now:
<span class="sub always">${row.now}</span>\
% endif
<span class="sub">${task_state(row.task.state)} \
% if row.task.cloud:
<span>${row.task.cloud}</span> \
% endif
${ago(row.task.created_at)}</span></th><td class="wide-only">${task_state(row.task.state)}</td><td class="wide-only">\
% if row.task.cloud:
<a class="quiet" href="${paths.cloud_path(row.task.cloud)}">${row.task.cloud}</a>\
% else:
<span class="dim">–</span>\
% endif
</td><td class="wide-only dim">${row.task.asked_by}</td><td class="n wide-only dim">${ago(row.task.created_at)}</td></tr>
% endfor
</tbody>
</table>
% else:
<p>${empty}</p>
% endif
</%def>\
<%def name="task_list(rows, empty)">\
% if rows:
<ul class="lines">
% for row in rows:
<li data-key="task ${row.task.id}"><a href="${row.href}">${row.title}</a> ${task_state(row.task.state)} <span class="dim">${ago(row.task.created_at)}</span>\
% if row.now:
<span class="detail">${row.now}</span>\
% endif
</li>
% endfor
</ul>
% else:
<p>${empty}</p>
% endif
</%def>\
<%def name="event_list(rows, empty)">\
% if rows:
<ol class="events">
% for row in rows:
<li data-key="event ${row.event.id}"><span class="when">${ago(row.event.at)}</span><span class="what">${row.event.text}</span>\
% if row.links:
<span class="about">\
% for href, words in row.links:
<a href="${href}">${words}</a> \
% endfor
</span>\
% endif
</li>
% endfor
</ol>
% else:
<p>${empty}</p>
% endif
</%def>\
<%def name="steps(rows)">\
<ol class="steps">
% for row in rows:
<li class="step ${row.kind}" data-key="step ${row.number}"\
% if row.kind == "run":
 aria-current="step"\
% endif
><span class="sign" aria-hidden="true">${row.sign}</span><span class="what"><span class="vh">${row.step.state.value}: </span>${row.step.title}\
% if row.step.detail:
<span class="detail">${row.step.detail}</span>\
% endif
% if row.progress is not None:
<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="${row.progress} percent"><rect class="free" x="0" y="0" width="1000" height="10"></rect><rect class="used" x="0" y="0" width="${row.progress * 10}" height="10"></rect></svg>\
% endif
</span><span class="took">\
% if row.running_since is not None:
${lasting(row.running_since)}\
% else:
${row.took}\
% endif
</span></li>
% endfor
</ol>
</%def>\
<%def name="create_one()">\
% if who.may(roles.OPERATOR):
<a class="btn" href="/machines/new">Create a machine</a>\
% endif
</%def>\
