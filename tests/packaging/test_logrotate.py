"""Rotation of the files that our daemons keep themselves: by a real logrotate, while they go on writing."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from certmaster.audit import Audit as CertmasterAudit
from func.minion.audit import FILE_NAME
from func.minion.audit import Audit as FuncAudit

CONFIGURATIONS = Path(__file__).resolve().parents[2] / "packaging/logrotate"


@pytest.fixture
def rotate(tmp_path: Path):
    """Rotate what a configuration names, now, below a directory of the test; says what logrotate said."""
    program = shutil.which("logrotate") or "/usr/sbin/logrotate"
    if not Path(program).exists():
        pytest.skip("needs logrotate: make setup-rpm installs it")

    def act(name: str) -> str:
        text = (CONFIGURATIONS / name).read_text()
        text = re.sub(r"^/var/log", f"{tmp_path}/var/log", text, flags=re.MULTILINE)
        me = f"{pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name}"
        text = re.sub(r"^    su .*$", f"    su {me}", text, flags=re.MULTILINE)
        configuration = tmp_path / name
        configuration.write_text(text)
        configuration.chmod(0o644)
        done = subprocess.run(
            [program, "--force", "--verbose", "--state", str(tmp_path / "state"), str(configuration)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert "error:" not in done.stdout
        return done.stdout

    return act


def lines_of(folder: Path) -> dict[bool, list[str]]:
    """{whether in the current file: its lines}."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for path in folder.iterdir():
        found[path.suffix == ".log"] += path.read_text().splitlines()
    return found


def test_calls_go_on_in_a_new_file_that_only_root_may_read(tmp_path: Path, rotate) -> None:
    folder = tmp_path / "var/log/func/methods"
    audit = FuncAudit(folder)
    audit.record("10.0.0.1", "peer", "test.ping", [], "ok", 0.001)
    rotate("func")
    audit.record("10.0.0.1", "peer", "test.add", [1, 2], "ok", 0.001)
    audit.close()
    found = lines_of(folder)
    assert [line.split(" peer ")[1].split("(")[0] for line in found[False]] == ["test.ping"]
    assert [line.split(" peer ")[1].split("(")[0] for line in found[True]] == ["test.add"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert (folder / FILE_NAME).exists()


def test_the_record_of_certmaster_goes_on_in_a_new_file(tmp_path: Path, rotate) -> None:
    folder = tmp_path / "var/log/certmaster"
    audit = CertmasterAudit(folder / "audit.log", lambda: datetime(2026, 1, 1, tzinfo=timezone.utc))
    audit.add("sign", "cloud1.example.org", "signed")
    rotate("certmaster")
    audit.add("clean", "cloud1.example.org", "removed")
    found = lines_of(folder)
    assert [line.split()[-3] for line in found[False]] == ["sign"]
    assert [line.split()[-3] for line in found[True]] == ["clean"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGURATIONS.iterdir()))
def test_a_file_that_is_not_there_yet_is_no_fault(tmp_path: Path, rotate, name: str) -> None:
    (tmp_path / "var/log/func/methods").mkdir(parents=True)
    (tmp_path / "var/log/certmaster").mkdir()
    rotate(name)
