"""The house as its rules draw it: who imports whom, where third parties live, sizes, clock and chance."""

from __future__ import annotations

import ast
import importlib.util
import sysconfig
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cloudmasterd", "func", "certmaster")

RANKS = {
    "errors": 0, "model": 0, "clock": 0, "logs": 0, "service": 0, "alive": 0,
    "acting": 0, "request_ids": 0, "record": 0, "record_text": 0, "times": 0,
    "config": 1, "settings": 1, "placement": 1, "fabric": 1, "store": 1, "cobbler": 1, "inventory": 1,
    "flavors": 1, "spec": 1, "kernel_options": 1, "jsonbody": 1, "cloud_init": 1, "words": 1,
    "accounts": 0, "passwords": 1, "password_rules": 1, "throttle": 1, "first": 2, "people": 2, "access": 2,
    "last_use": 1, "turns": 1, "recall": 2,
    "rights": 0, "scopes": 0, "grants": 0, "setting_values": 1, "secret_file": 1, "enrolment": 1,
    "rebuild_spec": 1, "rebuilds": 2, "func_fabric": 2, "own_certificate": 2, "removals": 2, "fleet": 2,
    "tasks": 2, "machines": 2, "placing": 2, "recipes": 2, "operations": 2,
    "profiles": 2, "images": 2, "image_format": 1, "seed": 1, "image_push": 2, "installs": 2,
    "web": 3, "poller": 3, "control": 3,
    "app": 4, "cli": 4,
}  # fmt: skip

MAY_IMPORT = {
    "certmaster": {"certmaster"},
    "func": {"func", "certmaster"},
    "cloudmasterd": {"cloudmasterd", "func"},
}

CONFINED = {
    "cherrypy": ["cloudmasterd/app.py", "cloudmasterd/poller.py", "cloudmasterd/web/"],
    "cheroot": ["cloudmasterd/app.py", "cloudmasterd/web/"],
    "mako": ["cloudmasterd/web/templating.py"],
    "sqlobject": ["cloudmasterd/store/"],
    "libvirt": ["func/minion/libvirt_connection.py"],
    "cryptography": ["certmaster/ca/"],
    "pycdlib": ["cloudmasterd/seed.py"],
}

CLOCK_CALLS = {"time.time", "datetime.now", "datetime.utcnow", "uuid.uuid4", "uuid.uuid1"}
CLOCK_FILES = {"cloudmasterd/clock.py"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_PUBLIC_METHODS = 15
MAX_BROAD_HANDLERS = 3

# What stands above an aim, each with its reason. An entry that is no longer needed fails the test.
ALLOWED: dict[str, str] = {}


@cache
def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def replace_self() -> list[Path]:
    """genome-replace-self, which is a package for itself: it runs where nothing else of ours is."""
    return sorted((ROOT / "genome-replace-self" / "genome_replace_self").glob("*.py"))


@cache  # asked for each test and each import
def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache  # every rule about imports asks every file
def imports_of(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import; write the whole name"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_package_imports_only_those_it_may_know(path: Path) -> None:
    package = name_of(path).split("/")[0]
    for imported in imports_of(path):
        top = imported.split(".")[0]
        if top in PACKAGES:
            assert top in MAY_IMPORT[package], f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize(
    "path", [p for p in sources() if name_of(p).startswith("cloudmasterd/")], ids=name_of
)
def test_imports_point_down(path: Path) -> None:
    here = Path(name_of(path)).parts[1].removesuffix(".py")
    if here == "__init__":
        return
    assert here in RANKS, f"{name_of(path)}: give the new module a rank here and in docs/architecture.md"
    for imported in imports_of(path):
        parts = imported.split(".")
        if parts[0] == "func":
            assert here == "func_fabric", f"{name_of(path)} imports {imported}: only func_fabric may"
        if parts[0] != "cloudmasterd" or len(parts) < 2 or parts[1] == here or parts[1] == "__version__":
            continue
        assert RANKS[parts[1]] < RANKS[here] or (RANKS[parts[1]] == RANKS[here] and here != parts[1]), (
            f"{name_of(path)} (rank {RANKS[here]}) imports {imported} (rank {RANKS[parts[1]]})"
        )
    if here in ("fleet", "tasks"):
        assert not any(i.startswith("cloudmasterd.func_fabric") for i in imports_of(path))


@pytest.mark.parametrize("name", ["logs.py", "service.py"])
def test_what_neither_may_import_from_the_other_is_the_same_in_both(name: str) -> None:
    assert (ROOT / "cloudmasterd" / name).read_text() == (ROOT / "certmaster" / name).read_text()


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_third_parties_stay_in_their_rooms(path: Path) -> None:
    for imported in imports_of(path):
        rooms = CONFINED.get(imported.split(".")[0])
        if rooms is not None and imported.split(".")[0] not in PACKAGES:
            assert any(name_of(path).startswith(room) for room in rooms), (
                f"{name_of(path)} imports {imported}"
            )


@pytest.mark.parametrize("path", replace_self(), ids=name_of)
def test_genome_replace_self_needs_the_standard_library_alone(path: Path) -> None:
    home = Path(sysconfig.get_path("stdlib"))
    for imported in imports_of(path):
        top = imported.split(".")[0]
        if top == "genome_replace_self":
            continue
        spec = importlib.util.find_spec(top)
        origin = (spec.origin if spec else None) or ""
        ours = origin in ("built-in", "frozen") or (
            home in Path(origin).parents and "-packages" not in origin
        )
        assert ours, f"{name_of(path)} imports {imported} ({origin})"
        assert top != "subprocess" or path.name == "programs.py", (
            f"{name_of(path)}: programs.py runs programs"
        )


@pytest.mark.parametrize("package", PACKAGES)
def test_subprocess_is_in_one_module_of_a_package(package: str) -> None:
    users = [
        name_of(p)
        for p in sources()
        if name_of(p).startswith(package + "/")
        and any(i.split(".")[0] == "subprocess" for i in imports_of(p))
    ]
    # What others' modules for Func import it by; nothing of ours may.
    theirs = "func/minion/sub_process.py"
    assert len([user for user in users if user != theirs]) <= 1, users
    assert not any(i.startswith("func.minion.sub_process") for path in sources() for i in imports_of(path))


@pytest.mark.parametrize(
    "path", [p for p in sources() if name_of(p).startswith("cloudmasterd/")], ids=name_of
)
def test_time_and_chance_come_from_the_clock(path: Path) -> None:
    if name_of(path) in CLOCK_FILES:
        return
    for imported in imports_of(path):
        assert imported.split(".")[0] != "random", f"{name_of(path)} imports random: take a Clock"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            assert not any(name == c or name.endswith("." + c) for c in CLOCK_CALLS), (
                f"{name_of(path)}:{node.lineno} calls {name}: take a Clock"
            )


def oversizes() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sources() + replace_self():
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > MAX_FILE_LINES:
            found[name_of(path)] = f"{lines} lines"
        for node in ast.walk(tree_of(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    found[f"{name_of(path)}:{node.name}"] = f"{length} lines"
            elif isinstance(node, ast.ClassDef):
                public = [
                    n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")
                ]
                if len(public) > MAX_PUBLIC_METHODS:
                    found[f"{name_of(path)}:{node.name}"] = f"{len(public)} public methods"
    return found


def test_nothing_outgrows_its_room_without_a_reason() -> None:
    found = oversizes()
    assert {k: v for k, v in found.items() if k not in ALLOWED} == {}
    assert [k for k in ALLOWED if k not in found] == [], "no longer needed: remove from ALLOWED"


@pytest.mark.parametrize("package", PACKAGES)
def test_broad_handlers_are_few(package: str) -> None:
    broad = []
    for path in sources():
        if not name_of(path).startswith(package + "/"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ExceptHandler):
                kinds = (
                    []
                    if node.type is None
                    else [dotted(n) for n in ast.walk(node.type) if isinstance(n, ast.expr)]
                )
                if node.type is None or {"Exception", "BaseException"} & set(kinds):
                    broad.append(f"{name_of(path)}:{node.lineno}")
    assert len(broad) <= MAX_BROAD_HANDLERS, broad


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_every_file_says_its_duty(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), f"{name_of(path)}: no docstring"


def test_tests_are_no_package() -> None:
    # tests/func/__init__.py would shadow the shipped package
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_patches_are_rare() -> None:
    tests = list((ROOT / "tests").rglob("test_*.py"))
    patches = sum(p.read_text(encoding="utf-8").count("mock" + ".patch") for p in tests)
    count = sum(p.read_text(encoding="utf-8").count("def test_") for p in tests)
    assert patches * 100 <= 5 * max(count, 100)
