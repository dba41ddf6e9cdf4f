"""The command line and the configuration file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from genome_replace_self import options
from genome_replace_self.errors import Usage

C = ("-c", "cobbler.example.org")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "replace-self.conf"


def test_the_default_is_the_profile_of_the_readme(config: Path) -> None:
    request = options.read(C, config)
    assert (request.server, request.profile, request.pairs) == (
        "cobbler.example.org",
        "GenomeCloud-F8-i386",
        (),
    )
    assert (request.action, request.role) == ("prepare", "a cloud master")


def test_a_certmaster_makes_a_cloud_instance(config: Path) -> None:
    request = options.read([*C, "-m", "certmaster=cloud.example.org"], config)
    assert request.role == "a cloud instance of cloud.example.org"


def test_one_line_of_the_configuration_changes_the_default_profile(config: Path) -> None:
    config.write_text("[main]\nprofile = GenomeCloud-F42-x86_64\n")
    assert options.read(C, config).profile == "GenomeCloud-F42-x86_64"
    assert options.read([*C, "-p", "Other"], config).profile == "Other"


def test_the_configuration_may_name_the_server_and_kernel_options(config: Path) -> None:
    config.write_text(
        "[main]\ncobbler = c.example.org\nkernel_options = ip=192.0.2.9::192.0.2.1:24 nomodeset\n"
    )
    request = options.read([], config)
    assert request.server == "c.example.org"
    assert request.kernel_options == ("ip=192.0.2.9::192.0.2.1:24", "nomodeset")


def test_the_sample_configuration_is_one_and_changes_nothing() -> None:
    sample = Path(__file__).resolve().parents[2] / "genome-replace-self" / "replace-self.conf"
    assert sample.exists()
    assert options.read_config(sample) == options.Config()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("profile = x\n", "cannot be read"),
        ("[main]\nprofil = x\n", "profil is unknown"),
        ("[other]\nprofile = x\n", "a section is unknown"),
        ("[main]\nprofile = $(reboot)\n", "cannot be a profile"),
        ("[main]\ncobbler = http://c/\n", "without http://"),
        ("[main]\nkernel_options = a;b\n", "kernel option 'a;b'"),
        ("[main]\nprofile = \xff\n", "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_path(config: Path, text: str, complaint: str) -> None:
    config.write_bytes(text.encode("latin-1"))
    with pytest.raises(Usage) as caught:
        options.read(C, config)
    assert complaint in str(caught.value)
    assert str(config) in str(caught.value) or "cannot be a profile" in complaint or "http" in complaint


def test_metadata_comes_from_arguments_a_file_and_standard_input(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "metadata"
    file.write_text("genome_ca=" + "0" * 64 + "\n")
    request = options.read([*C, "-m", "a=b", "--metadata-file", str(file)], config)
    assert request.pairs == (("a", "b"), ("genome_ca", "0" * 64))
    request = options.read([*C, "--metadata-file", "-"], config, io.StringIO("# x\na=b\n"))
    assert request.pairs == (("a", "b"),)


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "no cobbler server is given"),
        (["-c"], "expected one argument"),
        (["-c", ""], "no cobbler server is given"),
        (["-c", "http://cobbler.example.org"], "without http://"),
        (["-c", "cobbler.example.org:8080"], "without a port"),
        (["-c", "$(reboot)"], "is not right"),
        (["-c", "a b"], "is not right"),
        ([*C, "-p", ""], "cannot be a profile"),
        ([*C, "-p", "x;y"], "cannot be a profile"),
        ([*C, "-p", "-x"], "expected one argument"),
        ([*C, "-p", "../x"], "cannot be a profile"),
        ([*C, "-p", "x" * 64], "cannot be a profile"),
        ([*C, "cloud"], "unrecognized arguments: cloud"),
        ([*C, "-m", "x"], "is not KEY=VALUE"),
        ([*C, "--metadata-file", "/nowhere"], "/nowhere cannot be read"),
        ([*C, "-n", "--cancel"], "not allowed with argument"),
        ([*C, "-n", "--reboot"], "not allowed with argument"),
        ([*C, "--forc"], "unrecognized arguments: --forc"),
    ],
)
def test_a_wrong_command_line_is_refused(config: Path, argv: list[str], complaint: str) -> None:
    with pytest.raises(Usage) as caught:
        options.read(argv, config)
    assert complaint in str(caught.value)


def test_cancel_needs_no_server(config: Path) -> None:
    assert options.read(["--cancel"], config).action == "cancel"
