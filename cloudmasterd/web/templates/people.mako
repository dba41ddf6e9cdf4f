<%page expression_filter="h"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%def name="token_table(rows, revoke, empty)">\
% if rows:
<table class="people">
<thead><tr><th scope="col">For</th><th scope="col" class="wide-only">State</th><th scope="col" class="wide-only">Role</th><th scope="col" class="wide-only">Changes</th><th scope="col" class="wide-only">Last use</th><th scope="col"><span class="vh">Revoke</span></th></tr></thead>
<tbody>
% for row in rows:
<tr><th scope="row">${row.token.title}<span class="sub always">${row.token.id}, made ${parts.ago(row.token.created_at)}</span><span class="sub"><span class="state ${row.kind}">${row.state}</span> <span>${row.token.role.value},</span> <span>used ${parts.seen(row.token.last_used_at)}</span></span></th>\
<td class="wide-only"><span class="state ${row.kind}">${row.state}</span>\
% if row.good and row.token.expires_at is not None:
 <span class="dim">until ${figures.clock_time(row.token.expires_at)}</span>\
% endif
</td>\
<td class="wide-only">${row.token.role.value}</td><td class="wide-only">${row.changes}</td>\
<td class="wide-only dim">${parts.seen(row.token.last_used_at)}\
% if row.token.last_address:
 <span class="sub always">${row.token.last_address}</span>\
% endif
</td><td class="n">\
% if row.good and revoke:
<form method="post" action="${revoke(row.token.id)}" data-busy="Revoking …">${fields.csrf()}<button class="btn quiet danger">Revoke<span class="vh"> the token for ${row.token.title}</span></button></form>\
% endif
</td></tr>
% endfor
</tbody>
</table>
% else:
<p>${empty}</p>
% endif
</%def>\
<%def name="session_table(rows, end, empty)">\
% if rows:
<table class="people">
<thead><tr><th scope="col">Browser</th><th scope="col" class="wide-only">Address</th><th scope="col" class="wide-only">Signed in</th><th scope="col" class="wide-only">Last seen</th><th scope="col"><span class="vh">Sign out</span></th></tr></thead>
<tbody>
% for row in rows:
<tr><th scope="row"><span title="${row.session.agent}">${row.browser}</span>\
% if row.here:
 <span class="chip">this one</span>\
% endif
<span class="sub">${row.session.address}, seen ${parts.ago(row.session.seen_at)}</span></th>\
<td class="wide-only">${row.session.address}</td><td class="wide-only dim">${parts.ago(row.session.created_at)}</td>\
<td class="wide-only dim">${parts.ago(row.session.seen_at)}</td><td class="n">\
% if end:
<form method="post" action="${end(row.session.id)}" data-busy="Signing out …">${fields.csrf()}<button class="btn quiet">Sign out<span class="vh"> ${row.browser} at ${row.session.address}</span></button></form>\
% endif
</td></tr>
% endfor
</tbody>
</table>
% else:
<p>${empty}</p>
% endif
</%def>\
<%def name="password(fresh)">\
<section class="card prose" aria-labelledby="fresh">
<h2 id="fresh">The password of ${fresh.user.name}</h2>
<p><strong>It is shown this once.</strong> Give it to ${fresh.user.name} in a way that nobody else can read. On the page Account, which is behind the name at the top, it is changed to one that ${fresh.user.name} alone knows.</p>
<pre><code>${fresh.password}</code></pre>
</section>
</%def>\
<%def name="done(words)">\
% if words:
<div class="note plain" role="status"><p>${words}</p></div>
% endif
</%def>\
