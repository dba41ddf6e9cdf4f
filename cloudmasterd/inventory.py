"""Read what a cloud instance says of itself: virt.inventory's JSON, or the classic answers of Func 0.30."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Optional
from xml.parsers import expat

from cloudmasterd.errors import RemoteFault
from cloudmasterd.model import Inventory, MachineState, ObservedCloud, ObservedMachine

FORMAT = 1
MAX_NUMBER = 1 << 40  # far beyond any real figure, far below what SQLite holds
MAX_TEXT = 255
MAX_CURSOR = 4096

_STATES = {state.value: state for state in MachineState if state is not MachineState.CREATING}
_CLASSIC_STATES = {
    "running": MachineState.RUNNING,
    "paused": MachineState.PAUSED,
    "shutdown": MachineState.OFF,
    "crashed": MachineState.CRASHED,
}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Lone surrogates come through JSON and cannot be stored; control characters have no place in a name.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FALLBACK_NAMESPACE = uuid.UUID("8f2f7c4e-0d0b-5c53-9d7e-6c1f0b1a2d3e")


def parse_inventory(text: Any) -> Inventory:
    """Read the answer of virt.inventory; raises RemoteFault naming what is wrong with it.

    The format is described in docs/wire.md; keys it does not name are allowed and ignored.
    """
    if not isinstance(text, str):
        _bad("", f"is {_kind(text)}, not JSON text")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise RemoteFault("BadInventory", f"the answer is not JSON: {exc}") from exc
    if not isinstance(raw, dict):
        _bad("", f"is {_kind(raw)}, not an object")
    if raw.get("format") != FORMAT or type(raw["format"]) is not int:
        _bad(
            "format",
            f"is {_shown(raw.get('format'))}, and this cloud master reads {FORMAT}: install a func of the"
            " same release as cloudmasterd on both sides",
        )
    full = raw.get("full")
    if not isinstance(full, bool):
        _bad("full", f"is {_shown(full)}, not true or false")
    cloud = _cloud(raw.get("cloud"))
    if full and cloud is None:
        _bad("cloud", "is missing from a full answer")
    machines = tuple(
        [_machine(item, number) for number, item in enumerate(_list(raw.get("machines"), "machines"))]
    )
    if len({machine.uuid for machine in machines}) != len(machines):
        _bad("machines", "has one uuid twice")
    gone = () if full else tuple(_uuid(item, "gone") for item in _list(raw.get("gone"), "gone"))
    return Inventory(full, _text(raw.get("cursor"), "cursor", MAX_CURSOR), cloud, machines, gone)


def _cloud(raw: Any) -> Optional[ObservedCloud]:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        _bad("cloud", f"is {_kind(raw)}, not an object")
    live = raw.get("live_free_memory_mb")
    return ObservedCloud(
        arch=_text(raw.get("arch"), "cloud.arch"),
        cpus=_number(raw.get("cpus"), "cloud.cpus"),
        memory_mb=_number(raw.get("memory_mb"), "cloud.memory_mb"),
        live_free_memory_mb=None if live is None else _number(live, "cloud.live_free_memory_mb"),
    )


def _machine(raw: Any, number: int) -> ObservedMachine:
    try:
        name, state, autostart = raw["name"], raw["state"], raw["autostart"]
        memory, most, vcpus = raw["memory_mb"], raw["max_memory_mb"], raw["vcpus"]
        managed = raw.get("managed", False)  # a func of before does not tell
        identity = _uuid(raw["uuid"], "machines")
    except KeyError as exc:
        _bad(f"machines[{number}]", f"has no {exc.args[0]}")
    except TypeError:
        _bad(f"machines[{number}]", f"is {_kind(raw)}, not an object")
    # The whole test stands in one expression: it runs for each machine of each cloud instance.
    if (
        type(name) is not str
        or not 0 < len(name) <= MAX_TEXT
        or _UNFIT.search(name)
        or type(state) is not str
        or state not in _STATES
        or type(autostart) is not bool
        or type(managed) is not bool
        or not (type(memory) is type(most) is type(vcpus) is int)
        or not (0 <= memory <= MAX_NUMBER and 0 <= most <= MAX_NUMBER and 0 <= vcpus <= MAX_NUMBER)
    ):
        _explain(raw, f"machines[{number}]")
    return ObservedMachine(identity, name, _STATES[state], memory, most, vcpus, autostart, managed)


def _explain(raw: Mapping[str, Any], where: str) -> NoReturn:
    _text(raw["name"], f"{where}.name")
    for key in ("memory_mb", "max_memory_mb", "vcpus"):
        _number(raw[key], f"{where}.{key}")
    for key in ("autostart", "managed"):
        if not isinstance(raw.get(key, False), bool):
            _bad(f"{where}.{key}", f"is {_shown(raw[key])}, not true or false")
    _bad(f"{where}.state", f"is {_shown(raw['state'])}, not one of {', '.join(_STATES)}")


def _list(raw: Any, where: str) -> list[Any]:
    if not isinstance(raw, list):
        _bad(where, f"is {_kind(raw)}, not a list")
    return raw


def _text(raw: Any, where: str, longest: int = MAX_TEXT) -> str:
    if not isinstance(raw, str) or not 0 < len(raw) <= longest or _UNFIT.search(raw):
        _bad(where, f"is {_shown(raw)}, not a text of 1 to {longest} characters")
    return raw


def _number(raw: Any, where: str) -> int:
    if type(raw) is not int or not 0 <= raw <= MAX_NUMBER:
        _bad(where, f"is {_shown(raw)}, not a whole number from 0 to {MAX_NUMBER}")
    return raw


def _uuid(raw: Any, where: str) -> str:
    if type(raw) is str and _UUID.fullmatch(raw):
        return raw
    if not isinstance(raw, str) or not _UUID.fullmatch(raw.lower()):
        _bad(where, f"has the uuid {_shown(raw)}, not one like 6a1b9c1e-0f5d-4f7e-9f33-0e2c7a9d4b11")
    return raw.lower()


def _kind(raw: Any) -> str:
    return "nothing" if raw is None else f"of type {type(raw).__name__}"


def _shown(raw: Any) -> str:
    text = ascii(raw) if isinstance(raw, (str, int, float, bool)) else _kind(raw)
    return text if len(text) <= 60 else text[:57] + "..."


def _bad(where: str, what: str) -> NoReturn:
    raise RemoteFault("BadInventory", f"the answer{': ' + where if where else ''} {what}")


def from_classic(info: Any, freemem: Any, nodeinfo: Any, state: Any, uuids: Mapping[str, str]) -> Inventory:
    """Read the answers of virt.info, virt.freemem, virt.nodeinfo and virt.state of Func 0.30.

    `uuids` has one for each name in `info`. Memory comes in KiB as text. The minion keeps no cursor, so the
    inventory is always full. What virt.freemem says stands for the live figure: a minion of that age
    has no better one. Raises RemoteFault naming what is wrong.
    """
    if not isinstance(info, Mapping) or not isinstance(nodeinfo, Mapping):
        _bad("virt.info and virt.nodeinfo", "are not both structs")
    cloud = ObservedCloud(
        arch=_text(nodeinfo.get("cpumodel"), "virt.nodeinfo cpumodel"),
        cpus=_spelled(nodeinfo.get("cpus"), "virt.nodeinfo cpus"),
        memory_mb=_spelled(nodeinfo.get("phymemory"), "virt.nodeinfo phymemory"),
        live_free_memory_mb=max(0, freemem) if type(freemem) is int else None,
    )
    states = _classic_states(state)
    machines = tuple(_classic_machine(name, info[name], states, uuids) for name in sorted(info))
    return Inventory(full=True, cursor=None, cloud=cloud, machines=machines)


def _classic_states(state: Any) -> Mapping[str, str]:
    lines = state if isinstance(state, Sequence) and not isinstance(state, str) else ()
    pairs = (line.rpartition(" ") for line in lines if isinstance(line, str))
    return {name: word for name, _, word in pairs}


def _classic_machine(
    name: str, raw: Any, states: Mapping[str, str], uuids: Mapping[str, str]
) -> ObservedMachine:
    where = f"virt.info {_shown(name)}"
    if not isinstance(raw, Mapping):
        _bad(where, f"is {_kind(raw)}, not a struct")
    word = str(raw.get("state", states.get(name, "")))
    return ObservedMachine(
        uuid=uuids[name],
        name=_text(name, where),
        state=_CLASSIC_STATES.get(word, MachineState.UNKNOWN),
        memory_mb=_spelled(raw.get("memory"), f"{where} memory") // 1024,
        max_memory_mb=_spelled(raw.get("maxMem"), f"{where} maxMem") // 1024,
        vcpus=_spelled(raw.get("nrVirtCpu"), f"{where} nrVirtCpu"),
        autostart=bool(raw.get("autostart", False)),
    )


def _spelled(raw: Any, where: str) -> int:
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,15}", raw):
        return _number(int(raw), where)
    return _number(raw, where)


def fallback_uuid(cloud: str, name: str) -> str:
    """A uuid for a machine instance whose own cannot be learned: the same for the same cloud and name."""
    return str(uuid.uuid5(_FALLBACK_NAMESPACE, f"{cloud}/{name}"))


def uuid_from_xml(text: Any) -> Optional[str]:
    """The uuid in a libvirt domain's XML; None where there is none or the text is not such XML.

    A document type is refused, so no entity of a hostile document is ever expanded.
    """
    path: list[str] = []
    found: list[str] = []

    def refuse(*_: Any) -> NoReturn:
        raise ValueError("document type")

    def start(tag: str, _: Mapping[str, str]) -> None:
        path.append(tag)

    def end(_: str) -> None:
        path.pop()

    def data(chunk: str) -> None:
        if path == ["domain", "uuid"]:
            found.append(chunk)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError, TypeError):
        return None
    candidate = "".join(found).strip().lower()
    return candidate if _UUID.fullmatch(candidate) else None
