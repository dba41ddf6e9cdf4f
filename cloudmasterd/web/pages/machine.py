"""The page of one machine instance, and the actions on it."""

from __future__ import annotations

from cloudmasterd import acting
from cloudmasterd.model import ENDED_STATES
from cloudmasterd.web import paths
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.actions import (
    BY_NAME,
    hindrance,
    may_change,
    outside,
    possible,
    possible_meanwhile,
)
from cloudmasterd.web.pages.asking import asker_of, form_page, to_task
from cloudmasterd.web.pages.event_rows import rows_of_events
from cloudmasterd.web.pages.forms import form_of
from cloudmasterd.web.pages.live import LiveTag
from cloudmasterd.web.pages.task_rows import rows_of_tasks
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates

RECENT = 8


class MachinePage:
    """The page /machines/{machine}."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """One machine instance, by name or uuid; raises NotFound or Conflict."""
        return self._live.answer(asked, lambda: self._page(asked))

    def _page(self, asked: Asked) -> bytes:
        store = self._site.store
        machine = store.get_machine(asked.names["machine"])
        cloud = store.get_cloud(machine.cloud)
        tasks = store.tasks.list(machine=machine.uuid, limit=RECENT)
        busy = next((task for task in reversed(tasks) if task.state not in ENDED_STATES), None)
        return self._templates.render(
            "machine.mako",
            asked.who,
            section="/machines",
            machine=machine,
            cloud=cloud,
            # the path the reader came by is the one that finds it, by name or by uuid
            href=f"/machines/{paths.segment(asked.names['machine'])}",
            allowed=may_change(asked.who, machine),
            outside=outside(asked.who, machine),
            hindrance=hindrance(machine, cloud, busy),
            busy=None if busy is None else paths.task_path(busy.id),
            actions=possible(machine),
            plug=busy is not None and cloud.error is None and possible_meanwhile(busy),
            key=self._site.clock.new_id(),
            tasks=rows_of_tasks(tasks),
            events=rows_of_events(store, store.events.newest(RECENT, machine=machine.uuid), links=False),
        )

    def ask_again(self, asked: Asked) -> Reply:
        """The page that asks whether an action is really meant; raises NotFound or Conflict."""
        action = BY_NAME[asked.path.rsplit("/", 1)[1]]
        machine = self._site.store.get_machine(asked.names["machine"])
        body = self._templates.render(
            "confirm.mako",
            asked.who,
            section="/machines",
            action=action,
            machine=machine,
            called=machine.name or machine.uuid,
            href=f"/machines/{paths.segment(asked.names['machine'])}",
            key=self._site.clock.new_id(),
        )
        return form_page(body)

    def act(self, asked: Asked) -> Reply:
        """Ask for an action and lead to its task; one that destroys is asked about once more before."""
        action = BY_NAME[asked.path.rsplit("/", 1)[1]]
        form = form_of(asked.body, ("key", "confirm"))
        if action.means and form.text("confirm") != "yes":
            acting.leave_out()  # nothing was asked for yet
            return self.ask_again(asked)
        task = self._site.machines.act(asked.names["machine"], action.name, asker_of(asked, form))
        return to_task(task.id)

    def adopt(self, asked: Asked) -> Reply:
        """Make a machine instance of another tool one of ours, and lead to the task of that."""
        form = form_of(asked.body, ("key",))
        return to_task(self._site.machines.adopt(asked.names["machine"], asker_of(asked, form)).id)
