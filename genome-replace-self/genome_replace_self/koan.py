"""Run koan, which fetches the installer and makes the boot entry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from genome_replace_self import metadata, programs
from genome_replace_self.errors import BootFailed

LOOK_TIMEOUT_S = 120.0
# An initrd of hundreds of megabytes over a slow line; less than the minion that runs us will wait.
REPLACE_TIMEOUT_S = 1500.0
KERNEL_OPTIONS = re.compile(r"^ *kernel_options  : (.*)$", re.MULTILINE)


def arguments(
    koan: Path, server: str, profile: str, options: Sequence[str], action: Sequence[str]
) -> list[str]:
    """koan's command line; each word of the options was checked, and koan takes them as one argument."""
    return [str(koan), *action, f"--server={server}", f"--profile={profile}", f"--kopts={' '.join(options)}"]


def look(koan: Path, server: str, profile: str, options: Sequence[str]) -> str:
    """The installer's whole command line as koan puts it together; changes nothing; raises BootFailed."""
    done = programs.run(arguments(koan, server, profile, options, ["--display"]), LOOK_TIMEOUT_S)
    found = KERNEL_OPTIONS.search(done.output)
    if done.code != 0 or found is None:
        raise BootFailed(f"koan --display {done.how}; the last it said:\n{metadata.shown(done.tail())}")
    return found[1].strip()


def replace_self(koan: Path, server: str, profile: str, options: Sequence[str]) -> None:
    """Have koan fetch the installer into /boot and make it the default entry; raises BootFailed.

    The arguments of the running system's entry are not copied: they name its disks. An exit code of 0 proves
    nothing, because koan ends with it for others than root as well: whoever calls this looks at the entry.
    """
    action = ["--replace-self", "--no-copy-default"]
    done = programs.run(arguments(koan, server, profile, options, action), REPLACE_TIMEOUT_S)
    if done.code != 0:
        raise BootFailed(f"koan {done.how}; the last it said:\n{metadata.shown(done.tail())}")
