"""The form that has a cloud instance installed anew: it lists who is lost, and asks for its name."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmasterd.errors import CloudError, Invalid
from cloudmasterd.model import CloudInstance
from cloudmasterd.rebuild_spec import parse_rebuild
from cloudmasterd.web import paths
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import asker_of, form_page, to_task
from cloudmasterd.web.pages.forms import Form, form_of, names_of
from cloudmasterd.web.pages.rows import rows_of
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates

LABELS = {"profile": "Profile", "reason": "Reason", "name": "Its name"}


class RebuildPage:
    """The page /clouds/{cloud}/rebuild."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """The form with what lives there now; raises NotFound."""
        cloud = self._site.store.get_cloud(asked.names["cloud"])
        default = self._site.rebuilds.default_profile(cloud)
        return self._page(asked, cloud, Form({"profile": [default]}))

    def submit(self, asked: Asked) -> Reply:
        """Install anew the cloud instance whose name was typed, and lead to the task of it."""
        form = form_of(asked.body, (*LABELS, "lose", "key"))
        cloud = self._site.store.get_cloud(asked.names["cloud"])
        try:
            if form.text("name") != cloud.name:
                text = f"type {cloud.name} to confirm; what stands here is not its name"
                raise Invalid(text, [("name", text)])
            spec = parse_rebuild(_body(form))
            task = self._site.rebuilds.rebuild(cloud.name, spec, asker_of(asked, form))
        except CloudError as exc:
            return self._page(asked, cloud, form.refused(exc, {}, LABELS), status_of(exc))
        return to_task(task.id)

    def _page(self, asked: Asked, cloud: CloudInstance, form: Form, status: int = 200) -> Reply:
        # what is sent is what the reader had before his eyes, not what lives there by then
        machines = self._site.store.list_machines(clouds=(cloud.name,))
        body = self._templates.render(
            "rebuild.mako",
            asked.who,
            section="/",
            form=form,
            labels=LABELS,
            cloud=cloud,
            href=paths.cloud_path(cloud.name),
            rows=rows_of(machines),
            lose=" ".join(machine.uuid for machine in machines),
            profiles=[profile.name for profile in self._site.profiles.list()],
            key=self._site.clock.new_id(),
        )
        return form_page(body, status)


def _body(form: Form) -> Mapping[str, object]:
    return {
        "profile": form.text("profile") or None,
        "lose": names_of(form.text("lose")),
        "reason": form.text("reason"),
    }
