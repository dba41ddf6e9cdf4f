"""funcd as its own process, with its certificate and its configuration below a directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from demo.ports import free_port
from tests.func.minion.helpers import Identity, wait_for

NAME = "cloud1.example.org"
START = [sys.executable, "-c", "import sys; from func.minion.cli import main; sys.exit(main())"]


def enrolled(root: Path, identity: Identity) -> Path:
    """The root of a minion that holds its certificate already."""
    pki = root / "etc/pki/certmaster"
    pki.mkdir(parents=True)
    shutil.copy(identity.cert_file, pki / f"{NAME}.cert")
    shutil.copy(identity.key_file, pki / f"{NAME}.pem")
    shutil.copy(identity.ca_file, pki / "ca.cert")
    configure(root)
    return root


def configure(root: Path, **settings: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"minion_name": NAME, "listen_addr": "127.0.0.1", "listen_port": free_port()}
    values.update(settings)
    write_settings(root / "etc/func/minion.conf", values)
    return values


def turn_on(root: Path, *modules: str) -> None:
    """Turn on modules that are off, by the names of their classes."""
    for module in modules:
        write_settings(root / f"etc/func/modules/{module}.conf", {"enabled": "yes"})


def write_settings(file: Path, values: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["[main]", *(f"{key} = {value}" for key, value in values.items())]) + "\n")


class Funcd:
    """One that runs; what it says is in `log` below its root."""

    def __init__(self, root: Path) -> None:
        self.log = root / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*START, "--root", str(root)], stderr=log, env={**os.environ, "PYTHONPATH": os.getcwd()}
            )

    def says(self, text: str) -> str:
        wait_for(
            lambda: text in self.log.read_text() or self.process.poll() is not None, f"funcd says {text!r}"
        )
        assert text in self.log.read_text()
        return self.log.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)
