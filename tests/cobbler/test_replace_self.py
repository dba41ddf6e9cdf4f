"""genome-replace-self with a real cobbler server and the real koan, up to a boot entry that a shim keeps."""

from __future__ import annotations

import json
import os
import re
import socket

import pytest

from tests.cobbler.replaceable import (
    COMMAND,
    F8,
    F42,
    KOAN_KERNEL,
    OLD_KERNEL,
    OLDER_KERNEL,
    RHEL5,
    SERVER,
    SHIM,
    Replaceable,
    kickstart_url,
    options_of,
)  # fmt: skip

pytestmark = pytest.mark.integration

TOKEN = "Tt0_-" * 8 + "abc"
# The README of 2008, word for word.
README = """
genome-replace-self -c $COBBLER_REPO
genome-replace-self -c $COBBLER_REPO -m "certmaster=$CLOUD_MASTER"
genome-replace-self -c $COBBLER_REPO -p GenomeCloud-RHEL5U2-x86_64
""".strip().splitlines()


# ------------------------------------------------------------------------------- the README of 2008


@pytest.mark.parametrize(
    ("command", "profile", "metadata"),
    [
        (README[0], F8, []),
        (README[1], F8, ["certmaster=cloud.example.org"]),
        (README[2], RHEL5, []),
    ],
)
def test_the_commands_of_the_readme_prepare_the_machine(
    machine: Replaceable, command: str, profile: str, metadata: list[str]
) -> None:
    code, said = machine.type_in(socket.gethostname() + "\n", command)
    assert code == 0, said
    assert f"Prepared: {socket.gethostname()} will be erased and installed anew" in said
    entry = machine.default
    quiet = ["quiet"] if profile == F8 else []
    assert entry["kernel"] == KOAN_KERNEL
    assert options_of(entry) == [f"ks={kickstart_url(profile)}", *quiet, *metadata]


def test_the_readme_says_these_commands_still() -> None:
    text = (COMMAND.parents[1] / "docs" / "operations.md").read_text()
    for command in README:
        assert command in text


@pytest.mark.parametrize(
    "command", ["genome-replace-self -c $NOT_SET -y", 'genome-replace-self -c "$NOT_SET" -y']
)
def test_a_variable_that_is_not_set_makes_no_other_machine(machine: Replaceable, command: str) -> None:
    code, said = machine.type_in("", command)
    assert code == 2 and machine.untouched, said


def test_a_cloud_master_that_is_not_set_does_not_make_a_cloud_master_of_the_machine(
    machine: Replaceable,
) -> None:
    code, said = machine.type_in("", 'genome-replace-self -y -c $COBBLER_REPO -m "certmaster=$NOT_SET"')
    assert code == 2 and "certmaster has no value; if it came from a shell variable" in said
    assert machine.untouched


# ----------------------------------------------------------------------------------------- prepared


def test_koan_makes_the_boot_entry_and_grubby_is_called_as_koan_does(machine: Replaceable) -> None:
    done = machine.replace_self("-y", "-c", SERVER, "-p", F42, "-m", "certmaster=cloud.example.org")
    assert done.returncode == 0, done.stderr
    added, updated = machine.calls
    assert added[:4] == ["--add-kernel", KOAN_KERNEL, "--initrd", "/boot/initrd.img_koan"]
    assert "--make-default" in added and "--copy-default" not in added
    assert updated == ["--update-kernel", KOAN_KERNEL, "--remove-args=root"]
    assert machine.shell(f"cat {KOAN_KERNEL} /boot/initrd.img_koan") == f"kernel of {F42}\ninitrd of {F42}\n"


def test_todays_installer_is_told_its_kickstart_in_words_that_it_reads(machine: Replaceable) -> None:
    assert machine.replace_self("-y", "-c", SERVER, "-p", F42).returncode == 0
    assert f"inst.ks={kickstart_url(F42)}" in options_of(machine.default)


def test_the_kickstart_is_named_although_cobbler_forgot_it(machine: Replaceable) -> None:
    """cobbler 3.3 loses it from its cache at every save; koan alone would then boot an installer without."""
    bench = machine.bench
    bench.register("forgotten", distro={"os_version": "rhel5"})
    handle = bench.call("get_profile_handle", "forgotten", bench.token())
    bench.call("save_profile", handle, bench.token())
    assert "kickstart" not in bench.call("get_profile_as_rendered", "forgotten")
    assert machine.replace_self("-y", "-c", SERVER, "-p", "forgotten").returncode == 0
    assert options_of(machine.default) == [f"ks={kickstart_url('forgotten')}"]


def test_metadata_reaches_the_boot_entry_in_its_order_and_a_token_no_output(machine: Replaceable) -> None:
    secret = f"genome_token={TOKEN}\ngenome_report=http://cloud.example.org/install/{TOKEN}\n"
    given = [
        "-m",
        "certmaster=cloud.example.org",
        "-m",
        "genome_sshkey=ssh-rsa,A",
        "-m",
        "genome_sshkey=ssh-rsa,B",
    ]
    argv = ["-y", "--json", "-c", SERVER, "-p", F42, *given, "--metadata-file", "-"]
    done = machine.replace_self(*argv, input=secret)
    assert done.returncode == 0, done.stderr
    words = options_of(machine.default)
    assert words[words.index("certmaster=cloud.example.org") :] == [
        "certmaster=cloud.example.org", "genome_sshkey=ssh-rsa,A", "genome_sshkey=ssh-rsa,B", *secret.split(),
    ]  # fmt: skip
    assert TOKEN not in done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["outcome"], outcome["code"], outcome["role"]) == (
        "prepared", 0, "a cloud instance of cloud.example.org",
    )  # fmt: skip
    assert "genome_token=... genome_report=..." in outcome["arguments"]


def test_kernel_options_of_the_configuration_are_passed_on(machine: Replaceable) -> None:
    machine.shell(
        "cat > /etc/genome/replace-self.conf", input=f"[main]\nprofile = {F42}\nkernel_options = nomodeset\n"
    )
    assert machine.replace_self("-y", "-c", SERVER).returncode == 0
    assert options_of(machine.default)[-1] == "nomodeset"


def test_preparing_twice_keeps_the_first_old_entry(machine: Replaceable) -> None:
    assert machine.replace_self("-y", "-c", SERVER, "-p", F42).returncode == 0
    assert machine.replace_self("-y", "-c", SERVER, "-p", RHEL5).returncode == 0
    assert options_of(machine.default) == [f"ks={kickstart_url(RHEL5)}"]
    assert len(machine.menu) == 3
    assert machine.replace_self("--cancel").returncode == 0
    assert machine.default["kernel"] == OLD_KERNEL


def test_reboot_is_asked_for_when_everything_is_prepared(machine: Replaceable) -> None:
    with machine.instead("systemctl", f'echo "$@" > {SHIM}/systemctl'):
        done = machine.replace_self("-y", "--reboot", "-c", SERVER)
    assert done.returncode == 0, done.stderr
    assert machine.shell(f"cat {SHIM}/systemctl") == "reboot\n"
    assert "now, as it reboots" in done.stdout and machine.default["kernel"] == KOAN_KERNEL


def test_a_reboot_that_is_refused_is_no_success(machine: Replaceable) -> None:
    with machine.instead("systemctl", "echo inhibited; exit 1"):
        done = machine.replace_self("-y", "--reboot", "-c", SERVER)
    assert done.returncode == 1 and "everything is prepared, but systemctl reboot ended with" in done.stderr


def test_nothing_is_rebooted_when_preparing_failed(machine: Replaceable) -> None:
    machine.fail("--update-kernel")
    with machine.instead("systemctl", f'echo "$@" > {SHIM}/systemctl'):
        done = machine.replace_self("-y", "--reboot", "-c", SERVER)
    assert done.returncode == 1 and "systemctl" not in machine.shell(f"ls {SHIM}").split()


# ------------------------------------------------------------------------------ looked at, not done


def test_a_dry_run_shows_the_entry_and_changes_nothing(machine: Replaceable) -> None:
    done = machine.replace_self("-n", "--json", "-c", SERVER, "-m", "certmaster=cloud.example.org")
    assert done.returncode == 0 and machine.untouched
    shown = json.loads(done.stdout)
    assert machine.replace_self("-y", "-c", SERVER, "-m", "certmaster=cloud.example.org").returncode == 0
    entry = machine.default
    assert (entry["kernel"], entry["initrd"], entry["args"]) == (
        shown["kernel"],
        shown["initrd"],
        shown["arguments"],
    )


def test_everybody_may_look(machine: Replaceable) -> None:
    done = machine.replace_self("-n", "-c", SERVER, unprivileged=True)
    assert done.returncode == 0, done.stderr
    assert f"kernel    {KOAN_KERNEL}" in done.stdout and machine.untouched


def test_profiles_are_listed(machine: Replaceable) -> None:
    done = machine.replace_self("--list", "-c", SERVER, unprivileged=True)
    assert f"{F8}  (the default)" in done.stdout.splitlines() and F42 in done.stdout.splitlines()
    assert F42 in json.loads(machine.replace_self("--list", "--json", "-c", SERVER).stdout)["profiles"]


# ------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize("action", [["-c", SERVER], ["--cancel"]])
def test_only_root_may(machine: Replaceable, action: list[str]) -> None:
    """koan itself would end with exit code 0."""
    done = machine.replace_self("-y", *action, unprivileged=True)
    assert done.returncode == 3 and "only root" in done.stderr and machine.untouched


def test_without_a_terminal_and_without_yes_the_answer_is_no(machine: Replaceable) -> None:
    done = machine.replace_self("-c", SERVER, input=socket.gethostname() + "\n")
    assert done.returncode == 5 and "say -y" in done.stderr and machine.untouched


@pytest.mark.parametrize(
    "typed", ["", "yes", "y", socket.gethostname() + ".example.net", socket.gethostname().upper() + "X"]
)
def test_another_name_than_the_machines_is_a_no(machine: Replaceable, typed: str) -> None:
    code, said = machine.type_in(typed + "\n", f"genome-replace-self -c {SERVER}")
    assert code == 5 and "nothing was changed" in said and machine.untouched


def test_ctrl_c_at_the_question_is_a_no(machine: Replaceable) -> None:
    code, said = machine.type_in("\x03", f"exec genome-replace-self -c {SERVER}")
    assert code == 5 and "interrupted by SIGINT" in said and machine.untouched, said


def test_running_machine_instances_are_not_lost_without_force(machine: Replaceable) -> None:
    machine.shell(
        "mount -t tmpfs tmpfs /run && mkdir -p /run/libvirt/qemu && touch /run/libvirt/qemu/jboss1.xml"
    )
    try:
        done = machine.replace_self("-y", "-c", SERVER)
        assert done.returncode == 5 and "would be lost: jboss1." in done.stderr and machine.untouched
        assert machine.replace_self("-y", "--force", "-c", SERVER).returncode == 0
    finally:
        machine.shell("umount /run")


@pytest.mark.parametrize(
    ("virsh", "refused"),
    [
        ("echo jboss1; echo; echo jboss2", True),
        ("echo", False),
        ("echo 'error: failed to connect' >&2; exit 1", False),
    ],
)
def test_virsh_is_believed_when_it_answers(machine: Replaceable, virsh: str, refused: bool) -> None:
    with machine.instead("virsh", virsh):
        done = machine.replace_self("-n", "-c", SERVER)
    assert done.returncode == (5 if refused else 0), done.stderr
    assert ("would be lost: jboss1, jboss2." in done.stderr) is refused


def test_hostile_values_reach_neither_koan_nor_a_shell(machine: Replaceable) -> None:
    hostile = "$(touch /boot/owned)"
    for argv in (["-p", hostile], ["-m", f"a={hostile}"], ["-m", f"{hostile}=a"], ["-c", hostile]):
        assert machine.replace_self("-y", "-c", SERVER, *argv).returncode == 2
    assert machine.untouched


def test_too_long_a_command_line_for_an_old_kernel_is_refused(machine: Replaceable) -> None:
    done = machine.replace_self("-y", "-c", SERVER, "-p", RHEL5, "-m", "certmaster=c", "-m", "x=" + "y" * 200)
    assert done.returncode == 2 and re.search(r"keeps 255 characters .* certmaster 12, x 202", done.stderr)
    assert machine.untouched


def test_another_processors_profile_is_refused(machine: Replaceable) -> None:
    machine.bench.register("arm", distro={"arch": "aarch64" if os.uname().machine == "x86_64" else "x86_64"})
    done = machine.replace_self("-y", "-c", SERVER, "-p", "arm")
    assert done.returncode == 4 and "and this machine is" in done.stderr and machine.untouched


# ---------------------------------------------------------------------------------------- cancelled


def test_cancel_makes_everything_as_it_was(machine: Replaceable) -> None:
    before = machine.menu, machine.boot_files()
    assert machine.replace_self("-y", "-c", SERVER).returncode == 0
    done = machine.replace_self("--cancel")
    assert done.returncode == 0 and f"will boot {OLD_KERNEL} as before" in done.stdout
    assert (machine.menu, machine.boot_files()) == before and machine.default["kernel"] == OLD_KERNEL
    assert "nothing to cancel" in machine.replace_self("--cancel").stdout


def test_cancel_leaves_a_newer_choice_alone(machine: Replaceable) -> None:
    assert machine.replace_self("-y", "-c", SERVER).returncode == 0
    machine.shell(f"/sbin/grubby --set-default={OLDER_KERNEL}")
    assert machine.replace_self("--cancel").returncode == 0
    assert machine.default["kernel"] == OLDER_KERNEL and len(machine.menu) == 2


def test_cancel_takes_another_entry_where_the_old_one_is_gone(machine: Replaceable) -> None:
    assert machine.replace_self("-y", "-c", SERVER).returncode == 0
    machine.shell(f"/sbin/grubby --remove-kernel={OLD_KERNEL}; rm {OLD_KERNEL}")
    done = machine.replace_self("--cancel")
    assert done.returncode == 0 and machine.default["kernel"] == OLDER_KERNEL


def test_an_unreadable_record_is_not_guessed_at(machine: Replaceable) -> None:
    machine.shell(
        "mkdir -p /var/lib/genome-replace-self && echo '{' > /var/lib/genome-replace-self/state.json"
    )
    for argv in (["--cancel"], ["-y", "-c", SERVER]):
        done = machine.replace_self(*argv)
        assert done.returncode == 1 and "nothing is known of the old boot entry" in done.stderr


# -------------------------------------------------------------------------------------------- usage


def test_json_is_said_of_every_failure(machine: Replaceable) -> None:
    for argv, code in ((["-c", "a b"], 2), (["-c", SERVER, "-p", "nobody"], 4), (["-c", SERVER], 5)):
        done = machine.replace_self("--json", *([] if code == 5 else ["-y"]), *argv)
        said = json.loads(done.stdout)
        assert (done.returncode, said["code"], said["outcome"]) == (code, code, "failed")
        assert said["detail"] in done.stderr


def test_the_manual_names_every_option_and_exit_code(machine: Replaceable) -> None:
    text = (COMMAND.parent / "genome-replace-self.8").read_text().replace("\\", "")
    usage = machine.replace_self("--help").stdout
    options = set(re.findall(r"--([a-z-]+)", usage))
    assert len(options) > 10
    for option in options - {"metadata"}:
        assert f"Fl -{option}" in text, option
    for code in range(6):
        assert f".It {code}\n" in text


def test_the_version_is_said(machine: Replaceable) -> None:
    assert machine.replace_self("--version").stdout == "genome-replace-self 1.0.0\n"
