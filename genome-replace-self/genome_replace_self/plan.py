"""Look at everything before anything is changed: what the machine would boot, and every reason not to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genome_replace_self import command_line, koan, machine
from genome_replace_self.cobbler import Cobbler, Profile
from genome_replace_self.options import Request

RUNNING_COMMAND_LINE = Path("/proc/cmdline")


@dataclass(frozen=True)
class Plan:
    """What will be done, with the boot entry that comes of it."""

    request: Request
    profile: Profile
    koan: Path
    options: tuple[str, ...]  # what koan is to add
    arguments: str  # the whole command line of the installer
    kernel: Path  # where koan will put it
    initrd: Path


def make_plan(request: Request) -> Plan:
    """The plan for a request; raises BootFailed, CobblerFailed, Usage or Declined and changes nothing."""
    machine.require_grubby_system()
    program = machine.require_koan()
    server = Cobbler(request.server)
    profile = server.get_profile(request.profile)
    command_line.check_arch(profile, os.uname().machine)
    server.check_kickstart(profile)
    kernel, initrd = local(profile.kernel_url), local(profile.initrd_url)
    sizes = [(kernel, server.size_of(profile.kernel_url)), (initrd, server.size_of(profile.initrd_url))]
    options = command_line.options(
        profile, request.pairs, request.kernel_options, RUNNING_COMMAND_LINE.read_text(encoding="utf-8")
    )
    arguments = koan.look(program, request.server, profile.name, options)
    command_line.check_length(profile, arguments, request.pairs)
    if not request.force:
        machine.refuse_running_machines(machine.running_machines())
    machine.require_room(sizes)
    return Plan(request, profile, program, tuple(options), arguments, kernel, initrd)


def local(url: str) -> Path:
    """Where koan puts a boot file that it fetched."""
    return machine.BOOT / f"{url.rpartition('/')[2]}_koan"
