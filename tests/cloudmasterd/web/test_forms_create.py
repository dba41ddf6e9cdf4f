"""Creating a machine instance through the form, over real HTTP and without scripts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cloudmasterd.web.reading import page, post, read, send, task_of

GOOD = {
    "name": "jboss7.example.org",
    "networks": "default",
    "tags": "team=web\ntier = front",
    "notes": "The shop.\nNot on weekdays.",
    "groups": "shop, eu",
    "autostart": "yes",
}


def blank(world: Any) -> Any:
    return read(world, "/machines/new").form("/machines/new")


def test_a_filled_in_form_creates_the_machine_instance_and_leads_to_its_task(small: Any) -> None:
    task = task_of(small, post(small, blank(small), "create", **GOOD))
    assert (task.kind, task.machine_name, task.cloud) == (
        "machine.create", "jboss7.example.org", "cloud1.example.org",
    )  # fmt: skip
    assert task.asked_by == "admin"
    asked = json.dumps(task.arguments)
    assert '{"team": "web", "tier": "front"}' in asked and '["shop", "eu"]' in asked
    assert '"The shop.\\nNot on weekdays."' in asked
    text = read(small, f"/tasks/{task.id}").text
    assert "Create jboss7.example.org" in text and "admin" in text


def test_a_size_of_ones_own_may_say_its_unit(small: Any) -> None:
    answer = post(
        small, blank(small), "create", name="big1", flavor="", memory_mb="1.5 GB", vcpus="3", disk_gb="0.5 TB"
    )
    free = small.store.get_cloud("cloud1.example.org").free_memory_mb
    task_of(small, answer)
    assert free == 65536 - 3276 - 512 - 128 - 1536 - 128, "the reservation is the size that was typed"


def test_a_firmware_can_be_asked_for(small: Any) -> None:
    form = blank(small)
    assert form.values["firmware"] == ""
    task = task_of(small, post(small, form, "create", name="bios1", firmware="bios"))
    assert task.arguments["firmware"] == "bios"
    refused = post(small, blank(small), "create", name="odd1", firmware="openfirmware")
    assert refused.status == 400 and "firmware" in page(refused).marked


def test_an_iso_image_is_asked_for_by_its_volume(small: Any) -> None:
    task_of(small, post(small, blank(small), "create", name="iso1", source="iso", iso="default/boot.iso"))
    refused = post(small, blank(small), "create", name="iso2", source="iso", iso="default/none.iso")
    assert refused.status == 409
    assert "none.iso" in page(refused).text


def test_a_double_click_creates_one_machine_instance(small: Any) -> None:
    form = blank(small)
    first, second = (post(small, form, "create", name="twice1") for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    assert len(small.store.tasks.list()) == 1


def test_the_same_form_sent_again_with_another_name_is_not_taken_for_a_double_click(small: Any) -> None:
    form = blank(small)
    task_of(small, post(small, form, "create", name="one1"))
    refused = post(small, form, "create", name="two2")
    assert refused.status == 409
    again = page(refused).form("/machines/new")
    assert again.values["key"] != form.values["key"] and again.values["name"] == "two2"
    assert task_of(small, post(small, again, "create")).machine_name == "two2"


WRONG = {
    "name": "Not A Name",
    "flavor": "",
    "memory_mb": "lots",
    "vcpus": "0",
    "disk_gb": "-4",
    "source": "iso",
    "iso": "../../etc/passwd",
    "networks": "default, b@d",
    "tags": "no equals sign",
    "notes": "kept\nas typed",
    "groups": "UPPER",
    "start": None,
    "autostart": "yes",
    "cloud": "cloud1.example.org",
}


def test_every_wrong_field_is_marked_and_every_value_kept(small: Any) -> None:
    answer = post(small, blank(small), "create", **WRONG)
    assert answer.status == 400
    shown = page(answer)
    wrong = {"name", "memory_mb", "vcpus", "disk_gb", "iso", "networks", "tags", "groups"}
    assert set(shown.marked) == wrong
    assert all(shown.error(name) for name in wrong)
    assert "lots" in shown.error("memory_mb") and "64" in shown.error("memory_mb")
    assert {f"#f-{name}" for name in wrong} <= set(shown.links), "the summary leads to each of them"
    kept = shown.form("/machines/new").values
    for name, value in WRONG.items():
        assert kept.get(name) == value, name
    assert shown.live_s == "0", "nothing may take the place of what was typed"
    assert 'id="errors" role="alert" tabindex="-1" autofocus' in answer.text
    assert small.store.tasks.list() == []


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "jboss1.example.org"}, "name"),
        ({"flavor": "", "memory_mb": "0"}, "memory_mb"),
        ({"flavor": "", "memory_mb": "-512"}, "memory_mb"),
        ({"flavor": "", "memory_mb": ""}, "memory_mb"),
        ({"flavor": "", "memory_mb": "99999999999"}, "memory_mb"),
        ({"flavor": "", "memory_mb": "1.0001 GB"}, "memory_mb"),
        ({"flavor": "", "vcpus": "two"}, "vcpus"),
        ({"flavor": "", "disk_gb": "20 sheep"}, "disk_gb"),
        ({"cloud": "cloud9.example.org"}, "cloud"),
        ({"tags": "a=1\na=2"}, "tags"),
        ({"notes": "x" * 20000}, "notes"),
    ],
)
def test_one_wrong_field_is_told_at_its_place(small: Any, typed: Any, field: str) -> None:
    answer = post(small, blank(small), "create", **{"name": "right1", **typed})
    assert answer.status in (400, 409)
    shown = page(answer)
    assert set(shown.marked) == {field}
    assert shown.error(field)


def test_a_flavor_of_another_time_is_told(small: Any) -> None:
    answer = post(small, blank(small), "create", name="right1", flavor="gigantic")
    assert answer.status == 400
    assert "gigantic" in page(answer).texts["e-flavor"]


def test_no_room_shows_the_reason_of_every_cloud_instance(small: Any) -> None:
    small.store.change_cloud("cloud3.example.org", maintenance=True, maintenance_reason="new fans")
    answer = post(small, blank(small), "create", name="huge1", flavor="", memory_mb="100 GB")
    assert answer.status == 409
    text = page(answer).text
    assert "It was not created. There is no room for it" in text
    assert "60.2 GB free, 100.1 GB needed: 39.9 GB short" in text
    assert "has not answered for" in text and "new fans" in text
    assert text.count("Refused:") == 3
    assert small.store.tasks.list() == []


def test_the_first_form_says_where_it_would_go(small: Any) -> None:
    text = read(small, "/machines/new").text
    assert "It would go to cloud1.example.org" in text
    assert "60.2 GB free, 58.1 GB left after" in text
    assert text.count("Refused:") == 2


def test_check_shows_where_it_would_go_and_makes_nothing(small: Any) -> None:
    answer = post(small, blank(small), "check", name="", flavor="large", notes="keep me")
    assert answer.status == 400, "the name is still missing"
    shown = page(answer)
    assert "60.2 GB free, 52.1 GB left after" in shown.text, "which does not hang on the name"
    assert set(shown.marked) == {"name"} and "It was not created" not in shown.text
    assert shown.form("/machines/new").values["notes"] == "keep me"
    assert post(small, blank(small), "check", name="right1").status == 200
    assert small.store.tasks.list() == []


def test_check_says_which_fields_it_needs_right(small: Any) -> None:
    shown = page(post(small, blank(small), "check", name="right1", flavor="", memory_mb="x"))
    assert "Correct the marked fields to see where it would go" in shown.text


def test_links_lead_to_a_form_with_the_place_or_the_size_chosen(small: Any) -> None:
    form = read(small, "/machines/new?cloud=cloud3.example.org&flavor=large").form("/machines/new")
    assert (form.values["cloud"], form.values["flavor"]) == ("cloud3.example.org", "large")
    form = read(small, "/machines/new?flavor=none&cloud=gone").form("/machines/new")
    assert (form.values["flavor"], form.values["cloud"]) == ("small", "gone")


def test_without_a_cloud_instance_the_form_says_so(world: Any) -> None:
    assert "There is no cloud instance yet." in read(world, "/machines/new").text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site_does_nothing(small: Any, site: str) -> None:
    answer = send(small, "/machines/new", b"name=evil1&flavor=small&do=create", Sec_Fetch_Site=site)
    assert answer.status == 403
    page(answer)
    assert small.store.tasks.list() == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 303),
        ("http://127.0.0.1:1", 403),
        ("http://evil.example.com", 403),
        ("http://evil.example.com:{port}", 403),
        ("null", 403),
    ],
)
def test_over_plain_http_the_origin_decides(small: Any, origin: str, status: int) -> None:
    # a browser sends no Sec-Fetch-Site to an address that is neither HTTPS nor its own machine
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": origin.format(port=small.port),
    }
    answer = small.ask("POST", "/machines/new", headers, b"name=one1&flavor=small&do=create")
    assert answer.status == status
    assert len(small.store.tasks.list()) == (status == 303)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"name=a1&name=b1&flavor=small&nme=x", "application/x-www-form-urlencoded", 400),
        (b"name=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"name=a"] * 200), "application/x-www-form-urlencoded", 400),
        (b'{"name": "a1"}', "application/json", 415),
        (b"name=a1", "text/plain", 415),
        (b"", "application/x-www-form-urlencoded", 400),
    ],
)
def test_what_is_no_form_of_the_page_is_refused(
    small: Any, body: bytes, content_type: str, status: int
) -> None:
    answer = send(small, "/machines/new", body, Content_Type=content_type)
    assert answer.status == status
    page(answer)
    assert small.store.tasks.list() == []


HOSTILE = "\"><script>alert(1)</script>'&amp;${1+1}</textarea>"


def test_what_was_typed_comes_back_as_text_and_nothing_else(small: Any) -> None:
    typed = dict.fromkeys(("name", "networks", "tags", "notes", "groups", "iso", "memory_mb"), HOSTILE)
    answer = post(small, blank(small), "create", **{**typed, "flavor": "", "source": "iso"})
    shown = page(answer)
    kept = shown.form("/machines/new").values
    assert {name: kept[name] for name in typed} == typed
    assert "<script>alert" not in answer.text
    for name in ("source", "flavor", "cloud"):
        answer = post(small, blank(small), "create", **{"name": "right1", name: HOSTILE})
        assert answer.status == 400
        assert "alert(1)" in page(answer).text and "<script>alert" not in answer.text
