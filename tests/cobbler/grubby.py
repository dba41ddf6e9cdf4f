#!/usr/bin/python3
"""In the place of /sbin/grubby, which only Fedora and RHEL have: keeps entries in a file, records each call.

It knows the options that koan and genome-replace-self use, and answers as grubby does where boot loader
snippets (BLS) are in use, including the calls that it refuses. A word in `fail`, such as --update-kernel,
makes every call with that option fail.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

HOME = Path("/var/lib/grubby-shim")
STATE, CALLS, FAIL = HOME / "state.json", HOME / "calls", HOME / "fail"

Entry = dict[str, str]


def refuse(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(1)


def default_index(state: dict[str, Any]) -> int:
    """The saved entry or, where none is saved, the first."""
    ids = [entry["id"] for entry in state["entries"]]
    return ids.index(state["saved"]) if state["saved"] in ids else 0


def select(state: dict[str, Any], param: str) -> list[int]:
    entries = state["entries"]
    if param == "ALL":
        return list(range(len(entries)))
    if param == "DEFAULT":
        return [default_index(state)]
    found = [
        index
        for index, entry in enumerate(entries)
        if param in (entry["kernel"], f"TITLE={entry['title']}", str(index))
    ]
    return found or refuse(f"The param {param} is incorrect")


def show(state: dict[str, Any], param: str) -> None:
    for index in select(state, param):
        entry = state["entries"][index]
        words = entry["args"].split()
        roots = [word for word in words if word.startswith("root=")]
        print(f"index={index}")
        print(f'kernel="{entry["kernel"]}"')
        print(f'args="{" ".join(word for word in words if word not in roots[:1])}"')
        if roots:
            print(f'root="{roots[0].partition("=")[2]}"')
        print(f'initrd="{entry["initrd"]}"\ntitle="{entry["title"]}"\nid="{entry["id"]}"')


def add(state: dict[str, Any], given: argparse.Namespace) -> None:
    if not Path(given.add_kernel).is_file():
        refuse(f"The {Path(given.add_kernel).name} kernel isn't installed in the machine")
    if not given.title:
        refuse("The kernel title must be specified")
    copied = state["entries"][default_index(state)]["args"] if given.copy_default else ""
    name = f"0123456789abcdef-{Path(given.add_kernel).name}"
    ids = [entry["id"] for entry in state["entries"]]
    while name in ids:
        name += "~custom"
    args = f"{copied} {given.args}".split()
    state["entries"].append(
        {
            "kernel": given.add_kernel,
            "args": " ".join(args),
            "initrd": given.initrd,
            "title": given.title,
            "id": name,
        }
    )
    if given.make_default:
        state["saved"] = state["entries"][select(state, f"TITLE={given.title}")[0]]["id"]


def update(state: dict[str, Any], given: argparse.Namespace) -> None:
    for index in select(state, given.update_kernel):
        words = state["entries"][index]["args"].split()
        kept = [word for word in words if word.partition("=")[0] != given.remove_args]
        state["entries"][index]["args"] = " ".join(kept)


def remove(state: dict[str, Any], param: str) -> None:
    for index in reversed(select(state, param)):
        if index == default_index(state):
            state["saved"] = ""
        del state["entries"][index]


def main() -> None:
    with CALLS.open("a") as calls:
        print(json.dumps(sys.argv[1:]), file=calls)
    broken = FAIL.read_text().split() if FAIL.exists() else []
    if any(word.split("=")[0] in broken for word in sys.argv[1:]):
        refuse("grubby: told to fail")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for flag in ("default-kernel", "default-index", "copy-default", "make-default", "bootloader-probe"):
        parser.add_argument(f"--{flag}", action="store_true")
    for option in (
        "info",
        "add-kernel",
        "initrd",
        "args",
        "title",
        "update-kernel",
        "remove-args",
        "remove-kernel",
    ):
        parser.add_argument(f"--{option}")
    parser.add_argument("--set-default", "--set-default-index", dest="set_default")
    given = parser.parse_args()
    state = json.loads(STATE.read_text())
    if given.bootloader_probe:
        refuse('grubby: the option "--bootloader-probe" was deprecated')
    elif given.default_kernel:
        print(state["entries"][default_index(state)]["kernel"])
    elif given.default_index:
        print(default_index(state))
    elif given.info:
        show(state, given.info)
    elif given.add_kernel:
        add(state, given)
    elif given.update_kernel:
        update(state, given)
    elif given.remove_kernel:
        remove(state, given.remove_kernel)
    elif given.set_default:
        state["saved"] = state["entries"][select(state, given.set_default)[0]]["id"]
    else:
        refuse("no action specified")
    STATE.write_text(json.dumps(state))


if __name__ == "__main__":
    main()
