"""Whether this cloud master lives and whether it can do its work, for probes."""

from __future__ import annotations

from cloudmasterd.web.exchange import JSON, NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.site import Site


class Health:
    """The resources /healthz and /readyz."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def live(self, asked: Asked) -> Reply:
        """200 as long as the process answers at all."""
        return Reply(body=json_bytes({"status": "ok"}), content_type=JSON, headers=(NO_STORE,))

    def ready(self, asked: Asked) -> Reply:
        """200, or 503 with the reasons."""
        reasons = list(self._site.problems())
        body = json_bytes({"ready": not reasons, "reasons": reasons})
        return Reply(status=503 if reasons else 200, body=body, content_type=JSON, headers=(NO_STORE,))
