"""The table of modules, and the modules that need no libvirt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.errors import ConfigError, HostError
from func.minion.modules.hardware import Hardware
from func.minion.modules.test import Test as WireTest
from func.minion.registry import Registry, kind_of, load
from tests.func.minion.helpers import wait_for

WireTest.__test__ = False  # type: ignore[attr-defined]

# Those that are off are not among them.
MODULES = [
    "certmastermod", "fact", "genome", "hardware", "image", "jobs", "machine", "process", "reboot", "service",
    "test", "virt",
]  # fmt: skip

EVERY_MODULE = {
    "module_version", "module_api_version", "module_description", "list_methods", "get_method_args", "grep",
    "config_items", "save_config",
}  # fmt: skip


@pytest.fixture
def methods(tmp_path: Path) -> Registry:
    return load(tmp_path)


def test_the_system_methods_show_what_is_there(methods: Registry) -> None:
    modules = MODULES
    assert methods.call("system.list_modules", []) == modules
    names = methods.call("system.list_methods", [])
    assert names == sorted(names)
    assert names == methods.call("system.listMethods", []) == methods.call("trait_names", [])
    assert names == methods.call("_getAttributeNames", [])
    assert {"test.ping", "virt.inventory", "hardware.info", "system.inventory"} <= set(names)
    inventory = methods.call("system.inventory", [])
    assert sorted(inventory) == MODULES
    assert {"ping", *EVERY_MODULE} <= set(inventory["test"])
    assert methods.call("system.grep", ["PING"]) == {"system.list_methods": ["test.ping"]}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_answers_what_all_answer_and_it_can_be_sent(methods: Registry, module: str) -> None:
    for name in EVERY_MODULE - {"save_config"}:
        args = ["x"] if name == "grep" else []
        value = methods.call(f"{module}.{name}", args)
        assert not wire.is_remote_error(value), value
        wire.encode_result(value)
    assert set(methods.call(f"{module}.list_methods", [])) >= EVERY_MODULE


def test_settings_that_were_saved_are_read_as_they_were(methods: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "etc/func/modules"
    folder.mkdir(parents=True)
    (folder / "Machine.conf").write_text("[main]\nnvram_dir =\nconsole_log_dir = /srv/log\n")
    for module in ("image", "machine", "test", "virt"):
        before = load(tmp_path).call(f"{module}.config_items", [])
        assert load(tmp_path).call(f"{module}.save_config", []) is True
        assert load(tmp_path).call(f"{module}.config_items", []) == before
    assert "console_log_dir = /srv/log\n" in (folder / "Machine.conf").read_text()


def test_the_arguments_of_a_method_are_described(methods: Registry) -> None:
    described = methods.call("test.get_method_args", [])
    assert described["sleep"]["args"]["t"] == {
        "type": "int", "optional": False, "order": 0, "description": "t"
    }  # fmt: skip
    assert described["sleep"]["description"].startswith("Sleep")
    assert methods.call("hardware.get_method_args", [])["info"]["args"]["with_devices"]["default"] is True


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("test.nope", "func.minion.codes.InvalidMethodException"),
        ("system.nope", "func.minion.codes.InvalidMethodException"),
        ("nope.ping", "func.minion.codes.ModuleNotFoundException"),
        ("ping", "func.minion.codes.ModuleNotFoundException"),
        ("", "func.minion.codes.ModuleNotFoundException"),
        # Only the table can be called, whatever else the class has.
        ("test.close", "func.minion.codes.InvalidMethodException"),
        ("test.wire_methods", "func.minion.codes.InvalidMethodException"),
        ("test.__init__", "func.minion.codes.InvalidMethodException"),
        ("test.ping.__call__", "func.minion.codes.ModuleNotFoundException"),
        ("virt._perform", "func.minion.codes.InvalidMethodException"),
        ("virt._host.close", "func.minion.codes.ModuleNotFoundException"),
    ],
)
def test_what_is_not_there_is_named(methods: Registry, method: str, kind: str) -> None:
    mark, found, text, _ = methods.call(method, [])
    assert (mark, found) == ("REMOTE_ERROR", kind)
    assert text


def test_an_error_in_a_method_is_a_result(methods: Registry) -> None:
    mark, kind, text, traceback = methods.call("test.explode", [])
    assert (mark, kind) == ("REMOTE_ERROR", "exceptions.Exception")
    assert text == "exploded, as it was told to"
    assert "in explode" in traceback
    assert methods.call("test.explode_no_string", [])[:3] == ["REMOTE_ERROR", "exceptions.Exception", ""]
    assert methods.call("test.add", [1])[1] == "exceptions.TypeError"
    assert methods.call("test.ping", [{"job_id": "x"}])[1] == "exceptions.TypeError"
    assert kind_of(HostError("x")) == "func.errors.HostError"


def test_the_module_test_does_what_func_users_know(methods: Registry) -> None:
    assert methods.call("test.ping", []) == 1
    assert methods.call("test.add", [1, 2]) == 3
    assert methods.call("test.add", ["1", "2"]) == "12"
    assert methods.call("test.echo", [{"a": [1, None]}]) == {"a": [1, None]}
    assert methods.call("test.sleep", ["0"]) > 1.7e9
    assert methods.call("test.sleep", [10**9])[1] == "exceptions.ValueError"
    assert methods.call("test.bigint", []) == 2**32
    assert methods.call("test.config_get_test", []) == "this is a test. It is only a test"


def test_settings_are_kept_in_the_modules_own_file(methods: Registry, tmp_path: Path) -> None:
    assert ["int_option", 37] in methods.call("test.config_items", [])
    assert ["example", "new"] in methods.call("test.config_set", ["example", "new"])
    assert WireTest(tmp_path).config_get("example") == "new"
    assert WireTest(tmp_path).config_get("int_option") == 37
    assert "[main]" in (tmp_path / "etc/func/modules/Test.conf").read_text()
    assert "there are example" in methods.call("test.config_set", ["nope", "x"])[2]
    assert "control character" in methods.call("test.config_set", ["example", "x\nint_option = 0"])[2]


def test_only_the_modules_wanted_are_loaded(tmp_path: Path) -> None:
    assert load(tmp_path, ("test",)).list_modules() == ["test"]
    assert load(tmp_path, ("[tv]*", "hardware", "system")).list_modules() == ["hardware", "test", "virt"]


def test_a_module_wanted_that_nobody_knows_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="module_list names nope, x\\*; this minion knows certmastermod, "):
        load(tmp_path, ("test", "nope", "x*"))


@pytest.mark.parametrize(("module", "file"), [
    ("command", "Command"), ("copyfile", "CopyFile"), ("getfile", "GetFile"),
])  # fmt: skip
def test_what_can_do_harm_is_off_until_somebody_turns_it_on(tmp_path: Path, module: str, file: str) -> None:
    off = load(tmp_path)
    assert module not in off.list_modules()
    assert not [name for name in off.list_methods() if name.startswith(f"{module}.")]
    answer = off.call(f"{module}.list_methods", [])
    assert answer[1] == "func.minion.codes.ModuleNotFoundException"
    assert f"enabled = yes in {tmp_path}/etc/func/modules/{file}.conf" in answer[2]
    folder = tmp_path / "etc/func/modules"
    folder.mkdir(parents=True)
    (folder / f"{file}.conf").write_text("[main]\nenabled = yes\n")
    assert module in load(tmp_path).list_modules()
    assert "grep" in load(tmp_path).call(f"{module}.list_methods", [])
    assert load(tmp_path, ("test",)).list_modules() == ["test"]


def test_a_word_is_found_in_methods_and_settings(methods: Registry) -> None:
    assert methods.call("test.grep", [" BIGint "]) == {"test.list_methods": ["bigint"]}
    assert methods.call("test.grep", ["int_option"]) == {"test.config_items": [["int_option", 37]]}
    assert methods.call("test.grep", ["no such word"]) == {}


def test_a_method_that_wants_to_end_the_program_only_fails(tmp_path: Path) -> None:
    class Leaving:
        def wire_methods(self) -> dict[str, Any]:
            return {"leave": lambda: sys.exit(3)}

        def close(self) -> None:
            raise AssertionError("not asked for here")

    answer = Registry({"leaving": Leaving()}).call("leaving.leave", [])
    assert answer[:3] == ["REMOTE_ERROR", "exceptions.SystemExit", "3"]


def machine(root: Path, files: dict[str, Any]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def test_hardware_reads_the_kernels_files(tmp_path: Path) -> None:
    root = machine(tmp_path, {
        "proc/cpuinfo": "vendor_id\t: GenuineX\nmodel name\t: Fast\ncpu MHz\t: 2400.123\nbogomips\t: 1\n",
        "proc/meminfo": "MemTotal:       2048000 kB\nSwapTotal:  1024 kB\n",
        "etc/os-release": 'NAME=x\nPRETTY_NAME="Fedora 44"\n',
        "sys/class/dmi/id/sys_vendor": b"Ve\x00nd\x1b\xff\n",
        "sys/bus/pci/devices/0000:00:01.0/vendor": "0x8086\n",
    })  # fmt: skip
    facts = Hardware(tmp_path, root).info()
    assert facts["os"] == "Fedora 44"
    assert (facts["cpuVendor"], facts["cpuModel"], facts["cpuSpeed"]) == ("GenuineX", "Fast", "2400")
    assert (facts["systemMemory"], facts["systemSwap"]) == ("2000", "1")
    assert facts["systemVendor"] == "Vend\ufffd"[: len(facts["systemVendor"])]
    assert facts["devices"][0]["VendorID"] == "0x8086"
    assert wire.decode_response(wire.encode_result(facts)) == facts
    assert "devices" not in Hardware(tmp_path, root).info("False")


def test_hardware_has_an_answer_on_any_machine(tmp_path: Path) -> None:
    for root in (tmp_path, Path("/")):
        hardware = Hardware(tmp_path, root)
        for value in (hardware.info(), hardware.inventory(), hardware.hal_info(), hardware.grep("cpu")):
            assert value
            wire.encode_result(value)
        assert "bogomips" not in hardware.inventory()
    assert all(isinstance(value, str) for value in Hardware(tmp_path).info(False).values())


def test_wait_for_fails_when_the_time_is_up() -> None:
    with pytest.raises(AssertionError, match="in vain"):
        wait_for(lambda: False, "never", 0.05)
