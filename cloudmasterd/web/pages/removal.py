"""The form that takes a cloud instance out for good: it shows what goes with it, and asks for its name."""

from __future__ import annotations

from cloudmasterd.errors import CloudError, Conflict, Invalid
from cloudmasterd.model import CloudInstance, TaskState
from cloudmasterd.web import paths
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import asker_of, form_page, see_other
from cloudmasterd.web.pages.forms import Form, form_of
from cloudmasterd.web.pages.rows import rows_of
from cloudmasterd.web.pages.task_rows import rows_of_tasks
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates

LABELS = {"force": "Although it is in use", "name": "Its name"}
SHOWN = 200


class RemovalPage:
    """The page /clouds/{cloud}/remove."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """The form with what lives there now; raises NotFound."""
        return self._page(asked, self._site.store.get_cloud(asked.names["cloud"]), Form())

    def submit(self, asked: Asked) -> Reply:
        """Remove the cloud instance whose name was typed, and lead to the overview."""
        form = form_of(asked.body, tuple(LABELS))
        cloud = self._site.store.get_cloud(asked.names["cloud"])
        try:
            if form.text("name") != cloud.name:
                text = f"type {cloud.name} to confirm; what stands here is not its name"
                raise Invalid(text, [("name", text)])
            self._site.removals.remove(cloud.name, asker_of(asked, form), force=form.has("force"))
        except CloudError as exc:
            return self._page(asked, cloud, _refused(form, exc), status_of(exc))
        return see_other("/")

    def _page(self, asked: Asked, cloud: CloudInstance, form: Form, status: int = 200) -> Reply:
        store = self._site.store
        unfinished = store.tasks.list(
            states=[TaskState.WAITING, TaskState.RUNNING], cloud=cloud.name, limit=SHOWN
        )
        body = self._templates.render(
            "cloud_remove.mako",
            asked.who,
            section="/",
            form=form,
            labels=LABELS,
            cloud=cloud,
            href=paths.cloud_path(cloud.name),
            rows=rows_of(store.list_machines(clouds=(cloud.name,), limit=SHOWN)),
            tasks=rows_of_tasks(unfinished),
        )
        return form_page(body, status)


def _refused(form: Form, exc: CloudError) -> Form:
    """The form with what was wrong; of one in use beside the box that says to do it all the same."""
    if isinstance(exc, Conflict) and exc.fields:
        text = "it is in use, as shown above: tick this if it is to go all the same"
        return form.refused(Invalid(text, [("force", text)]), {}, LABELS)
    return form.refused(exc, {}, LABELS)
