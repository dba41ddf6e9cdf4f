"""What the packages are made with: tarballs, pins, versions, the stand-ins for Fedora's macros."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from spec.compat import pyproject
from tools.rpm import specs, tarball

CHECKOUT = Path(__file__).resolve().parents[2]
SPECS = CHECKOUT / "spec"
# Compiled code comes from the distribution.
COMPILED = {"cryptography", "cffi", "pycparser", "markupsafe"}
EPOCH = 1795219200


def requirements() -> dict[str, str]:
    """{name: version} of requirements.txt."""
    lines = (CHECKOUT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.match(r"([A-Za-z0-9._-]+)==([^\s;#]+)", line) for line in lines]
    return {specs.normalized(pin[1]): pin[2] for pin in pins if pin}


def tree(folder: Path, order: list[str]) -> Path:
    for name in order:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


# ------------------------------------------------------------------------------------------- tarballs


def test_a_tarball_depends_on_nothing_but_the_files(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", ["b/x.py", "a.txt", "run"])
    two = tree(tmp_path / "two/deeper", ["run", "a.txt", "b/x.py"])
    for folder in (one, two):
        (folder / "run").chmod(0o755)
    (two / "a.txt").chmod(0o600)
    os.utime(two / "b/x.py", (1, 1))
    packed = tarball.pack(one, [one], "p-1", EPOCH)
    assert packed == tarball.pack(two, [two], "p-1", EPOCH)
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        entries = {entry.name: (entry.mode, entry.mtime, entry.uid) for entry in tar}
    assert entries == {
        "p-1/a.txt": (0o644, EPOCH, 0),
        "p-1/b/x.py": (0o644, EPOCH, 0),
        "p-1/run": (0o755, EPOCH, 0),
    }


def test_what_builds_and_editors_leave_behind_stays_out(tmp_path: Path) -> None:
    left = [".git/config", "x/__pycache__/x.pyc", "dist/x.rpm", "var/x", "x.egg-info/PKG-INFO", "x/y.py~"]
    root = tree(tmp_path, ["x/y.py", *left])
    with tarfile.open(fileobj=BytesIO(tarball.pack(root, [root], "p", EPOCH))) as tar:
        assert tar.getnames() == ["p/x/y.py"]


# ----------------------------------------------------------------------------------- pins and versions


def test_every_requirement_is_packaged_or_compiled() -> None:
    pinned = requirements()
    packaged = {
        specs.normalized(pin.name): pin.version
        for name in ("sdists.txt", "wheels.txt")
        for pin in specs.read_pins(SPECS / name)
    }
    assert packaged == {name: version for name, version in pinned.items() if name not in COMPILED}


def test_every_source_distribution_has_a_spec_of_its_version() -> None:
    pins = {f"python-{pin.rpm_name}": pin.version for pin in specs.read_pins(SPECS / "sdists.txt")}
    assert {name: specs.version_of(SPECS / f"{name}.spec") for name in specs.SDISTS} == pins


def test_every_wheel_says_its_licence() -> None:
    assert [pin.name for pin in specs.read_pins(SPECS / "wheels.txt") if not pin.licence] == []


def test_a_line_that_is_no_pin_is_named(tmp_path: Path) -> None:
    (tmp_path / "wheels.txt").write_text("# comment\nsix==1.17.0\n")
    with pytest.raises(ValueError, match=r"wheels\.txt:2: write NAME==VERSION"):
        specs.read_pins(tmp_path / "wheels.txt")


def test_the_specs_have_the_versions_of_what_they_package() -> None:
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{specs.version_of(SPECS / "cloudmasterd.spec")}"\n' in project
    script = (CHECKOUT / "genome-replace-self/genome_replace_self/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{specs.version_of(SPECS / "genome-replace-self.spec")}"' in script


@pytest.mark.parametrize("spec", sorted(SPECS.glob("*.spec")), ids=lambda path: path.stem)
def test_a_specs_changelog_ends_with_its_version(spec: Path) -> None:
    newest = re.search(r"^%changelog\n\* .* - (\S+)$", spec.read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1].rsplit("-", 1)[0] == specs.version_of(spec)
    assert specs.epoch_of(spec) % 86400 == 0


def test_every_spec_is_known_to_the_build() -> None:
    assert {path.stem for path in SPECS.glob("*.spec")} == {*specs.OWN, *specs.SDISTS}


def test_a_wheel_becomes_a_spec(tmp_path: Path) -> None:
    wheel = tmp_path / "jaraco_text-3.14.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("jaraco/text/__init__.py", "")
        archive.writestr("single.py", "")
        archive.writestr("jaraco_text-3.14.0.dist-info/METADATA", "Name: x\nSummary: module for 100% text.\n")
    pin = specs.Pin("jaraco.text", "3.14.0", "", "0" * 64, "MIT")
    template = (SPECS / "wheel.spec.in").read_text(encoding="utf-8")
    text = specs.wheel_spec(template, pin, wheel)
    assert "%package -n python3-jaraco-text\nSummary:        Module for 100%% text\n" in text
    assert "%pyproject_save_files -l jaraco single +auto" in text
    assert not re.search(r"@[A-Z]+@", text)


# --------------------------------------------------------------------------------- Fedora's stand-ins


def make_wheel(folder: Path, files: dict[str, tuple[str, int]]) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "toy-1-py3-none-any.whl", "w") as archive:
        for name, (content, mode) in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return folder


TOY = {
    "toy/__init__.py": ("", 0o666),
    "toy/bin/tool": ("#!/bin/sh\n", 0o755),
    "toy-1.dist-info/METADATA": ("Name: toy\nVersion: 1\n", 0o644),
    "toy-1.dist-info/LICENSE": ("free\n", 0o644),
    "toy-1.dist-info/RECORD": ("", 0o644),
    "toy-1.dist-info/entry_points.txt": ("[console_scripts]\ntoy = toy.cli:main\n", 0o644),
    "toy-1.data/scripts/old-toy": ("#!python\nprint(1)\n", 0o644),
    "toy-1.data/data/share/man/man1/toy.1": (".TH toy\n", 0o644),
}


@pytest.mark.parametrize(("python", "options"), [("3.9", "-s"), ("3.11", "-sP"), ("3.14", "-sP")])
def test_a_wheel_is_unpacked_for_the_python_that_will_run_it(
    tmp_path: Path, python: str, options: str
) -> None:
    root = tmp_path / "root"
    pyproject.install(make_wheel(tmp_path / "wheels", TOY), root, python)
    site = root / f"usr/lib/python{python}/site-packages"
    modes = {path.relative_to(root).as_posix(): path.stat().st_mode & 0o777 for path in root.rglob("*.*")}
    assert modes[f"usr/lib/python{python}/site-packages/toy/__init__.py"] == 0o644
    assert (site / "toy/bin/tool").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in (site / "toy-1.dist-info").iterdir()) == [
        "INSTALLER", "LICENSE", "METADATA", "entry_points.txt",
    ]  # fmt: skip
    for script in ("toy", "old-toy"):
        first = (root / "usr/bin" / script).read_text().splitlines()[0]
        assert first == f"#!/usr/bin/python3 {options}"
    assert (root / "usr/share/man/man1/toy.1").exists()
    listed = pyproject.list_files(root, python, ["toy"], with_scripts=True)
    below = f"/usr/lib/python{python}/site-packages"
    assert listed == [
        f"{below}/toy/", f"{below}/toy-1.dist-info/", f"%license {below}/toy-1.dist-info/LICENSE",
        "/usr/bin/old-toy", "/usr/bin/toy",
    ]  # fmt: skip


def test_compiled_code_is_refused(tmp_path: Path) -> None:
    wheels = make_wheel(tmp_path / "wheels", {"toy-1.data/platlib/toy.so": ("", 0o644)})
    with pytest.raises(pyproject.BuildError, match="compiled code is not packaged here"):
        pyproject.install(wheels, tmp_path / "root", "3.11")


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/python3.11/site-packages").mkdir(parents=True)
    with pytest.raises(pyproject.BuildError, match="no module fits 'toy'"):
        pyproject.list_files(tmp_path, "3.11", ["toy"], with_scripts=False)


def test_bytecode_is_made_for_this_python_alone_and_is_always_the_same(tmp_path: Path) -> None:
    own = ".".join(map(str, sys.version_info[:2]))
    made = []
    for name in ("one", "two"):
        root = tmp_path / name
        pyproject.install(make_wheel(tmp_path / "wheels", TOY), root, own)
        pyproject.compile_all(root, own)
        (code,) = (root / f"usr/lib/python{own}/site-packages/toy/__pycache__").iterdir()
        made.append(code.read_bytes())
    assert made[0] == made[1]
    other = tmp_path / "other"
    pyproject.install(make_wheel(tmp_path / "wheels", TOY), other, "3.99")
    pyproject.compile_all(other, "3.99")
    assert not list(other.rglob("*.pyc"))


@pytest.mark.parametrize(
    "command", ["genome-replace-self/genome-replace-self", "kickstarts/genome-register-profiles"]
)
def test_a_command_leaves_no_bytecode_beside_its_files(command: str) -> None:
    first = (CHECKOUT / command).read_text(encoding="utf-8").splitlines()[0]
    assert first == "#!/usr/bin/python3 -IB"


# ------------------------------------------------------------------------------------------- samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples of the configuration files, below a root."""
    root = tmp_path_factory.mktemp("samples")
    command = [sys.executable, str(CHECKOUT / "packaging/sample_config.py"), "--into", str(root)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    return root


def uncommented(root: Path, into: Path) -> Path:
    """The same files with every setting set to the default that its comment says."""
    for path in root.rglob("*.conf"):
        target = into / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        # A setting that is empty by default has nothing to be set to.
        text = re.sub(r"^\w+ = .+\n", "", text, flags=re.MULTILINE)  # what the packages set
        target.write_text(re.sub(r"^#(\w+ = .+)$", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    return into


def test_what_a_sample_calls_the_default_is_the_default(samples: Path, tmp_path: Path) -> None:
    from certmaster.config import load_certmaster_config
    from certmaster.config import load_minion_config as load_certmasters_minion
    from cloudmasterd.config import load_config
    from func.config import load_minion_config, load_overlord_config

    root = uncommented(samples, tmp_path)
    for load in (load_certmaster_config, load_certmasters_minion, load_minion_config, load_overlord_config):
        file = tmp_path / "not-there"
        assert load(root) == load(root, file), load.__name__
    given = load_config(root / "etc/cloudmasterd/cloudmasterd.conf")
    (tmp_path / "empty.conf").write_text("")
    assert given == load_config(tmp_path / "empty.conf")


def test_a_sample_as_it_is_sets_nothing_but_that_the_packaged_cloud_master_is_behind_apache(
    samples: Path,
) -> None:
    files = sorted(path.relative_to(samples).as_posix() for path in samples.rglob("*.conf"))
    assert "etc/cloudmasterd/cloudmasterd.conf" in files
    assert "etc/func/modules/Virt.conf" in files
    for name in files:
        lines = (samples / name).read_text(encoding="utf-8").splitlines()
        set_here = ["behind_proxy = yes"] if name == "etc/cloudmasterd/cloudmasterd.conf" else []
        assert [line for line in lines if line and not line.startswith("#")] == ["[main]", *set_here], name
