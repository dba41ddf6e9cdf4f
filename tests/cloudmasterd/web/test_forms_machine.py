"""Managing a machine instance by the buttons and forms of its page, over real HTTP and without scripts."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmasterd.model import NewTask, TaskState
from tests.cloudmasterd.web.reading import page, post, read, send, task_of
from tests.fakes import wait_for

HERE = "/machines/jboss1.example.org"
ALL = ("start", "resume", "shutdown", "reboot", "pause", "poweroff", "reset")


@pytest.mark.parametrize(
    ("state", "possible"),
    [
        ("running", {"shutdown", "reboot", "pause", "poweroff", "reset"}),
        ("paused", {"resume", "poweroff", "reset"}),
        ("off", {"start"}),
        ("crashed", {"start", "poweroff"}),
        ("shutting-down", {"shutdown", "poweroff", "reset"}),
        ("unknown", set(ALL)),
    ],
)
def test_a_page_has_the_actions_that_make_sense(
    small: Any, make_machine: Any, state: str, possible: set[str]
) -> None:
    small.fill({"cloud1.example.org": [make_machine("one1", state)]})
    shown = read(small, "/machines/one1")
    found = {name for name in ALL if f"/machines/one1/{name}" in {*shown.actions, *shown.links}}
    assert found == possible


@pytest.mark.parametrize("action", ["shutdown", "reboot", "pause"])
def test_a_button_asks_for_its_action_and_leads_to_the_task(small: Any, action: str) -> None:
    task = task_of(small, post(small, read(small, HERE).form(f"{HERE}/{action}")))
    assert (task.kind, task.machine_name) == (f"machine.{action}", "jboss1.example.org")


def test_a_double_click_asks_once(small: Any) -> None:
    form = read(small, HERE).form(f"{HERE}/reboot")
    first, second = post(small, form), post(small, form)
    assert first.headers["location"] == second.headers["location"]
    assert len(small.store.tasks.list()) == 1


@pytest.mark.parametrize("action", ["poweroff", "reset"])
def test_pulling_the_plug_is_asked_about_once_more(small: Any, action: str) -> None:
    assert f"{HERE}/{action}" in read(small, HERE).links
    shown = read(small, f"{HERE}/{action}")
    assert "what it has not written to its disks is lost" in shown.text
    unconfirmed = send(small, f"{HERE}/{action}")
    assert unconfirmed.status == 200 and small.store.tasks.list() == []
    task = task_of(small, post(small, page(unconfirmed).form(f"{HERE}/{action}")))
    assert task.kind == f"machine.{action}"


def test_only_what_destroys_has_a_page_that_asks(small: Any) -> None:
    assert small.get(f"{HERE}/reboot").status == 405
    assert small.get(f"{HERE}/explode").status == 404
    assert send(small, "/machines/none/reboot").status == 404


def test_while_a_task_is_at_work_the_buttons_say_so(small: Any) -> None:
    task = task_of(small, post(small, read(small, HERE).form(f"{HERE}/pause")))
    shown = read(small, HERE)
    assert f"Task {task.id} (pause) is under way" in shown.text
    assert f"/tasks/{task.id}" in shown.links and shown.live_s == "1"
    assert not {f"{HERE}/{name}" for name in (*ALL, "change", "delete", "adopt")} & {
        *shown.actions, *shown.links,
    }  # fmt: skip
    refused = send(small, f"{HERE}/reboot", b"key=another-key")
    assert refused.status == 409
    assert f"Task {task.id} is at work" in page(refused).text and HERE in page(refused).links


def test_the_plug_can_be_pulled_while_a_shutdown_is_waited_for(small: Any) -> None:
    task = task_of(small, post(small, read(small, HERE).form(f"{HERE}/shutdown")))
    shown = read(small, HERE)
    assert f"{HERE}/poweroff" in shown.links and f"{HERE}/pause" not in shown.actions
    wait_for(lambda: small.store.tasks.get(task.id).state is TaskState.RUNNING)
    assert any(link.endswith("/poweroff") for link in read(small, f"/tasks/{task.id}").links)


def test_nothing_can_be_done_on_a_cloud_instance_that_does_not_answer(small: Any) -> None:
    shown = read(small, "/machines/web1")
    assert "cloud2.example.org does not answer: nothing can be done" in shown.text
    assert not shown.actions
    refused = send(small, "/machines/web1/reboot")
    assert refused.status == 504 and "/machines/web1" in page(refused).links


def test_a_machine_instance_of_another_tool_can_be_adopted(small: Any) -> None:
    shown = read(small, HERE)
    assert "Not made by this cloud master." in shown.text
    assert task_of(small, post(small, shown.form(f"{HERE}/adopt"))).kind == "machine.adopt"
    machine = small.store.get_machine("build1")
    small.store.change_machine(machine.uuid, managed=True)
    assert "/machines/build1/adopt" not in read(small, "/machines/build1").actions


def change(world: Any) -> Any:
    return read(world, f"{HERE}/change").form(f"{HERE}/change")


def test_notes_and_tags_change_at_once(small: Any) -> None:
    answer = post(small, change(small), tags="team=web\nodd = a=b ", notes="line 1\n\n<b>line 3</b>")
    assert (answer.status, answer.headers["location"]) == (303, HERE)
    machine = small.store.get_machine("jboss1.example.org")
    assert machine.tags == {"team": "web", "odd": "a=b"} and machine.notes == "line 1\n\n<b>line 3</b>"
    assert "<b>line 3</b>" in read(small, HERE).text
    assert change(small).values["notes"] == "line 1\n\n<b>line 3</b>"
    assert post(small, change(small), tags="", notes="").status == 303
    assert small.store.get_machine("jboss1.example.org").tags == {}


def test_memory_and_vcpus_are_changed_by_a_task(small: Any) -> None:
    task = task_of(small, post(small, change(small), memory_mb="1 GB", vcpus="2", autostart="yes"))
    assert task.kind == "machine.change"
    assert {"memory_mb": 1024, "vcpus": 2, "autostart": True}.items() <= flat(task.arguments).items()
    assert "name" not in {k for k, v in flat(task.arguments).items() if v is not None}


def has_changed(world: Any, **result: str) -> None:
    """A task changed the machine instance: what of it, and since when it counts."""
    machine = world.store.get_machine("jboss1.example.org")
    new = NewTask(
        kind="machine.change", target="/x", cloud=machine.cloud, machine=machine.uuid,
        machine_name=machine.name, arguments={}, steps=(), asked_by="ada", request_id="r",
    )  # fmt: skip
    task = world.store.tasks.submit(lambda room: new)
    world.store.tasks.end(task.id, TaskState.DONE, None, result, world.clock.now())


def test_a_change_that_waits_for_the_next_start_can_be_taken_back(small: Any) -> None:
    assert "Take back" not in read(small, f"{HERE}/change").text
    has_changed(small, vcpus="now", memory_mb="next-start")
    has_changed(small, vcpus="next-start")
    assert "Take back the change of its memory and vCPUs that waits" in read(small, f"{HERE}/change").text
    task = task_of(small, post(small, change(small), take_back="yes"))
    before = small.store.get_machine("jboss1.example.org")
    assert flat(task.arguments).items() >= {"memory_mb": before.max_memory_mb, "vcpus": before.vcpus}.items()


def test_what_a_later_change_did_at_once_waits_for_nothing(small: Any) -> None:
    has_changed(small, memory_mb="next-start")
    has_changed(small, memory_mb="now")
    assert "Take back" not in read(small, f"{HERE}/change").text


def flat(arguments: Any) -> dict[str, Any]:
    found = dict(arguments)
    for value in arguments.values():
        if isinstance(value, dict):
            found.update(value)
    return found


def test_a_form_that_changes_nothing_leads_back(small: Any) -> None:
    answer = post(small, change(small))
    assert (answer.status, answer.headers["location"]) == (303, HERE)
    assert small.store.tasks.list() == []


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"memory_mb": "0"}, "memory_mb"),
        ({"memory_mb": "a lot"}, "memory_mb"),
        ({"memory_mb": "9 TB"}, "memory_mb"),
        ({"vcpus": "-1"}, "vcpus"),
        ({"name": "Bad Name"}, "name"),
        ({"tags": "x"}, "tags"),
    ],
)
def test_a_wrong_change_is_told_at_its_field(small: Any, typed: Any, field: str) -> None:
    answer = post(small, change(small), **{"notes": "kept", **typed})
    assert answer.status == 400
    shown = page(answer)
    assert set(shown.marked) == {field} and shown.error(field)
    assert {**typed, "notes": "kept"}.items() <= shown.form(f"{HERE}/change").values.items()
    assert "Nothing was changed." in shown.text
    assert small.store.get_machine("jboss1.example.org").notes == ""


def test_a_name_that_is_taken_is_told_at_the_name(small: Any) -> None:
    form = read(small, "/machines/build1/change").form("/machines/build1/change")
    answer = post(small, form, name="jboss1.example.org")
    assert answer.status == 409 and set(page(answer).marked) == {"name"}
    assert task_of(small, post(small, form, name="build2")).kind == "machine.change"


def test_renaming_one_that_runs_is_refused_with_the_reason(small: Any) -> None:
    answer = post(small, change(small), name="jboss2.example.org")
    assert answer.status == 409
    assert "it can be renamed while it is off" in page(answer).text


def test_a_form_opened_before_another_change_is_shown_once_more(small: Any) -> None:
    form = change(small)
    assert post(small, change(small), notes="of somebody else").status == 303
    refused = post(small, form, notes="mine")
    assert refused.status == 412
    shown = page(refused)
    assert "It has changed since this form was opened." in shown.text
    again = shown.form(f"{HERE}/change")
    assert again.values["notes"] == "mine"
    assert post(small, again).status == 303
    assert small.store.get_machine("jboss1.example.org").notes == "mine"


def deletion(world: Any, name: str = "build1") -> Any:
    return read(world, f"/machines/{name}/delete").form(f"/machines/{name}/delete")


def test_deleting_wants_the_name_typed(small: Any) -> None:
    for typed in ("", "build", "BUILD1", "build1 x"):
        answer = post(small, deletion(small), name=typed, keep_disks="yes")
        assert answer.status == 400
        shown = page(answer)
        assert "build1" in shown.error("name") and "It was not deleted." in shown.text
        assert shown.form("/machines/build1/delete").values["keep_disks"] == "yes"
    assert small.store.tasks.list() == []
    task = task_of(small, post(small, deletion(small), name=" build1 ", keep_disks="yes"))
    assert task.kind == "machine.delete"
    assert flat(task.arguments)["keep_disks"] is True and flat(task.arguments)["force"] is False


def test_one_that_runs_is_deleted_only_by_force(small: Any) -> None:
    assert "force" not in deletion(small).names, "there is nothing to force"
    form = deletion(small, "jboss1.example.org")
    refused = post(small, form, name="jboss1.example.org")
    assert refused.status == 409 and "shut it down first" in page(refused).text
    again = page(refused).form(f"{HERE}/delete")
    task = task_of(small, post(small, again, force="yes"))
    assert flat(task.arguments)["force"] is True


def test_a_double_click_deletes_once(small: Any) -> None:
    form = deletion(small)
    first, second = (post(small, form, name="build1") for _ in range(2))
    assert first.headers["location"] == second.headers["location"]


def test_twins_are_managed_by_their_uuid(small: Any, make_machine: Any) -> None:
    uids = [f"{n}{n}111111-1111-4111-8111-111111111111" for n in "12"]
    small.fill({"cloud3.example.org": [make_machine("twin", uid=uid) for uid in uids]})
    shown = read(small, f"/machines/{uids[1]}")
    task = task_of(small, post(small, shown.form(f"/machines/{uids[1]}/reboot")))
    assert task.machine == uids[1]


def test_one_called_new_has_a_page_of_its_own(small: Any, make_machine: Any) -> None:
    item = make_machine("new")
    small.fill({"cloud3.example.org": [item]})
    assert f"/machines/{item.uuid}" in read(small, "/machines").links
    assert "Create a machine instance" in read(small, "/machines/new").text


HOSTILE = "<script>alert(1)</script>\"'&amp;${1+1}"


def test_a_hostile_name_is_text_on_every_form(small: Any, make_machine: Any) -> None:
    item = make_machine(HOSTILE)
    small.fill({"cloud1.example.org": [item]})
    small.store.change_machine(item.uuid, tags={HOSTILE: HOSTILE}, notes=HOSTILE)
    for path in ("", "/poweroff", "/reset", "/change", "/delete"):
        answer = small.get(f"/machines/{item.uuid}{path}", Accept="text/html")
        assert HOSTILE in page(answer).text and "<script>alert" not in answer.text, path
    form = read(small, f"/machines/{item.uuid}/delete").form(f"/machines/{item.uuid}/delete")
    answer = post(small, form, name="wrong", keep_disks="yes")
    assert answer.status == 400 and "<script>alert" not in answer.text
    assert task_of(small, post(small, form, name=HOSTILE, force="yes")).kind == "machine.delete"
