<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%block name="title">Overview</%block>\
<h1>No cloud instance yet</h1>
<section class="card prose" aria-labelledby="first" data-key="first">
<h2 id="first">Enrol the first cloud instance</h2>
<p>This is the cloud master. A cloud instance is a machine that runs libvirt and a Func minion; on it live machine instances. It belongs to this cloud once the certmaster here has signed its certificate.</p>
<ol>
<li>On the new machine, install cloudmasterd’s <code>func</code> and libvirt, and name this cloud master in <code>/etc/certmaster/minion.conf</code>:
<pre><code>[main]
certmaster = ${site_name}</code></pre></li>
<li>Start its minion, which asks for a certificate:
<pre><code>systemctl enable --now funcd</code></pre></li>
<li>Here, on the cloud master, see who waits and sign it (with <code>autosign = yes</code> in <code>/etc/certmaster/certmaster.conf</code> this happens by itself):
<pre><code>certmaster-ca --list
certmaster-ca --sign cloud1.example.org</code></pre></li>
<li>Its memory and its machine instances appear here within ${refresh_s} s or so. To see that Func gets through:
<pre><code>func "*" ping</code></pre></li>
</ol>
</section>
