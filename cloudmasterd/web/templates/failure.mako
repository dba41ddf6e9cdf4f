<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${heading}</%block>\
<p class="trail">${problem.status} ${problem.title}</p>
<h1>${heading}</h1>
<section class="card prose" data-key="failure">
<p>${detail}</p>
% if reasons:
<dl class="reasons">
% for name, reason in reasons:
<div><dt>${name}</dt><dd>${reason}</dd></div>
% endfor
</dl>
% endif
% if back is not None:
<p class="buttons"><a class="btn" href="${back}">Back to where you were</a></p>
% endif
<p><a href="/">Overview</a> <span class="dim">·</span> <a href="/machines">All machine instances</a></p>
</section>
