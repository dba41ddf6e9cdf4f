"""Write the demo's configuration files: a root directory for the master and one for each cloud instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from demo.nodes import Node, node_xml
from func.minion.cloudmaster import acl_path, acl_text

MASTER_ADDRESS = "127.0.0.1"
MASTER_NAME = "cloud.example.org"  # what the pages call it
_NOTE = "# Written by the demo at every start; a change made here is lost.\n"


@dataclass(frozen=True)
class Ports:
    """The TCP ports of one demo; every cloud instance has its own address and the same port."""

    web: int = 8107
    func: int = 51234
    certmaster: int = 51235


def write_master(root: Path, nodes: Sequence[Node], ports: Ports, settings: Mapping[str, object]) -> None:
    """Files of certmaster, the overlord and cloudmasterd; `settings` go into cloudmasterd.conf."""
    _write_main(
        root / "etc/certmaster/certmaster.conf",
        {"listen_addr": MASTER_ADDRESS, "listen_port": ports.certmaster, "autosign": "yes"},
        "# autosign: whoever asks gets a certificate. Never do this outside a demo.\n",
    )
    _write_main(root / "etc/func/overlord.conf", {"listen_port": ports.func})
    lines = [f"{node.address} {node.name}\n" for node in nodes]
    _write(root / "etc/func/hosts", _NOTE + "".join(lines))
    _write_main(
        root / "etc/cloudmasterd/cloudmasterd.conf",
        {
            "name": MASTER_NAME,
            "listen_addr": MASTER_ADDRESS,
            "listen_port": ports.web,
            "public_url": f"http://{MASTER_ADDRESS}:{ports.web}/",  # there is no Apache before it
            **settings,
        },
    )
    (root / "var/lib/cloudmasterd").mkdir(parents=True, exist_ok=True)


def write_minion(root: Path, node: Node, ports: Ports, libvirt_uri: str = "") -> None:
    """Files of one cloud instance; without `libvirt_uri` it shows the machines of its own node file."""
    _write_main(
        root / "etc/certmaster/minion.conf",
        {"certmaster": MASTER_ADDRESS, "certmaster_port": ports.certmaster},
    )
    _write_main(
        root / "etc/func/minion.conf",
        {
            "listen_addr": node.address,
            "listen_port": ports.func,
            "minion_name": node.name,
            "certmaster_overrides_acls": "yes",
        },
        "# certmaster_overrides_acls: the command func may call everything here. cloudmaster-join says no.\n",
    )
    # What the cloud master itself may call is the same as on a machine that joined it.
    _write(acl_path(root / "etc/func/minion-acl.d"), acl_text())
    file = root / "node.xml"
    pool = root / "var/lib/libvirt/images"
    pool.mkdir(parents=True, exist_ok=True)
    _write(file, node_xml(node, pool.resolve()))
    uri = libvirt_uri or f"test://{quote(str(file.resolve()))}"
    _write_main(root / "etc/func/modules/Virt.conf", {"uri": uri})


def _write_main(path: Path, values: Mapping[str, object], note: str = "") -> None:
    lines = [f"{key} = {value}\n" for key, value in values.items()]
    _write(path, _NOTE + note + "[main]\n" + "".join(lines))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
