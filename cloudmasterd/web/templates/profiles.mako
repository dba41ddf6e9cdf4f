<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="title">Profiles</%block>\
<div class="head">
<h1>Profiles</h1>
% if about.server:
<p class="dim">${about.server}, asked ${parts.seen(about.fetched_at)}</p>
% if who.may(roles.OPERATOR):
<form method="post" action="/profiles/refresh" data-busy="Asking it …" data-still>${fields.csrf()}<button class="btn">Ask it now</button></form>
% endif
% endif
</div>
% if about.error:
<div class="note bad" data-key="failing" role="status"><p><strong>The cobbler server cannot be asked\
% if about.failing_since is not None:
 for ${parts.lasting(about.failing_since)}\
% endif
.</strong> ${figures.sentence(about.error)}</p>
% if rows:
<p>Below is what it had when it answered last. A machine instance can be made from a profile when it answers again.</p>
% endif
</div>
% endif
<section class="card" aria-label="Profiles" data-key="profiles">
% if rows:
<table class="profiles">
<thead><tr><th scope="col">Name</th><th scope="col" class="wide-only">Architecture</th><th scope="col" class="wide-only">Distribution</th><th scope="col" class="wide-only">Proposes</th><th scope="col" class="n wide-only">Machine instance</th></tr></thead>
<tbody>
% for row in rows:
<tr data-key="${row.name}"><th scope="row">${row.name}\
% if row.comment:
<span class="sub always">${row.comment}</span>\
% endif
<span class="sub"><span>${row.arch}</span> <span>${row.system}</span> <span>${row.size}</span> ${create_from(row)}</span>\
% if row.kickstart or row.kernel_options:
<details><summary>Kickstart and kernel options</summary><span class="sub always">\
% if row.kickstart:
<code>${row.kickstart}</code> \
% endif
% if row.kernel_options:
<code>${row.kernel_options}</code>\
% endif
</span></details>\
% endif
</th><td class="wide-only">${row.arch}</td><td class="wide-only">${row.system}</td><td class="wide-only">${row.size or "–"}</td><td class="n wide-only">${create_from(row)}</td></tr>
% endfor
</tbody>
</table>
% elif first is not None:
<p>Nothing comes after this place in the list any more. <a href="/profiles">Start over</a></p>
% elif arches:
<p>There is no profile for ${", ".join(arches)}. <a href="/profiles">Show all</a></p>
% elif not about.server:
<p>No cobbler server is set, so there are no profiles.</p>
% elif about.fetched_at is None:
<p>The cobbler server has not answered yet, so its profiles are not known.</p>
% else:
<p>The cobbler server has no profiles.</p>
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
% if not about.server:
<section class="card prose" aria-labelledby="how" data-key="how">
<h2 id="how">Set a cobbler server</h2>
<p>Machine instances can be installed from the profiles of a cobbler server, the same that installs cloud instances. Name it in <code>/etc/cloudmasterd/cloudmasterd.conf</code> and start cloudmasterd again:</p>
<pre><code>[main]
cobbler_server = cobbler.example.org</code></pre>
<p>No login is needed to read its catalogue. Cloud instances need koan to install from it.</p>
</section>
% elif not rows and first is None and not arches and about.fetched_at is not None:
<section class="card prose" aria-labelledby="how" data-key="how">
<h2 id="how">Register some</h2>
<p>Profiles are made on the cobbler server. Those this cloud comes with are registered there with:</p>
<pre><code>genome-register-profiles --server ${about.server.partition("://")[2].partition(":")[0]} --user cobbler</code></pre>
</section>
% endif
<%def name="create_from(row)">\
% if who.may(roles.OPERATOR):
<a href="${row.href}">Create one<span class="vh"> from ${row.name}</span></a>\
% endif
</%def>\
