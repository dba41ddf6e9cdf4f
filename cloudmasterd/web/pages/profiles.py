"""The page of profiles: which the cobbler server has, how old that is, and how to set one up."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from cloudmasterd.errors import CobblerError, Conflict
from cloudmasterd.model import Profile
from cloudmasterd.web import figures, paths
from cloudmasterd.web.api.profiles import ARCH, CURSOR, Profiles
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import see_other
from cloudmasterd.web.pages.forms import form_of
from cloudmasterd.web.pages.live import LiveTag
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import encode_cursor, form_field, list_url

log = logging.getLogger(__name__)

PAGE = 100
PATH = "/profiles"
PARAMS = (form_field(CURSOR), form_field(ARCH))


@dataclass(frozen=True)
class ProfileRow:
    """One profile in words; `href` leads to the form that makes a machine instance from it."""

    name: str
    href: str
    arch: str
    system: str
    size: str
    kickstart: str
    kernel_options: str
    comment: str


class ProfilesPage:
    """The page /profiles."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates
        self._profiles = Profiles(site)
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """One page of profiles, by name."""
        return self._live.answer(asked, lambda: self._page(asked))

    def refresh(self, asked: Asked) -> Reply:
        """Ask the cobbler server and lead back to the page, which shows what came of it."""
        form_of(asked.body, ())
        try:
            self._profiles.refresh_now()
        except (CobblerError, Conflict) as exc:
            # the page tells the reader: the store has learned it
            log.info("the cobbler server was asked from the page of profiles: %s", exc)
        return see_other(PATH)

    def _page(self, asked: Asked) -> bytes:
        query = asked.query
        after = query["cursor"][0] if query["cursor"] else None
        found = self._site.profiles.list(arches=query["arch"], after=after, limit=PAGE + 1)
        following = None
        if len(found) > PAGE:
            following = list_url(asked.path, query, encode_cursor("profiles", [found[PAGE - 1].name]))
        return self._templates.render(
            "profiles.mako",
            asked.who,
            section=PATH,
            about=self._site.profiles.about(),
            rows=[row_of(profile) for profile in found[:PAGE]],
            first=list_url(asked.path, query) if query["cursor"] else None,
            following=following,
            arches=query["arch"],
        )


def row_of(profile: Profile) -> ProfileRow:
    """A profile as the page shows it."""
    sizes = (
        figures.memory(profile.memory_mb) if profile.memory_mb else "",
        figures.count(profile.vcpus, "vCPU", "vCPUs") if profile.vcpus else "",
        f"{profile.disk_gb:g} GB disk" if profile.disk_gb else "",
    )
    return ProfileRow(
        name=profile.name,
        href=f"/machines/new?profile={paths.segment(profile.name)}",
        arch=profile.arch or "not known",
        system=" ".join(word for word in (profile.distro, f"({profile.os_version})") if word != "()"),
        size=", ".join(size for size in sizes if size),
        kickstart=profile.autoinstall,
        kernel_options=profile.kernel_options,
        comment=profile.comment,
    )
