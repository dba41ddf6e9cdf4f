<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="title">Images</%block>\
<h1>Images</h1>
<section class="card" aria-label="Images" data-key="images">
% if rows:
<table class="images">
<thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col" class="wide-only">Format</th><th scope="col" class="n">File</th><th scope="col" class="n">Least disk</th><th scope="col" class="n wide-only">Announced</th></tr></thead>
<tbody>
% for row in rows:
<tr data-key="${row.name}"><th scope="row"><span title="SHA-256 ${row.sha256}">${row.name}</span>\
% if row.notes:
<span class="dim"> ${row.notes}</span>\
% endif
</th><td><span class="state ${row.kind}">${row.state}</span>\
% if row.error:
<p class="dim">${row.error} Upload it again.</p>\
% endif
</td><td class="wide-only">${row.format}</td><td class="n">${row.size}</td><td class="n">${row.disk}</td><td class="n wide-only">${parts.ago(row.created_at)}</td></tr>
% endfor
</tbody>
</table>
% elif first is not None:
<p>Nothing comes after this place in the list any more. <a href="/images">Start over</a></p>
% else:
<p>There is no image yet.</p>
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
% if who.may(roles.OPERATOR) and not who.scopes:
<section class="card prose" aria-labelledby="how" data-key="how">
<h2 id="how">Upload one</h2>
<p>Machine instances can be cloned from an image: a disk as distributions publish them for clouds, in QCOW2 or raw. It is announced with its checksum, then sent in chunks of at most 4 MiB. This shell script does it, and goes on where it was when it is run again. In the file <code>~/.cloudmaster-auth</code>, which nobody else may read, it finds one line, <code>Authorization: Bearer</code> and an API token of an operator; <a href="/account">your page</a> makes one:</p>
<pre><code>MASTER=${master} AUTH=~/.cloudmaster-auth NAME=debian-12 FILE=debian-12-genericcloud-amd64.qcow2 FORMAT=qcow2
SIZE=$(stat -c %s "$FILE") SUM=$(sha256sum "$FILE" | cut -d' ' -f1)
curl -sS -H @"$AUTH" -H 'Content-Type: application/json' "$MASTER/api/v1/images" -d \
  "{\"name\":\"$NAME\",\"format\":\"$FORMAT\",\"sha256\":\"$SUM\",\"size_bytes\":$SIZE}"
AT=$(curl -sS -H @"$AUTH" "$MASTER/api/v1/images/$NAME" | sed 's/.*"received_bytes":\([0-9]*\).*/\1/')
while [ "$AT" -lt "$SIZE" ]; do
  tail -c +$((AT + 1)) "$FILE" | head -c 4194304 | curl -sS --fail-with-body -o /dev/null -X PUT \
    -H @"$AUTH" -H 'Content-Type: application/octet-stream' --data-binary @- \
    "$MASTER/api/v1/images/$NAME/data?offset=$AT" || break
  AT=$((AT + 4194304))
done</code></pre>
<p>When the last chunk has come, the whole is checked and the image is ready. A cloud instance gets its own copy when a machine instance on it first needs one.</p>
</section>
% endif
