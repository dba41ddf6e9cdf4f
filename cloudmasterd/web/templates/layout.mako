<%page expression_filter="h"/>\
<%namespace name="fields" file="fields.mako"/>\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title><%block name="title"/> · ${site_name}</title>
<link rel="icon" href="${asset('icon.svg')}" type="image/svg+xml">
<link rel="stylesheet" href="${asset('style.css')}">
<script src="${asset('live.js')}" defer></script>
<%block name="head"/></head>
<body data-live-s="<%block name="pace">${live_s}</%block>" data-now="${figures.iso(now)}">
<a class="skip" href="#main">Skip to the content</a>
<header class="top">
<div class="wide">
<a class="brand" href="/"><svg class="mark" width="22" height="22" viewBox="0 0 20 20" aria-hidden="true"><rect x="2" y="11" width="16" height="6" rx="1.5"></rect><rect class="two" x="4" y="6.5" width="12" height="3" rx="1"></rect><rect class="three" x="6" y="3" width="8" height="2.2" rx="1"></rect></svg><span>${site_name}</span></a>
% if entries:
<nav aria-label="Main">
% for href, name in entries:
<a href="${href}"\
% if href == section:
 aria-current="true"\
% endif
>${name}</a>
% endfor
<a href="/api/v1/openapi.json">API</a>
</nav>
<div class="who">
<a href="/account" title="Account: ${who.role.value}"\
% if section == "/account":
 aria-current="true"\
% endif
><span class="vh">Signed in as </span>${who.name}</a>\
% if who.means is means.SESSION:
<form method="post" action="/logout">${fields.csrf()}<button class="linklike">Sign out</button></form>\
% endif

</div>
% endif
</div>
</header>
<div class="notice" id="notice" role="status" hidden></div>
<main id="main" class="wide" tabindex="-1">
${next.body()}\
</main>
<footer class="wide">\
% if entries:
<p>cloudmasterd ${version}. Cloud instances are asked every ${refresh_s} s; every figure carries its age.</p>
% endif

<noscript><p><%block name="unscripted">Without JavaScript this page stands still: reload it for newer figures.</%block></p></noscript></footer>
</body>
</html>
