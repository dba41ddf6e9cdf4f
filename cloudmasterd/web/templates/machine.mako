<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%block name="pace">${1 if busy else live_s}</%block>\
<%block name="title">${machine.name or machine.uuid}</%block>\
<p class="trail"><a href="/machines">Machines</a> <span aria-hidden="true">›</span> Machine instance</p>
<div class="head">
<h1>${machine.name or machine.uuid}</h1>
<p>${parts.state(machine.state)} <span class="dim">seen ${parts.seen(machine.observed_at)}</span></p>
</div>
% if cloud.error is not None:
<div class="note bad" data-key="unreachable"><p><strong>As last seen.</strong> <a href="${paths.cloud_path(cloud.name)}">${cloud.name}</a> does not answer\
% if cloud.unreachable_since is not None:
 since ${parts.ago(cloud.unreachable_since)}\
% endif
; this machine instance may well be running.</p></div>
% endif
% if not machine.managed:
<div class="note plain" data-key="adopt"><p><strong>Not made by this cloud master.</strong> Another tool made it; it can be managed here all the same. Adopting it marks it as one of this cloud’s own.</p>
% if allowed and not hindrance:
<form method="post" action="${href}/adopt" data-busy="Adopting it …">${fields.csrf()}${fields.key(key)}<button class="btn quiet">Adopt it</button></form>
% endif
</div>
% endif
% if allowed or outside:
<section class="card" aria-labelledby="actions" data-key="actions">
<h2 id="actions" class="vh">Actions</h2>
% if outside:
<p>${outside}</p>
% elif hindrance:
<p id="why">${hindrance}\
% if busy:
 <a href="${busy}">See how far it is</a>\
% endif
</p>
% endif
% if allowed:
<div class="actions" role="group" aria-labelledby="actions">
% for action in actions:
% if hindrance and not (plug and action.means):
<button class="btn quiet" disabled aria-describedby="why" data-key="${action.name} not now">${action.label}</button>
% elif action.means:
<a class="btn quiet danger" href="${href}/${action.name}" data-key="${action.name}">${action.label} …</a>
% else:
<form method="post" action="${href}/${action.name}" data-busy="${action.label} …" data-key="${action.name}">${fields.csrf()}${fields.key(key)}<button class="btn ${"" if action.name in ("start", "resume") else "quiet"}">${action.label}</button></form>
% endif
% endfor
% if not hindrance:
<a class="btn quiet" href="${href}/change" data-key="change">Change …</a>
<a class="btn quiet danger" href="${href}/delete" data-key="delete">Delete …</a>
% endif
</div>
% endif
</section>
% endif
<section class="card" aria-label="Facts" data-key="facts">
<dl class="facts">
<div><dt>Cloud instance</dt><dd><a href="${paths.cloud_path(machine.cloud)}">${machine.cloud}</a></dd></div>
<div><dt>Memory</dt><dd>${figures.memory(machine.memory_mb)} <span class="dim">of at most ${figures.memory(machine.max_memory_mb)}</span></dd></div>
<div><dt>Virtual CPUs</dt><dd>${machine.vcpus}</dd></div>
<div><dt>Starts with its cloud instance</dt><dd>${"yes" if machine.autostart else "no"}</dd></div>
<div><dt>Made or adopted by this cloud master</dt><dd>${"yes" if machine.managed else "no"}</dd></div>
% if machine.profile:
<div><dt>Profile</dt><dd>${machine.profile}</dd></div>
% endif
% if machine.image:
<div><dt>Image</dt><dd>${machine.image}</dd></div>
% endif
% if machine.groups:
<div><dt>Kept apart from others of</dt><dd>${", ".join(machine.groups)}</dd></div>
% endif
<div><dt>UUID</dt><dd class="mono">${machine.uuid}</dd></div>
% for key_, value in sorted(machine.tags.items()):
<div><dt>${key_}</dt><dd>${value}</dd></div>
% endfor
</dl>
% if machine.notes:
<h2>Notes</h2>
<p class="notes">${machine.notes}</p>
% endif
</section>
<div class="pair">
<section class="card" aria-labelledby="tasks" data-key="tasks">
<h2 id="tasks">Tasks</h2>
${parts.task_list(tasks, "Nothing was asked of it from here yet.")}\
% if tasks:
<p class="more"><a href="/tasks?machine=${machine.uuid | u}">All its tasks</a></p>
% endif
</section>
<section class="card" aria-labelledby="events" data-key="events">
<h2 id="events">Events</h2>
${parts.event_list(events, "Nothing has happened to it that this cloud master knows of.")}\
% if events:
<p class="more"><a href="/events?machine=${machine.uuid | u}">All its events</a></p>
% endif
</section>
</div>
