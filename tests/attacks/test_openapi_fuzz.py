"""The REST interface of a running cloud master against its own OpenAPI document, by schemathesis."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudmasterd.rights import Role
from tests.attacks.town import Town, open_town
from tests.integration.support import REPOSITORY

PROGRAM = REPOSITORY / ".venvs/fuzz/bin/schemathesis"
USABLE = REPOSITORY / ".venvs/fuzz/usable"
LONG = os.environ.get("CLOUDMASTERD_FUZZ", "")  # make test-fuzz says how many requests of each operation

pytestmark = pytest.mark.skipif(
    not USABLE.exists(), reason="schemathesis is not installed: make setup-test installs it"
)

# What is promised: no 500, nothing that the document does not say. That all that fits it is taken is
# no promise: a name that is taken, a machine instance that is not there are no matter of shapes.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One of its own: nobody knows what is left of it."""
    with open_town(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


# Real names, so that more than "there is no such thing" is seen.
REAL = """
[parameters]
"path.cloud" = {cloud}
"path.machine" = {machine}
"path.user" = "mallory"
"""


@pytest.fixture
def document(town: Town) -> Any:
    """What the cloud master says of itself; anonymous callers may not ask for it, but they may know it."""
    return town.ask("GET", "/api/v1/openapi.json", town.admin.bearer).json()


def send(
    town: Town, folder: Path, document: Any, who: str, examples: int, phases: str, *more: str
) -> subprocess.CompletedProcess[str]:
    """Let it send so many requests of each operation, and judge the answers."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").touch()
    known = [] if not who else ["--header", f"Authorization: Bearer {town.people[who].token}"]
    command = [
        str(PROGRAM), "--config-file", "schemathesis.toml", "run", "openapi.json",
        "--url", town.cloud.url.rstrip("/"), "--checks", ",".join(CHECKS), "--phases", phases,
        "--max-examples", str(examples), "--mode", "all", "--seed", "2026", "--generation-deterministic",
        # credentials by chance would get no further than the door, which has its own tests
        "--generation-with-security-parameters", "false",
        "--suppress-health-check", "all", "--request-timeout", "90", "--continue-on-failure", "--no-color",
        "--warnings", "off", *known, *more,
    ]  # fmt: skip
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )


def run(
    town: Town, folder: Path, document: Any, who: str, examples: int, phases: str = "examples,fuzzing"
) -> None:
    """The same; fails with what it says unless all is well."""
    # that one waits for news, up to a minute, and has its own tests
    done = send(town, folder, document, who, examples, phases, "--exclude-operation-id", "listEvents")
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout, done.stdout[-2000:]
    tested = re.search(r"Tested: +(\d+)", done.stdout)
    assert tested is not None and int(tested[1]) >= 45, done.stdout[-2000:]


def test_what_the_document_does_not_say_is_found(town: Town, tmp_path: Path, document: Any) -> None:
    operations = document["paths"]
    del operations["/api/v1/machines/{machine}"]["get"]["responses"]["404"]
    document["components"]["schemas"]["MachineList"]["properties"]["next"] = {"type": "integer"}
    only = [word for name in ("getMachine", "listMachines") for word in ("--include-operation-id", name)]
    done = send(town, tmp_path, document, "vera", 5, "fuzzing", *only)
    assert done.returncode == 1, done.stdout
    assert "Undocumented HTTP status code" in done.stdout
    assert "Response violates schema" in done.stdout


@pytest.mark.parametrize(("who", "examples"), [("admin", 6), ("olga", 2), ("vera", 2), ("", 2)])
def test_whatever_is_sent_is_answered_as_the_document_says(
    town: Town, tmp_path: Path, document: Any, who: str, examples: int
) -> None:
    run(town, tmp_path, document, who, int(LONG or examples))


def test_what_is_there_is_answered_as_the_document_says(town: Town, tmp_path: Path, document: Any) -> None:
    machine = next(m.name for m in town.cloud.nodes[0].machines if m.state == "off")
    said = {"cloud": json.dumps(town.cloud.names[0]), "machine": json.dumps(machine)}
    (tmp_path / "schemathesis.toml").write_text(REAL.format(**said))
    town.make("mallory", Role.OPERATOR, session=False)
    run(town, tmp_path, document, "admin", int(LONG or 6))


@pytest.mark.skipif(not LONG, reason="takes minutes: make test-fuzz runs it")
@pytest.mark.parametrize("who", ["admin", "olga", "vera", ""])
def test_every_edge_of_the_document_is_answered_as_it_says(
    town: Town, tmp_path: Path, document: Any, who: str
) -> None:
    run(town, tmp_path, document, who, 1, phases="coverage")
