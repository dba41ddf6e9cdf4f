"""The pages of tasks: all of them, and one with its steps as they happen."""

from __future__ import annotations

from typing import Any, Optional

from cloudmasterd.errors import NotFound
from cloudmasterd.model import ACTIVE_STATES, ENDED_STATES, MachineInstance, Task, TaskState
from cloudmasterd.request_ids import plain
from cloudmasterd.rights import Identity, Role, covers
from cloudmasterd.tasks.outcome import error_of
from cloudmasterd.web import paths
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.figures import sentence
from cloudmasterd.web.pages.asking import asker_of, to_task
from cloudmasterd.web.pages.forms import form_of
from cloudmasterd.web.pages.live import LiveTag
from cloudmasterd.web.pages.task_rows import advice_on, row_of, rows_of_tasks, span, steps_of
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param, form_field, list_url, one_of, text, whole_number

PAGE = 50
MAX_ID = 999_999_999
PARAMS = (
    form_field(Param("before", whole_number(1, MAX_ID))),
    form_field(
        Param("state", one_of("a state of a task", [s.value for s in TaskState]), (), repeatable=True)
    ),
    form_field(Param("cloud", text, default="")),
    form_field(Param("machine", text, default="")),
)
FAILED_WORDS = {TaskState.FAILED: "It failed.", TaskState.CANCELLED: "It was cancelled."}


class TasksPage:
    """The page /tasks."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """One page of tasks, the newest first; raises NotFound for a machine instance that is not there."""
        return self._live.answer(asked, lambda: self._page(asked))

    def _page(self, asked: Asked) -> bytes:
        store, query = self._site.store, asked.query
        tasks = store.tasks.list(
            states=[TaskState(state) for state in query["state"]],
            machine=store.get_machine(query["machine"]).uuid if query["machine"] else None,
            cloud=query["cloud"] or None,
            before=query["before"],
            limit=PAGE + 1,
        )
        following = None
        if len(tasks) > PAGE:
            following = list_url(asked.path, {**query, "before": tasks[PAGE - 1].id})
        return self._templates.render(
            "tasks.mako",
            asked.who,
            section="/tasks",
            rows=rows_of_tasks(tasks[:PAGE]),
            query=query,
            states=list(TaskState),
            clouds=[cloud.name for cloud in store.list_clouds()],
            filtered=bool(query["state"] or query["cloud"] or query["machine"]),
            following=following,
        )


class TaskPage:
    """The page /tasks/{task}."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """One task; raises NotFound."""
        return self._live.answer(asked, lambda: self._page(asked))

    def _page(self, asked: Asked) -> bytes:
        task = self._site.store.tasks.get(task_number(asked.names["task"]))
        machine = self._machine(task)
        shown = _shown(task, machine, asked.who)
        return self._templates.render("task.mako", asked.who, section="/tasks", **shown)

    def cancel(self, asked: Asked) -> Reply:
        """Ask a task to end, and lead back to it; raises NotFound, or Conflict when it has ended."""
        form = form_of(asked.body, ())
        number = task_number(asked.names["task"])
        self._site.machines.cancel(number, asker_of(asked, form))
        return to_task(number)

    def _machine(self, task: Task) -> Optional[MachineInstance]:
        if task.machine is None:
            return None
        try:
            return self._site.store.get_machine(task.machine)
        except NotFound:
            return None


def task_number(name: str) -> int:
    """The id of a task out of a path; raises NotFound."""
    if not (name.isascii() and name.isdigit() and len(name) <= len(str(MAX_ID))):
        raise NotFound(f"no task has the id {name[:80]!r}: /tasks lists them")
    return int(name)


def _may_cancel(task: Task, machine: Optional[MachineInstance], who: Identity) -> bool:
    """Whether a button for it is of use; what decides is the use case."""
    tags = task.arguments.get("tags", {}) if machine is None else machine.tags
    return who.may(Role.OPERATOR) and covers(who.scopes, tags)


def _shown(task: Task, machine: Optional[MachineInstance], who: Identity) -> dict[str, Any]:
    target = None if machine is None else f"/machines/{paths.segment(machine.uuid)}"
    shutting_down = task.kind == "machine.shutdown" and task.state is TaskState.RUNNING
    still_up = machine is not None and machine.state in ACTIVE_STATES
    shutdown_failed = task.kind == "machine.shutdown" and task.state is TaskState.FAILED
    return {
        "task": task,
        "allowed": _may_cancel(task, machine, who),
        "row": row_of(task),
        "steps": steps_of(task),
        "ended": task.state in ENDED_STATES,
        "took": span(task.started_at, task.ended_at),
        "request_id": plain(task.request_id),
        "target": target,
        "failed_words": FAILED_WORDS.get(task.state, "It did not go well."),
        "error": sentence(error_of(task) or ""),
        "advice": "" if shutdown_failed and still_up else advice_on(task),
        "offer": target if shutdown_failed and still_up else None,
        "plug": target if shutting_down and still_up else None,
    }
