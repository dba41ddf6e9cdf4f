"""Whatever stands in a body, it is read or cleanly refused, and nothing is left behind."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from hypothesis import given, settings

from certmaster import rpc
from func import wire
from func.errors import WireError, XMLRPCFault
from tests.wire.fuzz import XML, XML_PIECES, edited

READERS: dict[str, tuple[Callable[[bytes], Any], tuple[type[Exception], ...]]] = {
    "minion": (wire.decode_call, (WireError,)),
    "overlord": (wire.decode_response, (WireError, XMLRPCFault)),
    "certmaster": (rpc.decode_call, (rpc.NoCall,)),
}

PASS_AT_THE_MINION = {
    "call-good", "comment-and-instruction", "double-infinite", "double-nan", "encoding-utf-16", "i8-within",
    "method-dunder", "no-params", "struct-name-dunder",
    "struct-name-twice",
}  # fmt: skip
"""Of the corpus. A method's name is looked up in a table, a struct is a dict: names can be what they like."""


def read(reader: str, body: bytes) -> Any:
    """The value, or the refusal; any other exception fails the test."""
    decode, refusals = READERS[reader]
    try:
        return decode(body)
    except refusals as exc:
        return exc


def nested(depth: int) -> bytes:
    inside = b"<value><array><data>" * depth + b"</data></array></value>" * depth
    return (
        b"<methodCall><methodName>a.b</methodName><params><param>"
        + inside
        + b"</param></params></methodCall>"
    )


def wide(middle: bytes) -> bytes:
    return b"<methodCall><methodName>a.b</methodName><params>" + middle + b"</params></methodCall>"


GENERATED = {
    "nested a hundred thousand deep": nested(100_000),
    "opened a million times": b"<methodCall>" + b"<value>" * 1_000_000,
    "an int of a million digits": wide(b"<param><value><int>" + b"9" * 1_000_000 + b"</int></value></param>"),
    "a double of a million digits": wide(
        b"<param><value><double>" + b"9" * 1_000_000 + b"</double></value></param>"
    ),
    "a tag of a million letters": b"<methodCall><" + b"a" * 1_000_000 + b"/></methodCall>",
    "a hundred thousand attributes": b"<methodCall "
    + b"".join(b"a%d='' " % n for n in range(100_000))
    + b"/>",
    "a million blanks in base64": wide(
        b"<param><value><base64>" + b" " * 1_000_000 + b"</base64></value></param>"
    ),
    "a million zeros": bytes(1_000_000),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", XML)
def test_each_body_of_the_corpus_is_read_or_refused(reader: str, name: str) -> None:
    found = read(reader, XML[name])
    if reader == "minion":
        assert isinstance(found, tuple) == (name in PASS_AT_THE_MINION), found
    if isinstance(found, Exception):
        assert str(found), "a refusal says why"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", GENERATED)
def test_a_body_that_wants_to_be_large_is_dealt_with_in_no_time(reader: str, name: str) -> None:
    began = time.process_time()
    read(reader, GENERATED[name])
    assert time.process_time() - began < 5


def test_depth_is_refused_by_its_limit() -> None:
    body = GENERATED["nested a hundred thousand deep"]
    assert str(read("minion", body)) == f"elements are nested deeper than {wire.MAX_DEPTH}"
    body = body.replace(b"methodCall", b"methodResponse").replace(b"<methodName>a.b</methodName>", b"")
    assert str(read("overlord", body)) == f"elements are nested deeper than {wire.MAX_DEPTH}"


@pytest.mark.parametrize("name", ["entity-bomb", "external-entity", "parameter-entity", "html"])
def test_a_doctype_is_refused_before_its_entities_are_read(name: str) -> None:
    assert "DOCTYPE" in str(read("minion", XML[name]))
    assert "DOCTYPE" in str(read("certmaster", XML[name]))


@settings(max_examples=settings.default.max_examples * 4, deadline=None)
@given(edited(list(XML.values()), XML_PIECES))
def test_edits_of_the_corpus_are_read_or_refused(body: bytes) -> None:
    for reader in READERS:
        read(reader, body)


@settings(max_examples=settings.default.max_examples * 2, deadline=None)
@given(edited(list(XML.values()), XML_PIECES))
def test_what_a_minion_read_can_be_sent_again_and_is_the_same(body: bytes) -> None:
    found = read("minion", body)
    if isinstance(found, WireError):
        return
    method, args = found
    try:
        again = wire.decode_call(wire.encode_call(method, args))
    except WireError:
        return  # a larger int than 32 bits: read from anybody, sent to nobody
    # Not compared by ==, as a NaN equals nothing, itself included.
    assert repr(again) == repr((method, args)) or "\\x" in repr(args)


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("reader", READERS)
def test_refusing_a_thousand_times_leaves_no_memory_behind(reader: str, without_collector: None) -> None:
    bodies = [*XML.values(), nested(300)]

    def refuse(times: int) -> None:
        for _ in range(times):
            for body in bodies:
                read(reader, body)

    refuse(3)
    tracemalloc.start()
    try:
        refuse(2)
        before = tracemalloc.get_traced_memory()[0]
        refuse(17)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000, f"{grown} bytes after {17 * len(bodies)} bodies"
