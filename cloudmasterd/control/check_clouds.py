"""Look for the usual faults of cloud instances, with what every Func minion can answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudmasterd.clock import Clock
from cloudmasterd.control.findings import Finding, Level, fault, judge_end, judge_skew, ok, skew_s
from cloudmasterd.errors import CloudRefused, CloudUnreachable, FabricError, RemoteFault
from cloudmasterd.fabric import Call, Fabric
from cloudmasterd.func_fabric import FuncFiles, addresses

# Answers the time of day; every Func there ever was has it.
CLOCK_CALL = Call("test.sleep", (0,))
# Goes through libvirt, and is Func 0.30's too.
LIBVIRT_CALL = Call("virt.nodeinfo")
LOOKUP_S = 5.0


def check_clouds(fabric: Fabric, files: FuncFiles, clock: Clock, timeout_s: float) -> Iterator[Finding]:
    """Every finding about the cloud instances, by name; a dead one holds no other up."""
    try:
        clouds = fabric.list_clouds()
    except FabricError as exc:
        yield fault("cloud instances", str(exc), "run this as root; see permissions")
        return
    located = {cloud: _locate(files, cloud) for cloud in clouds}
    named = [cloud for cloud in clouds if located[cloud].level is Level.OK]
    clocks, silent = _clocks(fabric, clock, named, timeout_s)
    hosts = _hosts(fabric, [cloud for cloud in named if cloud not in silent], timeout_s)
    for cloud in clouds:
        yield located[cloud]
        remedy = f"start funcd there again, which asks for a new one; certmaster-ca --sign {cloud} signs it"
        end = fabric.certificate_expires_at(cloud)
        yield judge_end(f"certificate of {cloud}", end, clock.now(), remedy)
        yield from (found[cloud] for found in (clocks, hosts) if cloud in found)


def _locate(files: FuncFiles, cloud: str) -> Finding:
    what = f"name {cloud}"
    try:
        return ok(what, ", ".join(addresses(files, cloud, LOOKUP_S)))
    except CloudUnreachable as exc:
        return fault(what, str(exc), f"give it an address in the DNS, or a line in {files.hosts_file}")


def _clocks(
    fabric: Fabric, clock: Clock, clouds: Sequence[str], timeout_s: float
) -> tuple[Mapping[str, Finding], set[str]]:
    """A finding for each, and those that did not answer."""
    found: dict[str, Finding] = {}
    silent: set[str] = set()
    before = clock.now()
    for group in fabric.ask_all(dict.fromkeys(clouds, CLOCK_CALL), timeout_s):
        after = clock.now()
        for answer in group:
            if answer.error is not None:
                silent.add(answer.cloud)
                found[answer.cloud] = unanswered(answer.cloud, answer.error)
            elif isinstance(answer.value, bool) or not isinstance(answer.value, (int, float)):
                found[answer.cloud] = _odd(answer.cloud, CLOCK_CALL.method, answer.value)
            else:
                found[answer.cloud] = judge_skew(answer.cloud, skew_s(before, float(answer.value), after))
    return found, silent


def unanswered(cloud: str, error: FabricError) -> Finding:
    """What to say of a minion that did not do the simplest there is."""
    what = f"minion {cloud}"
    if isinstance(error, CloudUnreachable):
        remedy = f"on {cloud}: systemctl status funcd; firewall-cmd --add-service=func --permanent"
        return fault(what, str(error), f"{remedy}; firewall-cmd --reload")
    if isinstance(error, CloudRefused):
        remedy = f"on {cloud}: date; ls /etc/func/minion-acl.d; certmaster in /etc/certmaster/minion.conf"
        return fault(what, str(error), f"{remedy}. Of another master: cloudmaster-join --force")
    return fault(what, str(error), f"on {cloud}: journalctl -u funcd")


def _hosts(fabric: Fabric, clouds: Sequence[str], timeout_s: float) -> Mapping[str, Finding]:
    found: dict[str, Finding] = {}
    for group in fabric.ask_all(dict.fromkeys(clouds, LIBVIRT_CALL), timeout_s):
        for answer in group:
            what = f"libvirt on {answer.cloud}"
            if isinstance(answer.error, RemoteFault):
                found[answer.cloud] = fault(
                    what, answer.error.reason, _libvirt_remedy(answer.error, answer.cloud)
                )
            elif answer.error is not None:
                found[answer.cloud] = unanswered(answer.cloud, answer.error)
            elif not isinstance(answer.value, dict):
                found[answer.cloud] = _odd(answer.cloud, LIBVIRT_CALL.method, answer.value)
            else:
                memory = answer.value.get("phymemory", "?")
                found[answer.cloud] = ok(what, f"answers: {answer.value.get('cpus', '?')} CPUs, {memory} MB")
    return found


def _libvirt_remedy(error: RemoteFault, cloud: str) -> str:
    if "ModuleNotFound" in error.kind or "InvalidMethod" in error.kind or "not installed" in error.reason:
        return f"on {cloud}: dnf install cloudmasterd-minion; systemctl restart funcd"
    return (
        f"on {cloud}: systemctl enable --now virtqemud.socket (libvirtd.socket before Fedora 35 and RHEL 9);"
        " virsh -c qemu:///system list says more; uri in /etc/func/modules/Virt.conf"
    )


def _odd(cloud: str, method: str, value: Any) -> Finding:
    shown = repr(value)[:60]
    return fault(f"minion {cloud}", f"answers {shown} to {method}", f"on {cloud}: dnf upgrade func")
