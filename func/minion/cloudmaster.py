"""What the cloud master calls on a minion, and the access list that allows it that and nothing more."""

from __future__ import annotations

import textwrap
from pathlib import Path

METHODS = (
    # What is there: of ours, and of Func 0.30.
    "virt.inventory",
    "virt.info",
    "virt.freemem",
    "virt.nodeinfo",
    "virt.state",
    "virt.get_xml",
    # Machine instances: made, started, changed, deleted, installed.
    "machine.perform",
    "machine.install",
    "machine.cancel_install",
    "machine.resources",
    # Images, sent piece by piece, and what cloud-init reads.
    "image.status",
    "image.put",
    "image.finish",
    "image.put_seed",
    "image.delete_seed",
    # The cloud instance itself, installed anew.
    "genome.prepare",
    "genome.cancel",
    "genome.reboot",
    "genome.status",
    # What `cloudmasterctl check` asks beside these: the time of day.
    "test.sleep",
)
"""Every wire method a cloud master calls; tests hold it against cloudmasterd and what minions saw."""

# As it calls itself, on whichever host it runs: nobody gets such a name from certmaster over the network.
PEERS = "cloudmaster@*"

ACL_FILE = "cloudmasterd.acl"

_WIDTH = 100
_NOTE = (
    f"/etc/func/minion-acl.d/{ACL_FILE}: what the cloud master may call on this machine. An update of the"
    " package brings what its next version needs; what others may call goes into another file beside it."
)


def acl_text() -> str:
    """The access list as a file."""
    note = textwrap.fill(_NOTE, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    modules: dict[str, list[str]] = {}
    for method in METHODS:
        modules.setdefault(method.partition(".")[0], []).append(method)
    lines = [f"{PEERS} = {', '.join(methods)}" for methods in modules.values()]
    return "\n".join([note, "", *lines]) + "\n"


def acl_path(acl_dir: Path) -> Path:
    """Where the access list belongs among the others."""
    return acl_dir / ACL_FILE
