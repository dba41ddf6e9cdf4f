"""The form that has a cloud instance installed anew, over real HTTP and without scripts."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmasterd.errors import CobblerUnreachable
from tests.cloudmasterd.web.reading import page, post, read, task_of
from tests.fakes import profile

HERE = "/clouds/cloud1.example.org"
FORM = f"{HERE}/rebuild"
NAME = "GenomeCloud-RHEL5U2-x86_64"
BOTH = ("build1", "jboss1.example.org")


@pytest.fixture
def offered(small: Any) -> Any:
    """With profiles in the catalogue."""
    small.cobbler.put(profile(NAME), profile("Other"))
    small.profiles.refresh()
    return small


def filled(world: Any, **values: str) -> Any:
    form = read(world, FORM).form(FORM)
    form.values.update({"name": "cloud1.example.org", "profile": NAME, **values})
    return form


def test_the_page_of_a_cloud_instance_leads_to_the_form(offered: Any) -> None:
    assert FORM in read(offered, HERE).links


def test_the_form_lists_who_is_lost(offered: Any) -> None:
    shown = read(offered, FORM)
    assert "2 machine instances are lost with it" in shown.text
    assert all(name in shown.text for name in BOTH)
    assert "This page needs no JavaScript." in shown.text


def test_a_cloud_instance_without_machine_instances_loses_none(offered: Any) -> None:
    offered.fill({"cloud1.example.org": []})
    shown = read(offered, FORM)
    assert "on which no machine instance lives" in shown.text
    task = task_of(offered, post(offered, filled(offered)))
    assert task.arguments["lose"] == {}


def test_the_typed_name_has_it_installed_anew_and_leads_to_the_task(offered: Any) -> None:
    task = task_of(offered, post(offered, filled(offered, reason="new disks")))
    assert (task.kind, task.cloud, task.machine) == ("cloud.rebuild", "cloud1.example.org", None)
    assert task.arguments["profile"] == NAME and task.arguments["reason"] == "new disks"
    assert sorted(task.arguments["lose"].values()) == sorted(BOTH)
    shown = read(offered, f"/tasks/{task.id}")
    assert "Install anew: cloud1.example.org" in shown.text
    assert HERE in shown.links
    assert "See cloud1.example.org read its kickstart" in shown.text
    assert f"/tasks/{task.id}" in read(offered, HERE).links


def test_a_double_click_asks_once(offered: Any) -> None:
    form = filled(offered)
    first, second = post(offered, form), post(offered, form)
    assert first.headers["location"] == second.headers["location"]
    assert len(offered.store.tasks.list()) == 1


@pytest.mark.parametrize("typed", ["", "cloud1", "CLOUD1.EXAMPLE.ORG", "cloud2.example.org"])
def test_without_the_right_name_nothing_is_begun(offered: Any, typed: str) -> None:
    answer = post(offered, filled(offered, name=typed, reason="kept"))
    assert answer.status == 400
    shown = page(answer)
    assert "name" in shown.marked and "Nothing was begun." in shown.text
    assert shown.form(FORM).values["reason"] == "kept"
    assert offered.store.tasks.list() == []


def test_who_came_while_the_form_was_open_is_not_lost_unseen(offered: Any, make_machine: Any) -> None:
    form = filled(offered)
    offered.fill(
        {"cloud1.example.org": [*(make_machine(name) for name in BOTH), make_machine("late1", "off")]}
    )
    answer = post(offered, form)
    assert answer.status == 409
    shown = page(answer)
    assert "late1" in shown.text and "3 machine instances are lost with it" in shown.text
    assert offered.store.tasks.list() == []
    again = shown.form(FORM)
    again.values.update({"name": "cloud1.example.org"})
    assert len(task_of(offered, post(offered, again)).arguments["lose"]) == 3


def test_one_that_does_not_answer_says_so(offered: Any) -> None:
    form = read(offered, "/clouds/cloud2.example.org/rebuild").form("/clouds/cloud2.example.org/rebuild")
    form.values.update({"name": "cloud2.example.org", "profile": NAME})
    answer = post(offered, form)
    assert answer.status == 504
    assert "connection refused" in page(answer).text


def test_without_a_catalogue_the_profile_is_typed(small: Any) -> None:
    small.cobbler.error = CobblerUnreachable("cobbler.example.org does not answer")
    answer = post(small, filled(small))
    assert answer.status >= 500
    assert "cobbler.example.org does not answer" in page(answer).text


def test_the_profile_it_had_is_chosen_already(offered: Any) -> None:
    offered.store.change_cloud("cloud1.example.org", profile="Other")
    assert read(offered, FORM).form(FORM).values["profile"] == "Other"
    assert "Installed from Other" in read(offered, HERE).text


def test_there_is_no_form_for_a_cloud_instance_that_is_not_there(small: Any) -> None:
    assert small.get("/clouds/none/rebuild").status == 404
