"""The page of images: which there are, how far uploads are, and how to make one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cloudmasterd.model import Image, ImageState
from cloudmasterd.web import figures
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.live import LiveTag
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param, form_field, list_url, text

PAGE = 100
PARAMS = (form_field(Param("after", text, default="")),)
KINDS = {ImageState.READY: "ok", ImageState.UPLOADING: "busy", ImageState.CORRUPT: "bad"}


@dataclass(frozen=True)
class ImageRow:
    """One image in words."""

    name: str
    kind: str
    state: str
    format: str
    size: str
    disk: str
    sha256: str
    notes: str
    error: str
    created_at: datetime


class ImagesPage:
    """The page /images."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """One page of images, by name."""
        return self._live.answer(asked, lambda: self._page(asked))

    def _page(self, asked: Asked) -> bytes:
        images = self._site.images.list(after=asked.query["after"] or None, limit=PAGE + 1)
        following = None
        if len(images) > PAGE:
            following = list_url(asked.path, {"after": images[PAGE - 1].name})
        return self._templates.render(
            "images.mako",
            asked.who,
            section="/images",
            rows=[row_of(image) for image in images[:PAGE]],
            first="/images" if asked.query["after"] else None,
            following=following,
            master=f"{'https' if asked.origin.tls else 'http'}://{asked.headers.get('Host', '')}",
        )


def row_of(image: Image) -> ImageRow:
    """An image as the page shows it."""
    state = image.state.value
    if image.state is ImageState.UPLOADING:
        state += f", {100 * image.received_bytes // image.size_bytes} %"
    return ImageRow(
        name=image.name,
        kind=KINDS[image.state],
        state=state,
        format=image.format,
        size=figures.memory(-(-image.size_bytes // 2**20)),
        disk=f"{image.least_disk_gb} GB",
        sha256=image.sha256,
        notes=image.notes,
        error=figures.sentence(image.error or ""),
        created_at=image.created_at,
    )
