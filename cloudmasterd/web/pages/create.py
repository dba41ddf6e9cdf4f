"""The page that creates a machine instance, and says beforehand where it would go."""

from __future__ import annotations

from typing import Optional

from cloudmasterd.errors import CloudError, Invalid, MachineExists, NoRoom
from cloudmasterd.model import CloudInstance, CloudState, ImageState
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import asker_of, form_page, to_task
from cloudmasterd.web.pages.create_form import (
    FIELD_OF,
    FIELDS,
    FIRMWARES,
    LABELS,
    SOURCES,
    first_form,
    read_spec,
    sizes,
)
from cloudmasterd.web.pages.forms import Form, form_of
from cloudmasterd.web.pages.preview import NOT_YET, Preview, preview_of, preview_of_refusals
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param, form_field, text

PARAMS = tuple(form_field(Param(name, text, default="")) for name in ("cloud", "flavor", "profile"))
ANY_NAME = "new-machine-instance"
NO_ROOM = "There is no room for it: under “Where it would go” stands the reason of each cloud instance."


class CreatePage:
    """The page /machines/new."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """The form with what suits most, and where that would go."""
        query = asked.query
        form = first_form(
            self._site.flavors, query["cloud"], query["flavor"], query["profile"], asked.who.scopes
        )
        return self._page(asked, form, self._preview(form))

    def submit(self, asked: Asked) -> Reply:
        """Create the machine instance and lead to its task, or show what stands against it."""
        form = form_of(asked.body, FIELDS)
        if form.text("do") == "check":
            return self._check(asked, form)
        try:
            spec = read_spec(form, self._site.flavors)
            task = self._site.machines.create(spec, asker_of(asked, form))
        except NoRoom as exc:
            preview = preview_of_refusals(exc.fields)
            failed = Form(form.values, failed=NO_ROOM)
            return self._page(asked, failed, preview, status_of(exc), tried=True)
        except MachineExists as exc:
            known = Invalid(str(exc), [("name", str(exc))])
            refused = form.refused(known, FIELD_OF, LABELS)
            return self._page(asked, refused, self._preview(form), status_of(exc), tried=True)
        except CloudError as exc:
            refused = form.refused(exc, FIELD_OF, LABELS)
            return self._page(asked, refused, self._preview(form), status_of(exc), tried=True)
        return to_task(task.id)

    def _check(self, asked: Asked, form: Form) -> Reply:
        preview = self._preview(form)
        try:
            read_spec(form, self._site.flavors)
        except Invalid as exc:
            return self._page(asked, form.refused(exc, FIELD_OF, LABELS), preview, status_of(exc))
        return self._page(asked, form, preview)

    def _preview(self, form: Form) -> Preview:
        """Where it would go; the name alone need not be right for that."""
        named = Form({**form.values, "name": [ANY_NAME]})
        try:
            return preview_of(self._site.machines.place(read_spec(named, self._site.flavors)))
        except Invalid as exc:
            return Preview(NOT_YET.kind, NOT_YET.says, wrong=named.refused(exc, FIELD_OF, LABELS).wrong)

    def _page(
        self, asked: Asked, form: Form, preview: Preview, status: int = 200, tried: bool = False
    ) -> Reply:
        body = self._templates.render(
            "create.mako",
            asked.who,
            section="/machines",
            form=form,
            labels=LABELS,
            tried=tried,
            key=self._site.clock.new_id(),
            preview=preview,
            sources=SOURCES,
            images=self._images(form.text("image")),
            profiles=self._profiles(form.text("profile")),
            sizes=sizes(self._site.flavors),
            firmwares=FIRMWARES,
            places=_places(self._site.store.list_clouds(), form.text("cloud")),
        )
        return form_page(body, status)

    def _images(self, chosen: str) -> list[tuple[str, str]]:
        """The choices of the image: those that are ready, and what was chosen whatever has become of it."""
        ready = [image for image in self._site.images.list() if image.state is ImageState.READY]
        found = [(i.name, f"{i.name} (needs {i.least_disk_gb} GB of disk)") for i in ready]
        if chosen and chosen not in [name for name, _ in found]:
            found.append((chosen, f"{chosen} (not ready)"))
        return found or [("", "There is none yet")]

    def _profiles(self, chosen: str) -> list[tuple[str, str]]:
        """The choices of the profile: those last heard of, and what was chosen whatever has become of it."""
        found = [(p.name, f"{p.name} ({p.arch})" if p.arch else p.name) for p in self._site.profiles.list()]
        if chosen and chosen not in [name for name, _ in found]:
            found.append((chosen, f"{chosen} (not there)"))
        return found or [("", "There is none yet")]


def _places(clouds: list[CloudInstance], chosen: Optional[str]) -> list[tuple[str, str]]:
    places = [("", "Choose the best one for me")]
    for cloud in clouds:
        words = cloud.name if cloud.state is CloudState.UP else f"{cloud.name} ({cloud.state.value})"
        places.append((cloud.name, words))
    if chosen and chosen not in [name for name, _ in places]:
        places.append((chosen, f"{chosen} (not there)"))
    return places
