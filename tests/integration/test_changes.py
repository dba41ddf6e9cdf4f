"""What changes in libvirt is in the answer: at the next look, or at once after a refresh."""

from __future__ import annotations

import time

import pytest

from demo.cloud import Cloud
from tests.integration.support import (
    ask,
    eventually,
    expected_free_mb,
    find_machine,
    func_call,
    get_cloud,
    list_machines,
    refresh,
)  # fmt: skip

OVERHEAD_MB = 128


def test_a_machine_started_and_stopped_by_func_shows_at_the_next_look(cloud: Cloud) -> None:
    node = cloud.node("cloud2.example.org")
    off = next(m for m in node.machines if m.state == "off")
    before = get_cloud(cloud, node.name)
    assert before["free_memory_mb"] == expected_free_mb(node)

    func_call(cloud, node.name, "virt", "create", off.name)
    eventually(lambda: find_machine(cloud, off.name)["state"] == "running", f"{off.name} running")
    after = get_cloud(cloud, node.name)
    assert after["free_memory_mb"] == before["free_memory_mb"] - off.memory_mb - OVERHEAD_MB
    assert after["running"] == before["running"] + 1

    func_call(cloud, node.name, "virt", "destroy", off.name)
    eventually(lambda: find_machine(cloud, off.name)["state"] == "off", f"{off.name} off")
    assert get_cloud(cloud, node.name)["free_memory_mb"] == before["free_memory_mb"]


def test_a_paused_machine_keeps_its_memory(cloud: Cloud) -> None:
    before = get_cloud(cloud, "cloud3.example.org")
    func_call(cloud, "cloud3.example.org", "virt", "pause", "jboss5.example.org")
    eventually(lambda: find_machine(cloud, "jboss5.example.org")["state"] == "paused", "paused")
    assert get_cloud(cloud, "cloud3.example.org")["free_memory_mb"] == before["free_memory_mb"]
    func_call(cloud, "cloud3.example.org", "virt", "unpause", "jboss5.example.org")


def test_the_age_of_the_figures_grows_no_older_than_a_few_looks(cloud: Cloud) -> None:
    first = get_cloud(cloud, "cloud1.example.org")["observed_at"]
    eventually(
        lambda: get_cloud(cloud, "cloud1.example.org")["observed_at"] > first, "a newer look", within_s=5
    )


# What follows happens on a libvirt that this test and the minion share; nobody looks unless asked.


def machine_xml(name: str, uuid: str, memory_mb: int) -> str:
    return (
        f"<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>{memory_mb}</memory>"
        "<vcpu>2</vcpu><os><type>hvm</type></os></domain>"
    )


def test_a_machine_defined_and_started_with_libvirt_shows_at_once_after_a_refresh(
    shared_cloud: Cloud, libvirt_uri: str
) -> None:
    libvirt = pytest.importorskip("libvirt")
    host = libvirt.open(libvirt_uri)
    host.lookupByName("test").destroy()  # the driver begins with a machine larger than its host
    assert refresh(shared_cloud, "cloud1.example.org").status == 200
    empty = get_cloud(shared_cloud, "cloud1.example.org")
    assert empty["memory_mb"] == host.getInfo()[1]
    assert empty["free_memory_mb"] == empty["memory_mb"] - 1024

    domain = host.defineXML(machine_xml("new.example.org", "7f5a0a38-52a7-4a0e-9d6b-3b52ad0a2b11", 512))
    assert find_machine(shared_cloud, "new.example.org") is None, "nobody looked yet"
    refresh(shared_cloud, "cloud1.example.org")
    assert find_machine(shared_cloud, "new.example.org")["state"] == "off"
    assert get_cloud(shared_cloud, "cloud1.example.org")["free_memory_mb"] == empty["free_memory_mb"]

    domain.create()
    answer = refresh(shared_cloud, "cloud1.example.org").json
    assert answer["free_memory_mb"] == empty["free_memory_mb"] - 512 - OVERHEAD_MB
    assert find_machine(shared_cloud, "new.example.org")["state"] == "running"

    domain.destroy()
    domain.undefine()
    refresh(shared_cloud, "cloud1.example.org")
    assert find_machine(shared_cloud, "new.example.org") is None
    host.close()


def test_a_machine_that_moved_shows_once_and_where_it_is_now(shared_cloud: Cloud, libvirt_uri: str) -> None:
    libvirt = pytest.importorskip("libvirt")
    moving = next(m for m in shared_cloud.node("cloud2.example.org").machines if m.state == "off")
    host = libvirt.open(libvirt_uri)
    host.defineXML(machine_xml(moving.name, moving.uuid, moving.memory_mb)).create()
    func_call(shared_cloud, "cloud2.example.org", "virt", "undefine", moving.name)
    refresh(shared_cloud, "cloud1.example.org")

    def places() -> list[str]:
        return [m["cloud"] for m in list_machines(shared_cloud) if m["uuid"] == moving.uuid]

    assert places() == ["cloud1.example.org"]
    refresh(shared_cloud, "cloud2.example.org")
    assert places() == ["cloud1.example.org"]
    assert ask(shared_cloud, "GET", f"/api/v1/machines/{moving.name}").json["cloud"] == "cloud1.example.org"
    host.close()


def test_a_refresh_answers_with_what_it_saw_just_now(shared_cloud: Cloud) -> None:
    before = get_cloud(shared_cloud, "cloud3.example.org")["observed_at"]
    time.sleep(0.002)  # the times have a resolution
    answer = refresh(shared_cloud, "cloud3.example.org")
    assert answer.status == 200
    assert answer.json["observed_at"] > before
