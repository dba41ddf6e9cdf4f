"""Turn Func's calls, results and errors into XML-RPC bytes and back, and refuse what the protocol forbids.

Pure: no sockets, no files. The format is that of http://xmlrpc.com/spec.md plus `<nil/>`; docs/wire.md says
what of it Func uses. Anything that cannot be written or read raises WireError, with the lower error as
its cause.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Callable
from xml.parsers import expat
from xmlrpc.client import MAXINT, MININT, Fault, Marshaller, ResponseError, Unmarshaller, escape

from func.errors import RemoteFault, WireError, XMLRPCFault

REMOTE_ERROR = "REMOTE_ERROR"
MAX_DEPTH = 256
"""Elements inside each other, in either direction: an array or struct inside another costs three."""

_HEADER = "<?xml version='1.0'?>\n"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"\s*[-+]?[0-9]{1,20}\s*")
_Write = Callable[[str], Any]


def _xml_text(text: str) -> str:
    """The text as it may stand in a document: markup escaped, characters XML cannot carry left out."""
    if not (text.isascii() and text.isprintable()):
        text = _NOT_XML.sub("", text)
    text = escape(text)
    # A parser turns a bare carriage return into a line feed.
    return text.replace("\r", "&#13;") if "\r" in text else text


class _Writer(Marshaller):
    """The standard library's writer, made to refuse what would arrive as something else."""

    dispatch: dict[Any, Callable[..., None]] = dict(Marshaller.dispatch)  # noqa: RUF012

    def dump_str(self, value: str, write: _Write) -> None:
        write(f"<value><string>{_xml_text(value)}</string></value>\n")

    def dump_integer(self, value: int, write: _Write) -> None:
        if not MININT <= value <= MAXINT:
            raise OverflowError(f"{value} does not fit into 32 bits: send it as a string")
        write(f"<value><int>{value}</int></value>\n")

    def dump_list(self, value: Sequence[Any], write: _Write) -> None:
        self._enter(value)
        write("<value><array><data>\n")
        for item in value:
            self._dump(item, write)
        write("</data></array></value>\n")
        del self.memo[id(value)]

    def dump_dict(self, value: dict[Any, Any], write: _Write) -> None:
        self._enter(value)
        write("<value><struct>\n")
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} of a struct is no string")
            write(f"<member>\n<name>{_xml_text(key)}</name>\n")
            self._dump(item, write)
            write("</member>\n")
        write("</struct></value>\n")
        del self.memo[id(value)]

    def _enter(self, value: Any) -> None:
        if id(value) in self.memo:
            raise TypeError("a value that contains itself has no form on the wire")
        self.memo[id(value)] = None
        if len(self.memo) * 3 > MAX_DEPTH:
            raise TypeError(f"a value nested deeper than {MAX_DEPTH // 3} has no form on the wire")

    def _dump(self, value: Any, write: _Write) -> None:
        kind = type(value)
        writer = self.dispatch.get(kind)
        if writer is None:
            raise TypeError(f"a {kind.__module__}.{kind.__qualname__} has no form on the wire")
        writer(self, value, write)

    dispatch[str] = dump_str
    dispatch[int] = dump_integer
    dispatch[list] = dispatch[tuple] = dump_list
    dispatch[dict] = dump_dict

    def document(self, values: Sequence[Any], start: str, end: str) -> bytes:
        """The values as the parameters of a whole document that `start` opens and `end` closes."""
        out = [_HEADER, start, "<params>\n"]
        write = out.append
        try:
            for value in values:
                write("<param>\n")
                self._dump(value, write)
                write("</param>\n")
        except (TypeError, OverflowError, ValueError) as exc:
            raise WireError(str(exc)) from exc
        write("</params>\n")
        write(end)
        return "".join(out).encode()


def encode_call(method: str, args: Sequence[Any] = ()) -> bytes:
    """The body of a request that calls `method` (e.g. "virt.info") with `args`; raises WireError."""
    start = f"<methodCall>\n<methodName>{_xml_text(method)}</methodName>\n"
    return _Writer(None, True).document(args, start, "</methodCall>\n")


def encode_result(value: Any) -> bytes:
    """The body of a reply that carries `value`; raises WireError, which `fault_text` turns into a fault."""
    return _Writer(None, True).document((value,), "<methodResponse>\n", "</methodResponse>\n")


def encode_fault(code: int, text: str) -> bytes:
    """The body of a reply that says the method was not run, or that its result cannot be sent."""
    return (
        f"{_HEADER}<methodResponse>\n<fault>\n<value><struct>\n"
        f"<member>\n<name>faultCode</name>\n<value><int>{code:d}</int></value>\n</member>\n"
        f"<member>\n<name>faultString</name>\n<value><string>{_xml_text(text)}</string></value>\n</member>\n"
        "</struct></value>\n</fault>\n</methodResponse>\n"
    ).encode()


def fault_text(exc: BaseException) -> str:
    """The text Func puts into a fault: `<class 'OverflowError'>:...`, naming the error below a WireError."""
    cause = exc.__cause__ if isinstance(exc, WireError) and exc.__cause__ is not None else exc
    return f"{type(cause)}:{exc}"


_Place = dict[str, tuple[Any, Any]]
"""What may come next there: tag -> (the same place after that element, the place inside it)."""

_END: _Place = {}
_VALUE: _Place = {}
_DATA: _Place = {}
_PARAMS: _Place = {}
_STRUCT: _Place = {}
_ARRAY: _Place = {"data": (_END, _DATA)}
_ONE_VALUE: _Place = {"value": (_END, _VALUE)}
_SCALARS = ["i1", "i2", "i4", "i8", "int", "biginteger", "boolean", "string", "double", "float", "base64",
            "dateTime.iso8601", "nil"]  # fmt: skip
_VALUE.update(dict.fromkeys(_SCALARS, (_END, _END)))
_VALUE.update(array=(_END, _ARRAY), struct=(_END, _STRUCT))
_DATA["value"] = (_DATA, _VALUE)
_STRUCT["member"] = (_STRUCT, {"name": (_ONE_VALUE, _END)})
_PARAMS["param"] = (_PARAMS, _ONE_VALUE)
_ROOTS: dict[str, _Place] = {
    "methodCall": {"methodName": ({"params": (_END, _PARAMS)}, _END)},
    "methodResponse": {"params": (_END, _PARAMS), "fault": (_END, _ONE_VALUE)},
}


class _Reader(Unmarshaller):
    """The standard library's reader, made to refuse what it would overlook."""

    dispatch: dict[str, Callable[..., None]] = dict(Unmarshaller.dispatch)  # noqa: RUF012

    def __init__(self, root: str) -> None:
        super().__init__(use_builtin_types=True)
        self._root = root
        self._places: list[_Place] = [{root: (_END, _ROOTS[root])}]
        self.xml("", None)  # expat hands out str, nothing is left to decode

    def start(self, tag: str, attrs: Any) -> None:
        places = self._places
        found = places[-1].get(tag)
        if found is None:
            found = self._find_prefixed(tag)
        places[-1], inside = found
        places.append(inside)
        if len(places) > MAX_DEPTH + 1:
            raise WireError(f"elements are nested deeper than {MAX_DEPTH}")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        if self._places.pop() is _ARRAY:
            raise WireError("an <array> holds no <data>")
        super().end(tag)

    def _find_prefixed(self, tag: str) -> tuple[Any, Any]:
        # Some write types of their own with a prefix.
        if self._places[-1] is _VALUE and (found := _VALUE.get(tag.rpartition(":")[2])):
            return found
        if len(self._places) == 1:
            raise WireError(f"the document is a <{tag[:40]}> where a <{self._root}> should be")
        raise WireError(f"a <{tag[:40]}> stands where none may be")

    def end_integer(self, text: str) -> None:
        # int() also takes underscores, other alphabets' digits and thousands of them.
        if not _INT.fullmatch(text):
            raise WireError(f"{text[:40]!r} is no int")
        self.append(int(text))
        self._value = False

    def end_any_double(self, text: str) -> None:
        self.append(float(text))
        self._value = False

    def end_time(self, text: str) -> None:
        self.append(datetime.strptime(text.strip(), "%Y%m%dT%H:%M:%S"))
        self._value = False

    def end_base64(self, text: str) -> None:
        # Otherwise whatever is no base64 would be left out.
        self.append(b64decode("".join(text.split()), validate=True))
        self._value = False

    def end_nothing(self, text: str) -> None:
        if text.strip():
            raise WireError(f"a <nil> holds {text[:40]!r}")
        self.append(None)
        self._value = False

    dispatch["base64"] = end_base64
    dispatch["nil"] = end_nothing
    dispatch["dateTime.iso8601"] = end_time
    for _tag in ("i1", "i2", "i4", "i8", "int", "biginteger"):
        dispatch[_tag] = end_integer
    dispatch["double"] = dispatch["float"] = end_any_double
    del dispatch["bigdecimal"]


def _refuse_doctype(*_: Any) -> None:
    raise WireError("the document has a DOCTYPE, which Func never sends")


def _read(body: bytes, root: str) -> tuple[_Reader, Any]:
    """Parse a whole document; answers the reader (for the method's name) and the values."""
    parser = expat.ParserCreate()
    reader = _Reader(root)
    parser.buffer_text = True
    parser.buffer_size = min(max(len(body), 1024), 1 << 20)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)
        return reader, reader.close()
    except expat.ExpatError as exc:
        raise WireError(f"not well-formed XML: {exc}") from exc
    except Fault as exc:
        return reader, exc
    except ResponseError as exc:
        raise WireError(f"not an XML-RPC document: {exc.args[0] if exc.args else 'it ends early'}") from exc
    except (TypeError, IndexError, KeyError, AttributeError) as exc:
        raise WireError(f"not an XML-RPC document: an element is missing or misplaced ({exc})") from exc
    except (ValueError, LookupError) as exc:
        raise WireError(f"not an XML-RPC document: {exc}") from exc
    finally:
        # The parser and its handlers hold each other: without this every document waits for the collector.
        parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None


def decode_call(body: bytes) -> tuple[str, list[Any]]:
    """The method's name and arguments of a request's body; raises WireError."""
    reader, values = _read(body, "methodCall")
    method = reader.getmethodname()
    if not method or isinstance(values, Fault):
        raise WireError("the call names no method")
    return method, list(values) if isinstance(values, tuple) else []


def decode_response(body: bytes) -> Any:
    """The value a reply's body carries; raises XMLRPCFault for a fault, WireError for what is no reply."""
    _, values = _read(body, "methodResponse")
    if isinstance(values, Fault):
        code = values.faultCode
        raise XMLRPCFault(code if isinstance(code, int) else 1, str(values.faultString))
    if len(values) != 1:
        raise WireError(f"the reply carries {len(values)} values where one should be")
    return values[0]


def remote_error(kind: str, text: str = "", traceback: str = "") -> list[str]:
    """The list Func returns in place of a value when a method failed."""
    return [REMOTE_ERROR, kind, text, traceback]


def is_remote_error(value: Any) -> bool:
    """Whether a value is such a list; historic minions send it with one to three strings after the mark."""
    return isinstance(value, list) and bool(value) and value[0] == REMOTE_ERROR


def to_remote_fault(value: Sequence[Any]) -> RemoteFault:
    """The error such a list stands for."""
    kind, text, traceback = [*(str(part) for part in value[1:4]), "", "", ""][:3]
    return RemoteFault(kind or "unknown error", text, traceback)
