<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}Enrolment</%block>\
<h1>Enrolment</h1>
% if door.error:
<div class="note bad"><p><strong>Nobody can enrol now.</strong> ${door.error}</p></div>
% endif
% if made is not None:
<section class="card prose" aria-labelledby="made">
<h2 id="made">The token for ${made.name}</h2>
<p><strong>It is shown this once.</strong> Whoever has it can be ${made.name} until ${figures.clock_time(made.expires_at)}, so pass it on as you would a password. On the machine that is to become a cloud instance, as root:</p>
<pre><code>${command}</code></pre>
<p>On one that is installed already, below <code>[main]</code> in /etc/certmaster/minion.conf:</p>
<pre><code>certmaster = ${master}
ca_fingerprint = ${made.ca_fingerprint}</code></pre>
<p>and in /etc/certmaster/token, mode 0600:</p>
<pre><code>${made.token}</code></pre>
</section>
% endif
${fields.summary(form, labels, failed_title)}\
<form class="card form" method="post" action="/enrolment" data-busy="Making it …" novalidate>${fields.csrf()}
<h2>Let a cloud instance in</h2>
<p>A one-time token lets one machine in at once; without one its request waits below until somebody signs it. The machine proves that it has the token and never sends it.</p>
${fields.line(form, "name", "Name", "Of the cloud instance, such as cloud4.example.org; or a glob such as cloud*.example.org, and the first that comes has the token.", required=True)}\
${fields.choice(form, "expires_s", "Good for", times, "As long as its installation takes, and a little more.")}\
${fields.tick(form, "replace", "It is installed anew", "A new key may take the name although another has its certificate. For one name, not for a glob.")}\
${fields.key(key)}
<p class="buttons"><button class="btn">Make a token</button></p>
</form>
% if not door.error:
<section class="card" aria-labelledby="tokens">
<h2 id="tokens">Tokens</h2>
% if door.tokens:
<table>
<thead><tr><th scope="col">For</th><th scope="col">State</th><th scope="col" class="wide-only">Token</th><th scope="col" class="n wide-only">Made</th><th scope="col"><span class="vh">Delete</span></th></tr></thead>
<tbody>
% for token in door.tokens:
<tr><th scope="row">${token.name}\
% if token.replace:
<span class="dim"> installed anew</span>\
% endif
</th><td><span class="state ${kinds.get(token.state, 'off')}">${token.state}</span>\
% if token.used_by:
<span class="dim"> by ${token.used_by}</span>\
% elif token.state == "open":
<span class="dim"> until ${figures.clock_time(token.expires_at)}</span>\
% endif
</td><td class="wide-only dim">${token.id}</td><td class="n wide-only dim">${parts.ago(token.created_at)}</td><td class="n">\
% if token.state in ("open", "claimed"):
<form method="post" action="/enrolment/${token.id}/delete">${fields.csrf()}<button class="btn quiet danger">Delete<span class="vh"> token ${token.id}</span></button></form>\
% endif
</td></tr>
% endfor
</tbody>
</table>
% else:
<p>There is no token.</p>
% endif
</section>
<section class="card" aria-labelledby="waiting">
<h2 id="waiting">Waiting for a signature</h2>
% if door.waiting:
<p>Whoever reaches this cloud master may leave a request. Compare the key with the machine's own before you sign: <code>openssl pkey -in /etc/pki/certmaster/NAME.pem -pubout -outform DER | sha256sum</code> there.</p>
<table>
<thead><tr><th scope="col">Name and key</th><th scope="col" class="wide-only">From</th><th scope="col" class="n wide-only">Since</th><th scope="col"><span class="vh">Decide</span></th></tr></thead>
<tbody>
% for one in door.waiting:
<tr><th scope="row">${one.name}<span class="sub always">key ${one.key_fingerprint or "that cannot be read"}</span><span class="sub">${one.address or "address not known"} ${parts.ago(one.since)}</span></th><td class="wide-only">${one.address or "not known"}</td><td class="n wide-only dim">${parts.ago(one.since)}</td><td class="n">\
% for verb, words, kind in (("sign", "Sign", ""), ("reject", "Reject", " danger")):
% if one.key_fingerprint or verb == "reject":
<form method="post" action="/enrolment/requests/${one.name | u}/${verb}" data-busy="…">${fields.csrf()}<input type="hidden" name="key_fingerprint" value="${one.key_fingerprint}"><button class="btn quiet${kind}">${words}<span class="vh"> ${one.name}</span></button></form>
% endif
% endfor
</td></tr>
% endfor
</tbody>
</table>
% else:
<p>Nobody waits.</p>
% endif
<p class="dim">The authority's fingerprint: ${door.fingerprint}</p>
</section>
% endif
