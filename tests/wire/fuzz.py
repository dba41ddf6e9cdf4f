"""The kept corpus of malformed input, and edits of it that hypothesis makes up."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
XML = {path.stem: path.read_bytes() for path in sorted((CORPUS / "xml").iterdir())}
REQUESTS = {path.stem: path.read_bytes() for path in sorted((CORPUS / "request").iterdir())}

XML_PIECES = [
    *(
        f"<{slash}{tag}>".encode()
        for tag in ("value", "int", "array", "data", "struct", "member", "name", "base64", "fault",
                    "methodName", "params", "dateTime.iso8601", "double", "boolean", "nil")
        for slash in ("", "/")
    ),
    b"<nil/>", b"&#0;", b"&lt;", b"&x;", b"<!DOCTYPE a>", b"<![CDATA[", b"]]>", b"\0", b"\xff", b"9" * 400,
    b"-",
]  # fmt: skip
REQUEST_PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b":", b"POST ", b"GET ", b"HTTP/1.1", b"HTTP/1.0",
    b"/RPC2", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
    b"\xff", b"9" * 30, b"Connection: close\r\n", b"Accept-Encoding: gzip;q=x\r\n", b"0\r\n\r\n",
]  # fmt: skip


def edited(seeds: list[bytes], pieces: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of the seeds after some cuts, repetitions and insertions."""
    places = st.integers(0, 2000)
    edits = st.tuples(places, places, st.sampled_from([*pieces, b""]) | st.binary(max_size=4))

    def apply(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for begin, length, piece in changes:
            begin %= len(seed) + 1
            # Half of the edits take a little away, half repeat what is there.
            taken = length // 2 % 30
            rest = seed[begin + taken :] if length % 2 else seed[begin - min(begin, taken) :]
            seed = seed[:begin] + piece + rest
        return seed

    return st.builds(apply, st.sampled_from(seeds), st.lists(edits, max_size=6))
