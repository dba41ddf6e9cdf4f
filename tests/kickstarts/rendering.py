"""Render the templates with Cheetah, as cobbler does, and take the result apart with pykickstart."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "kickstarts"
MODERN, LEGACY = "genome-cloud.ks", "genome-cloud-legacy.ks"

# What pykickstart calls a system: the template for it, and what cobbler does.
SYSTEMS = {
    "F8": (LEGACY, "f8"), "RHEL5": (LEGACY, "rhel5"), "F42": (MODERN, "f42"), "F45": (MODERN, "f45"),
    "RHEL9": (MODERN, "rhel9"), "RHEL10": (MODERN, "rhel10"),
}  # fmt: skip


def render(version: str, **metadata: Any) -> str:
    """The kickstart of a profile with this metadata."""
    from Cheetah.Template import Template

    template, system = SYSTEMS[version]
    known = {
        "tree": "http://cobbler.example.org/cblr/links/tree", "http_server": "cobbler.example.org",
        "yum_repo_stanza": "", "genome_system": system, **metadata,
    }  # fmt: skip
    # As cobbler 3.3 does: errors leave the text of the template where a value should be.
    source = "#errorCatcher ListErrors\n" + (FOLDER / template).read_text(encoding="utf-8")
    return str(Template(source, searchList=[known]))


def scripts(version: str, kickstart: str) -> dict[str, str]:
    """The scripts of a kickstart by their sections' names, as pykickstart of that version sees them."""
    from pykickstart.parser import KickstartParser
    from pykickstart.version import makeVersion

    parser = KickstartParser(makeVersion(version), missingIncludeIsFatal=False)
    parser.readKickstartFromString(kickstart)
    found = {}
    for script in parser.handler.scripts:
        name = str(script).split()[0].removeprefix("%")
        assert name not in found, f"two sections %{name}"
        found[name] = script.script
    return found


def resolve(kickstart: str, tmp: Path) -> str:
    """The kickstart with the files that its %pre wrote in the place of their includes."""
    return re.sub(
        r"^%include /tmp/(\S+)$", lambda match: (tmp / match[1]).read_text(), kickstart, flags=re.MULTILINE
    )


def complaints(version: str, kickstart: str, folder: Path) -> str:
    """What ksvalidator says against it; nothing if that is nothing."""
    file = folder / "whole.ks"
    file.write_text(kickstart)
    done = subprocess.run(
        [sys.executable, Path(sys.executable).with_name("ksvalidator"), "-v", version, file],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    said = done.stdout.replace(f"Checking kickstart file {file}", "").strip()
    return said or ("" if done.returncode == 0 else f"exit code {done.returncode}")
