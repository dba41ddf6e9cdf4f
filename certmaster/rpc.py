"""The XML of the certmaster's calls and answers; nothing that could make a small body large gets through."""

from __future__ import annotations

import xmlrpc.client
from typing import Any
from xml.parsers import expat

_DEEPEST = 32

# The codes of faults. Historic servers know 1 alone; the others go to our own minions and administrators.
FAILED, UNKNOWN, WRONG, DONE_BEFORE, TOKEN_REFUSED = 1, 2, 3, 4, 5

# What xmlrpc.client is seen to raise on XML that is well-formed and yet no XML-RPC.
BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError)


class NoCall(Exception):
    """The bytes are no XML-RPC call; the text says why."""


def decode_call(body: bytes) -> tuple[str, tuple[Any, ...]]:
    """Method name and arguments of a call; raises NoCall."""
    _check_xml(body)
    try:
        args, method = xmlrpc.client.loads(body)
    except (xmlrpc.client.Error, expat.ExpatError, *BROKEN) as exc:
        raise NoCall(f"the body is not an XML-RPC call: {exc}") from exc
    if not method:
        raise NoCall("the body is not an XML-RPC call: it names no method")
    return method, args


def encode_result(value: Any) -> bytes:
    """The response that carries a value."""
    return xmlrpc.client.dumps((value,), methodresponse=True).encode()


def encode_fault(text: str, code: int = FAILED) -> bytes:
    """The response that carries a fault."""
    return xmlrpc.client.dumps(xmlrpc.client.Fault(code, text), methodresponse=True).encode()


def _check_xml(body: bytes) -> None:
    depth = 0

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise NoCall(f"the body nests deeper than {_DEEPEST} elements")

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        raise NoCall("the body has a DOCTYPE: XML-RPC needs none")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as exc:
        raise NoCall(f"the body is not XML: {exc}") from exc
