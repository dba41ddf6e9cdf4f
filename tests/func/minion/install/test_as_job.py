"""virt.install as an asynchronous call: what koan says can be read while it works, and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from func.minion.install.koan import QEMU_IMG
from func.minion.job_files import JobFiles
from func.minion.jobs import Jobs
from func.minion.modules.virt import Virt
from func.minion.registry import Registry
from tests.func.minion.helpers import wait_for
from tests.func.minion.install.test_classic import OwnHost


@pytest.mark.skipif(not Path(QEMU_IMG).exists(), reason="needs qemu-img: install qemu-utils")
def test_what_koan_says_is_the_jobs_output(tmp_path: Path) -> None:
    go, koan = tmp_path / "go", tmp_path / "koan"
    koan.write_text(
        f"#!/bin/sh\necho looking for the profile\nuntil [ -e {go} ]; do sleep 0.02; done\n"
        "echo no such profile >&2\nexit 1\n"
    )
    koan.chmod(0o755)
    settings = tmp_path / "etc/func/modules/Machine.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[main]\nkoan = {koan}\nvirt_install = /bin/true\n")
    (tmp_path / "up").mkdir()
    own: Any = OwnHost(tmp_path)
    own.close = lambda: None
    methods = Registry({"virt": Virt(tmp_path, lambda uri: own)})
    jobs = Jobs(JobFiles(tmp_path / "jobs"))
    arguments = ["cobbler.example.org", "F8", False, "web1"]
    job_id = jobs.begin("virt.install", lambda: methods.call("virt.install", arguments))
    wait_for(lambda: jobs.tail(job_id) == ["looking for the profile\n", ""], "koan's first words can be read")
    assert jobs.status(job_id) == [0, -1]
    go.touch()
    wait_for(lambda: jobs.status(job_id)[0] == 1, "koan ends")
    error = jobs.status(job_id)[1]
    assert error[:2] == ["REMOTE_ERROR", "func.errors.HostError"]
    assert "no such profile" in error[2]
    assert jobs.tail(job_id) == ["looking for the profile\nno such profile\n", ""]
