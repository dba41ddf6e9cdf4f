"""Programs as Func's users wrote them, from its documentation and the programs built upon it, on Python 3."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Optional

import pytest

import func.overlord.client as fc
from func import jobthing, utils
from func.CommonErrors import Func_Client_Exception
from func.overlord.client import Client, Minions, Overlord, Q
from func.overlord.groups import Groups
from tests.func.overlord.farm import Farm, write_root
from tests.func.overlord.historic import HistoricMinion

A, B = NAMES = ["cloud1.example.org", "cloud2.example.org"]
Historic = dict[str, HistoricMinion]


@pytest.fixture(autouse=True)
def root(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CERTMASTER_ROOT", str(tmp_path))
    return write_root(tmp_path, farm, NAMES)


def test_every_minion_answers_in_a_dict(historic: Historic) -> None:
    client = fc.Client("*")
    assert client.test.add(1, 2) == {A: 3, B: 3}
    info = fc.Client("*").hardware.info()
    for host, details in info.items():
        assert not utils.is_error(details), host
        assert details["systemMemory"] == "2001"


def test_several_names_are_split_by_semicolons(historic: Historic) -> None:
    assert sorted(fc.Overlord(";".join(NAMES)).test.ping()) == NAMES


def test_an_error_is_a_list_that_utils_know(historic: Historic) -> None:
    results = fc.Client("cloud1*").test.does_not_exist(1, 2)
    assert utils.is_error(results[A])
    assert results[A][0] == utils.REMOTE_ERROR == "REMOTE_ERROR"
    assert results[A][1].split(".")[-1] == "InvalidMethodException"


def test_nobody_matching_is_the_clients_exception() -> None:
    with pytest.raises(Func_Client_Exception):
        fc.Client("x.example.org")


def test_a_method_is_reached_by_its_words(historic: Historic) -> None:
    client = fc.Client("cloud1*")
    module = getattr(client, "test")  # noqa: B009
    assert getattr(module, "add")("foo", "bar") == {A: "foobar"}  # noqa: B009


def test_run_takes_module_method_and_arguments(historic: Historic) -> None:
    assert Overlord("*", nforks=10).run("test", "add", [1, 2]) == {A: 3, B: 3}
    assert Overlord(A, noglobs=True).run("test", "ping", [], nforks=2, timeout=5) == 1


def test_a_class_may_stand_on_it(historic: Historic) -> None:
    class Filer(Client):
        def __init__(self, host: str) -> None:
            Client.__init__(self, host)
            self.admin_host = host

        def total(self, a: int, b: int) -> Any:
            return self.test.add(a, b)[self.admin_host]

    assert Filer(A).total(20, 22) == 42


@pytest.mark.parametrize("wish", [{"async": True}, {"async_": True}, {"async": "yes"}])
def test_a_job_is_polled_until_it_has_finished(historic: Historic, wish: dict[str, Any]) -> None:
    client = Client("*", nforks=10, **wish)
    job_id = client.test.sleep(5)
    assert job_id.startswith("*-test-sleep-")
    assert client.job_status(job_id) == (jobthing.JOB_ID_PARTIAL, {})
    historic[A].finish(1e9)
    assert client.job_status(job_id) == (jobthing.JOB_ID_PARTIAL, {A: 1e9})
    historic[B].finish(2e9)
    status, results = None, None
    while status != jobthing.JOB_ID_FINISHED:
        status, results = client.job_status(job_id)
        time.sleep(0.01)
    assert results == {A: 1e9, B: 2e9}


def test_false_is_false_in_a_file_too(historic: Historic) -> None:
    assert Client("*", **{"async": "False"}).test.ping() == {A: 1, B: 1}


def test_a_job_that_failed_has_finished_with_an_error(historic: Historic) -> None:
    client = Client(A, **{"async": True})
    job_id = client.test.explode()
    historic[A].finish(["REMOTE_ERROR", "exceptions.Exception", "khaboom", "Traceback"])
    status, result = client.job_status(job_id)
    assert status == jobthing.JOB_ID_FINISHED
    assert result[A][0] == "REMOTE_ERROR"


def test_a_job_of_another_client_is_known(historic: Historic) -> None:
    job_id = Client("*", async_=True).test.sleep(1)
    assert Client("cloud2*").open_job_ids() == {job_id: jobthing.JOB_ID_PARTIAL}
    for minion in historic.values():
        minion.finish(1)
    assert Client("cloud2*").job_status(job_id) == (jobthing.JOB_ID_FINISHED, {A: 1, B: 1})
    assert Client("*").open_job_ids() == {job_id: jobthing.JOB_ID_FINISHED}
    assert Client("*").job_status("*-test-sleep-1.0") == (jobthing.JOB_ID_LOST_IN_SPACE, 0)


def test_without_globs_a_job_is_the_minions_own(historic: Historic) -> None:
    job_id = Client(A, noglobs=True, async_=True).test.sleep(1)
    assert job_id == "1000000000.0-minion"
    historic[A].finish(7)
    assert Client(A, noglobs=True).jobs.job_status(job_id) == [1, 7]


def test_what_a_job_prints_and_how_far_it_is(historic: Historic) -> None:
    client = Client("*", async_=True)
    job_id = client.test.sleep(1)
    assert client.tail_log(job_id) == ({A: ["one\ntwo\n", ""], B: ["one\ntwo\n", ""]}, False)
    assert client.check_progress(job_id, A) == ({A: [3, 7]}, False)
    for minion in historic.values():
        minion.finish(1)
    assert client.tail_log(job_id, B, True) == ({B: ["one\ntwo\n", ""]}, True)
    assert client.tail_log("no-such-job-1") == (None, True)
    historic[A].jobs.clear()
    assert client.check_progress(job_id, A) == (None, True)


def test_async_poll_tells_of_each_minion_once(historic: Historic) -> None:
    client = Client("*", async_=True)
    job_id = client.test.sleep(1)
    historic[A].finish(1)
    told: list[dict[str, Any]] = []

    def tell(new: dict[str, Any]) -> None:
        told.append(new)
        historic[B].finish(2)

    assert client.local.utils.async_poll(job_id, tell, 0.01) == {A: 1, B: 2}
    assert told == [{A: 1}, {B: 2}]
    assert client.local.utils.async_poll("no-such-job-1") == 0


def test_local_modules_run_on_this_side(historic: Historic, farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("hello")
    client = Client("*")
    assert client.local.utils.list_minions() == [f"https://{name}:{farm.port}" for name in NAMES]
    assert client.local.copyfile.send(str(tmp_path / "motd"), "/motd") is True
    assert client.local.getfile.get("/motd", str(tmp_path / "all")) == (0, str(tmp_path / "all"))
    assert (tmp_path / "all" / B / "motd").read_text() == "hello"
    assert client.run("local", "getfile.get", ["/nothing", str(tmp_path / "all")]) == (
        1,
        "Unable to open the file on the minion(s)",
    )
    with pytest.raises(AttributeError, match=r"no local.no.such; there are copyfile.send"):
        client.local.no.such()


def test_a_file_that_nobody_takes_is_false(
    historic: Historic, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "motd").write_text("hello")
    assert Client("*").local.copyfile.send(str(tmp_path / "motd"), "/forbidden/motd") is False
    assert Client("*").local.copyfile.send(str(tmp_path / "nothing"), "/motd") is False
    assert f"{A} did not take /forbidden/motd: IOError" in caplog.text
    assert "nothing: cannot be read" in caplog.text


def test_facts_choose_the_minions(historic: Historic, farm: Farm) -> None:
    historic[B].facts = {"os": "RHEL"}
    overlord = Overlord("*")
    assert overlord.filter(os="RHEL").test.ping() == {B: 1}
    assert overlord.filter_or(os="RHEL").test.ping() == {B: 1}
    assert overlord.set_complexq(Q(os="Fedora")).hardware.info()[A]["os"] == "Fedora"
    assert sorted(overlord.test.ping()) == NAMES
    narrowed = overlord.filter(cpus__gt=2).or_and(os="RHEL", runlevel=5)
    narrowed.test.ping()
    assert farm.calls[-1][2] == [
        {"__fact__": ["OR", [["cpus__gt", 2], ["AND", [["os", "RHEL"], ["runlevel", 5]]]]]}
    ]


def test_facts_choose_among_the_results_of_a_job(historic: Historic) -> None:
    overlord = Overlord("*", async_=True).filter(os="Fedora")
    job_id = overlord.test.ping()
    historic[A].finish([{"__fact__": [True, {"os": "Fedora"}]}, 1])
    historic[B].finish([{"__fact__": [False, {"os": "RHEL"}]}])
    assert overlord.job_status(job_id) == (jobthing.JOB_ID_FINISHED, {A: 1})


def test_a_failure_behind_a_filter_is_still_one(historic: Historic, farm: Farm) -> None:
    trouble = ["REMOTE_ERROR", "exceptions.Exception", "khaboom", ""]
    farm.answer = lambda name, method, args: [{"__fact__": [True, {}]}, trouble] if name == A else trouble
    (first, second) = Overlord("*").filter(os="x").results("test", "ping")
    assert str(first.error) == str(second.error) == "exceptions.Exception: khaboom"


def test_minions_and_groups_have_classes_of_their_own(historic: Historic, root: Path) -> None:
    groups = Groups()
    groups.add_group("web")
    groups.add_hosts_to_group_glob("web", "cloud1*")
    assert Minions("@web").get_all_hosts() == [A]
    assert Client("@web").minions_class.get_all_hosts() == [A]
    assert Client("*", exclude_spec="@web").test.ping() == {B: 1}
    assert (root / "etc/func/groups").read_text() == f"[web]\nhost = {A}\n"


def test_a_call_bears_the_request_id_it_is_given(historic: Historic, farm: Farm) -> None:
    Client("cloud1*", request_id="deploy-17").test.ping()
    assert b"\r\nX-Request-Id: deploy-17\r\n" in farm.raw_requests[-1]
    Client("cloud1*").test.ping()
    assert b"X-Request-Id" not in farm.raw_requests[-1]


@pytest.mark.parametrize("request_id", ["a b", "a\r\nHost: b", "ä", "x" * 65])
def test_a_request_id_that_is_none_is_refused(request_id: str) -> None:
    with pytest.raises(Func_Client_Exception, match="letters, digits and dashes"):
        Client("*", request_id=request_id)


def test_arguments_that_cannot_be_sent_begin_no_job(historic: Historic) -> None:
    client = Client("*", async_=True)
    with pytest.raises(Func_Client_Exception, match="does not fit into 32 bits"):
        client.test.echo(1 << 40)
    assert client.open_job_ids() == {}


def test_a_client_that_is_let_go_ends_its_connections(historic: Historic, farm: Farm) -> None:
    client = Client("*")
    narrowed = client.filter(os="Fedora")
    client.test.ping()
    assert farm.connections() == 2
    del client
    assert farm.connections() == 2
    assert narrowed.test.ping() == {A: 1, B: 1}
    del narrowed
    deadline = time.monotonic() + 20
    while farm.connections() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert farm.connections() == 0


def test_without_globs_one_minion_is_meant() -> None:
    with pytest.raises(Func_Client_Exception, match="noglobs means one minion"):
        Client("*", noglobs=True)


def test_jobs_live_an_hour() -> None:
    assert jobthing.RETAIN_INTERVAL == 60 * 60


def test_every_way_in_has_a_timeout(historic: Historic) -> None:
    wanted: Optional[float] = 7.5
    assert Client("*", timeout=wanted).timeout_s == 7.5
    assert Client("*").timeout_s == 60
