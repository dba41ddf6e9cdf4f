"""Modules that others wrote, by Func's own import names."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.minion import job_context, third_party
from func.minion.job_files import JobFiles
from func.minion.jobs import Jobs
from func.minion.registry import Registry, load
from tests.func.minion.helpers import wait_for

BRIDGE = '''
from func.minion.modules import func_module
from func.minion import sub_process
from func.minion.codes import FuncException
from certmaster.config import BaseConfig, BoolOption, IntOption, ListOption, Option


class Bridge(func_module.FuncModule):
    version = "0.0.3"
    api_version = "0.0.2"
    description = "Func module for bridge management"

    class Config(BaseConfig):
        brctl = Option("/usr/sbin/brctl")
        ignorebridges = ListOption()
        tries = IntOption(3)
        stp = BoolOption(True)

    def list(self, listvif=True):
        """List bridges."""
        return {"br0": ["eth0", str(listvif)]}

    def add(self, brname):
        if brname in self.options.ignorebridges:
            raise FuncException("%s is ignored" % brname)
        self.added = getattr(self, "added", []) + [brname]
        return self.added

    def brctl(self):
        cmd = sub_process.Popen(["/bin/sh", "-c", "echo %s" % self.options.brctl],
                                stdout=sub_process.PIPE, close_fds=True)
        return cmd.communicate()[0].decode()

    def count(self):
        self.count.logger.info("counting %d", 2)
        self.count.logger.progress(1, 2)
        self.logger.warn("100%")
        self.logger.info("%d", "many")
        return self.config.listen_port

    def __secret(self):
        return "not on the wire"

    def _helper(self):
        return "neither"

    def grep(self, word):
        return {self.list: [name for name in self.list() if word in name], self.add: []}
    grep = func_module.findout(grep)

    def register_method_args(self):
        return {"add": {"args": {"brname": {"type": "string", "optional": False, "description": "its name"}},
                        "description": "Add a bridge"}}
'''


def put(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True, mode=0o755)
    for name, text in files.items():
        path = folder.joinpath(*name.split("__DOT__")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True, mode=0o755)
        path.write_text(text)
        path.chmod(0o644)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "modules.d"


@pytest.fixture
def bridge(tmp_path: Path, folder: Path) -> Registry:
    return load(tmp_path, ("bridge", "test"), put(folder, bridge=BRIDGE))


def test_a_module_of_func_is_there_with_its_public_methods_and_no_others(bridge: Registry) -> None:
    assert bridge.list_modules() == ["bridge", "test"]
    assert bridge.call("bridge.list_methods", []) == [
        "add", "brctl", "config_items", "count", "get_method_args", "grep", "list", "list_methods",
        "module_api_version", "module_description", "module_version", "save_config",
    ]  # fmt: skip
    for name in (
        "_helper",
        "_Bridge__secret",
        "register_method_args",
        "wire_methods",
        "__init__",
        "Config",
        "close",
    ):
        assert bridge.call(f"bridge.{name}", [])[1] == "func.minion.codes.InvalidMethodException"


def test_its_methods_answer_and_fail_as_all_do(bridge: Registry) -> None:
    assert bridge.call("bridge.list", []) == {"br0": ["eth0", "True"]}
    assert bridge.call("bridge.list", [False]) == {"br0": ["eth0", "False"]}
    assert bridge.call("bridge.module_version", []) == "0.0.3"
    assert bridge.call("bridge.module_api_version", []) == "0.0.2"
    assert bridge.call("bridge.module_description", []) == "Func module for bridge management"
    assert bridge.call("bridge.brctl", []) == "/usr/sbin/brctl\n"
    assert bridge.call("bridge.grep", [" BR "]) == {"bridge.list": ["br0"]}
    assert bridge.call("bridge.add", [])[1] == "exceptions.TypeError"


def test_its_arguments_are_described_with_their_order(bridge: Registry) -> None:
    assert bridge.call("bridge.get_method_args", []) == {
        "add": {
            "args": {"brname": {"type": "string", "optional": False, "description": "its name", "order": 0}},
            "description": "Add a bridge",
        }
    }


def test_each_call_has_an_instance_of_its_own(bridge: Registry) -> None:
    assert bridge.call("bridge.add", ["one"]) == ["one"]
    assert bridge.call("bridge.add", ["two"]) == ["two"]


def test_a_module_may_share_one_instance(tmp_path: Path, folder: Path) -> None:
    put(
        folder,
        single=BRIDGE.replace("class Bridge", "class Single").replace('version = "0.0.3"', "_single = True"),
    )
    methods = load(tmp_path, ("single",), folder)
    assert methods.call("single.add", ["one"]) == ["one"]
    assert methods.call("single.add", ["two"]) == ["one", "two"]


def test_its_settings_are_read_at_each_call_and_saved(bridge: Registry, tmp_path: Path) -> None:
    file = tmp_path / "etc/func/modules/Bridge.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[main]\nignorebridges = br1, br2\ntries = 5\nstp = no\n")
    assert bridge.call("bridge.config_items", []) == [
        ("brctl", "/usr/sbin/brctl"), ("ignorebridges", ["br1", "br2"]), ("stp", False), ("tries", 5),
    ]  # fmt: skip
    assert bridge.call("bridge.add", ["br2"])[:3] == [
        "REMOTE_ERROR", "func.minion.codes.FuncException", "br2 is ignored",
    ]  # fmt: skip
    before = bridge.call("bridge.config_items", [])
    assert bridge.call("bridge.save_config", []) is True
    assert bridge.call("bridge.config_items", []) == before
    wire.encode_result(before)
    file.write_text("[main]\ntries = many\n")
    failed = bridge.call("bridge.list", [])
    assert failed[1] == "certmaster.errors.ConfigError"
    assert "Bridge.conf: tries = many" in failed[2]


def test_what_it_logs_in_a_job_is_the_jobs_output(
    bridge: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # It logs a wrong format, which logging bears and pytest's handler does not.
    caplog.set_level(logging.WARNING, "func.modules")
    jobs = Jobs(JobFiles(tmp_path / "jobs"))
    job_id = jobs.begin("bridge.count", lambda: bridge.call("bridge.count", []))
    wait_for(lambda: jobs.status(job_id) == [1, 51234], "it ends")
    out = jobs.tail(job_id)[0]
    assert (
        out
        == "INFO - counting 2\nDEBUG - Progress report 1/2 completed\nWARNING - 100%\nINFO - %d ('many',)\n"
    )
    assert jobs.progress(job_id) == [1, 2]
    assert job_context.current() is None
    assert bridge.call("bridge.count", []) == 51234
    assert "100%" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("py2", "print 'hello'\n", "is it written for Python 2? 2to3 converts it"),
        ("implicit", "import func_module\n", "write `from func.minion.modules import func_module`"),
        ("missing", "import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
        ("leaves", "import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("dies", BRIDGE + "\n    def __init__(self):\n        raise KeyError('why')\n", "KeyError: 'why'"),
        ("test", BRIDGE, "test is a module of Func itself"),
        ("system", BRIDGE, "system is a module of Func itself"),
    ],
)
def test_a_broken_one_is_told_and_costs_the_others_nothing(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture, name: str, text: str, told: str
) -> None:
    put(folder, **{name: text}, sound=BRIDGE)
    methods = load(tmp_path, (), folder)
    assert "sound" in methods.list_modules()
    assert methods.call("test.ping", []) == 1
    assert name not in methods.list_modules() or name == "test"
    assert told in caplog.text
    assert f"{folder / name}.py: skipped" in caplog.text


def test_what_is_no_wire_module_serves_those_that_are(tmp_path: Path, folder: Path) -> None:
    put(
        folder,
        netapp__DOT____init__="",
        netapp__DOT__common="UNIT = 'GB'\n",
        netapp__DOT__vol=BRIDGE.replace(
            "class Bridge", "from func.minion.modules.netapp.common import *\nclass Vol"
        ).replace('"br0"', "UNIT"),
        zz_helpers="from func.minion.modules import func_module\n",
    )
    methods = load(tmp_path, (), folder)
    assert [name for name in methods.list_modules() if name.startswith(("netapp", "zz"))] == ["netapp.vol"]
    assert methods.call("netapp.vol.list", []) == {"GB": ["eth0", "True"]}
    assert load(tmp_path, ("netapp.*",), folder).list_modules() == ["netapp.vol"]


def test_the_module_list_leaves_them_out_before_anything_of_them_is_run(tmp_path: Path, folder: Path) -> None:
    put(folder, unwanted=f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert load(tmp_path, ("test",), folder).list_modules() == ["test"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_folder_that_others_may_write_is_not_believed(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    put(folder, bridge=BRIDGE).chmod(mode)
    assert "bridge" not in load(tmp_path, (), folder).list_modules()
    assert "chown root, chmod go-w" in caplog.text


def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path, folder: Path) -> None:
    put(folder, one=BRIDGE, two=BRIDGE, sub__DOT____init__="", sub__DOT__three=BRIDGE)
    (folder / "one.py").chmod(0o666)
    (folder / "sub").chmod(0o777)
    names = load(tmp_path, (), folder).list_modules()
    assert "two" in names
    assert not {"one", "sub.three"} & set(names)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_believed(tmp_path: Path, folder: Path) -> None:
    put(folder, one=BRIDGE, two=BRIDGE)
    os.chown(folder / "one.py", 12345, 12345)
    assert "one" not in load(tmp_path, (), folder).list_modules()


def test_no_folder_means_no_modules(tmp_path: Path) -> None:
    assert third_party.names(tmp_path / "nothing") == {}
    assert "test" in load(tmp_path, (), tmp_path / "nothing").list_modules()


def test_files_of_editors_are_passed_over(folder: Path) -> None:
    put(folder, good="", _private="")
    for name in ("bad-name.py", ".#good.py", "good.py~", "1st.py"):
        (folder / name).write_text("raise SystemExit\n")
    assert list(third_party.names(folder)) == ["good"]


def test_modules_of_the_same_name_in_two_folders_are_two(tmp_path: Path) -> None:
    found: list[Any] = []
    for number in ("one", "two"):
        folder = put(tmp_path / number, twin=BRIDGE.replace("0.0.3", number))
        found.append(load(tmp_path, ("twin",), folder).call("twin.module_version", []))
    assert found == ["one", "two"]
