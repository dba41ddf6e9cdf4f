<%page expression_filter="h"/>\
<%def name="summary(form, labels, failed_title)">\
% if form.wrong or form.failed:
<div class="note bad errors" id="errors" role="alert" tabindex="-1" autofocus data-still data-key="errors">
<p><strong>${failed_title}</strong>\
% if form.failed:
 ${form.failed}\
% endif
</p>
% if form.wrong:
<ul>
% for name, text in form.wrong.items():
<li><a href="#f-${name}">${labels[name]}</a>: ${text}</li>
% endfor
</ul>
% endif
</div>
% endif
</%def>\
<%def name="about(form, name, hint)">\
<% ids = " ".join([f"h-{name}"] * bool(hint) + [f"e-{name}"] * (name in form.wrong)) %>\
% if ids:
 aria-describedby="${ids}"\
% endif
% if name in form.wrong:
 aria-invalid="true"\
% endif
</%def>\
<%def name="below(form, name, hint)">\
% if hint:
<p class="hint" id="h-${name}">${hint}</p>\
% endif
% if name in form.wrong:
<p class="wrong" id="e-${name}">${form.wrong[name]}</p>\
% endif
</%def>\
<%def name="line(form, name, label, hint='', required=False, width='')">\
<div class="field ${width}"><label for="f-${name}">${label}</label>\
<input id="f-${name}" name="${name}" value="${form.text(name)}" maxlength="4000" autocomplete="off" autocapitalize="none" spellcheck="false"\
% if required:
 required\
% endif
${about(form, name, hint)}>\
${below(form, name, hint)}</div>
</%def>\
<%def name="lines(form, name, label, hint='', rows=3)">\
<div class="field"><label for="f-${name}">${label}</label>\
## the first line end after the tag is the parser's, not the text's
<textarea id="f-${name}" name="${name}" rows="${rows}" spellcheck="false"${about(form, name, hint)}>
${form.text(name)}</textarea>\
${below(form, name, hint)}</div>
</%def>\
<%def name="tick(form, name, label, hint='')">\
<div class="field tick"><input type="checkbox" id="f-${name}" name="${name}" value="yes"\
% if form.has(name):
 checked\
% endif
${about(form, name, hint)}><label for="f-${name}">${label}</label>\
${below(form, name, hint)}</div>
</%def>\
<%def name="choice(form, name, label, options, hint='')">\
<div class="field"><label for="f-${name}">${label}</label>\
<select id="f-${name}" name="${name}"${about(form, name, hint)}>
% for value, words in options:
<option value="${value}"\
% if form.text(name) == value:
 selected\
% endif
>${words}</option>
% endfor
</select>\
${below(form, name, hint)}</div>
</%def>\
<%def name="radios(form, name, legend, options, kind='')">\
<fieldset class="field ${kind}" id="f-${name}"\
% if name in form.wrong:
 aria-describedby="e-${name}"\
% endif
><legend>${legend}</legend><div class="options">
% for number, (value, words, detail) in enumerate(options):
<label class="option"><input type="radio" name="${name}" value="${value}"\
% if form.text(name) == value:
 checked\
% endif
><span>${words}\
% if detail:
<small>${detail}</small>\
% endif
</span></label>
% endfor
</div>${below(form, name, '')}</fieldset>
</%def>\
<%def name="key(value)"><input type="hidden" name="key" value="${value}" autocomplete="off"></%def>\
<%def name="csrf(value=None)"><input type="hidden" name="csrf" value="${who.csrf if value is None else value}" autocomplete="off"></%def>\
<%def name="secret(form, name, label, hint='', autocomplete='new-password')">\
<div class="field"><label for="f-${name}">${label}</label>\
<input type="password" id="f-${name}" name="${name}" maxlength="1024" autocomplete="${autocomplete}" required${about(form, name, hint)}>\
${below(form, name, hint)}</div>
</%def>\
