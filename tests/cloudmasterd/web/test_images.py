"""Images over real HTTP: announced, sent in chunks, resumed, checked, shown and deleted."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

import pytest

from cloudmasterd.images import _NEW, MAX_CHUNK_BYTES
from cloudmasterd.web.openapi_images import IMAGE_SCHEMAS
from cloudmasterd.web.transport import MAX_CHUNK
from tests.cloudmasterd.web.reading import page, post, read, task_of

IMAGES = "/api/v1/images"
MIB = 2**20
DATA = os.urandom(5 * MIB)
OCTETS = {"Content-Type": "application/octet-stream"}


def announce(world: Any, data: bytes = DATA, name: str = "debian-12", **more: Any) -> Any:
    sha256 = hashlib.sha256(data).hexdigest()
    return world.send(
        "POST", IMAGES, {"name": name, "format": "raw", "sha256": sha256, "size_bytes": len(data), **more}
    )


def put(world: Any, offset: int, data: bytes, name: str = "debian-12") -> Any:
    return world.ask("PUT", f"{IMAGES}/{name}/data?offset={offset}", OCTETS, data)


def test_an_image_is_announced_sent_and_ready(world: Any) -> None:
    told = announce(world, notes="nightly", min_disk_gb=4)
    assert (told.status, told.headers["location"]) == (201, f"{IMAGES}/debian-12")
    assert (told.json()["state"], told.json()["received_bytes"]) == ("uploading", 0)
    half = put(world, 0, DATA[: 4 * MIB])
    assert (half.status, half.json()["received_bytes"]) == (200, 4 * MIB)
    whole = put(world, 4 * MIB, DATA[4 * MIB :]).json()
    assert (whole["state"], whole["virtual_size"], whole["min_disk_gb"]) == ("ready", 5 * MIB, 4)
    assert world.get(f"{IMAGES}/debian-12").json() == whole
    assert world.get(IMAGES).json()["items"] == [whole]
    again = world.get(f"{IMAGES}/debian-12", If_None_Match=whole_etag(world))
    assert again.status == 304


def whole_etag(world: Any) -> str:
    return str(world.get(f"{IMAGES}/debian-12").headers["etag"])


def test_a_chunk_at_the_wrong_place_is_told_the_right_one(world: Any) -> None:
    announce(world)
    put(world, 0, DATA[:MIB])
    for offset, data in ((2 * MIB, DATA[:MIB]), (MIB // 2, DATA[MIB // 2 : 2 * MIB])):
        answer = put(world, offset, data)
        assert answer.status == 409
        assert answer.json()["errors"] == [{"field": "offset", "message": f"offset={MIB}"}]


def test_an_image_may_be_larger_than_nine_digits_say(world: Any) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest()
    told = {"name": "debian-12", "format": "raw", "sha256": sha256, "size_bytes": 2**40}
    assert world.send("POST", IMAGES, told).status == 201
    answer = put(world, 2**39, DATA[:MIB])
    assert (answer.status, answer.json()["errors"][0]["message"]) == (409, "offset=0")


def test_a_chunk_that_is_there_changes_nothing_unless_it_is_another(world: Any) -> None:
    announce(world)
    before = put(world, 0, DATA[:MIB]).json()
    assert put(world, 0, DATA[:MIB]).json() == before
    other = put(world, 0, bytes(MIB))
    assert other.status == 409 and "is not this" in other.json()["detail"]


def test_the_last_chunk_can_be_sent_again_when_its_answer_was_lost(world: Any) -> None:
    announce(world, DATA[:MIB])
    ready = put(world, 0, DATA[:MIB]).json()
    assert put(world, 0, DATA[:MIB]).json() == ready


def test_a_wrong_checksum_tells_both_and_the_data_is_gone(world: Any, tmp_path: Any) -> None:
    announce(world, DATA[:MIB])
    answer = put(world, 0, bytes(MIB))
    assert answer.status == 409
    for data in (DATA[:MIB], bytes(MIB)):
        assert hashlib.sha256(data).hexdigest() in answer.json()["detail"]
    found = world.get(f"{IMAGES}/debian-12").json()
    assert (found["state"], found["received_bytes"]) == ("corrupt", 0)
    assert list((tmp_path / "images").iterdir()) == []
    assert put(world, 0, bytes(512)).status == 409
    assert announce(world, DATA[:MIB]).status == 201  # a corrupt one is replaced
    assert put(world, 0, DATA[:MIB]).json()["state"] == "ready"


def test_more_than_was_announced_is_refused(world: Any) -> None:
    announce(world, DATA[:512])
    assert put(world, 0, DATA[:513]).status == 400
    assert put(world, 0, b"").status == 400


def test_a_chunk_has_at_most_4_mib(world: Any) -> None:
    announce(world)
    assert put(world, 0, DATA[: MAX_CHUNK + 1]).status == 413
    assert MAX_CHUNK == MAX_CHUNK_BYTES
    assert world.send("POST", IMAGES, {"notes": "x" * MIB}).status == 413


def test_data_is_sent_as_octets(world: Any) -> None:
    announce(world)
    answer = world.ask("PUT", f"{IMAGES}/debian-12/data", {"Content-Type": "text/plain"}, b"x")
    assert (answer.status, answer.headers["accept"]) == (415, "application/octet-stream")


def test_every_wrong_field_is_named(world: Any) -> None:
    answer = world.send(
        "POST", IMAGES, {"name": "../x", "format": "vmdk", "sha256": "AB", "size_bytes": 0, "min_disk": 1}
    )
    assert answer.status == 400
    told = {error["field"]: error["message"] for error in answer.json()["errors"]}
    assert set(told) == {"name", "format", "sha256", "size_bytes", "min_disk"}
    assert "did you mean 'min_disk_gb'?" in told["min_disk"]


def test_a_name_is_given_once(world: Any) -> None:
    announce(world)
    answer = announce(world)
    assert answer.status == 409 and "DELETE /api/v1/images/debian-12" in answer.json()["detail"]


def test_a_deleted_image_is_gone_with_its_file(world: Any, tmp_path: Any) -> None:
    announce(world, DATA[:512])
    put(world, 0, DATA[:512])
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["debian-12.img"]
    answer = world.send("DELETE", f"{IMAGES}/debian-12")
    assert (answer.status, answer.body) == (204, b"")
    assert list((tmp_path / "images").iterdir()) == []
    assert world.get(f"{IMAGES}/debian-12").status == 404
    assert world.send("DELETE", f"{IMAGES}/debian-12").status == 404


def test_lists_have_pages_and_fields(world: Any) -> None:
    for name in ("a", "b", "c"):
        announce(world, DATA[:512], name)
    first = world.get(f"{IMAGES}?limit=2&fields=name").json()
    assert first["items"] == [{"name": "a"}, {"name": "b"}]
    assert world.get(first["next"]).json() == {"items": [{"name": "c"}], "next": None}


def test_a_machine_cannot_be_placed_on_an_image_that_is_not_there(small: Any) -> None:
    body = {"name": "web9", "memory_mb": 512, "source": {"kind": "image", "image": "none"}}
    for path in ("/api/v1/machines", "/api/v1/placements"):
        answer = small.send("POST", path, body)
        assert answer.status == 400
        assert answer.json()["errors"][0]["field"] == "source.image"


def test_a_task_shows_nothing_of_what_is_for_cloud_init(small: Any) -> None:
    announce(small, DATA[:512])
    put(small, 0, DATA[:512])
    source = {"kind": "image", "image": "debian-12", "cloud_init": {"user_data": "#!/bin/sh hunter2"}}
    answer = small.send("POST", "/api/v1/machines", {"name": "web9", "memory_mb": 512, "source": source})
    assert answer.status == 202, answer.text
    for path in (answer.headers["location"], "/api/v1/tasks?fields=steps", "/api/v1/events", "/tasks/1"):
        accept = "text/html" if path.startswith("/tasks") else "application/json"
        assert "hunter2" not in small.get(path, Accept=accept).text


def test_what_can_be_sent_is_described() -> None:
    schema = IMAGE_SCHEMAS["ImageCreate"]
    assert set(schema["properties"]) == {field.name for field in _NEW}
    assert set(schema["required"]) == {field.name for field in _NEW if not field.may_be_null}


@pytest.mark.parametrize("state", ["uploading", "ready", "corrupt"])
def test_the_page_shows_how_far_each_is(world: Any, state: str) -> None:
    announce(world, DATA[: 2 * MIB], notes="<b>nightly</b>")
    if state != "uploading":
        put(world, 0, DATA[: 2 * MIB] if state == "ready" else bytes(2 * MIB))
    else:
        put(world, 0, DATA[:MIB])
    page = read(world, "/images")
    assert "debian-12" in page.text and "<b>nightly</b>" in page.text
    assert {"uploading": "uploading, 50 %", "ready": "ready", "corrupt": "SHA-256"}[state] in page.text
    assert "2 MB" in page.text and "1 GB" in page.text


def test_the_page_says_how_to_upload_and_leads_there_from_everywhere(world: Any) -> None:
    page = read(world, "/images")
    assert "There is no image yet." in page.text
    assert f"MASTER=http://127.0.0.1:{world.port}" in page.text
    assert "/images" in read(world, "/").links


KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode() + " ada"


def test_a_machine_is_cloned_from_the_form(small: Any) -> None:
    announce(small, DATA[:512], min_disk_gb=3)
    assert "There is none yet" in read(small, "/machines/new").text
    put(small, 0, DATA[:512])
    form = read(small, "/machines/new").form("/machines/new")
    typed = {"name": "web9", "source": "image", "image": "debian-12", "ssh_keys": f"{KEY}\n\n"}
    task = task_of(small, post(small, form, "create", user_data="#!/bin/sh\nhunter2\n", **typed))
    assert task.arguments["source"]["image"] == "debian-12"
    assert json.loads(small.store.tasks.get_secret(task.id)) == {
        "ssh_keys": [KEY], "user_data": "#!/bin/sh\nhunter2"
    }  # fmt: skip
    assert "hunter2" not in small.get(f"/tasks/{task.id}", Accept="text/html").text


def test_what_is_wrong_with_a_clone_stands_at_its_field(small: Any) -> None:
    announce(small, DATA[:512], min_disk_gb=30)
    put(small, 0, DATA[:512])
    form = read(small, "/machines/new").form("/machines/new")
    typed = {"name": "web9", "source": "image", "image": "debian-12"}
    refused = page(post(small, form, "create", **typed))
    assert "larger than the disk" in refused.texts["e-flavor"]
    wrong = page(post(small, form, "create", **{**typed, "ssh_keys": "no key", "user_data": "x"}))
    assert "is no kind of key" in wrong.error("ssh_keys")
    assert "#cloud-config" in wrong.error("user_data")
    gone = page(post(small, form, "create", **{**typed, "image": "none"}))
    assert "There is no image 'none'" in gone.error("image")
