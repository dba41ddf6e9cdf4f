"""Names that climb out of their folder, line ends that become headers, cells that become formulas."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from tests.attacks.town import Answer, Town

CLIMBING = (
    "..",
    "../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "..%252f..%252fetc%252fpasswd",
    "%2e%2e",
    "%2e%2e%2f",
    "%2e%2e%5c",
    "..%5c..%5cetc%5cpasswd",
    "....//",
    "..;/",
    "%c0%ae%c0%ae%c0%af",
    "%e0%80%ae%e0%80%ae",
    "%f0%80%80%ae",
    "%00",
    "a%00.css",
    "style.css%00",
    "%ff%fe",
    "%u002e",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    ".",
    "~root",
    "%0d%0aX-Evil:%201",
    "%0aX-Evil:%201",
    "%E5%98%8A%E5%98%8DX-Evil:1",
    "a" * 4000,
    "%EF%BC%8E%EF%BC%8E%EF%BC%8F",
)
FOLDERS = (
    "/static/",
    "/api/v1/machines/",
    "/api/v1/images/",
    "/api/v1/profiles/",
    "/api/v1/clouds/",
    "/api/v1/users/",
    "/api/v1/tasks/",
    "/machines/",
    "/clouds/",
    "/users/",
    "/tasks/",
    "/install/",
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_name_leads_out_of_its_folder(town: Town, folder: str) -> None:
    for name in CLIMBING:
        head = f"GET {folder}{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {town.admin.token}\r\n"
        answer = town.raw(f"{head}Connection: close\r\n\r\n".encode())
        status = int(answer.split(b" ", 2)[1])
        # what is climbed to may be a list of ours; never a file of this machine, and never an error of ours
        assert status in (200, 303, 304, 400, 404, 414), (name, answer[:300])
        assert b"root:" not in answer and b"X-Evil: 1\r\n" not in answer.replace(b"x-evil", b"X-Evil"), name
        if folder == "/static/":
            assert status in (400, 404), name


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "/etc/passwd", "a/b", "a\\b", "a\x00b", "-rf", "a\nb", "a b", "é", ""]
)
def test_an_image_is_called_after_no_file_of_another_folder(town: Town, name: str) -> None:
    body = {"name": name, "format": "raw", "sha256": "0" * 64, "size_bytes": 4}
    headers = {"Content-Type": "application/json", **town.olga.bearer}
    answer = town.ask("POST", "/api/v1/images", headers, json.dumps(body).encode())
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "name")


def test_an_image_that_is_sent_is_a_file_in_its_folder_and_nowhere_else(town: Town) -> None:
    body = {"name": "in-its-folder", "format": "raw", "sha256": "0" * 64, "size_bytes": 4096}
    headers = {"Content-Type": "application/json", **town.olga.bearer}
    assert town.ask("POST", "/api/v1/images", headers, json.dumps(body).encode()).status == 201
    octets = {"Content-Type": "application/octet-stream", **town.olga.bearer}
    for name in ("in-its-folder", "%2e%2e%2fin-its-folder", "..%2fx", "in-its-folder%00"):
        answer = town.ask("PUT", f"/api/v1/images/{name}/data?offset=0", octets, b"abcd")
        assert answer.status == (200 if name == "in-its-folder" else 404), name
    root = town.cloud.root_of("cloudmasterd")
    found = list(root.rglob("*in-its-folder*"))
    assert [path.parent.name for path in found] == ["images"]
    assert found[0].stat().st_mode & 0o777 == 0o600


# ---------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "text", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\x00b", "\x0bX-Evil: 1"]
)
@pytest.mark.parametrize(
    "name", ["X-Request-Id", "Idempotency-Key", "If-Match", "Prefer", "X-Audit-Reason", "User-Agent"]
)
def test_a_line_end_in_a_header_is_no_line_of_the_answer(town: Town, name: str, text: str) -> None:
    known = f"Host: x\r\nAuthorization: Bearer {town.vera.token}\r\nConnection: close"
    answer = town.raw(f"GET /api/v1/whoami HTTP/1.1\r\n{known}\r\n{name}: {text}\r\n\r\n".encode("latin-1"))
    if text.startswith("a\r\nX-Evil"):  # two headers of the client's own, and none of ours
        assert answer.startswith(b"HTTP/1.1 200")
    else:
        assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b"x-evil" not in answer.split(b"\r\n\r\n")[0].lower()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-1", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("a b", False),
        ("<script>", False),
        ("=?utf-8?q?a=0D=0Ab?=", False),
        ("é", False),
        ("../x", False),
        ("'; DROP TABLE task; --", False),
        ("-", True),
    ],
)
def test_an_id_of_a_request_is_one_word_or_one_of_ours(town: Town, given: str, kept: bool) -> None:
    known = f"Host: x\r\nAuthorization: Bearer {town.vera.token}\r\nConnection: close"
    answer = town.raw(f"GET /api/v1/whoami HTTP/1.1\r\n{known}\r\nX-Request-Id: {given}\r\n\r\n".encode())
    found = re.search(rb"(?i)\r\nx-request-id: ([^\r]*)\r\n", answer)
    assert found is not None and re.fullmatch(rb"[A-Za-z0-9-]{1,64}", found[1])
    assert (found[1] == given.encode()) is kept


def test_the_answer_says_little_of_who_made_it(town: Town) -> None:
    for path in ("/healthz", "/login", "/nothing", "/api/v1/machines"):
        for name, value in town.ask("GET", path).all_headers:
            assert not re.search(r"(?i)cherrypy|cheroot|python|/\d+\.\d+", value), (name, value)


def test_every_answer_says_what_a_browser_is_to_keep_from(town: Town) -> None:
    for path in ("/", "/login", "/nothing", "/api/v1/machines", "/healthz", "/static/none.css"):
        for known in ({}, town.admin.session):
            answer = town.ask("GET", path, {**known, "Accept": "text/html, */*;q=0.1"})
            assert answer.headers["x-content-type-options"] == "nosniff"
            if answer.headers.get("content-type", "").startswith("text/html"):
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
                assert answer.headers["referrer-policy"] in ("same-origin", "no-referrer")


# -------------------------------------------------------------------------------------------------- formulas


FORMULAS = (
    "=HYPERLINK(0)",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "=cmd|' /C calc'!A0",
    '"=1',
    ";=1",
    ",=1",
)


def records(answer: Answer) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_no_cell_of_the_record_is_a_formula(town: Town) -> None:
    for i, formula in enumerate(FORMULAS):
        reason = formula.replace("\r", " ")
        headers = {"Content-Type": "application/json", "X-Audit-Reason": reason, **town.admin.bearer}
        body = json.dumps({"name": f"formula-{i}", "role": "viewer", "title": formula.strip()}).encode()
        assert town.ask("POST", "/api/v1/users", headers, body).status == 201
        town.log_in(formula, "wrong")
    answer = town.ask("GET", "/api/v1/audit?format=csv&limit=1000", town.admin.bearer)
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    found = records(answer)
    assert len([row for row in found if row["action"] == "createUser"]) >= len(FORMULAS)
    for row in found:
        for name, cell in row.items():
            assert not re.match(r"\s*[=+@\t\r]|-(?!$)", cell or ""), (name, cell)


def test_the_names_of_files_that_are_sent_are_ours(town: Town) -> None:
    for query in ('format=csv"; filename="evil.exe', "format=csv%0d%0aX-Evil:%201", "format=../../x"):
        target = f"/api/v1/audit?{query.replace(' ', '%20')}"
        answer = town.ask("GET", target, town.admin.bearer)
        assert answer.status == 400 and "x-evil" not in answer.headers
