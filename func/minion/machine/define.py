"""The verbs that make a machine known to libvirt, mark it as ours, rename it, and forget it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from func.minion import libvirt_domains
from func.minion.codes import BadSpec, NameTaken, NoSuchVolume, Unsupported
from func.minion.libvirt_connection import libvirt
from func.minion.machine.arguments import FORMATS, Disk, Naming, NewMachine, OwnSeed, Target
from func.minion.machine.context import Context, Setup, find, look_up, must_be_off, name_holder
from func.minion.machine.disks import source_of
from func.minion.machine.host_offer import choose
from func.minion.machine.machine_facts import firmware_of, is_managed, machine_type_of, nvram_is_named
from func.minion.machine.machine_xml import NAMESPACE, PREFIX, Files, Source, Sources, machine_xml, mark_xml
from func.minion.machine.networks import kind_of

log = logging.getLogger(__name__)


def define(context: Context, machine: NewMachine) -> Mapping[str, Any]:
    """Make a machine known, off; {"made", "firmware", "machine_type"}. One with the uuid is left as it is."""
    domain = look_up(context.connection, machine.uuid)
    made = domain is None
    if domain is not None and domain.name() != machine.name:
        raise NameTaken(f"the uuid {machine.uuid} is that of machine {domain.name()!r}, not {machine.name!r}")
    if domain is None:
        domain = _define(context, machine)
    # Set apart from the XML, so a run that was cut off in between left it undone.
    if machine.autostart and not domain.autostart():
        domain.setAutostart(1)
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    return {"made": made, "firmware": firmware_of(xml), "machine_type": machine_type_of(xml)}


def undefine(context: Context, target: Target) -> Mapping[str, Any]:
    """Forget a machine that is off, its NVRAM and saved states with it; {"made"}: whether it was there."""
    domain = look_up(context.connection, target.uuid)
    if domain is not None:
        must_be_off(domain, "undefine")
    forget(context.setup, domain, target.uuid)
    return {"made": domain is not None}


def forget(setup: Setup, domain: Any, uuid: str) -> None:
    """The same of a domain, or None: what is kept of the machine beside it goes in any case."""
    if domain is not None:
        libvirt_domains.undefine(domain)
    if setup.seeds is not None:
        setup.seeds.delete(uuid)
    log_file = files_of(setup, uuid).console_log
    if log_file is not None:
        _remove(Path(log_file))


def rename(context: Context, naming: Naming) -> Mapping[str, Any]:
    """Give a machine that is off another name; {"changed"}."""
    domain = find(context.connection, naming.uuid)
    if domain.name() == naming.name:
        return {"changed": False}
    must_be_off(domain, "rename")
    _check_name(context.connection, naming.name, naming.uuid)
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    if firmware_of(xml) == "uefi" and not nvram_is_named(xml):
        raise Unsupported(
            f"{domain.name()!r} would lose the settings of its UEFI, which libvirt keeps under its name; "
            "name their file in its XML (<nvram>) first"
        )
    domain.rename(naming.name, 0)
    return {"changed": True}


def adopt(context: Context, target: Target) -> Mapping[str, Any]:
    """Mark a machine as ours; {"changed"}."""
    domain = find(context.connection, target.uuid)
    if is_managed(domain.XMLDesc(0)):
        return {"changed": False}
    mark = mark_xml(managed=True, task="", operation=context.attempt.operation)
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    libvirt_domains.everywhere(domain, lambda scope: domain.setMetadata(kind, mark, PREFIX, NAMESPACE, scope))
    return {"changed": True}


def files_of(setup: Setup, uuid: str) -> Files:
    """The machine's own files, where the host has a place for them; by uuid, which no rename changes."""
    return Files(_in(setup.console_log_dir, f"{uuid}-console.log"), _in(setup.nvram_dir, f"{uuid}_VARS.fd"))


def _in(folder: Optional[Path], name: str) -> Optional[str]:
    return str(folder / name) if folder is not None and folder.is_dir() else None


def _define(context: Context, machine: NewMachine) -> Any:
    connection = context.connection
    _check_name(connection, machine.name, machine.uuid)
    net_dir = context.setup.net_dir
    nics = tuple(kind_of(connection, net_dir, nic.network) for nic in machine.nics)
    sources = Sources(
        tuple(_disk_source(connection, disk) for disk in machine.disks),
        None if machine.cdrom is None else source_of(connection, machine.cdrom),
        _seed_source(context, machine),
        nics,
    )
    offer = choose(connection, context.setup, machine)
    files = files_of(context.setup, machine.uuid)
    return connection.defineXML(machine_xml(machine, offer, sources, context.attempt.operation, files))


def _seed_source(context: Context, machine: NewMachine) -> Optional[Source]:
    if not isinstance(machine.seed, OwnSeed):
        return None if machine.seed is None else source_of(context.connection, machine.seed)
    if context.setup.seeds is None or not context.setup.seeds.path(machine.uuid).exists():
        raise NoSuchVolume(f"the seed of {machine.name!r} is not on this host; have the cloud master send it")
    return Source(str(context.setup.seeds.path(machine.uuid)), "file", "raw")


def _disk_source(connection: Any, disk: Disk) -> Source:
    source = source_of(connection, disk.at)
    if source.format in FORMATS and source.format != disk.format:
        raise BadSpec(f"volume {disk.at} has the format {source.format}, not {disk.format}")
    return source


def _check_name(connection: Any, name: str, uuid: str) -> None:
    holder = name_holder(connection, name)
    if holder is not None and holder != uuid:
        raise NameTaken(f"this host has a machine {name!r} already, with the uuid {holder}")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        log.warning("the console's log %s stays behind: %s", path, exc)
