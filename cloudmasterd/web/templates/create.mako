<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%namespace name="parts" file="parts.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${"Error: " if form.wrong or form.failed else ""}Create a machine</%block>\
<p class="trail"><a href="/machines">Machines</a> <span aria-hidden="true">›</span> New</p>
<h1>Create a machine instance</h1>
${fields.summary(form, labels, "It was not created." if tried else "Some fields are not right yet.")}\
<form class="split" method="post" action="/machines/new" data-check data-busy="Creating it …" novalidate>${fields.csrf()}
<div class="card">
${fields.key(key)}
${fields.line(form, "name", "Name", "A full host name is best, such as jboss7.example.org.", True)}\
${fields.radios(form, "source", "Install from", sources, "source")}\
<div class="when-iso">
${fields.line(form, "iso", "ISO image", "A volume of a pool of the cloud instance, as pool/name.iso; used with “ISO image” only.")}\
</div>
<div class="when-image">
${fields.choice(form, "image", "Image", images, "One of the page Images; used with “Image” only.")}\
${fields.lines(form, "ssh_keys", "SSH keys", "Public keys, one a line, for the user of the distribution.")}\
${fields.lines(form, "user_data", "User data", "For cloud-init: #cloud-config, a script, and so on. It is kept nowhere but in the machine instance’s own seed.")}\
</div>
<div class="when-profile">
${fields.choice(form, "profile", "Profile", profiles, "One of the page Profiles; used with “Profile” only.")}\
${fields.lines(form, "metadata", "Metadata", "For its kickstart, one a line, such as certmaster=cloud.example.org; it travels on the kernel’s command line.")}\
</div>
${fields.radios(form, "flavor", "Size", sizes, "flavors")}\
<div class="when-custom">
<div class="row">
${fields.line(form, "memory_mb", "Memory", "MB, or 16 GB")}\
${fields.line(form, "vcpus", "Virtual CPUs")}\
${fields.line(form, "disk_gb", "Disk", "GB")}\
</div>
<p class="hint">These three count with the size “custom” only.</p>
</div>
${fields.line(form, "networks", "Networks", "One interface for each; separate them with commas.")}\
${fields.choice(form, "firmware", "Firmware", firmwares)}\
${fields.choice(form, "cloud", "Where", places)}\
${fields.tick(form, "start", "Start it as soon as it is made")}\
${fields.tick(form, "autostart", "Start it whenever its cloud instance starts")}\
<details class="more"\
% if who.scopes or form.text("tags") or form.text("notes") or form.text("groups"):
 open\
% endif
><summary>Tags, notes, and what to keep it apart from</summary>
${fields.lines(form, "tags", "Tags", f"One a line, as name=value. You may create machine instances tagged {scope_text(who.scopes)}." if who.scopes else "One a line, as name=value, such as team=web.")}\
${fields.lines(form, "notes", "Notes")}\
${fields.line(form, "groups", "Keep apart", "Names of groups; no two machine instances of a group go to one cloud instance.")}\
</details>
<p class="buttons"><button class="btn" name="do" value="create">Create it</button> <button class="btn quiet" name="do" value="check" data-busy="Checking …">Check where it would go</button> <a href="/machines">Cancel</a></p>
</div>
<section class="card preview" id="preview" aria-labelledby="where" data-preview>
<h2 id="where">Where it would go</h2>
${parts.verdicts(preview, labels)}\
</section>
</form>
