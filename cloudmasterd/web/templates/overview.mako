<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="title">Overview</%block>\
<div class="head"><h1>Overview</h1>${parts.create_one()}</div>
<dl class="sum ${"four" if room is not None else ""}">
<div><dt>free of ${figures.memory(summary.total_mb)} memory</dt><dd>${figures.memory(summary.free_mb)}</dd></div>
<div><dt>${"cloud instance" if summary.clouds == 1 else "cloud instances"}, \
% if concerned:
<span class="alarm">${concerned} ${"needs" if concerned == 1 else "need"} attention</span>\
% else:
none needs attention\
% endif
</dt><dd>${f"{summary.clouds:,}"}</dd></div>
<div><dt>${"machine instance" if summary.machines == 1 else "machine instances"}, ${f"{summary.running:,}"} running</dt><dd>${f"{summary.machines:,}"}</dd></div>
% if room is not None:
<div><dt>more of “${room.flavor}” fit\
% if room.without_largest is not None:
; ${f"{room.without_largest:,}"} with the largest gone\
% endif
</dt><dd>${f"{room.total:,}"}</dd></div>
% endif
</dl>
% if notes:
<section class="card" aria-labelledby="attention" data-key="attention">
<h2 id="attention">Needs attention</h2>
% for item in notes[:3]:
${parts.note(item)}\
% endfor
% if len(notes) > 3:
<details class="rest"><summary>${len(notes) - 3} more</summary>
% for item in notes[3:]:
${parts.note(item)}\
% endfor
</details>
% endif
</section>
% endif
<section class="card" aria-labelledby="clouds" data-key="clouds">
<h2 id="clouds">Cloud instances</h2>
<table class="clouds">
<thead><tr><th scope="col">Name</th><th scope="col" class="wide-only">State</th><th scope="col">Memory</th><th scope="col" class="n wide-only">Free</th><th scope="col" class="n wide-only">Total</th><th scope="col" class="n wide-only">Machines running</th><th scope="col" class="n wide-only mid-off">CPUs</th><th scope="col" class="n wide-only">Seen</th></tr></thead>
<tbody>
% for cloud in clouds:
<tr data-key="${cloud.name}"\
% if cloud.error is not None:
 class="old"\
% endif
><th scope="row"><a href="${paths.cloud_path(cloud.name)}">${cloud.name}</a><span class="sub">${parts.state(cloud.state)} <span>${cloud.running} of ${cloud.machines} running</span> <span>seen ${parts.seen(cloud.observed_at)}</span></span></th>\
<td class="wide-only">${parts.state(cloud.state)}</td>\
<td class="meter">${parts.meter(cloud)}\
% if cloud.memory_mb is not None:
<span class="sub"><b>${figures.memory(cloud.free_memory_mb)}</b> free of ${figures.memory(cloud.memory_mb)}</span>\
% endif
</td>\
% if cloud.memory_mb is None:
<td class="n wide-only dim">–</td><td class="n wide-only dim">–</td>\
% else:
<td class="n wide-only"><b>${figures.memory(cloud.free_memory_mb)}</b></td><td class="n wide-only">${figures.memory(cloud.memory_mb)}</td>\
% endif
<td class="n wide-only">${cloud.running} <span class="dim">of ${cloud.machines}</span></td><td class="n wide-only mid-off">${"–" if cloud.cpus is None else cloud.cpus}</td><td class="n wide-only dim">${parts.seen(cloud.observed_at)}</td></tr>
% endfor
</tbody>
</table>
${parts.legend()}\
</section>
<div class="pair">
<section class="card" aria-labelledby="tasks" data-key="tasks">
<h2 id="tasks">Tasks under way</h2>
% if tasks:
% for row, steps in tasks[:3]:
<div class="running" data-key="task ${row.task.id}"><p><a href="${row.href}">${row.title}</a> ${parts.task_state(row.task.state)} \
% if row.task.cloud:
<span class="dim">on ${row.task.cloud}, ${parts.lasting(row.task.created_at)}</span>\
% endif
</p>
% if row.task.state.value == "running":
${parts.steps(steps)}\
% elif row.now:
<p class="dim">${row.now}</p>
% endif
</div>
% endfor
% if len(tasks) > 3:
<p class="more"><a href="/tasks?state=waiting,running">${"More than 50" if len(tasks) == 50 else f"All {len(tasks)}"} under way</a></p>
% endif
% else:
<p>None. <a href="/tasks">Earlier tasks</a></p>
% endif
</section>
<section class="card" aria-labelledby="events" data-key="events">
<h2 id="events">Recent events</h2>
${parts.event_list(events, "Nothing has happened yet that this cloud master knows of.")}\
% if events:
<p class="more"><a href="/events">All events</a></p>
% endif
</section>
</div>
% if room is not None:
<section class="card" aria-labelledby="room" data-key="room">
<h2 id="room">How many more fit</h2>
<table class="room">
<thead><tr><th scope="col">Size</th><th scope="col" class="n wide-only">Memory</th><th scope="col" class="n">Fit now</th><th scope="col" class="n">With the largest gone</th></tr></thead>
<tbody>
% for item in room.rows:
<tr data-key="${item.flavor.name}"><th scope="row">\
% if who.may(roles.OPERATOR):
<a href="/machines/new?flavor=${item.flavor.name | u}">${item.flavor.name}</a>\
% else:
${item.flavor.name}\
% endif
</th><td class="n wide-only">${figures.memory(item.flavor.memory_mb)}</td><td class="n"><b>${f"{item.total:,}"}</b></td><td class="n">${"–" if item.without_largest is None else f"{item.without_largest:,}"}</td></tr>
% endfor
</tbody>
</table>
% if room.largest is not None:
<p class="dim small">Each row for itself, by free memory and by what each kernel has available just now. The largest is ${room.largest}; were it gone, the machine instances that run on it would have to fit on the others first.</p>
% endif
% if room.uncounted:
<p class="dim small">Not counted: \
% for number, (name, reason) in enumerate(sorted(room.uncounted.items())):
${"; " if number else ""}<a href="${paths.cloud_path(name)}">${name}</a> (${reason})\
% endfor
.</p>
% endif
</section>
% endif
