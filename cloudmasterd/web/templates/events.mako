<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="title">Events</%block>\
<h1>Events</h1>
% if about:
<p class="dim">Of ${about} alone. <a href="/events">Show all</a></p>
% endif
<section class="card" aria-label="Events, the newest first" data-key="events">
${parts.event_list(rows, "Nothing has happened yet that this cloud master knows of.")}\
% if older is not None:
<nav class="pages" aria-label="Pages"><a href="${older}" rel="next">Older events</a></nav>
% endif
</section>
