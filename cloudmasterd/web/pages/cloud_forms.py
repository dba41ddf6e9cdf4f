"""The forms of a cloud instance: maintenance, what is reserved for it, tags and notes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cloudmasterd.errors import CloudError, Invalid, StaleVersion
from cloudmasterd.model import Author, CloudInstance
from cloudmasterd.spec import parse_cloud_change
from cloudmasterd.web import figures, paths
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import asker_of, form_page, see_other
from cloudmasterd.web.pages.forms import UNITS_MB, Form, form_of, size, tags_of, tags_text
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates

LABELS = {"reserve_mb": "Memory reserved for it", "tags": "Tags", "notes": "Notes"}


class CloudForms:
    """The page /clouds/{cloud}/change, and the maintenance button."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def maintenance(self, asked: Asked) -> Reply:
        """Begin or end maintenance, and lead back to the cloud instance."""
        form = form_of(asked.body, ("maintenance", "maintenance_reason"))
        if form.text("maintenance") not in ("begin", "end"):
            text = "begin or end: send it from the page of the cloud instance"
            raise Invalid(f"maintenance: {text}", [("maintenance", text)])
        begin = form.text("maintenance") == "begin"
        body = {"maintenance": begin, "maintenance_reason": form.text("maintenance_reason") if begin else ""}
        name = asked.names["cloud"]
        self._change(name, body, Author(asker_of(asked, form).name))
        return see_other(paths.cloud_path(name))

    def show(self, asked: Asked) -> Reply:
        """The form with what is so now; raises NotFound."""
        cloud = self._site.store.get_cloud(asked.names["cloud"])
        return self._page(asked, cloud, Form(_now(cloud)))

    def submit(self, asked: Asked) -> Reply:
        """Change what differs, and lead back to the cloud instance."""
        form = form_of(asked.body, (*LABELS, "revision"))
        cloud = self._site.store.get_cloud(asked.names["cloud"])
        try:
            body = _differences(form, cloud)
            if body and form.text("revision") not in ("", _version(cloud)):
                raise StaleVersion(f"{cloud.name} has changed since the form was opened")
            if body:
                self._change(cloud.name, body, Author(asker_of(asked, form).name))
        except StaleVersion as exc:
            fresh = {**form.values, "revision": [_version(cloud)]}
            failed = "It has changed since this form was opened. Look at it once more, then send it again."
            return self._page(asked, cloud, Form(fresh, failed=failed), status_of(exc))
        except CloudError as exc:
            return self._page(asked, cloud, form.refused(exc, {}, LABELS), status_of(exc))
        return see_other(paths.cloud_path(cloud.name))

    def _change(self, name: str, body: Mapping[str, Any], by: Author) -> None:
        change = parse_cloud_change(body)
        self._site.store.change_cloud(
            name,
            maintenance=change.maintenance,
            maintenance_reason=change.maintenance_reason,
            reserve_mb=change.reserve_mb,
            tags=change.tags,
            notes=change.notes,
            by=by,
        )

    def _page(self, asked: Asked, cloud: CloudInstance, form: Form, status: int = 200) -> Reply:
        body = self._templates.render(
            "cloud_change.mako",
            asked.who,
            section="/",
            form=form,
            labels=LABELS,
            cloud=cloud,
            href=paths.cloud_path(cloud.name),
            reserve_hint="MB, or 4 GB; empty for what the configuration says. Machine instances never get "
            f"it. Now: {figures.memory(cloud.reserved_memory_mb)}.",
        )
        return form_page(body, status)


def _now(cloud: CloudInstance) -> Mapping[str, list[str]]:
    own = cloud.reserve_override_mb
    return {
        "reserve_mb": ["" if own is None else str(own)],
        "tags": [tags_text(cloud.tags)],
        "notes": [cloud.notes],
        "revision": [_version(cloud)],
    }


def _version(cloud: CloudInstance) -> str:
    """A tag of what the form is about: the revision moves with each machine instance that starts or stops."""
    said = [cloud.reserve_override_mb, sorted(cloud.tags.items()), cloud.notes]
    return hashlib.sha256(json.dumps(said).encode("utf-8")).hexdigest()[:16]


def _differences(form: Form, cloud: CloudInstance) -> dict[str, Any]:
    """The body of a change that says what differs from what is so now; raises Invalid for bad tags."""
    body: dict[str, Any] = {}
    reserve = size(form.text("reserve_mb"), UNITS_MB) if form.text("reserve_mb") else None
    if reserve != cloud.reserve_override_mb:
        body["reserve_mb"] = reserve
    tags, notes = tags_of(form.text("tags")), form.text("notes")
    if tags != dict(cloud.tags):
        body["tags"] = tags
    if notes != cloud.notes:
        body["notes"] = notes
    return body
