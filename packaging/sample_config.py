"""Write the samples of the configuration files out of the tables of settings that read them.

`PYTHONPATH=. python3 packaging/sample_config.py --into DIR`, when the packages are built. Every setting is
there as a comment with its default, so that a file nobody edited follows the defaults of the next version,
and one that somebody edited shows what was changed. What holds for the packages alone is set.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certmaster import config as certmaster_config
from cloudmasterd.settings import SETTINGS
from func import config as func_config
from func.minion.cloudmaster import acl_path, acl_text
from func.minion.module import FuncModule
from func.minion.modules.command import Command
from func.minion.modules.copyfile import CopyFile
from func.minion.modules.genome import Genome
from func.minion.modules.getfile import GetFile
from func.minion.modules.image import Image
from func.minion.modules.jobs import JobsModule
from func.minion.modules.machine import Machine
from func.minion.modules.reboot import Reboot
from func.minion.modules.service import Service
from func.minion.modules.virt import Virt

WIDTH = 100
HOW = "Each setting is here as a comment, with its default: take the # off and change it."


@dataclass(frozen=True)
class Sample:
    """A configuration file: what it is for, its (key, default, meaning), and what the packages set."""

    purpose: str
    settings: Iterable[tuple[str, str, str]]
    as_packaged: Mapping[str, str] = field(default_factory=dict)


def _written(value: Any) -> str:
    """A default as the INI files of certmaster and Func have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == Path():
        return ""
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _func_style(settings: Iterable[Any]) -> list[tuple[str, str, str]]:
    return [(one.key, _written(one.default), one.help[:1].upper() + one.help[1:] + ".") for one in settings]


MODULES: tuple[tuple[type[FuncModule], str], ...] = (
    (Command, "module command, which is off"),
    (CopyFile, "module copyfile, which is off"),
    (GetFile, "module getfile, which is off"),
    (JobsModule, "asynchronous calls"),
    (Reboot, "module reboot"),
    (Service, "module service"),
    (Genome, "module genome"),
    (Image, "module image"),
    (Machine, "module machine"),
    (Virt, "module virt"),
)
"""The modules of funcd that have settings, and what they are called there."""


def _of_module(module: type[FuncModule], what: str) -> Sample:
    return Sample(f"the settings of funcd's {what}", _func_style(module.settings))


SAMPLES: Mapping[str, Sample] = {
    "/etc/cloudmasterd/cloudmasterd.conf": Sample(
        "the settings of cloudmasterd; `cloudmasterd --check-config` reads it and shows what holds",
        [(setting.key, setting.show(setting.default), setting.help) for setting in SETTINGS],
        # /etc/httpd/conf.d/cloudmasterd.conf is packaged as well
        {"behind_proxy": "yes"},
    ),
    "/etc/certmaster/certmaster.conf": Sample(
        "the settings of certmaster, the certificate authority",
        _func_style(certmaster_config.CERTMASTER_SETTINGS),
    ),
    "/etc/certmaster/minion.conf": Sample(
        "where this machine gets its certificate from", _func_style(certmaster_config.MINION_SETTINGS)
    ),
    "/etc/func/minion.conf": Sample(
        "the settings of funcd, the Func minion; `funcd --info` shows what follows from them",
        _func_style(func_config.MINION_SETTINGS),
    ),
    "/etc/func/overlord.conf": Sample(
        "the settings of whatever calls minions from this machine: func, cloudmasterd",
        _func_style(func_config.OVERLORD_SETTINGS),
    ),
    **{f"/etc/func/modules/{module.__name__}.conf": _of_module(module, what) for module, what in MODULES},
}


def sample(path: str) -> str:
    """The text of the file that is installed as `path`."""
    what = SAMPLES[path]
    parts = [f"{_comment(f'{path}: {what.purpose}.')}\n#\n{_comment(HOW)}\n\n[main]\n"]
    for key, default, meaning in what.settings:
        parts.append(f"\n{_comment(meaning)}\n#{key} = {default}".rstrip() + "\n")
        if key in what.as_packaged:
            parts.append(f"{key} = {what.as_packaged[key]}\n")
    return "".join(parts)


def _comment(text: str) -> str:
    wrapper = textwrap.TextWrapper(WIDTH, initial_indent="# ", subsequent_indent="# ")
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    return wrapper.fill(text)


def main() -> int:
    """Write every sample below the directory that is named."""
    parser = argparse.ArgumentParser(description="Write samples of the configuration files.")
    parser.add_argument("--into", type=Path, required=True, metavar="DIR")
    into = parser.parse_args().into
    texts = {path: sample(path) for path in SAMPLES}
    texts[str(acl_path(Path("/etc/func/minion-acl.d")))] = acl_text()  # what the cloud master may call
    for path, text in texts.items():
        target = into / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
