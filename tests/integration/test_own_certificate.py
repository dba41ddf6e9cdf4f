"""The cloud master calls with a certificate of its own, which may do on a minion what it needs, no more."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from certmaster import ca
from demo.cloud import Cloud, free_ports
from func import tls, wire
from func.errors import XMLRPCFault
from func.minion.cloudmaster import METHODS, acl_path
from tests.integration.conftest import write_log
from tests.integration.support import (
    ask,
    eventually,
    find_machine,
    func_call,
    get_cloud,
    refresh,
    run_command,
)

JOINED, HISTORIC = "cloud1.example.org", "cloud2.example.org"
DENIED = "<class 'func.minion.codes.AccessToMethodDenied'>:"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A minion as cloudmaster-join leaves it, and one that lets the certmaster's certificate do anything."""
    made = Cloud(
        tmp_path_factory.mktemp("own"), clouds=2, ports=free_ports(), log=write_log,
        settings={"poll_interval_s": 1, "minion_timeout_s": 5},
    )  # fmt: skip
    try:
        made.prepare()
        conf = made.root_of(JOINED) / "etc/func/minion.conf"
        conf.write_text(conf.read_text().replace("overrides_acls = yes", "overrides_acls = no"))
        made.start_certmaster()
        for name in (JOINED, HISTORIC):
            made.start_minion(name)
        made.end("certmaster")
        made.start_master()
        yield made
    finally:
        made.stop()


def pki(cloud: Cloud) -> Path:
    return cloud.root_of("cloudmasterd") / "var/lib/cloudmasterd/pki"


def test_without_a_certmaster_it_serves_its_pages_and_calls_nobody(cloud: Cloud) -> None:
    assert ask(cloud, "GET", "/", accept="text/html").status == 200
    ready = ask(cloud, "GET", "/readyz", signed_in=False)
    assert ready.status == 503
    assert any("has no certificate of its own yet" in reason for reason in ready.json["reasons"])
    item = eventually(lambda: (c := get_cloud(cloud, JOINED)).get("error") and c, "it was tried")
    assert "no certificate of its own yet" in item["error"] and "certmaster is not running" in item["error"]
    assert refresh(cloud, JOINED).status == 504
    assert not list(pki(cloud).glob("*.cert"))


def test_once_certmaster_is_there_it_gets_one_by_itself(cloud: Cloud) -> None:
    cloud.start_certmaster()
    eventually(lambda: get_cloud(cloud, JOINED).get("state") == "up", f"{JOINED} up")
    eventually(lambda: get_cloud(cloud, HISTORIC).get("state") == "up", f"{HISTORIC} up")
    eventually(lambda: ask(cloud, "GET", "/readyz", signed_in=False).status == 200, "ready")
    cert = (pki(cloud) / "cloudmaster.cert").read_bytes()
    assert ca.common_name(cert).startswith("cloudmaster@")
    assert (pki(cloud) / "cloudmaster.pem").stat().st_mode & 0o777 == 0o600
    assert run_command(cloud, "certmaster-ca", "--list-signed").stdout.split() == [JOINED, HISTORIC]


class Caller:
    """Calls a minion with any certificate of its authority."""

    def __init__(self, cloud: Cloud, name: str, cert: Path, key: Path) -> None:
        authority = cloud.root_of("certmaster") / "etc/pki/certmaster/ca/certmaster.crt"
        self._context = tls.client_context(cert, key, authority)
        self._context.check_hostname = False
        self._where = cloud.node(name).address, cloud.ports.func

    def call(self, method: str, *args: Any) -> Any:
        """The value, or the text of a fault."""
        session = http.client.HTTPSConnection(*self._where, context=self._context, timeout=60)
        with closing(session):
            session.request("POST", "/RPC2", wire.encode_call(method, args), {"Content-Type": "text/xml"})
            try:
                return wire.decode_response(session.getresponse().read())
            except XMLRPCFault as exc:
                return exc.text


def own(cloud: Cloud, name: str) -> Caller:
    return Caller(cloud, name, pki(cloud) / "cloudmaster.cert", pki(cloud) / "cloudmaster.pem")


def test_its_certificate_may_call_exactly_what_the_table_says(cloud: Cloud) -> None:
    printed = func_call(cloud, HISTORIC, "system", "list_methods")
    everything = set(json.loads(printed.replace("'", '"'))[HISTORIC])
    assert set(METHODS) <= everything
    assert len(everything) > 3 * len(METHODS)
    caller = own(cloud, JOINED)
    # None of those that are allowed does anything without arguments; the others are denied before they run.
    harmless = [m for m in METHODS if m not in ("genome.reboot",)]
    allowed = {m for m in [*everything - set(METHODS), *harmless] if caller.call(m) != DENIED}
    assert allowed == set(harmless)
    assert caller.call("genome.reboot", "x" * 32, "not-this-boot") != DENIED
    for prefix in ("async.", "system."):
        assert caller.call(f"{prefix}command.run", "id") == DENIED


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("command.run", ("touch /tmp/x",)),
        ("copyfile.copyfile", ("/etc/x", "")),
        ("service.stop", ("sshd",)),
        ("reboot.reboot", ()),
        ("process.kill", ("python", "")),
        ("virt.destroy", ("jboss1.example.org",)),
        ("certmastermod.sign_this_cert", (JOINED,)),
        ("func_module.config_items", ()),
    ],
)
def test_what_the_cloud_master_does_not_need_it_may_not(
    cloud: Cloud, method: str, args: tuple[Any, ...]
) -> None:
    for name in (JOINED, HISTORIC):
        assert own(cloud, name).call(method, *args) == DENIED


def test_the_certmasters_own_certificate_works_where_the_minion_says_so_and_there_alone(cloud: Cloud) -> None:
    cadir = cloud.root_of("certmaster") / "etc/pki/certmaster/ca"
    callers = {
        name: Caller(cloud, name, cadir / "certmaster.crt", cadir / "certmaster.key")
        for name in (JOINED, HISTORIC)
    }
    assert callers[HISTORIC].call("test.ping") == 1
    assert callers[JOINED].call("test.ping") == DENIED
    assert callers[JOINED].call("virt.inventory", "") == DENIED
    assert "1" in func_call(cloud, HISTORIC, "test", "ping")
    refused = run_command(cloud, "func", JOINED, "call", "test", "ping")
    assert "AccessToMethodDenied" in refused.stdout + refused.stderr


def test_another_cloud_instances_certificate_may_nothing(cloud: Cloud) -> None:
    folder = cloud.root_of(HISTORIC) / "etc/pki/certmaster"
    caller = Caller(cloud, JOINED, folder / f"{HISTORIC}.cert", folder / f"{HISTORIC}.pem")
    assert caller.call("virt.inventory", "") == DENIED
    assert caller.call("test.ping") == DENIED


def log_of(cloud: Cloud, name: str) -> list[str]:
    return (cloud.root_of(name) / "var/log/func/methods/calls.log").read_text().splitlines()


def test_all_that_a_cloud_master_does_is_within_the_table(cloud: Cloud) -> None:
    before = {name: len(log_of(cloud, name)) for name in (JOINED, HISTORIC)}
    wanted = {
        "name": "mine.example.org", "memory_mb": 512, "vcpus": 1, "disks": [{"size_gb": 1}],
        "cloud": JOINED, "start": True,
    }  # fmt: skip
    made = ask(
        cloud, "POST", "/api/v1/machines", body=json.dumps(wanted).encode(),
        headers={**JSON, "Prefer": "wait=50"}, timeout_s=90,
    )  # fmt: skip
    assert made.json["state"] == "done", made.json
    machine = find_machine(cloud, "mine.example.org")
    assert machine is not None
    for method, path in (("POST", "/poweroff"), ("POST", "/start"), ("DELETE", "?force=true")):
        done = ask(
            cloud, method, f"/api/v1/machines/{machine['uuid']}{path}",
            headers={"Prefer": "wait=50"}, timeout_s=90,
        )  # fmt: skip
        assert done.json["state"] == "done", done.json
    assert refresh(cloud, JOINED).status == 200
    checked = run_command(cloud, "cloudmasterctl", "check")
    assert f"minion {JOINED}" in checked.stdout or f"clock of {JOINED}" in checked.stdout, checked.stdout
    calls = [
        line for name in (JOINED, HISTORIC) for line in log_of(cloud, name)[before[name] :]
        if " cloudmaster@" in line
    ]  # fmt: skip
    methods = {line.split(" cloudmaster@")[1].split(" ", 1)[1].split("(")[0] for line in calls}
    assert {
        "virt.inventory",
        "machine.perform",
        "machine.resources",
        "test.sleep",
        "virt.nodeinfo",
    } <= methods
    assert methods <= set(METHODS)
    assert not [line for line in calls if ") denied " in line]


def test_a_minion_of_before_is_told_apart_and_what_to_do_there(cloud: Cloud) -> None:
    acl = acl_path(cloud.root_of(HISTORIC) / "etc/func/minion-acl.d")
    text = acl.read_text()
    acl.unlink()
    try:
        eventually(lambda: refresh(cloud, HISTORIC).status == 502, "denied")
        item = get_cloud(cloud, HISTORIC)
        assert item["state"] == "unreachable"
        assert "does not allow this cloud master to call virt.inventory" in item["error"]
        assert "dnf upgrade cloudmasterd-minion" in item["error"]
        assert "1" in func_call(cloud, HISTORIC, "test", "ping"), "an overlord of before goes on"
    finally:
        acl.write_text(text)
    eventually(lambda: refresh(cloud, HISTORIC).status == 200, "allowed again, without a restart")


def test_a_leaked_key_is_revoked_and_the_cloud_master_has_another_by_itself(
    cloud: Cloud, tmp_path: Path
) -> None:
    for name in ("cloudmaster.cert", "cloudmaster.pem"):
        (tmp_path / name).write_bytes((pki(cloud) / name).read_bytes())
    for name in (JOINED, HISTORIC):
        conf = cloud.root_of(name) / "etc/certmaster/minion.conf"
        conf.write_text(conf.read_text() + "upkeep_interval_s = 1\n")
        cloud.end(name)
        cloud.start_minion(name)
    done = run_command(cloud, "certmaster-ca", "--revoke", "cloudmaster@*")
    assert done.returncode == 0, done.stderr
    cloud.end("cloudmasterd")
    cloud.start_master()  # it looks at its start, and every minute
    leaked = (tmp_path / "cloudmaster.cert").read_bytes()
    eventually(lambda: (pki(cloud) / "cloudmaster.cert").read_bytes() != leaked, "another certificate")
    eventually(lambda: get_cloud(cloud, JOINED).get("state") == "up", "up with the new one")
    thief = Caller(cloud, JOINED, tmp_path / "cloudmaster.cert", tmp_path / "cloudmaster.pem")

    def refused() -> bool:
        try:
            thief.call("virt.inventory", "")
        except (ssl.SSLError, OSError, http.client.HTTPException):
            return True
        time.sleep(0.2)  # the pace of asking, not a wait
        return False

    eventually(refused, "the minion has the new list of revoked certificates")
