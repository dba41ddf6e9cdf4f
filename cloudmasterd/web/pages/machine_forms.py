"""The forms that change and delete a machine instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudmasterd.errors import CloudError, Invalid, MachineExists, StaleVersion
from cloudmasterd.model import ACTIVE_STATES, MachineInstance, MachineState, Task, TaskState
from cloudmasterd.recipes.change import NAMES
from cloudmasterd.spec import parse_change
from cloudmasterd.web import figures, paths
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import asker_of, form_page, see_other, to_task
from cloudmasterd.web.pages.forms import UNITS_MB, Form, form_of, number, size, tags_of, tags_text
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.site import Reads, Site
from cloudmasterd.web.templating import Templates

CHANGE_LABELS = {
    "name": "Name",
    "memory_mb": "Memory",
    "vcpus": "Virtual CPUs",
    "autostart": "Start it with its cloud instance",
    "tags": "Tags",
    "notes": "Notes",
    "take_back": "Take back what waits for its next start",
}
STARTS = frozenset({"machine.create", "machine.start", "machine.shutdown", "machine.poweroff"})
TASKS_LOOKED_AT = 20  # of a machine instance, the latest
DELETE_LABELS = {
    "name": "Its name",
    "keep_disks": "Keep its disks",
    "force": "Power it off first",
    "reason": "Why",
}


class ChangePage:
    """The page /machines/{machine}/change."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """The form with what is so now; raises NotFound or Conflict."""
        machine = self._site.store.get_machine(asked.names["machine"])
        return self._page(asked, machine, Form(_now(machine)))

    def submit(self, asked: Asked) -> Reply:
        """Change what differs, and lead to the task of it or back to the machine instance."""
        form = form_of(asked.body, (*CHANGE_LABELS, "key", "revision"))
        machine = self._site.store.get_machine(asked.names["machine"])
        try:
            body = {**self._taken_back(form, machine), **_differences(form, machine)}
            if not body:
                return see_other(_href(asked))
            revision = number(form.text("revision"))
            done = self._site.machines.change(
                machine.uuid,
                parse_change(body),
                asker_of(asked, form),
                revision=revision if isinstance(revision, int) else machine.revision,
            )
        except StaleVersion as exc:
            # what was typed stays; sending it again means it, with what is so now before one's eyes
            fresh = {**form.values, "revision": [str(machine.revision)]}
            failed = "It has changed since this form was opened. Look at it once more, then send it again."
            return self._page(asked, machine, Form(fresh, failed=failed), status_of(exc))
        except MachineExists as exc:
            known = Invalid(str(exc), [("name", str(exc))])
            return self._page(asked, machine, form.refused(known, {}, CHANGE_LABELS), status_of(exc))
        except CloudError as exc:
            return self._page(asked, machine, form.refused(exc, {}, CHANGE_LABELS), status_of(exc))
        return to_task(done.id) if isinstance(done, Task) else see_other(_href(asked))

    def _taken_back(self, form: Form, machine: MachineInstance) -> dict[str, Any]:
        """What it has now, for all that a change of before is to give it from its next start on."""
        now = {"memory_mb": machine.max_memory_mb, "vcpus": machine.vcpus}
        waiting = waiting_for_start(self._site.store, machine) if form.has("take_back") else ()
        return {name: now[name] for name in waiting}

    def _page(self, asked: Asked, machine: MachineInstance, form: Form, status: int = 200) -> Reply:
        waiting = waiting_for_start(self._site.store, machine)
        body = self._templates.render(
            "change.mako",
            asked.who,
            section="/machines",
            form=form,
            labels=CHANGE_LABELS,
            machine=machine,
            called=machine.name or machine.uuid,
            href=_href(asked),
            off=machine.state is MachineState.OFF,
            memory_hint=f"MB, or 16 GB. While it runs at most {figures.memory(machine.max_memory_mb)}; more "
            "counts from its next start.",
            waiting=" and ".join(NAMES[name] for name in waiting),
            key=self._site.clock.new_id(),
        )
        return form_page(body, status)


class DeletePage:
    """The page /machines/{machine}/delete."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """The form that asks for the name; raises NotFound or Conflict."""
        return self._page(asked, self._site.store.get_machine(asked.names["machine"]), Form())

    def submit(self, asked: Asked) -> Reply:
        """Delete the machine instance whose name was typed, and lead to the task of it."""
        form = form_of(asked.body, (*DELETE_LABELS, "key"))
        machine = self._site.store.get_machine(asked.names["machine"])
        name = machine.name or machine.uuid
        try:
            if form.text("name") != name:
                text = f"type {name} to confirm; what stands here is not its name"
                raise Invalid(text, [("name", text)])
            task = self._site.machines.delete(
                machine.uuid,
                asker_of(asked, form),
                force=form.has("force"),
                keep_disks=form.has("keep_disks"),
            )
        except CloudError as exc:
            return self._page(asked, machine, form.refused(exc, {}, DELETE_LABELS), status_of(exc))
        return to_task(task.id)

    def _page(self, asked: Asked, machine: MachineInstance, form: Form, status: int = 200) -> Reply:
        body = self._templates.render(
            "delete.mako",
            asked.who,
            section="/machines",
            form=form,
            labels=DELETE_LABELS,
            machine=machine,
            called=machine.name or machine.uuid,
            href=_href(asked),
            active=machine.state in ACTIVE_STATES,
            key=self._site.clock.new_id(),
        )
        return form_page(body, status)


def waiting_for_start(store: Reads, machine: MachineInstance) -> tuple[str, ...]:
    """Which of memory_mb and vcpus a task changed for the next start alone, as far as tasks can tell.

    Another tool may have changed it too, or have started it anew; to take it back then does no harm.
    """
    if machine.state not in ACTIVE_STATES:
        return ()
    when: dict[str, Any] = {}
    for task in store.tasks.list(states=[TaskState.DONE], machine=machine.uuid, limit=TASKS_LOOKED_AT):
        if task.kind in STARTS:
            break
        if task.kind == "machine.change":
            when = {**{name: task.result.get(name) for name in NAMES if task.result.get(name)}, **when}
    return tuple(name for name in NAMES if when.get(name) == "next-start")


def _href(asked: Asked) -> str:
    # the path the reader came by is the one that finds it, by name or by uuid
    return f"/machines/{paths.segment(asked.names['machine'])}"


def _now(machine: MachineInstance) -> Mapping[str, list[str]]:
    return {
        "name": [machine.name],
        "memory_mb": [str(machine.memory_mb)],
        "vcpus": [str(machine.vcpus)],
        "autostart": ["yes"] if machine.autostart else [],
        "tags": [tags_text(machine.tags)],
        "notes": [machine.notes],
        "revision": [str(machine.revision)],
    }


def _differences(form: Form, machine: MachineInstance) -> dict[str, Any]:
    """The body of a change that says what differs from what is so now; raises Invalid for bad tags."""
    said: dict[str, Any] = {
        "name": form.text("name"),
        "memory_mb": size(form.text("memory_mb"), UNITS_MB),
        "vcpus": number(form.text("vcpus")),
        "autostart": form.has("autostart"),
        "tags": tags_of(form.text("tags")),
        "notes": form.text("notes"),
    }
    return {name: value for name, value in said.items() if value != getattr(machine, name)}
