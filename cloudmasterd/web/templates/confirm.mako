<%page expression_filter="h"/>\
<%inherit file="layout.mako"/>\
<%namespace name="fields" file="fields.mako"/>\
<%block name="pace">0</%block>\
<%block name="unscripted">This page needs no JavaScript.</%block>\
<%block name="title">${action.label} ${called}?</%block>\
<p class="trail"><a href="/machines">Machines</a> <span aria-hidden="true">›</span> <a href="${href}">${called}</a></p>
<h1>${action.label} ${called}?</h1>
<form class="card prose" method="post" action="${href}/${action.name}" data-busy="Asking for it …">${fields.csrf()}
<p>${action.means}</p>
<input type="hidden" name="confirm" value="yes">
${fields.key(key)}
<p class="buttons"><button class="btn danger">${action.label}</button> <a href="${href}">Leave it as it is</a></p>
</form>
