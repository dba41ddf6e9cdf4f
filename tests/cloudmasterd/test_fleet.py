"""The fleet over a real store: what a refresh leaves there, whatever the cloud instances do."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from cloudmasterd.errors import CloudRefused, CloudUnreachable, NotFound, RemoteFault
from cloudmasterd.fleet import Fleet, Outcome
from cloudmasterd.inventory import fallback_uuid
from cloudmasterd.model import CloudState, MachineState
from cloudmasterd.store import Store
from cloudmasterd.turns import Turns
from tests.blank import blank
from tests.fakes import START, ClassicMinion, FakeClock, FakeFabric, FakeMinion, machine, wait_for

DOWN = CloudUnreachable("cloud2 did not answer within 10 s: check that it runs")


class House:
    """A fleet of cloud1, cloud2 and cloud3, each with one machine of its name's number."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.fabric = FakeFabric(cloud1=FakeMinion(), cloud2=FakeMinion(), cloud3=FakeMinion())
        for number, minion in enumerate(self.fabric.minions.values(), start=1):
            minion.put(machine(f"m{number}"))
        self.store = Store(blank(folder / "db"))
        self.outcomes: list[Outcome] = []
        self.fleet = Fleet(self.store, self.fabric, self.clock, listener=self.outcomes.append)
        self.names = self.fleet.discover()

    def minion(self, name: str) -> FakeMinion:
        minion = self.fabric.minions[name]
        assert isinstance(minion, FakeMinion)
        return minion

    def machines(self) -> dict[str, str]:
        return {m.name: m.cloud for m in self.store.list_machines()}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.fabric.close()
    house.store.close()


def test_discovered_cloud_instances_are_new_and_know_their_certificates_end(house: House) -> None:
    house.fabric.expiries["cloud1"] = START
    assert house.fleet.discover() == ["cloud1", "cloud2", "cloud3"]
    cloud = house.store.get_cloud("cloud1")
    assert (cloud.state, cloud.certificate_expires_at) == (CloudState.NEW, START)


def test_a_refresh_brings_figures_and_machines_into_the_store(house: House) -> None:
    house.fleet.refresh(house.names)
    cloud = house.store.get_cloud("cloud1")
    assert (cloud.state, cloud.memory_mb, cloud.free_memory_mb) == (
        CloudState.UP,
        8192,
        8192 - 1024 - 512 - 128,
    )
    assert cloud.observed_at == START
    assert house.machines() == {"m1": "cloud1", "m2": "cloud2", "m3": "cloud3"}
    assert house.outcomes == [Outcome("cloud1"), Outcome("cloud2"), Outcome("cloud3")]


def test_what_is_learned_is_written_after_those_who_ask_for_something(house: House) -> None:
    own, looked = threading.get_ident(), threading.Event()

    def monotonic() -> float:
        if threading.get_ident() != own:
            looked.set()  # it gives way
        return time.monotonic()

    turns = Turns(600, monotonic)
    fleet = Fleet(house.store, house.fabric, house.clock, turns=turns)
    with ThreadPoolExecutor(1) as pool:
        with turns.asking():
            refresh = pool.submit(fleet.refresh, ["cloud1"])
            assert looked.wait(60)
            assert house.machines() == {}
        refresh.result(60)
    assert house.machines() == {"m1": "cloud1"}


def test_only_changes_are_asked_for_with_the_cursor_stored(house: House) -> None:
    house.fleet.refresh(["cloud1"])
    minion = house.minion("cloud1")
    minion.put(machine("m9"))
    del minion.machines[machine("m1").uuid]
    house.fleet.refresh(["cloud1"])
    assert minion.cursors == ["", "c1"]
    assert house.machines() == {"m9": "cloud1"}
    assert house.store.list_cursors()["cloud1"] == "c2"


def test_an_unchanged_answer_makes_the_figures_young_and_changes_nothing_else(house: House) -> None:
    house.fleet.refresh(["cloud1"])
    count = house.store.change_count
    house.clock.advance(15)
    house.fleet.refresh(["cloud1"])
    assert house.store.change_count == count
    assert house.store.get_cloud("cloud1").observed_at == START + timedelta(seconds=15)


def test_a_minion_that_forgot_the_cursor_sends_everything_again(house: House) -> None:
    house.fleet.refresh(["cloud1"])
    minion = house.minion("cloud1")
    minion.reset()
    minion.machines.clear()
    minion.put(machine("m7"))
    house.fleet.refresh(["cloud1"])
    assert house.machines() == {"m7": "cloud1"}


def test_a_dead_cloud_does_not_hide_the_others(house: House) -> None:
    house.fleet.refresh(house.names)
    house.fabric.down["cloud2"] = DOWN
    house.minion("cloud3").put(machine("m8"))
    house.clock.advance(60)
    house.fleet.refresh(house.names)
    dead = house.store.get_cloud("cloud2")
    assert (dead.state, dead.error) == (CloudState.UNREACHABLE, str(DOWN))
    assert (dead.observed_at, dead.memory_mb, dead.machines) == (START, 8192, 1)
    assert house.machines()["m8"] == "cloud3"


def test_a_cloud_that_comes_back_loses_its_error(house: House) -> None:
    house.fabric.down["cloud2"] = DOWN
    house.fleet.refresh(house.names)
    del house.fabric.down["cloud2"]
    house.fleet.refresh(house.names)
    assert house.store.get_cloud("cloud2").error is None


def test_a_hung_cloud_does_not_delay_the_data_of_the_others(house: House) -> None:
    house.fabric.hung["cloud2"] = threading.Event()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(house.fleet.refresh, house.names)
        wait_for(lambda: house.machines() == {"m1": "cloud1", "m3": "cloud3"}, "the data of the others")
        assert not running.done()
        house.fabric.hung["cloud2"].set()
    assert running.exception() is None
    assert house.machines()["m2"] == "cloud2"


def test_a_moved_machine_shows_once(house: House) -> None:
    house.fleet.refresh(house.names)
    moved = house.minion("cloud1").machines.pop(machine("m1").uuid)
    house.minion("cloud3").put(moved)
    house.fleet.refresh(["cloud3"])
    house.fleet.refresh(["cloud1"])
    assert house.machines()["m1"] == "cloud3"


def test_a_broken_answer_is_one_clouds_trouble_and_leaves_its_last_figures(house: House, monkeypatch) -> None:
    house.fleet.refresh(house.names)
    monkeypatch.setattr(house.minion("cloud1"), "inventory", lambda cursor: '{"format": 1}')
    house.fleet.refresh(house.names)
    cloud = house.store.get_cloud("cloud1")
    assert cloud.state is CloudState.UNREACHABLE
    assert cloud.error is not None and "virt.inventory of cloud1: the answer: full is nothing" in cloud.error
    assert house.machines() == {"m1": "cloud1", "m2": "cloud2", "m3": "cloud3"}
    assert house.store.get_cloud("cloud2").state is CloudState.UP


def test_changes_in_place_of_everything_are_refused(house: House, monkeypatch) -> None:
    changes = '{"format":1,"full":false,"cursor":"x","cloud":null,"machines":[],"gone":[]}'
    monkeypatch.setattr(house.minion("cloud1"), "inventory", lambda cursor: changes)
    with pytest.raises(RemoteFault, match="only changes, though everything was asked for"):
        house.fleet.refresh_cloud("cloud1")
    assert house.store.list_cursors()["cloud1"] is None


def test_a_cloud_whose_certificate_is_gone_is_not_asked_and_says_what_to_do(house: House) -> None:
    house.fleet.refresh(house.names)
    house.fabric.without_certificate.add("cloud1")
    assert house.fleet.discover() == ["cloud2", "cloud3"]
    cloud = house.store.get_cloud("cloud1")
    assert cloud.state is CloudState.UNREACHABLE
    assert cloud.error is not None and "certmaster-ca --sign cloud1" in cloud.error
    with pytest.raises(CloudUnreachable, match="holds no certificate for cloud1"):
        house.fleet.refresh_cloud("cloud1")
    assert len(house.minion("cloud1").cursors) == 1
    house.fabric.without_certificate.clear()
    assert house.fleet.refresh_cloud("cloud1").state is CloudState.UP


def test_unknown_names_are_left_out_of_a_refresh(house: House) -> None:
    house.fleet.refresh(["nobody", "cloud1"])
    assert house.fabric.asked == [["cloud1"]]
    with pytest.raises(NotFound):
        house.store.get_cloud("nobody")


def test_a_refresh_on_demand_returns_what_it_found(house: House) -> None:
    cloud = house.fleet.refresh_cloud("cloud1")
    assert (cloud.state, cloud.machines) == (CloudState.UP, 1)
    assert house.outcomes == [Outcome("cloud1", asked_for=True)]


def test_a_refresh_on_demand_of_a_stranger_is_not_found(house: House) -> None:
    with pytest.raises(NotFound, match="nobody"):
        house.fleet.refresh_cloud("nobody")


def test_a_refresh_on_demand_finds_a_cloud_enrolled_a_moment_ago(house: House) -> None:
    house.fabric.minions["cloud4"] = FakeMinion()
    assert house.fleet.refresh_cloud("cloud4").state is CloudState.UP


@pytest.mark.parametrize("error", [DOWN, CloudRefused("not trusted"), RemoteFault("HostError", "no libvirt")])
def test_a_refresh_on_demand_that_fails_raises_and_the_store_knows(house: House, error: Exception) -> None:
    house.fabric.down["cloud2"] = error
    with pytest.raises(type(error)) as caught:
        house.fleet.refresh_cloud("cloud2")
    assert house.store.get_cloud("cloud2").error == str(caught.value)


def test_on_demand_asks_anew_after_a_running_refresh_and_all_who_wait_share_one(house: House) -> None:
    gate = house.fabric.hung["cloud2"] = threading.Event()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(house.fleet.refresh, ["cloud2"])
        assert house.fabric.waiting.acquire(timeout=60)
        waiting = [pool.submit(house.fleet.refresh_cloud, "cloud2") for _ in range(5)]
        wait_for(lambda: len(house.fleet._flights._changed._waiters) == 5, "five waiting callers")
        house.fleet.refresh(["cloud2"])  # is left out: it runs already
        assert house.minion("cloud2").cursors == []
        gate.set()
        assert running.exception() is None
        assert [future.result().state for future in waiting] == [CloudState.UP] * 5
    assert house.minion("cloud2").cursors == ["", "c1"]


def test_a_store_that_fails_raises_and_frees_the_cloud_for_the_next(house: House) -> None:
    broken = Fleet(BrokenStore(house.store), house.fabric, house.clock)
    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            broken.refresh(["cloud1"])
    assert house.minion("cloud1").cursors == ["", ""]


class BrokenStore:
    """A store on a disk that fails when something is written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def reconcile(self, *_: object) -> None:
        raise OSError("disk")


def test_after_close_answers_are_dropped(house: House) -> None:
    gate = house.fabric.hung["cloud2"] = threading.Event()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(house.fleet.refresh, house.names)
        assert house.fabric.waiting.acquire(timeout=60)
        house.fleet.close()
        house.fabric.down["cloud2"] = DOWN
        gate.set()
        assert running.exception() is None
    assert house.store.get_cloud("cloud2").state is CloudState.NEW


CLASSIC_UUID = str(uuid.UUID(int=77))


def classic(house: House) -> ClassicMinion:
    minion = ClassicMinion(machines=[("old1", "running", 512, CLASSIC_UUID), ("old2", "shutdown", 256, None)])
    house.fabric.minions["cloud1"] = minion
    return minion


def test_a_historic_minion_appears_in_the_same_list(house: House) -> None:
    classic(house)
    house.fleet.refresh(house.names)
    assert house.machines() == {"old1": "cloud1", "old2": "cloud1", "m2": "cloud2", "m3": "cloud3"}
    cloud = house.store.get_cloud("cloud1")
    assert (cloud.memory_mb, cloud.free_memory_mb, cloud.live_free_memory_mb) == (4096, 2432, 3328)
    assert house.store.get_machine("old1").uuid == CLASSIC_UUID
    assert house.store.get_machine("old2").state is MachineState.OFF


def test_a_machine_whose_uuid_cannot_be_had_gets_a_steady_one(house: House) -> None:
    minion = classic(house)
    house.fleet.refresh(["cloud1"])
    house.fleet.refresh(["cloud1"])
    assert house.store.get_machine("old2").uuid == fallback_uuid("cloud1", "old2")
    assert minion.asked.count("virt.get_xml") == 2


def test_a_historic_minion_is_remembered_and_tried_again_after_an_hour(house: House) -> None:
    minion = classic(house)
    for seconds in (0, 15, 3600):
        house.clock.advance(seconds)
        house.fleet.refresh(["cloud1"])
    assert [method for method in minion.asked if method == "virt.info"] == ["virt.info"] * 3
    assert sum(method not in ("virt.info", "virt.freemem", "virt.nodeinfo", "virt.state", "virt.get_xml")
               for method in minion.asked) == 2  # fmt: skip


def test_a_historic_minion_that_was_away_may_come_back_as_a_newer_one(house: House) -> None:
    classic(house)
    house.fleet.refresh(["cloud1"])
    house.fabric.down["cloud1"] = DOWN
    house.fleet.refresh(["cloud1"])
    del house.fabric.down["cloud1"]
    newer = house.fabric.minions["cloud1"] = FakeMinion()
    house.fleet.refresh(["cloud1"])
    assert newer.cursors == [""]


def test_a_minion_without_any_virt_module_says_so(house: House) -> None:
    house.fabric.down["cloud1"] = RemoteFault("ModuleNotFoundException", "no module virt")
    house.fleet.refresh(house.names)
    assert house.store.get_cloud("cloud1").error == "ModuleNotFoundException: no module virt"
    assert house.store.get_cloud("cloud2").state is CloudState.UP


def test_broken_classic_answers_leave_the_last_figures(house: House, monkeypatch) -> None:
    minion = classic(house)
    house.fleet.refresh(["cloud1"])
    monkeypatch.setattr(minion, "machines", [("old1", "running", -5, CLASSIC_UUID)])
    house.fleet.refresh(["cloud1"])
    cloud = house.store.get_cloud("cloud1")
    assert cloud.state is CloudState.UNREACHABLE and cloud.machines == 2


# Removed cloud instances.


def remove(house: House, name: str) -> None:
    house.fabric.without_certificate.add(name)
    assert house.fleet.remove(name, "ann") == []


def test_an_answer_that_was_under_way_does_not_bring_a_removed_one_back(house: House) -> None:
    house.fabric.hung["cloud1"] = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(house.fleet.refresh, ["cloud1"])
        assert house.fabric.waiting.acquire(timeout=60)
        remove(house, "cloud1")
        house.fabric.hung["cloud1"].set()
        going.result(60)
    assert [cloud.name for cloud in house.store.list_clouds()] == ["cloud2", "cloud3"]


def test_nor_does_its_silence(house: House) -> None:
    house.fleet.refresh(house.names)
    house.fabric.hung["cloud1"] = threading.Event()
    house.fabric.down["cloud1"] = DOWN
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(house.fleet.refresh, ["cloud1"])
        assert house.fabric.waiting.acquire(timeout=60)
        remove(house, "cloud1")
        house.fabric.hung["cloud1"].set()
        going.result(60)
    assert [cloud.name for cloud in house.store.list_clouds()] == ["cloud2", "cloud3"]
    assert house.machines() == {"m2": "cloud2", "m3": "cloud3"}


def test_a_removed_one_is_not_found_and_not_asked(house: House) -> None:
    house.fleet.refresh(house.names)
    remove(house, "cloud1")
    assert house.fleet.discover() == ["cloud2", "cloud3"]
    asked = len(house.fabric.asked)
    house.fleet.refresh(["cloud1"])
    with pytest.raises(NotFound):
        house.fleet.refresh_cloud("cloud1")
    assert len(house.fabric.asked) == asked


def test_a_removed_one_that_enrols_anew_is_there_again(house: House) -> None:
    house.fleet.refresh(house.names)
    remove(house, "cloud1")
    house.fabric.without_certificate.clear()
    assert house.fleet.discover() == house.names
    house.fleet.refresh(house.names)
    assert house.machines() == {"m1": "cloud1", "m2": "cloud2", "m3": "cloud3"}
