"""Style sheet, script and icon: read once, served under a name that carries a hash of their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cloudmasterd.errors import NotFound
from cloudmasterd.web.exchange import Asked, Reply, matches, not_modified

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOREVER = ("Cache-Control", "public, max-age=31536000, immutable")


class Assets:
    """The resource /static/{asset}; only what was there at the start exists."""

    def __init__(self, folder: Path = Path(__file__).parent / "static") -> None:
        self._replies: dict[str, Reply] = {}
        self._urls: dict[str, str] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix in TYPES:
                self._take(path)

    def _take(self, path: Path) -> None:
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()[:12]
        name = f"{path.stem}.{digest}{path.suffix}"
        self._urls[path.name] = f"/static/{name}"
        self._replies[name] = Reply(
            body=body, content_type=TYPES[path.suffix], etag=f'"{digest}"', headers=(FOREVER,)
        )

    def url(self, name: str) -> str:
        """The URL of a file of the static folder, e.g. url("style.css")."""
        return self._urls[name]

    def get(self, asked: Asked) -> Reply:
        """One file; raises NotFound."""
        reply = self._replies.get(asked.names["asset"])
        if reply is None:
            raise NotFound("no such file: reload the page, which names the current ones")
        if reply.etag is not None and matches(asked.if_none_match, reply.etag):
            return not_modified(reply.etag, FOREVER)
        return reply
