<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="title">${cloud.name}</%block>\
<p class="trail"><a href="/">Overview</a> <span aria-hidden="true">›</span> Cloud instance</p>
<div class="head">
<h1>${cloud.name}</h1>
<p>${parts.state(cloud.state)} <span class="dim">seen ${parts.seen(cloud.observed_at)}</span></p>
% if who.may(roles.OPERATOR):
<form method="post" action="${paths.cloud_path(cloud.name)}/refresh" data-busy="Asking it …" data-still>${fields.csrf()}<button class="btn">Ask it now</button></form>
% endif
</div>
% if cloud.maintenance_since is not None:
<div class="note warn" data-key="maintenance"><p><strong>In maintenance since ${parts.ago(cloud.maintenance_since)}\
% if cloud.maintenance_reason:
: ${cloud.maintenance_reason}\
% endif
.</strong> No new machine instance goes there; those that are there run on.</p>
% if who.may(roles.ADMIN):
<form method="post" action="${paths.cloud_path(cloud.name)}/maintenance" data-busy="Ending it …">${fields.csrf()}<input type="hidden" name="maintenance" value="end"><button class="btn quiet">End the maintenance</button></form>
% endif
</div>
% endif
% for item in notes:
${parts.note(item, link=False)}\
% endfor
<section class="card" aria-labelledby="memory" data-key="memory">
<h2 id="memory">Memory</h2>
% if cloud.memory_mb is None:
<p>No figures yet: it has a certificate, and has not answered so far.</p>
% else:
<div class="big">${parts.meter(cloud)}</div>
<dl class="facts">
<div><dt><i class="key used"></i>Used by machine instances</dt><dd>${figures.memory(figures.used_mb(cloud))}</dd></div>
<div><dt><i class="key held"></i>Reserved for the cloud instance</dt><dd>${figures.memory(cloud.reserved_memory_mb)}</dd></div>
<div><dt><i class="key free"></i>Free for new ones</dt><dd><b>${figures.memory(cloud.free_memory_mb)}</b></dd></div>
<div><dt>In all</dt><dd>${figures.memory(cloud.memory_mb)}</dd></div>
<div><dt>Available by its kernel’s count</dt><dd>${"not reported" if cloud.live_free_memory_mb is None else figures.memory(cloud.live_free_memory_mb)}</dd></div>
</dl>
<p class="dim small">Used counts the maximum memory and the overhead of every active machine instance, so that each of them can grow; the kernel’s count does not.</p>
% endif
</section>
<section class="card" aria-labelledby="about" data-key="about">
<div class="head"><h2 id="about">About it</h2>\
% if who.may(roles.ADMIN):
<a class="btn quiet" href="${paths.cloud_path(cloud.name)}/change">Change …</a> <a class="btn quiet" href="${paths.cloud_path(cloud.name)}/rebuild">Install anew …</a> <a class="btn quiet" href="${paths.cloud_path(cloud.name)}/remove">Remove …</a>\
% endif
</div>
<dl class="facts">
<div><dt>Architecture</dt><dd>${cloud.arch or "not known yet"}</dd></div>
<div><dt>CPUs</dt><dd>${"not known yet" if cloud.cpus is None else cloud.cpus}</dd></div>
<div><dt>Certificate ends</dt><dd>\
% if cloud.certificate_expires_at is None:
not known\
% else:
<time datetime="${figures.iso(cloud.certificate_expires_at)}">${figures.clock_time(cloud.certificate_expires_at)}</time> <span class="dim">${figures.until(cloud.certificate_expires_at, now)}</span>\
% endif
</dd></div>
% if cloud.profile:
<div><dt>Installed from</dt><dd>${cloud.profile}</dd></div>
% endif
% for key, value in sorted(cloud.tags.items()):
<div><dt>${key}</dt><dd>${value}</dd></div>
% endfor
</dl>
% if cloud.notes:
<h2>Notes</h2>
<p class="notes">${cloud.notes}</p>
% endif
</section>
<section class="card" aria-labelledby="machines" data-key="machines">
<h2 id="machines">${figures.count(cloud.machines, "machine instance", "machine instances")}\
% if cloud.machines:
<span class="dim">, ${cloud.running} running</span>\
% endif
</h2>
% if rows:
${parts.machine_table(rows, False, {cloud.name} if cloud.error is not None else set())}\
% else:
<p>There is none on it${"." if cloud.observed_at else " that this cloud master knows of."}</p>
% endif
% if more:
<p><a href="/machines?cloud=${cloud.name | u}">All ${cloud.machines} of them</a></p>
% endif
% if who.may(roles.OPERATOR):
<p class="more"><a href="/machines/new?cloud=${cloud.name | u}">Create one here</a></p>
% endif
</section>
<div class="pair">
<section class="card" aria-labelledby="tasks" data-key="tasks">
<h2 id="tasks">Tasks</h2>
${parts.task_list(tasks, "Nothing was asked of it from here yet.")}\
% if tasks:
<p class="more"><a href="/tasks?cloud=${cloud.name | u}">All its tasks</a></p>
% endif
</section>
<section class="card" aria-labelledby="events" data-key="events">
<h2 id="events">Events</h2>
${parts.event_list(events, "Nothing has happened on it that this cloud master knows of.")}\
% if events:
<p class="more"><a href="/events?cloud=${cloud.name | u}">All its events</a></p>
% endif
</section>
</div>
% if cloud.maintenance_since is None and who.may(roles.ADMIN):
<section class="card" aria-labelledby="maintenance" data-key="begin maintenance">
<h2 id="maintenance">Maintenance</h2>
<form class="oneline" method="post" action="${paths.cloud_path(cloud.name)}/maintenance" data-busy="Beginning it …" data-still>${fields.csrf()}
<input type="hidden" name="maintenance" value="begin">
<div class="field"><label for="f-reason">Reason</label><input id="f-reason" name="maintenance_reason" maxlength="1000" autocomplete="off" aria-describedby="h-reason"></div>
<button class="btn quiet">Begin maintenance</button>
<p class="hint" id="h-reason">While it lasts no new machine instance goes there; those that are there run on. The reason is shown wherever it matters.</p>
</form>
</section>
% endif
