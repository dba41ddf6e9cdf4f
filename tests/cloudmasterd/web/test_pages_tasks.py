"""Tasks, events and capacity on the pages: what is under way, what failed and what to do, what happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudmasterd.errors import FabricError
from cloudmasterd.model import ENDED_STATES, NewTask, Step, StepState, TaskState
from tests.cloudmasterd.web.reading import page, post, read, send, task_of
from tests.fakes import wait_for

HERE = "/machines/jboss1.example.org"
HOSTILE = "<script>alert(1)</script>\"'&amp;${1+1}"


def ask_for(world: Any, action: str = "reboot", name: str = "jboss1.example.org") -> Any:
    return task_of(world, post(world, read(world, f"/machines/{name}").form(f"/machines/{name}/{action}")))


def ended(world: Any, task: Any) -> Any:
    wait_for(lambda: world.store.tasks.get(task.id).state in ENDED_STATES, "the end of the task")
    return world.store.tasks.get(task.id)


def test_a_task_shows_its_steps_and_ends(small: Any) -> None:
    task = ask_for(small)
    wait_for(lambda: small.store.tasks.get(task.id).steps[0].state is StepState.RUNNING)
    shown = read(small, f"/tasks/{task.id}")
    assert "Reboot jboss1.example.org" in shown.text
    assert all(step.title in shown.text for step in task.steps)
    assert "running:" in shown.text and shown.live_s == "1"
    assert "/clouds/cloud1.example.org" in shown.links
    reloads = '<noscript><meta http-equiv="refresh" content="5"></noscript>'
    assert reloads in small.get(f"/tasks/{task.id}").text, "so that it moves without scripts too"
    small.gate.open.set()
    assert ended(small, task).state is TaskState.DONE
    shown = read(small, f"/tasks/{task.id}")
    assert "done:" in shown.text and shown.live_s != "1"
    assert "To jboss1.example.org" in shown.text
    assert reloads not in small.get(f"/tasks/{task.id}").text
    assert f"/tasks/{task.id}/cancel" not in shown.actions, "there is nothing to cancel any more"


def test_an_open_task_page_is_told_when_nothing_is_new(small: Any) -> None:
    task = ask_for(small)
    small.gate.open.set()
    ended(small, task)
    tag = small.get(f"/tasks/{task.id}").headers["etag"]
    assert small.get(f"/tasks/{task.id}", If_None_Match=tag).status == 304
    ask_for(small, "start", "build1")
    assert small.get(f"/tasks/{task.id}", If_None_Match=tag).status == 200


def test_a_task_that_failed_says_why_and_what_to_do(small: Any) -> None:
    small.gate.error = FabricError(f"the pool default is full: 3 GB free {HOSTILE}")
    small.gate.open.set()
    task = ended(small, ask_for(small))
    answer = small.get(f"/tasks/{task.id}")
    shown = page(answer)
    assert "It failed." in shown.text and f"3 GB free {HOSTILE}" in shown.text
    assert "Put right what is named here" in shown.text
    assert "<script>alert" not in answer.text
    assert HOSTILE in read(small, "/tasks").text and HOSTILE in read(small, HERE).text


def test_a_task_that_waits_to_undo_says_why_it_failed_there_and_over_rest(small: Any) -> None:
    tasks, at = small.store.tasks, small.clock.now()
    new = NewTask(
        kind="machine.create", target="/api/v1/machines/m9", cloud="cloud1.example.org", machine=None,
        machine_name="m9", arguments={}, steps=(Step("disk:0", "Make its disk"),), asked_by="ada",
        request_id="r",
    )  # fmt: skip
    task = tasks.submit(lambda room: new)  # nobody runs it: it stays as it is here
    tasks.begin(task.id, at, operation="op")
    tasks.end_step(task.id, 0, StepState.FAILED, "no", {"error": f"the pool is full {HOSTILE}"}, at)
    tasks.begin_step(task.id, 0, "undo", at, state=StepState.UNDOING)
    tasks.progress(task.id, 0, None, "waits for cloud1.example.org since 10:00:00 UTC")
    why = f"he pool is full {HOSTILE}. What it made is being undone (Make its disk): waits for cloud1"
    assert f"It did not go well. T{why}" in read(small, f"/tasks/{task.id}").text
    assert "being undone: Make its disk" in read(small, "/tasks").text
    assert small.get(f"/api/v1/tasks/{task.id}").json()["error"].startswith(f"t{why}")


def test_after_a_shutdown_that_failed_pulling_the_plug_is_offered(small: Any) -> None:
    small.gate.error = FabricError("it did not shut down within 120 s")
    small.gate.open.set()
    task = ended(small, ask_for(small, "shutdown"))
    shown = read(small, f"/tasks/{task.id}")
    assert "It has not shut down." in shown.text and "Power it off" in shown.text
    offer = next(link for link in shown.links if link.endswith("/poweroff"))
    assert "Power off" in read(small, offer).text, "which asks once more"


def test_after_another_failure_it_is_not(small: Any) -> None:
    small.gate.error = FabricError("no")
    small.gate.open.set()
    task = ended(small, ask_for(small, "reboot"))
    assert not [link for link in read(small, f"/tasks/{task.id}").links if link.endswith("/poweroff")]


def test_a_task_is_cancelled_by_its_button(small: Any) -> None:
    task = ask_for(small)
    answer = post(small, read(small, f"/tasks/{task.id}").form(f"/tasks/{task.id}/cancel"))
    assert (answer.status, answer.headers["location"]) == (303, f"/tasks/{task.id}")
    small.gate.open.set()
    ended(small, task)
    late = send(small, f"/tasks/{task.id}/cancel")
    assert late.status == 409 and f"/tasks/{task.id}" in page(late).links


@pytest.mark.parametrize("name", ["0", "99", "x", "-1", "9" * 30, "%C2%B2", "1.0"])
def test_a_task_that_is_not_there_is_told(small: Any, name: str) -> None:
    assert page(small.get(f"/tasks/{name}", Accept="text/html")).headings == ["h1"]
    assert small.get(f"/tasks/{name}").status == 404
    assert send(small, f"/tasks/{name}/cancel").status == 404


def test_tasks_are_filtered_and_paged(small: Any) -> None:
    small.gate.open.set()
    ids = [ended(small, ask_for(small)).id for _ in range(3)]
    other = ask_for(small, "start", "build1")
    ended(small, other)
    text = read(small, "/tasks?machine=build1&state=done&cloud=cloud1.example.org").text
    assert "Start build1" in text and "Reboot" not in text
    assert "No task fits" in read(small, "/tasks?state=failed").text
    shown = read(small, f"/tasks?before={ids[1]}")
    assert [link for link in shown.links if link.startswith("/tasks/")] == [f"/tasks/{ids[0]}"]
    assert small.get("/tasks?machine=none").status == 404
    assert small.get("/tasks?state=finished").status == 400
    assert "There has been no task yet" not in read(small, "/tasks").text


def test_many_tasks_lead_to_older_ones(small: Any) -> None:
    small.gate.open.set()
    for _ in range(52):
        last = ended(small, ask_for(small))
    shown = read(small, "/tasks")
    older = next(link for link in shown.links if link.startswith("/tasks?before="))
    rest = [link for link in read(small, older).links if link.startswith("/tasks/")]
    assert rest == [f"/tasks/{last.id - 50}", f"/tasks/{last.id - 51}"]


def test_the_overview_shows_what_is_under_way_and_how_many_more_fit(small: Any) -> None:
    text = read(small, "/").text
    assert "more of “small” fit; 0 with the largest gone 18" in text
    assert "tiny 512 MB 62 0" in text
    assert "Not counted: cloud2.example.org (has not answered for" in text
    task = ask_for(small)
    shown = read(small, "/")
    assert f"/tasks/{task.id}" in shown.links and "Reboot jboss1.example.org" in shown.text
    small.gate.open.set()
    ended(small, task)
    assert "Reboot" not in read(small, "/").text.split("Recent events")[0]


def test_events_are_told_with_the_newest_first(small: Any, make_machine: Any) -> None:
    assert "Nothing has happened" not in read(small, "/events").text
    small.clock.time += timedelta(minutes=5)
    small.fill({"cloud1.example.org": [make_machine("build1", "running", 2048)]}, small.clock.time)
    shown = read(small, "/events")
    newest, oldest = shown.text.find("jboss1.example.org"), shown.text.find("cloud2.example.org")
    assert 0 < newest < oldest
    assert "/machines/" + small.store.get_machine("build1").uuid in shown.links
    gone = [link for link in shown.links if link.startswith("/machines/")]
    assert all(small.get(link).status == 200 for link in gone), "what vanished has no link"
    own = read(small, "/events?machine=build1").text
    assert "Of build1 alone." in own and "jboss1" not in own
    assert "jboss1" not in read(small, "/events?cloud=cloud2.example.org").text
    assert small.get("/events?machine=none").status == 404
    assert "jboss1.example.org" in read(small, "/").text.split("Recent events")[1]


def test_events_lead_to_older_ones_until_there_is_none(small: Any, make_machine: Any) -> None:
    for number in range(230):
        small.fill({"cloud1.example.org": [make_machine("flip", "off" if number % 2 else "running")]})
    seen: list[str] = []
    target = "/events?cloud=cloud1.example.org"
    while target:
        answer = small.get(target)
        shown = page(answer)
        seen += [part.split('"')[0] for part in answer.text.split('data-key="event ')[1:]]
        target = next((link for link in shown.links if link.startswith("/events?before=")), "")
    numbers = [int(number) for number in seen]
    assert numbers == sorted(set(numbers), reverse=True) and len(numbers) >= 230
    assert numbers == [e.id for e in small.store.events.list(limit=1000, cloud="cloud1.example.org")][::-1]


def test_an_event_with_a_hostile_text_is_text(small: Any, make_machine: Any) -> None:
    small.fill({"cloud1.example.org": [make_machine(HOSTILE)]})
    for target in ("/events", "/", "/clouds/cloud1.example.org"):
        answer = small.get(target)
        assert HOSTILE in page(answer).text and "<script>alert" not in answer.text
