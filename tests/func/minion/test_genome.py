"""The module genome against a stand-in for genome-replace-self: once, taken back, interrupted, refused."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from func.errors import HostError
from func.minion.audit import line_of
from func.minion.codes import BadSpec, OperationMismatch, Unsupported, WrongState
from func.minion.lane import Unanswered
from func.minion.modules.genome import BOOT_ID, FOLDER, Genome
from tests.func.minion.helpers import wait_for

BOOT = "11111111-2222-3333-4444-555555555555"
TOKEN = "tok_" + "x" * 39
ORDER = {
    "server": "cobbler.example.org",
    "profile": "GenomeCloud-F42",
    "metadata": {"certmaster": "cloud.example.org", "genome_token": TOKEN},
}

# Notes what it is asked and what it reads; does what the file `mood` beside it says.
PROGRAM = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/asked"
case "$*" in *--metadata-file*) cat >> "$here/read";; esac
[ -f "$here/mood" ] && . "$here/mood"
echo "noise of koan, genome_token=$(sed -n s/genome_token=//p "$here/read" 2>/dev/null | head -1)"
echo '{"outcome": "prepared", "code": 0, "detail": "prepared: the next boot installs"}'
"""


class Host:
    """A root with a boot id, the program, and the module over them."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.root = folder / "root"
        self.boot(BOOT)
        self.bin.mkdir()
        self.script("program", PROGRAM)
        self.script("reboot", '#!/bin/sh\necho "$@" >> "$(dirname "$0")/rebooted"\n')
        conf = self.root / "etc/func/modules/Genome.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text(f"[main]\nprogram = {self.bin}/program\nreboot_program = {self.bin}/reboot now\n")
        self.module = Genome(self.root)

    def boot(self, boot_id: str) -> None:
        file = self.root / BOOT_ID
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(boot_id + "\n")

    def script(self, name: str, text: str) -> None:
        file = self.bin / name
        file.write_text(text)
        file.chmod(0o755)

    def mood(self, text: str) -> None:
        (self.bin / "mood").write_text(text)

    def lines(self, name: str) -> list[str]:
        file = self.bin / name
        return file.read_text().splitlines() if file.exists() else []

    def restart(self) -> None:
        self.module.close()
        self.module = Genome(self.root)

    def prepare(self, operation: str = "operation-1", **changes: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.module.prepare(operation, json.dumps({**ORDER, **changes})))
        return answer

    def prepared(self, operation: str = "operation-1", **changes: Any) -> dict[str, Any]:
        """The answer once it is done."""
        answers: list[dict[str, Any]] = []

        def done() -> bool:
            answers.append(self.prepare(operation, **changes))
            return answers[-1]["state"] == "done"

        wait_for(done, "the preparation")
        return answers[-1]

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.module.status())
        return answer

    def cancel(self, operation: str = "operation-1") -> bool:
        return bool(json.loads(self.module.cancel(operation))["cancelled"])

    def reboot(self, boot_id: str = BOOT) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.module.reboot("operation-2", boot_id))
        return answer


def runs(pid: str) -> bool:
    """Whether it is there and has not ended; one that nobody has asked for its exit code has no command."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    found = Host(tmp_path)
    yield found
    found.module.close()


def test_a_host_is_prepared_once_and_says_so(host: Host) -> None:
    assert host.prepare() == {"state": "running"}
    answer = host.prepared()
    assert answer == {
        "state": "done", "profile": "GenomeCloud-F42", "boot_id": BOOT,
        "detail": "prepared: the next boot installs",
    }  # fmt: skip
    assert host.prepared() == answer
    host.restart()
    assert host.prepared() == answer
    asked = "-y --json --metadata-file - -c cobbler.example.org -p GenomeCloud-F42"
    assert host.lines("asked") == [asked]
    assert host.lines("read") == ["certmaster=cloud.example.org", f"genome_token={TOKEN}"]
    assert host.status() == {"boot_id": BOOT, "prepared": True, "profile": "GenomeCloud-F42"}


def test_force_is_passed_on_only_when_it_is_asked_for(host: Host) -> None:
    host.prepared(force=True)
    assert host.lines("asked")[0].endswith("-p GenomeCloud-F42 --force")


def test_metadata_with_several_values_is_given_several_times(host: Host) -> None:
    host.prepared(metadata={"genome_sshkey": ["ssh-ed25519,AAAA", "ssh-rsa,BBBB"], "certmaster": "c"})
    assert host.lines("read") == [
        "certmaster=c", "genome_sshkey=ssh-ed25519,AAAA", "genome_sshkey=ssh-rsa,BBBB",
    ]  # fmt: skip


def test_the_same_operation_with_another_order_is_refused(host: Host) -> None:
    host.prepared()
    with pytest.raises(OperationMismatch, match="another metadata"):
        host.prepare(metadata={"genome_token": "other"})
    assert len(host.lines("asked")) == 1


def test_secrets_are_in_no_file_no_answer_and_no_audit_line(host: Host) -> None:
    host.prepared()
    host.mood("exit 1")
    with pytest.raises(HostError) as caught:
        host.prepared("operation-3")
    assert TOKEN not in str(caught.value) and "genome_token=..." not in str(caught.value)
    left = [f for f in host.root.rglob("*") if f.is_file() and TOKEN in f.read_text(errors="replace")]
    assert left == []
    assert stat.S_IMODE((host.root / FOLDER).stat().st_mode) == 0o700
    line = line_of("::1", "cn-1", "genome.prepare", ["operation-1", json.dumps(ORDER)], "ok", 0)
    assert line == "::1 cn-1 genome.prepare('operation-1', ...) ok 0.0 ms"
    line = line_of("::1", "cn-1", "genome.status", [], "ok", 0)
    assert line == "::1 cn-1 genome.status() ok 0.0 ms"


def test_noise_that_holds_a_secret_is_told_without_it(host: Host) -> None:
    host.mood('echo "failed with genome_token=$(sed -n s/genome_token=//p "$here/read")"; exit 1')
    with pytest.raises(HostError, match=r"program ended with 1: failed with genome_token=\.\.\."):
        host.prepared()


@pytest.mark.parametrize(
    ("code", "kind"), [(1, HostError), (2, BadSpec), (3, HostError), (4, HostError), (5, WrongState)]
)
def test_what_the_program_refuses_is_told_in_its_words(host: Host, code: int, kind: type[HostError]) -> None:
    said = '{"detail": "no profile of that name"}'
    host.mood(f"case $* in *--cancel*) ;; *) echo warming up; echo '{said}'; exit {code};; esac")
    with pytest.raises(HostError, match=f"program ended with {code}: no profile of that name$") as caught:
        host.prepared()
    assert type(caught.value) is kind
    host.mood("")
    with pytest.raises(HostError, match="no profile of that name"):  # it is remembered
        host.prepared()
    assert host.lines("asked")[1:] == (["--cancel -y --json"] if code == 1 else [])
    assert host.status()["prepared"] is False


@pytest.mark.parametrize("end", ["kill -9 $$", "exit 1"])
def test_after_a_failure_the_next_boot_installs_nothing(host: Host, end: str) -> None:
    host.mood(f'case "$*" in *--cancel*) rm -f "$here/entry";; *) : > "$here/entry"; {end};; esac')
    with pytest.raises(HostError, match="program ended with "):
        host.prepared()
    assert not (host.bin / "entry").exists()
    assert host.status()["prepared"] is False


def test_a_preparation_that_nobody_could_note_is_taken_back(host: Host) -> None:
    (host.root / FOLDER / "prepared.new").mkdir(parents=True)
    with pytest.raises(HostError, match="cannot be written"):
        host.prepared()
    assert host.lines("asked")[1:] == ["--cancel -y --json"]


def test_a_failure_that_cannot_be_taken_back_warns_of_the_next_boot(host: Host) -> None:
    host.mood("exit 1")
    with pytest.raises(HostError, match="could not be taken back: .* Do not reboot this host before"):
        host.prepared()


@pytest.mark.slow
def test_the_program_gets_the_time_to_put_the_boot_entry_back(host: Host) -> None:
    host.script("slowly", '#!/bin/sh\ntrap \'\' INT\nsleep 6\n: > "$(dirname "$0")/back"\n')
    wait = 'trap "$here/slowly; exit 1" INT; : > "$here/ready"; while :; do sleep 0.1; done'
    host.mood(f'case "$*" in *--cancel*) ;; *) {wait};; esac')
    host.prepare()
    wait_for(lambda: (host.bin / "ready").exists(), "the program")
    assert host.cancel() is True
    assert (host.bin / "back").exists()


def test_a_host_without_the_program_says_what_to_install(host: Host) -> None:
    (host.bin / "program").unlink()
    with pytest.raises(Unsupported, match="install genome-replace-self"):
        host.prepared()


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"server": "a b"}, "server is a name"),
        ({"server": "-x"}, "server is a name"),
        ({"server": None}, "server is a name"),
        ({"profile": "x;reboot"}, "profile is a name"),
        ({"profile": "--force"}, "profile is a name"),
        ({"force": "yes"}, "force is true or false"),
        ({"metadata": ["x"]}, "metadata is an object"),
        ({"metadata": {"A": "x"}}, "metadata 'A' cannot be"),
        ({"metadata": {"a": "x y"}}, "metadata 'a' cannot be"),
        ({"metadata": {"a": "$(reboot)"}}, "metadata 'a' cannot be"),
        ({"metadata": {"a": "x\ny=z"}}, "metadata 'a' cannot be"),
        ({"metadata": {"a": 1}}, "metadata 'a' cannot be"),
        ({"metadata": {"a": ["x", "y z"]}}, "metadata 'a' cannot be"),
        ({"metadata": {"a": "x" * 2050}}, "at most 2048 fit"),
        ({"kernel": "x"}, "unknown arguments kernel"),
    ],
)
def test_what_cannot_be_never_reaches_the_program(host: Host, changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(BadSpec, match=wrong):
        host.prepare(**changes)
    assert host.lines("asked") == []


@pytest.mark.parametrize("text", ["", "[]", "{", 7, "x" * 20_000, None])
def test_arguments_that_are_no_object_are_refused(host: Host, text: Any) -> None:
    with pytest.raises(BadSpec):
        host.module.prepare("operation-1", text)
    with pytest.raises(BadSpec, match="no operation"):
        host.module.prepare("../x", json.dumps(ORDER))


# Taking back


def test_what_was_prepared_is_taken_back_and_never_done_again(host: Host) -> None:
    host.prepared()
    assert host.cancel() is True
    assert host.lines("asked")[1:] == ["--cancel -y --json"]
    assert host.status() == {"boot_id": BOOT, "prepared": False, "profile": None}
    with pytest.raises(HostError, match="it was cancelled"):
        host.prepare()
    host.cancel()
    assert host.status()["prepared"] is False


def test_an_operation_that_never_came_is_cancelled_without_the_program(host: Host) -> None:
    assert host.cancel() is False
    assert host.lines("asked") == []
    with pytest.raises(HostError):  # however late it comes
        host.prepare()
    assert host.lines("asked") == []


def test_a_preparation_under_way_is_ended_and_taken_back(host: Host) -> None:
    works = 'env --default-signal=INT sleep 600 & echo $! > "$here/pid"; wait'
    host.mood(f'case "$*" in *--cancel*) ;; *) {works};; esac')
    host.prepare()
    wait_for(lambda: host.lines("pid"), "the program's own child")
    assert host.cancel() is True
    assert not runs(host.lines("pid")[0])
    assert host.status()["prepared"] is False


def test_what_another_operation_prepared_is_left_alone(host: Host) -> None:
    host.mood("exit 1")
    with pytest.raises(HostError):
        host.prepared("operation-1")
    host.mood("")
    host.prepared("operation-2")
    assert host.cancel("operation-1") is False
    assert host.status()["prepared"] is True


def test_taking_back_that_fails_says_why_and_can_be_asked_again(host: Host) -> None:
    host.prepared()
    host.mood("exit 1")
    with pytest.raises(HostError, match="program ended with 1"):
        host.cancel()
    assert host.status()["prepared"] is True
    host.mood("")
    assert host.cancel() is True


# Ends in between


def test_a_funcd_that_ends_in_between_prepares_anew_and_leaves_no_child(host: Host) -> None:
    host.mood('env --default-signal=INT sleep 600 & echo $! > "$here/pid"; wait')
    host.prepare()
    wait_for(lambda: host.lines("pid"), "the program's own child")
    host.restart()
    assert not runs(host.lines("pid")[0])
    host.mood("")
    assert host.prepared()["state"] == "done"
    assert len(host.lines("asked")) == 2


def test_an_interrupted_preparation_is_no_answer(host: Host) -> None:
    host.mood("sleep 600")
    host.prepare()
    wait_for(lambda: host.lines("asked"), "the program")
    host.module.close()
    with pytest.raises(Unanswered, match="interrupted"):
        host.prepare()


# The reboot


def test_only_a_prepared_host_is_rebooted(host: Host) -> None:
    with pytest.raises(WrongState, match="not prepared"):
        host.reboot()
    host.prepared()
    assert host.reboot() == {"rebooting": True, "boot_id": BOOT}
    assert host.lines("rebooted") == ["now"]


def test_a_host_that_has_rebooted_is_not_rebooted_again(host: Host) -> None:
    host.prepared()
    host.boot("another-boot")
    assert host.reboot() == {"rebooting": False, "boot_id": "another-boot"}
    assert host.lines("rebooted") == []


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("#!/bin/sh\necho 'Access denied' >&2; exit 1\n", HostError, "ended with 1: Access denied"),
        (None, Unsupported, "cannot be run: No such file"),
    ],
)
def test_a_reboot_that_fails_says_why(
    host: Host, script: Optional[str], kind: type[HostError], text: str
) -> None:
    host.prepared()
    if script is None:
        (host.bin / "reboot").unlink()
    else:
        host.script("reboot", script)
    with pytest.raises(kind, match=text):
        host.reboot()


def test_without_a_boot_id_nothing_can_be_told(host: Host) -> None:
    (host.root / BOOT_ID).unlink()
    with pytest.raises(HostError, match="nobody could tell"):
        host.module.status()


def test_a_record_that_is_damaged_is_an_error_with_its_place(host: Host) -> None:
    host.prepared()
    (host.root / FOLDER / "prepared.json").write_text("{")
    with pytest.raises(HostError, match=r"prepared\.json cannot be read"):
        host.module.status()
