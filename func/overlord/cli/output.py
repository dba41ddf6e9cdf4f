"""Print values in the form asked for: Python's, JSON, XML-RPC or pickle."""

from __future__ import annotations

import argparse
import base64
import json
import pickle
import sys
from datetime import datetime
from pprint import pprint
from typing import Any, Optional

from func import wire


def add_shapes(parser: argparse.ArgumentParser) -> None:
    """Let a command take Func's options for the form of its output."""
    shape = parser.add_mutually_exclusive_group()
    for flag, name, text in (
        ("-j", "json", "print JSON"),
        ("-x", "xmlrpc", "print XML-RPC"),
        ("-p", "pickle", "print a Python pickle"),
        ("-b", "basic", "print in one line"),
    ):
        shape.add_argument(flag, f"--{name}", dest="shape", action="store_const", const=name, help=text)
    shape.add_argument(
        "--raw", dest="shape", action="store_const", const="basic", help="print in one line, too"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a command print JSON in place of text for people."""
    parser.add_argument("-j", "--json", action="store_true", help="print JSON")


def print_value(value: Any, shape: Optional[str] = None, indent: Optional[int] = 2) -> None:
    """Print a value as `shape` says, by default as Python writes it, in lines of 80 characters."""
    if shape == "json":
        print(json.dumps(value, default=_as_json, indent=indent))
    elif shape == "xmlrpc":
        print(wire.encode_result(value).decode(), end="")
    elif shape == "pickle":
        # The oldest protocol: it is text, and the Python 2 of an old program reads it.
        sys.stdout.buffer.write(pickle.dumps(value, protocol=0) + b"\n")
    elif shape == "basic":
        print(harmless(str(value)))
    else:
        pprint(value)


def harmless(text: str) -> str:
    """What a minion says, fit for a terminal: control characters, which could steer it, are spelled out."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print_value(value, "json")


def _as_json(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else str(value)
