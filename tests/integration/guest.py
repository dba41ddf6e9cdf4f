"""The smallest guest that does what an operating system must: greet, and shut down when asked by ACPI.

It fits into a boot sector: no kernel to fetch, and up within a second where nothing but QEMU's own
interpreter runs it. On its serial port it says how much memory the BIOS counts.
"""

from __future__ import annotations

import io

import pycdlib

GREETING = "Hello from a CD, memory "
ASKED = "Asked to shut down"

# 16-bit code at 0x7c00. Ports: 3f8 serial; 600, 602, 604 ACPI's power management where QEMU's BIOS puts it.
_CODE = bytes.fromhex(
    "fa 31c0 8ed8 8ed0 bc007c"  # no interrupts; ds = ss = 0; the stack below
    "b0ff e6a1"  # the upper interrupts masked: the power button's is asked for, not waited for
    "b801e8 cd15 89dd"  # BIOS: memory above 16 MB, in 64 KB, to bp
    "be747c e83f00"  # print the greeting
    "b90400 c1c504 89e8 240f 0430 3c39 7602 0407 e83500 e2ec"  # bp as four digits
    "be8d7c e82200"  # end of line
    "ba0206 b80001 ef fb"  # the power button counts; interrupts again
    "f4 ba0006 ed f6c401 74f6"  # sleep, until the button's bit is set
    "be907c e80a00"  # print that it was
    "ba0406 b80020 ef f4 ebfd"  # power off
    "ac 84c0 7405 e80300 ebf6 c3"  # print: from si up to 0
    "50 bafd03 ec a820 74fb 58 baf803 ee c3"  # put al: wait until the port takes it
)
_TEXTS = f"{GREETING}\0\r\n\0{ASKED}\r\n\0".encode("ascii")


def boot_sector() -> bytes:
    """What a disk begins with that boots it."""
    return (_CODE + _TEXTS).ljust(510, b"\0") + b"\x55\xaa"


def boot_iso() -> bytes:
    """An ISO image that boots it."""
    boot = (_CODE + _TEXTS).ljust(2048, b"\0")
    iso, made = pycdlib.PyCdlib(), io.BytesIO()
    iso.new()
    iso.add_fp(io.BytesIO(boot), len(boot), "/BOOT.;1")
    iso.add_eltorito("/BOOT.;1")
    iso.write_fp(made)
    iso.close()
    return made.getvalue()


def memory_mb(line: str) -> float:
    """How much memory a greeting speaks of."""
    return 16 + int(line.rpartition(" ")[2], 16) / 16
