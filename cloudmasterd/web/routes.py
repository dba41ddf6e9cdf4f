"""The one table of URLs: those for programs and those for people."""

from __future__ import annotations

from cloudmasterd.web.api.clouds import Clouds
from cloudmasterd.web.api_routes import api_table
from cloudmasterd.web.assets import Assets
from cloudmasterd.web.page_routes import page_table
from cloudmasterd.web.people_routes import people_table
from cloudmasterd.web.router import Route
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.waiting import Waits


def table(site: Site, templates: Templates, assets: Assets, waits: Waits) -> tuple[Route, ...]:
    """All URLs of a site."""
    clouds = Clouds(site)
    return (
        *api_table(site, clouds, waits),
        *page_table(site, templates, assets, clouds),
        *people_table(site, templates),
    )
