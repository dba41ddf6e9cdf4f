"""Calls of the module `machine`: remote failures in our words, and resources that are not asked too often."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudmasterd.errors import (
    CloudError,
    CloudRefused,
    CloudUnreachable,
    Conflict,
    Invalid,
    MachineExists,
    NoRoom,
    NotFound,
    RemoteFault,
    Unsupported,
)
from cloudmasterd.operations import Operations, ResourceCache, outcome_is_known
from tests.fakes import FakeClock, FakeFabric, FakeMinion, WorkingMinion

KINDS = {
    "NameTaken": MachineExists, "NoSuchMachine": NotFound, "NoSuchNetwork": Invalid, "NoSuchPool": Invalid,
    "NoSuchVolume": Invalid, "BadSpec": Invalid, "VolumeExists": Conflict, "VolumeInUse": Conflict,
    "WrongState": Conflict, "OperationMismatch": Conflict, "DiskFull": NoRoom, "Unsupported": Unsupported,
    "HostError": RemoteFault,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_remote_kind_is_an_error_of_ours_with_the_remote_text_alone(kind: str) -> None:
    minion = WorkingMinion()
    minion.failing["start"] = (kind, "what was wrong, where and what would be right")
    operations = Operations(FakeFabric(cloud1=minion))
    with pytest.raises(KINDS[kind]) as caught:
        operations.perform("cloud1", "operation-1", "start", {"uuid": "u"})
    assert str(caught.value).endswith("what was wrong, where and what would be right")
    assert "machine.perform failed" not in str(caught.value)
    assert outcome_is_known(caught.value)


def test_a_minion_without_the_module_is_too_old_and_says_which_is_not() -> None:
    operations = Operations(FakeFabric(cloud1=FakeMinion()))
    with pytest.raises(Unsupported, match=r"the func of cloud1 is too old .* came with func 2\.0"):
        operations.resources("cloud1")


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (CloudUnreachable("gone"), False),
        (CloudRefused("not trusted"), False),
        (RemoteFault("BadReply", "half an answer"), False),
        (RemoteFault("HostError", "libvirt said no"), True),
        (Conflict("in use"), True),
    ],
)
def test_only_an_answer_of_the_cloud_instance_settles_what_became_of_an_operation(
    error: CloudError, known: bool
) -> None:
    assert outcome_is_known(error) is known


@pytest.mark.parametrize("answer", ["", "[]", "no json", 7, None])
def test_an_answer_that_is_no_object_is_a_bad_reply(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    minion = WorkingMinion()
    monkeypatch.setattr(minion, "call", lambda method, args: answer)
    with pytest.raises(RemoteFault, match="BadReply"):
        Operations(FakeFabric(cloud1=minion)).resources("cloud1")


def cache() -> tuple[WorkingMinion, FakeFabric, FakeClock, ResourceCache]:
    minion, clock = WorkingMinion(), FakeClock()
    fabric = FakeFabric(cloud1=minion)
    return minion, fabric, clock, ResourceCache(Operations(fabric), clock)


def test_resources_are_asked_once_in_a_minute() -> None:
    minion, _, clock, resources = cache()
    found, age = resources.get("cloud1")
    assert (found.networks, found.default_pool, age) == (("default",), "default", 0.0)
    clock.advance(60)
    assert resources.get("cloud1")[1] == 60
    clock.advance(1)
    assert resources.get("cloud1")[1] == 0
    assert minion.asked["machine.resources"] == 2


def test_who_does_not_answer_is_not_asked_by_every_request_and_not_forgotten() -> None:
    minion, fabric, clock, resources = cache()
    resources.fill(["cloud1"], within_s=1)
    clock.advance(61)
    fabric.down["cloud1"] = CloudUnreachable("gone")
    for _ in range(3):
        resources.fill(["cloud1"], within_s=1)
    found = resources.heard("cloud1")
    assert found is not None and found[1] == 61, "when it was asked in vain is not when it said so"
    assert (minion.asked["machine.resources"], len(fabric.asked)) == (1, 2)


def test_many_who_come_at_once_cost_one_question() -> None:
    minion, fabric, _, resources = cache()
    fabric.hung["cloud1"] = threading.Event()
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(resources.fill, ["cloud1"], within_s=5) for _ in range(20)]
        assert fabric.waiting.acquire(timeout=60)
        fabric.hung["cloud1"].set()
        assert [future.result() for future in waiting] == [None] * 20
    assert minion.asked["machine.resources"] == 1
