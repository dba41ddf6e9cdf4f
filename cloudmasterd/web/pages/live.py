"""How an open page learns that nothing is new: a tag over the writes of the store, and over who looks."""

from __future__ import annotations

import hashlib
from typing import Callable

from cloudmasterd.rights import Identity
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
        etag = f'W/"{self._process}-{self._site.store.write_count:x}-{_mark(asked.who)}"'
        if matches(asked.if_none_match, etag):
            return not_modified(etag, NO_STORE)
        return Reply(body=make(), content_type=HTML, etag=etag, headers=(NO_STORE,))


def _mark(who: Identity) -> str:
    """A mark of all that a page depends on of who looks at it; nothing can be told from it."""
    scopes = sorted(sorted(scope) for scope in who.scopes)
    said = repr([who.name, who.role, who.means, who.credential, scopes, who.csrf])
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
