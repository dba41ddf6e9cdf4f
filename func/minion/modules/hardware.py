"""The wire module `hardware`: facts about this machine, read from the kernel's files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from func.minion.kernel_files import KernelFiles, pairs
from func.minion.module import FuncModule

_DEVICE_FILES = {
    "VendorID": "vendor", "DeviceID": "device", "SubsysVendorID": "subsystem_vendor",
    "SubsysDeviceID": "subsystem_device", "Type": "class",
}  # fmt: skip


class Hardware(FuncModule):
    """Everything is text, and a fact this machine does not know is an empty one; no program is run."""

    description = "Facts about the machine and its parts"
    methods = ("info", "inventory", "hal_info")

    def __init__(self, root: Path, machine: Path = Path("/")) -> None:
        super().__init__(root)
        # Not the root of the configuration: many minions share one kernel.
        self._machine = machine
        self._files = KernelFiles(machine)

    def info(self, with_devices: bool = True) -> dict[str, Any]:
        """{fact: text}; with `devices`, [{VendorID, DeviceID, Bus, Driver, ...}], unless told otherwise."""
        files = self._files
        cpu = files.cpu()
        memory = pairs(files.text("proc/meminfo"), ":")
        kernel = os.uname()
        facts: dict[str, Any] = {
            "os": files.os_name(),
            "defaultRunlevel": "",
            "bogomips": cpu.get("bogomips", ""),
            "cpuVendor": files.cpu_vendor(),
            "cpuModel": cpu.get("model name", ""),
            "numCpus": str(os.cpu_count() or ""),
            "cpuSpeed": cpu.get("cpu MHz", "").partition(".")[0],
            "systemMemory": _mb(memory.get("MemTotal", "")),
            "systemSwap": _mb(memory.get("SwapTotal", "")),
            "kernelVersion": kernel.release,
            "language": os.environ.get("LANG", ""),
            "platform": kernel.machine,
            "systemVendor": files.text("sys/class/dmi/id/sys_vendor"),
            "systemModel": files.text("sys/class/dmi/id/product_name"),
            "formfactor": files.text("sys/class/dmi/id/chassis_type"),
            "selinux_enabled": str((self._machine / "sys/fs/selinux/enforce").exists()),
            "selinux_enforce": "Enforcing" if files.text("sys/fs/selinux/enforce") == "1" else "",
        }
        # The `func` command sends "False" where a program sends a boolean.
        if str(with_devices).lower() not in ("false", "0", "no", ""):
            facts["devices"] = self._devices()
        return facts

    def inventory(self) -> dict[str, Any]:
        """The same without what differs from one look to the next."""
        facts = self.info()
        del facts["bogomips"], facts["cpuSpeed"]
        return facts

    def hal_info(self) -> dict[str, str]:
        """{label: description} for the machine and each of its devices; HAL itself is long gone."""
        facts = self.info(with_devices=False)
        found = {"udi = 'computer'": _described(facts)}
        for device in self._devices():
            address = device["Description"]
            found[f"udi = '{address}'"] = "".join(
                f"{key} = '{value}'  " for key, value in sorted(device.items())
            )
        return found

    def grep(self, word: str) -> dict[str, Any]:
        """{"hardware.info": [{fact: text}, ...]} for facts that contain `word`."""
        wanted = word.strip().lower()
        facts = self.info()
        devices = facts.pop("devices")
        pairs = [*facts.items(), *(pair for device in devices for pair in device.items())]
        found = [{key: value} for key, value in pairs if wanted in key.lower() or wanted in value.lower()]
        return {"hardware.info": found} if found else {}

    def _devices(self) -> list[dict[str, str]]:
        found = []
        for path in sorted((self._machine / "sys/bus/pci/devices").glob("*")):
            device = {
                key: self._files.text(str(path.relative_to(self._machine) / name))
                for key, name in _DEVICE_FILES.items()
            }
            driver = path / "driver"
            device["Bus"] = "PCI"
            device["Driver"] = driver.resolve().name if driver.exists() else ""
            device["Description"] = path.name
            found.append(device)
        return found


def _described(facts: dict[str, Any]) -> str:
    return "".join(f"{key} = '{value}'  " for key, value in sorted(facts.items()))


def _mb(kib: str) -> str:
    number = kib.partition(" ")[0]
    return str(int(number) // 1024) if number.isdigit() else ""
