"""Mako, and nobody else: templates escape everything, and an unknown name in one is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Callable

from mako.lookup import TemplateLookup

from cloudmasterd import __version__
from cloudmasterd.rights import Identity, Means, Role, covers, scope_text
from cloudmasterd.web import figures, paths
from cloudmasterd.web.site import Site

FOLDER = Path(__file__).parent / "templates"

# The main navigation: where, what it reads, and the role it takes.
ENTRIES = (
    ("/", "Overview", Role.VIEWER),
    ("/machines", "Machines", Role.VIEWER),
    ("/images", "Images", Role.VIEWER),
    ("/profiles", "Profiles", Role.VIEWER),
    ("/enrolment", "Enrolment", Role.ADMIN),
    ("/tasks", "Tasks", Role.VIEWER),
    ("/events", "Events", Role.VIEWER),
    ("/users", "Users", Role.ADMIN),
    ("/audit", "Audit", Role.ADMIN),
)
LIVE_S = (2, 10)  # how often an open page asks for news, at least and at most


class Templates:
    """The templates of the pages, with what every page shows."""

    def __init__(self, site: Site, asset_url: Callable[[str], str], folder: Path = FOLDER) -> None:
        self._site = site
        self._asset_url = asset_url
        self._lookup = _lookup(folder)

    def render(self, name: str, who: Identity, **values: Any) -> bytes:
        """A page for somebody, in UTF-8; `section` is the path of its entry in the main navigation."""
        lowest, highest = LIVE_S
        page: bytes = self._lookup.get_template(name).render(
            who=who,
            entries=[(href, words) for href, words, role in ENTRIES if who.may(role)],
            roles=Role,
            means=Means,
            covers=covers,
            scope_text=scope_text,
            asset=self._asset_url,
            figures=figures,
            paths=paths,
            now=self._site.clock.now(),
            site_name=self._site.name,
            version=__version__,
            live_s=min(highest, max(lowest, self._site.refresh_s // 3)),
            refresh_s=self._site.refresh_s,
            **values,
        )
        return page


@cache  # compiling a page takes longer than anything else it needs
def _lookup(folder: Path) -> TemplateLookup:
    return TemplateLookup(
        directories=[str(folder)],
        default_filters=["h"],
        strict_undefined=True,
        input_encoding="utf-8",
        output_encoding="utf-8",
        # lone surrogates cannot be encoded; one name with them must not cost the page
        encoding_errors="replace",
        filesystem_checks=False,
    )
