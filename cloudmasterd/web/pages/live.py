"""How an open page learns that nothing is new: a tag over the writes of the store."""

from __future__ import annotations

from typing import Callable

from cloudmasterd.web.exchange import HTML, NO_STORE, Asked, Reply, matches, not_modified
from cloudmasterd.web.site import Site


class LiveTag:
    """Tags pages by write count: unlike a list of the REST interface, a page shows the age of its figures.

    Browsers are told to store nothing, so that only live.js, which counts the ages on by itself, asks with a
    tag; a reload by a person always gets ages that are true.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._process = site.clock.new_id()[:8]  # write counts start anew with each process

    def answer(self, asked: Asked, make: Callable[[], bytes]) -> Reply:
        """The page that `make` makes from the store as it is now; 304 for a client that has it already."""
        etag = f'W/"{self._process}-{self._site.store.write_count:x}"'
        if matches(asked.if_none_match, etag):
            return not_modified(etag, NO_STORE)
        return Reply(body=make(), content_type=HTML, etag=etag, headers=(NO_STORE,))
