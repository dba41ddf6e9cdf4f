<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="pace">${live_s if ended else 1}</%block>\
<%block name="head">\
% if not ended:
<noscript><meta http-equiv="refresh" content="5"></noscript>
% endif
</%block>\
<%block name="unscripted">${"Without JavaScript this page stands still, as its task does." if ended else "Without JavaScript this page reloads itself every 5 s until its task has ended."}</%block>\
<%block name="title">${row.title}: ${task.state.value}</%block>\
<p class="trail"><a href="/tasks">Tasks</a> <span aria-hidden="true">›</span> Task ${task.id}</p>
<div class="head">
<h1>${row.title}</h1>
<p role="status">${parts.task_state(task.state)}\
% if task.position is not None:
 <span class="dim">${"next in the queue" if task.position == 1 else f"number {task.position} in the queue"}</span>\
% endif
% if not ended and task.cancel_asked:
 <span class="dim">it will be cancelled after the step under way</span>\
% endif
</p>
% if allowed and not ended and not task.cancel_asked:
% if plug is not None:
<a class="btn quiet danger" href="${plug}/poweroff">Power it off …</a>
% endif
<form method="post" action="${paths.task_path(task.id)}/cancel" data-busy="Cancelling it …" data-key="cancel">${fields.csrf()}<button class="btn quiet">Cancel it</button></form>
% endif
</div>
% if error:
<div class="note bad" data-key="error"><p><strong>${failed_words}</strong> ${error}</p>
% if advice:
<p>${advice}</p>
% endif
</div>
% endif
% if allowed and offer is not None:
<div class="note warn" data-key="offer"><p><strong>It has not shut down.</strong> Its operating system was asked to and did not. It can be powered off, which is like pulling the plug: what it has not written to its disks is lost.</p>
<p class="buttons"><a class="btn danger" href="${offer}/poweroff">Power it off …</a></p></div>
% endif
% if target is not None and task.state.value == "done":
<p data-key="target"><a class="btn" href="${target}">To ${task.machine_name or task.machine or task.cloud}</a></p>
% endif
<section class="card" aria-labelledby="steps" data-key="steps">
<h2 id="steps">Steps</h2>
${parts.steps(steps)}\
</section>
<section class="card" aria-labelledby="about" data-key="about">
<h2 id="about">About it</h2>
<dl class="facts">
% if task.machine or task.machine_name:
<div><dt>Machine instance</dt><dd>\
% if target is not None:
<a href="${target}">${task.machine_name or task.machine}</a>\
% else:
${task.machine_name or task.machine}\
% endif
</dd></div>
% endif
% if task.cloud:
<div><dt>Cloud instance</dt><dd><a href="${paths.cloud_path(task.cloud)}">${task.cloud}</a></dd></div>
% endif
<div><dt>Asked by</dt><dd>${task.asked_by} <span class="dim"><time datetime="${figures.iso(task.created_at)}">${figures.clock_time(task.created_at)}</time></span></dd></div>
% if task.started_at is not None:
<div><dt>Began</dt><dd>${parts.ago(task.started_at)}</dd></div>
% endif
% if task.ended_at is not None:
<div><dt>Ended</dt><dd>${parts.ago(task.ended_at)}\
% if took:
 <span class="dim">after ${took}</span>\
% endif
</dd></div>
% endif
<div><dt>Request</dt><dd class="mono">${request_id}</dd></div>
</dl>
</section>
% if task.log:
<section class="card" aria-labelledby="log" data-key="log">
<h2 id="log">Log</h2>
<ol class="log">
% for number, (at, text) in enumerate(task.log):
<li data-key="line ${number}"><time class="when" datetime="${figures.iso(at)}">${at.strftime("%H:%M:%S")}</time><span>${text}</span></li>
% endfor
</ol>
</section>
% endif
