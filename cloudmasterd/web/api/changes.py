"""Changes of machine instances over REST: made, changed, acted upon, adopted and deleted."""

from __future__ import annotations

from typing import Callable, Optional

from cloudmasterd.errors import Conflict, NotFound, StaleVersion
from cloudmasterd.machines import Asker
from cloudmasterd.model import Task
from cloudmasterd.spec import parse_change, parse_create
from cloudmasterd.web.asking import answer_task, asker_of, version_of
from cloudmasterd.web.exchange import Asked, Reply, json_reply
from cloudmasterd.web.represent import machine_etag, machine_json
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import Param, flag
from cloudmasterd.web.waiting import Waits

ACTIONS = ("start", "shutdown", "poweroff", "reboot", "reset", "pause", "resume")

NEVER = -1
"""A revision that nothing has."""

FORCE = Param("force", flag, default=False)
DELETE_PARAMS = (FORCE, Param("keep_disks", flag, default=False))


class Changes:
    """The methods of /api/v1/machines that change something."""

    def __init__(self, site: Site, waits: Waits) -> None:
        self._site = site
        self._waits = waits

    def create(self, asked: Asked) -> Reply:
        """A new machine instance, as a task."""
        spec = parse_create(asked.body, self._site.flavors)
        asker = asker_of(asked, self._site.clock)
        return self._answer(asked, self._site.machines.create(spec, asker), asker)

    def change(self, asked: Asked) -> Reply:
        """Another shape, name, tags or notes: at once, or as a task where the cloud instance has a part."""
        change = parse_change(asked.body)
        asker, revision = self._asked(asked)
        done = self._site.machines.change(asked.names["machine"], change, asker, revision=revision)
        if isinstance(done, Task):
            return self._answer(asked, done, asker)
        return json_reply(machine_json(done), machine_etag(done))

    def delete(self, asked: Asked) -> Reply:
        """The end of a machine instance, as a task."""
        asker, revision = self._asked(asked)
        task = self._site.machines.delete(asked.names["machine"], asker, revision=revision, **asked.query)
        return self._answer(asked, task, asker)

    def adopt(self, asked: Asked) -> Reply:
        """A machine instance that another tool made becomes ours, as a task."""
        asker, revision = self._asked(asked)
        if revision == NEVER:
            raise StaleVersion(f"{asked.path} is not at {asked.headers['If-Match'][:80]}: read it again")
        return self._answer(asked, self._site.machines.adopt(asked.names["machine"], asker), asker)

    def act(self, action: str) -> Callable[[Asked], Reply]:
        """What answers one of ACTIONS."""

        def answer(asked: Asked) -> Reply:
            asker, revision = self._asked(asked)
            task = self._site.machines.act(
                asked.names["machine"], action, asker, revision=revision, force=asked.query["force"]
            )
            return self._answer(asked, task, asker)

        return answer

    def _asked(self, asked: Asked) -> tuple[Asker, Optional[int]]:
        asker = asker_of(asked, self._site.clock)
        if "If-Match" not in asked.headers:
            return asker, None
        try:
            machine = self._site.store.get_machine(asked.names["machine"])
            return asker, version_of(asked, machine_etag(machine), machine.revision)
        except (NotFound, Conflict):
            if asker.key is None:
                raise
            # it may be what the first request under this key has made of it: the use case knows
            return asker, NEVER

    def _answer(self, asked: Asked, task: Task, asker: Asker) -> Reply:
        return answer_task(self._site, self._waits, asked, task, asker)
