"""The XML of calls: what is one, and what is refused."""

from __future__ import annotations

import xmlrpc.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmaster.rpc import NoCall, decode_call, encode_fault, encode_result

CALL = xmlrpc.client.dumps(("csr", True), "wait_for_cert").encode()


def test_a_call_as_xmlrpc_client_makes_it_is_understood() -> None:
    assert decode_call(CALL) == ("wait_for_cert", ("csr", True))
    assert decode_call(xmlrpc.client.dumps((), "x").encode()) == ("x", ())


def test_answers_are_understood_by_xmlrpc_client() -> None:
    assert xmlrpc.client.loads(encode_result([True, "a<&>b", ""])) == (([True, "a<&>b", ""],), None)
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(encode_fault("no <such> method"))
    assert (caught.value.faultCode, caught.value.faultString) == (1, "no <such> method")


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1/x">',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
        "<!DOCTYPE x>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_doctype_is_refused_in_any_encoding(doctype: str, encoding: str) -> None:
    call = "<methodCall><methodName>x</methodName></methodCall>"
    with pytest.raises(NoCall, match="DOCTYPE"):
        decode_call((doctype + call).encode(encoding))


def test_deep_nesting_is_refused() -> None:
    value = "<value><array><data>" * 5000
    with pytest.raises(NoCall, match="deeper than 32"):
        decode_call(f"<methodCall><methodName>x</methodName><params><param>{value}".encode())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"garbage", b"\0\xff", b"<methodCall>", b"<a/>",
        b"<?xml version='1.0' encoding='nonsense'?><a/>",
        xmlrpc.client.dumps((1,), methodresponse=True).encode(),
        b"<methodCall><methodName>x</methodName><params><param><value><int>x</int></value></param></params></methodCall>",
        b"<methodCall><methodName>x</methodName><params><param><value><nonsense/></value></param></params></methodCall>",
        b"<methodCall><params><param><value><struct><member/></struct></value></param></params></methodCall>",
        b"<methodCall><methodName/><params><name>x</name><member/><fault/></params></methodCall>",
        b"<methodCall><params><array></array><data/></params></methodCall>",
    ],
)  # fmt: skip
def test_what_is_no_call_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(NoCall, match=r".{10,}"):
        decode_call(body)


TAGS = [
    "methodCall",
    "methodName",
    "params",
    "param",
    "value",
    "int",
    "i8",
    "double",
    "array",
    "data",
    "struct",
    "member",
    "name",
    "fault",
    "base64",
    "nil",
    "dateTime.iso8601",
    "boolean",
    "string",
    "bigdecimal",
    "methodResponse",
]


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> str:
    tag = draw(st.sampled_from(TAGS))
    inside = (
        st.lists(st.one_of(trees(depth - 1), st.text("x 1-:T.", max_size=4)), max_size=3)
        if depth
        else st.just([])
    )
    return f"<{tag}>{''.join(draw(inside))}</{tag}>"


@given(trees())
def test_no_tree_of_its_words_does_more_than_be_refused(tree: str) -> None:
    try:
        decode_call(f"<methodCall>{tree}</methodCall>".encode())
    except NoCall:
        pass


@given(st.integers(0, len(CALL) - 1), st.binary(max_size=3))
def test_no_damaged_call_does_more_than_be_refused(at: int, junk: bytes) -> None:
    try:
        decode_call(CALL[:at] + junk + CALL[at + 1 :])
    except NoCall:
        pass
