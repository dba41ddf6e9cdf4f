"""Maintenance and what is said of a cloud instance alone, by the forms of its page."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmasterd.model import CloudState
from tests.cloudmasterd.web.reading import page, post, read, send

HERE = "/clouds/cloud1.example.org"
HOSTILE = "<script>alert(1)</script>\"'&amp;${1+1}"


def change(world: Any) -> Any:
    return read(world, f"{HERE}/change").form(f"{HERE}/change")


def test_maintenance_begins_with_its_reason_and_ends(small: Any) -> None:
    begin = read(small, HERE).form(f"{HERE}/maintenance")
    answer = post(small, begin, maintenance_reason=f"new fans {HOSTILE}")
    assert (answer.status, answer.headers["location"]) == (303, HERE)
    assert small.store.get_cloud("cloud1.example.org").state is CloudState.MAINTENANCE
    shown = read(small, HERE)
    assert f"new fans {HOSTILE}" in shown.text and "In maintenance since" in shown.text
    assert "new fans" in read(small, "/machines/new").text
    assert post(small, shown.form(f"{HERE}/maintenance")).status == 303
    cloud = small.store.get_cloud("cloud1.example.org")
    assert (cloud.state, cloud.maintenance_reason) == (CloudState.UP, "")


def test_a_reason_that_is_too_long_is_refused_with_a_way_back(small: Any) -> None:
    begin = read(small, HERE).form(f"{HERE}/maintenance")
    answer = post(small, begin, maintenance_reason="x" * 20000)
    assert answer.status == 400 and HERE in page(answer).links
    assert small.store.get_cloud("cloud1.example.org").state is CloudState.UP


def test_a_reserve_of_its_own_is_set_and_dropped(small: Any) -> None:
    free = small.store.get_cloud("cloud1.example.org").free_memory_mb
    assert post(small, change(small), reserve_mb="8 GB").status == 303
    cloud = small.store.get_cloud("cloud1.example.org")
    assert cloud.reserved_memory_mb == 8192 and cloud.free_memory_mb < free
    assert change(small).values["reserve_mb"] == "8192"
    assert post(small, change(small), reserve_mb="").status == 303
    assert small.store.get_cloud("cloud1.example.org").free_memory_mb == free


def test_tags_and_notes_are_kept_as_typed(small: Any) -> None:
    assert post(small, change(small), tags="rack=b12", notes=f"a\n{HOSTILE}").status == 303
    cloud = small.store.get_cloud("cloud1.example.org")
    assert (cloud.tags, cloud.notes) == ({"rack": "b12"}, f"a\n{HOSTILE}")
    assert HOSTILE in read(small, HERE).text
    revision = cloud.revision
    assert post(small, change(small)).status == 303
    assert small.store.get_cloud("cloud1.example.org").revision == revision, "nothing differs"


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"reserve_mb": "some"}, "reserve_mb"),
        ({"reserve_mb": "-1"}, "reserve_mb"),
        ({"tags": HOSTILE}, "tags"),
        ({"notes": "x" * 20000}, "notes"),
    ],
)
def test_a_wrong_change_is_told_at_its_field(small: Any, typed: Any, field: str) -> None:
    answer = post(small, change(small), **typed)
    shown = page(answer)
    assert answer.status == 400 and set(shown.marked) == {field} and shown.error(field)
    assert typed.items() <= shown.form(f"{HERE}/change").values.items()
    assert "<script>alert" not in answer.text


def test_a_form_opened_before_another_change_is_shown_once_more(small: Any) -> None:
    form = change(small)
    assert post(small, change(small), notes="of somebody else").status == 303
    refused = post(small, form, notes="mine")
    assert refused.status == 412 and "It has changed since" in page(refused).text
    assert post(small, page(refused).form(f"{HERE}/change")).status == 303
    assert small.store.get_cloud("cloud1.example.org").notes == "mine"


def test_machines_that_start_and_stop_meanwhile_are_no_reason_to_refuse_a_form(
    small: Any, make_machine: Any
) -> None:
    form = change(small)
    revision = small.store.get_cloud("cloud1.example.org").revision
    small.fill({"cloud1.example.org": [make_machine("another1")]})
    assert small.store.get_cloud("cloud1.example.org").revision != revision
    assert post(small, form, notes="mine").status == 303
    assert small.store.get_cloud("cloud1.example.org").notes == "mine"


def test_maintenance_does_not_end_by_a_form_that_says_nothing(small: Any) -> None:
    small.store.change_cloud("cloud1.example.org", maintenance=True)
    for body in (b"", b"maintenance=x"):
        assert send(small, f"{HERE}/maintenance", body).status == 400
    assert small.store.get_cloud("cloud1.example.org").state is CloudState.MAINTENANCE


def test_what_is_not_there_cannot_be_changed(small: Any) -> None:
    assert small.get("/clouds/none/change").status == 404
    assert send(small, "/clouds/none/change").status == 404
    assert send(small, "/clouds/none/maintenance", b"maintenance=begin").status == 404


@pytest.mark.parametrize("path", ["change", "maintenance", "refresh"])
def test_a_form_of_another_site_does_nothing(small: Any, path: str) -> None:
    revision = small.store.get_cloud("cloud1.example.org").revision
    answer = send(small, f"{HERE}/{path}", b"maintenance=begin&notes=x", Sec_Fetch_Site="cross-site")
    assert answer.status == 403
    assert small.store.get_cloud("cloud1.example.org").revision == revision and small.fleet.asked == []
