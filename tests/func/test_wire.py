"""What may go over the wire, what is refused, and what arrives as it was sent."""

from __future__ import annotations

import xmlrpc.client
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from func import wire
from func.errors import FuncError, WireError, XMLRPCFault

xml_text = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.floats(allow_nan=False)
    | xml_text
    | st.binary()
    | st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda t: t.replace(microsecond=0)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(xml_text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_a_value_arrives_as_it_was_sent(value: Any) -> None:
    assert wire.decode_response(wire.encode_result(value)) == value


@given(st.text("abc.XYZ_", min_size=1), st.lists(values, max_size=4))
def test_a_call_arrives_as_it_was_sent(method: str, args: list[Any]) -> None:
    assert wire.decode_call(wire.encode_call(method, args)) == (method, args)


@given(values)
def test_the_standard_library_reads_and_writes_the_same(value: Any) -> None:
    theirs = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True)
    assert wire.decode_response(theirs.encode()) == value
    assert xmlrpc.client.loads(wire.encode_result(value), use_builtin_types=True)[0] == (value,)


@given(st.binary(max_size=200))
def test_garbage_is_a_wire_error_and_nothing_else(garbage: bytes) -> None:
    for decode in (wire.decode_call, wire.decode_response):
        with pytest.raises(WireError):
            decode(garbage)


TAGS = ["params", "param", "value", "int", "string", "array", "data", "struct", "member", "name", "base64",
        "nil", "boolean", "double", "fault", "methodName", "dateTime.iso8601"]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(TAGS), st.booleans(), st.sampled_from(["", "1", "x", "\u0663"]))))
def test_tags_in_any_order_give_a_value_or_an_error_of_ours(parts: list[tuple[str, bool, str]]) -> None:
    opened: list[str] = []
    text = ""
    for tag, deeper, inside in parts:
        text += f"<{tag}>{inside}"
        if deeper:
            opened.append(tag)
        else:
            text += f"</{tag}>"
    text += "".join(f"</{tag}>" for tag in reversed(opened))
    for decode, root in ((wire.decode_response, "methodResponse"), (wire.decode_call, "methodCall")):
        try:
            decode(f"<{root}>{text}</{root}>".encode())
        except FuncError:
            pass


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("bell\a nul\0 esc\x1b[1m", "bell nul esc[1m"),
        ("half a pair \ud800", "half a pair "),
        ("a\r\nb\rc\n", "a\r\nb\rc\n"),
        ("\ufffe\uffff\ufffd", "\ufffd"),
        ("]]>", "]]>"),
    ],
)
def test_what_xml_cannot_carry_is_left_out_of_text(sent: str, arrives: str) -> None:
    assert wire.decode_response(wire.encode_result([sent, {sent: sent}])) == [arrives, {arrives: arrives}]


def test_bytes_arrive_whole() -> None:
    assert wire.decode_response(wire.encode_result(bytes(range(256)))) == bytes(range(256))


def holds_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text", "fault"),
    [
        (2**31, "2147483648 does not fit into 32 bits: send it as a string", "<class 'OverflowError'>:"),
        (-(2**31) - 1, "does not fit", "<class 'OverflowError'>:"),
        ([{"a": object()}], "a builtins.object has no form on the wire", "<class 'TypeError'>:"),
        ({1: 2}, "the key 1 of a struct is no string", "<class 'TypeError'>:"),
        ({"set"}, "a builtins.set has no form", "<class 'TypeError'>:"),
        (holds_itself(), "contains itself", "<class 'TypeError'>:"),
        (nested(5000), "nested deeper than", "<class 'TypeError'>:"),
    ],
)
def test_what_cannot_be_sent_is_named(value: Any, text: str, fault: str) -> None:
    with pytest.raises(WireError, match=text) as error:
        wire.encode_result(value)
    assert wire.fault_text(error.value).startswith(fault)


def test_the_same_list_twice_is_not_recursion() -> None:
    shared = ["x"]
    assert wire.decode_response(wire.encode_result([shared, shared])) == [["x"], ["x"]]


def test_what_is_written_deep_can_be_read() -> None:
    assert wire.decode_response(wire.encode_result(nested(80))) == nested(80)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "not well-formed XML: no element found"),
        (b"<methodResponse>", "not well-formed XML"),
        (b"<methodCall/>", "a <methodCall> where a <methodResponse> should be"),
        (b"<methodResponse/>", "it ends early"),
        (b"<methodResponse><params/></methodResponse>", "0 values where one should be"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><methodResponse/>", "DOCTYPE"),
        (b"<?xml version='1.0' encoding='none-such'?><methodResponse/>", "encoding"),
        (b"<methodResponse><params><param><value><int>1_0</int></value></param></params></methodResponse>",
         "'1_0' is no int"),
        (b"<methodResponse><params><param><value><dateTime.iso8601>now</dateTime.iso8601></value></param>"
         b"</params></methodResponse>", "'now'"),
        (b"<methodResponse><fault><value>1</value></fault></methodResponse>", "missing or misplaced"),
        (b"<methodResponse><params><param>" + b"<value><array><data>" * 200, "nested deeper than 256"),
        (b"<methodResponse>" + b"<x>" * 100_000, "a <x> stands where none may be"),
        (b"<methodResponse><params><param><value><int>1</int><int>2</int></value></param></params>"
         b"</methodResponse>", "a <int> stands where none may be"),
        (b"<methodResponse><params><param><value><array></array></value></param></params></methodResponse>",
         "an <array> holds no <data>"),
        (b"<methodResponse><params><param><value><nil>1</nil></value></param></params></methodResponse>",
         "a <nil> holds '1'"),
        (b"<methodResponse><params><param><value><base64>!!!!</base64></value></param></params>"
         b"</methodResponse>", "not an XML-RPC document"),
    ],
    ids=lambda value: str(value)[-40:],
)  # fmt: skip
def test_what_is_no_reply_is_refused_with_the_reason(body: bytes, text: str) -> None:
    with pytest.raises(WireError, match=text):
        wire.decode_response(body)


def test_a_call_without_a_method_is_refused() -> None:
    with pytest.raises(WireError, match="names no method|a <params> stands where none may be"):
        wire.decode_call(b"<methodCall><methodName></methodName><params/></methodCall>")
    with pytest.raises(WireError, match="names no method|a <params> stands where none may be"):
        wire.decode_call(b"<methodCall><params/></methodCall>")


def test_malformed_xml_makes_the_fault_func_sends() -> None:
    with pytest.raises(WireError) as error:
        wire.decode_call(b"<methodCall><")
    assert wire.fault_text(error.value).startswith("<class 'xml.parsers.expat.ExpatError'>:")
    assert wire.fault_text(PermissionError("no")) == "<class 'PermissionError'>:no"


def test_a_fault_without_a_number_is_still_a_fault() -> None:
    body = wire.encode_fault(1, "text").replace(b"<int>1</int>", b"<string>one</string>")
    with pytest.raises(XMLRPCFault, match="text"):
        wire.decode_response(body)


@pytest.mark.parametrize("value", [["REMOTE_ERROR", "K", "t", "tb"], ["REMOTE_ERROR", "K"], ["REMOTE_ERROR"]])
def test_remote_errors_are_known_at_any_length(value: list[str]) -> None:
    assert wire.is_remote_error(value)
    assert wire.to_remote_fault(value).kind == (value[1] if len(value) > 1 else "unknown error")


@pytest.mark.parametrize("value", [[], "REMOTE_ERROR", ["x", "REMOTE_ERROR"], {"REMOTE_ERROR": 1}, None])
def test_other_values_are_no_remote_errors(value: Any) -> None:
    assert not wire.is_remote_error(value)
