"""What is wrong is refused in words that say what was wrong, where, and what would be right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from demo.cloud import Cloud
from demo.nodes import ISO
from tests.integration.machines import (
    done,
    free_mb,
    get,
    refused,
    send,
    spec,
    tasks,
)
from tests.integration.support import eventually, get_cloud, refresh

CLOUD = "cloud1.example.org"


@pytest.fixture(scope="module", autouse=True)
def nothing_is_made(cloud: Cloud) -> Iterator[None]:
    before = free_mb(cloud), len(get(cloud, "/machines?limit=1000")["items"])
    yield
    assert (free_mb(cloud), len(get(cloud, "/machines?limit=1000")["items"])) == before


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"name": "jboss1.example.org"}, 409, "there is a machine instance jboss1.example.org on cloud1"),
        ({"name": "-bad-"}, 400, "name: '-bad-': give a host name such as jboss1.example.org"),
        ({"name": "Bad.example.org"}, 400, "name: 'Bad.example.org' is not in lower case: give"),
        ({"name": "a;reboot"}, 400, "name: 'a;reboot': give a host name"),
        ({"name": "../../etc/passwd"}, 400, "name: '../../etc/passwd': give a host name"),
        ({"name": ""}, 400, "name: "),
        ({"name": 7}, 400, "name: "),
        ({"memory_mb": 0}, 400, "memory_mb: "),
        ({"memory_mb": -512}, 400, "memory_mb: "),
        ({"memory_mb": "512"}, 400, "memory_mb: "),
        ({"memory_mb": 512.5}, 400, "memory_mb: "),
        ({"memory_mb": 10**9}, 400, "memory_mb: "),
        ({"memory_mb": 1024 * 1024}, 409, "cloud1.example.org: "),
        ({"vcpus": 0}, 400, "vcpus: "),
        ({"vcpus": 64}, 409, "cloud1.example.org: 16 CPUs, 64 vCPUs wanted"),
        ({"disks": [{"size_gb": 0}]}, 400, "disks[0].size_gb: "),
        ({"disks": [{"size_gb": 101}]}, 409, "pool 'default' has 100 GB free, 101 GB needed"),
        ({"disks": [{"size_gb": 1, "pool": "fast"}]}, 409, "no pool 'fast'; it has default"),
        ({"disks": [{"size_gb": 1, "pool": "../x"}]}, 400, "disks[0].pool: "),
        ({"networks": ["dmz"]}, 409, "no network 'dmz'; it has default"),
        ({"networks": ["<x/>"]}, 400, "networks[0]: "),
        ({"source": {"kind": "iso", "volume": "default/none.iso"}}, 409, f"none.iso'; it has default/{ISO}"),
        ({"source": {"kind": "iso", "volume": "/etc/passwd"}}, 400, "source.volume: "),
        ({"source": {"kind": "iso"}}, 400, "source.volume: "),
        ({"source": {"kind": "floppy"}}, 400, "source.kind: "),
        ({"firmware": "uefi"}, 409, "no firmware 'uefi'; it has bios"),
        ({"arch": "s390x"}, 409, "arch x86_64, s390x wanted"),
        ({"cloud": "cloud9.example.org"}, 400, "there is no cloud instance 'cloud9.example.org'; there are"),
        ({"flavor": "smal", "memory_mb": None, "disks": None}, 400, "did you mean 'small'?"),
        ({"memry_mb": 512}, 400, "memry_mb: "),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_field_is_named_with_what_would_be_right(
    cloud: Cloud, change: dict[str, Any], status: int, words: str
) -> None:
    before = len(tasks(cloud))
    assert refused(cloud, "POST", "/machines", {**spec("wrong1.example.org"), **change})[0] == status
    _, told = refused(cloud, "POST", "/machines", {**spec("wrong1.example.org"), **change})
    assert words in told
    assert len(tasks(cloud)) == before


def test_all_that_is_wrong_is_named_at_once(cloud: Cloud) -> None:
    body = {"name": "-", "memory_mb": "x", "vcpus": -1, "networks": "default", "color": "red"}
    reply = send(cloud, "POST", "/machines", body)
    assert reply.status == 400
    assert {e["field"] for e in reply.json["errors"]} == set(body)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"memory_mb": 1024 * 1024}, 400, "memory_mb: at most "),
        ({"memory_mb": 0}, 400, "memory_mb: "),
        ({"name": "jboss2.example.org"}, 409, "there is a machine instance jboss2.example.org"),
        ({}, 400, "nothing to change"),
    ],
)
def test_a_wrong_change_is_refused_too(cloud: Cloud, change: dict[str, Any], status: int, words: str) -> None:
    found, told = refused(cloud, "PATCH", "/machines/jboss1.example.org", change)
    assert found == status and words in told


def test_a_name_that_is_being_given_away_is_taken(cloud: Cloud) -> None:
    name = "twice1.example.org"
    first = send(cloud, "POST", "/machines", spec(name))
    status, words = refused(cloud, "POST", "/machines", spec(name))
    assert first.status == 202 and status == 409 and name in words
    assert send(cloud, "GET", f"/tasks/{first.json['id']}", Prefer="wait=50").json["state"] == "done"
    done(cloud, "DELETE", f"/machines/{name}?force=true")


def test_no_machine_of_that_name_is_404(cloud: Cloud) -> None:
    for method, path in (("POST", "/start"), ("PATCH", ""), ("DELETE", ""), ("POST", "/adopt")):
        body = {"vcpus": 2} if method == "PATCH" else None
        status, words = refused(cloud, method, f"/machines/nobody.example.org{path}", body)
        assert status == 404 and "nobody.example.org" in words


def test_a_cloud_instance_that_is_away_is_refused_at_once(cloud: Cloud) -> None:
    away = "cloud3.example.org"
    cloud.end(away)
    try:
        eventually(lambda: get_cloud(cloud, away)["state"] == "unreachable", f"{away} unreachable")
        status, words = refused(cloud, "POST", "/machines", spec("away1.example.org", cloud=away))
        assert status == 409 and f"{away} cannot take it: has not answered for" in words
        name = cloud.node(away).machines[0].name
        status, words = refused(cloud, "POST", f"/machines/{name}/pause")
        assert status == 504 and f"{name} is on {away}, which cannot be reached" in words
    finally:
        cloud.start_minion(away)
        refresh(cloud, away)
