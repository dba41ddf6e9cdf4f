"""A cloud master whose one minion is on real QEMU, in a libvirt session: the fixture `qemu_clones`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloudmasterd.clones import Clones
from tests.integration.support import libvirtd_program, start_libvirtd

NOBODY = 65534


@pytest.fixture(scope="module")
def qemu_uri() -> Iterator[str]:
    """A session libvirtd with QEMU, or a skip."""
    pytest.importorskip("libvirt", reason="needs libvirt: install python3-libvirt")
    if libvirtd_program() is None or not shutil.which("qemu-system-x86_64") or not shutil.which("qemu-img"):
        pytest.skip("needs libvirt-daemon-driver-qemu, qemu-system-x86 and qemu-utils")
    yield from start_libvirtd("qemu+unix:///session")


@pytest.fixture
def qemu_clones(qemu_uri: str) -> Iterator[Clones]:
    """The cloud master and its minion."""
    import libvirt  # noqa: PLC0415  not there on every machine

    # pytest's own folders are not for others to enter
    folder = Path(tempfile.mkdtemp(prefix="clones-"))
    folder.chmod(0o755)
    modules = folder / "cloud1/etc/func/modules"
    modules.mkdir(parents=True)
    (modules / "Machine.conf").write_text("[main]\nconsole_log_dir = /log\nvirt_type = qemu\n")
    for name in ("log", "pool"):
        (folder / "cloud1" / name).mkdir()
        own(folder / "cloud1" / name)
    pool = libvirt.open(qemu_uri).storagePoolDefineXML(
        f"<pool type='dir'><name>default</name><target><path>{folder}/cloud1/pool</path></target></pool>"
    )
    pool.create()
    clones = Clones(folder, uri=qemu_uri)
    clones.fanout.after = hand_over(folder)
    yield clones
    for domain in libvirt.open(qemu_uri).listAllDomains():
        if domain.isActive():
            domain.destroy()
        domain.undefine()
    clones.close()
    pool.destroy()
    pool.undefine()
    shutil.rmtree(folder)


def own(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def hand_over(folder: Path) -> Any:
    """A system's libvirt hands the seed to QEMU's user at the start; a session's cannot."""

    def after(minion: str, method: str, args: tuple[Any, ...]) -> None:
        if method == "image.put_seed":
            own(folder / f"{minion}/var/lib/func/seeds/{args[0]}.iso")

    return after
