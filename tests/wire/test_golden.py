"""Bodies as historic Func writes them, read and written byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from func import wire
from func.errors import RemoteFault, XMLRPCFault

CALLS: list[tuple[bytes, str, list[Any]]] = [
    (
        b"<?xml version='1.0'?>\n<methodCall>\n<methodName>test.add</methodName>\n<params>\n"
        b"<param>\n<value><int>1</int></value>\n</param>\n<param>\n<value><int>2</int></value>\n</param>\n"
        b"</params>\n</methodCall>\n",
        "test.add",
        [1, 2],
    ),
    (
        b"<?xml version='1.0'?>\n<methodCall>\n<methodName>virt.info</methodName>\n<params>\n"
        b"</params>\n</methodCall>\n",
        "virt.info",
        [],
    ),
    (
        b"<?xml version='1.0'?>\n<methodCall>\n<methodName>command.run</methodName>\n<params>\n"
        b"<param>\n<value><string>echo 'a &lt; b &amp;&amp; c &gt; d'</string></value>\n</param>\n"
        b"<param>\n<value><struct>\n<member>\n<name>LANG</name>\n<value><string>C</string></value>\n"
        b"</member>\n</struct></value>\n</param>\n</params>\n</methodCall>\n",
        "command.run",
        ["echo 'a < b && c > d'", {"LANG": "C"}],
    ),
    (
        b"<?xml version='1.0'?>\n<methodCall>\n<methodName>copyfile.append</methodName>\n<params>\n"
        b"<param>\n<value><string>/etc/motd</string></value>\n</param>\n"
        b"<param>\n<value><base64>\nAGhlbGxvGwo=\n</base64></value>\n</param>\n"
        b"</params>\n</methodCall>\n",
        "copyfile.append",
        ["/etc/motd", b"\0hello\x1b\n"],
    ),
]

RESULTS: list[tuple[bytes, Any]] = [
    (b"<value><int>14245</int></value>\n", 14245),
    (b"<value><string>b\xc3\xbccher</string></value>\n", "bücher"),
    (b"<value><boolean>1</boolean></value>\n", True),
    (b"<value><double>1.5</double></value>\n", 1.5),
    (b"<value><nil/></value>", None),
    (
        b"<value><array><data>\n<value><string>jboss1 running</string></value>\n</data></array></value>\n",
        ["jboss1 running"],
    ),
    (
        b"<value><struct>\n<member>\n<name>jboss1</name>\n<value><struct>\n"
        b"<member>\n<name>state</name>\n<value><string>running</string></value>\n</member>\n"
        b"<member>\n<name>maxMem</name>\n<value><string>524288</string></value>\n</member>\n"
        b"<member>\n<name>nrVirtCpu</name>\n<value><int>1</int></value>\n</member>\n"
        b"</struct></value>\n</member>\n</struct></value>\n",
        {"jboss1": {"state": "running", "maxMem": "524288", "nrVirtCpu": 1}},
    ),
]

HEAD = b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n"
TAIL = b"</param>\n</params>\n</methodResponse>\n"


@pytest.mark.parametrize(("body", "method", "args"), CALLS, ids=[method for _, method, _ in CALLS])
def test_a_call_has_the_historic_form(body: bytes, method: str, args: list[Any]) -> None:
    assert wire.encode_call(method, args) == body
    assert wire.decode_call(body) == (method, args)


@pytest.mark.parametrize(("middle", "value"), RESULTS)
def test_a_result_has_the_historic_form(middle: bytes, value: Any) -> None:
    assert wire.encode_result(value) == HEAD + middle + TAIL
    assert wire.decode_response(HEAD + middle + TAIL) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("func.minion.codes.InvalidMethodException", ""),
        ("codes.ModuleNotFoundException", "nothing.there"),
        ("<class 'codes.FuncException'>", "no domain of that name"),
    ],
)
def test_a_remote_error_is_a_normal_result(kind: str, text: str) -> None:
    body = (
        HEAD
        + (
            "<value><array><data>\n<value><string>REMOTE_ERROR</string></value>\n"
            f"<value><string>{kind.replace('<', '&lt;').replace('>', '&gt;')}</string></value>\n"
            f"<value><string>{text}</string></value>\n<value><string>trace</string></value>\n"
            "</data></array></value>\n"
        ).encode()
        + TAIL
    )
    assert wire.encode_result(wire.remote_error(kind, text, "trace")) == body
    value = wire.decode_response(body)
    assert wire.is_remote_error(value)
    fault = wire.to_remote_fault(value)
    assert isinstance(fault, RemoteFault)
    assert (fault.kind, fault.text, fault.traceback) == (kind, text, "trace")
    assert fault.short_kind in ("InvalidMethodException", "ModuleNotFoundException", "FuncException")


def test_denied_access_is_a_fault() -> None:
    text = "<class 'func.minion.codes.AccessToMethodDenied'>:"
    body = (
        b"<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n"
        b"<member>\n<name>faultCode</name>\n<value><int>1</int></value>\n</member>\n"
        b"<member>\n<name>faultString</name>\n<value><string>"
        b"&lt;class 'func.minion.codes.AccessToMethodDenied'&gt;:</string></value>\n</member>\n"
        b"</struct></value>\n</fault>\n</methodResponse>\n"
    )
    assert wire.encode_fault(1, text) == body
    with pytest.raises(XMLRPCFault) as fault:
        wire.decode_response(body)
    assert (fault.value.code, fault.value.text) == (1, text)


@pytest.mark.parametrize(
    ("middle", "value"),
    [
        (b"<value>no type is a string</value>", "no type is a string"),
        (b"<value><i4>-7</i4></value>", -7),
        (b"<value><i8>5000000000</i8></value>", 5000000000),
        (b"<value><nil></nil></value>", None),
        (b"<value><string/></value>", ""),
        (b"<value></value>", ""),
        (b"<value><array><data/></array></value>", []),
    ],
)
def test_forms_other_peers_write_are_read(middle: bytes, value: Any) -> None:
    assert wire.decode_response(HEAD + middle + TAIL) == value
