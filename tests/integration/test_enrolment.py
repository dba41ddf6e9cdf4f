"""A cloud instance joins: it asks, somebody signs, and it appears without a restart of anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.support import ask, eventually, expected_free_mb, get_cloud, run_command

NEW = "cloud2.example.org"


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of one, whose certmaster signs nothing by itself any more."""
    made = Cloud(
        tmp_path_factory.mktemp("careful"), clouds=2, ports=free_ports(), log=write_log,
        settings={"poll_interval_s": 1},
    )  # fmt: skip
    try:
        made.prepare()
        made.start_certmaster()
        made.start_minion("cloud1.example.org")
        made.end("certmaster")
        file = made.root_of("certmaster") / "etc/certmaster/certmaster.conf"
        file.write_text(file.read_text().replace("autosign = yes", "autosign = no"))
        made.start_certmaster()
        made.start_master()
        yield made
    finally:
        made.stop()


def test_a_signed_cloud_instance_appears_and_an_unsigned_one_does_not(careful: Cloud) -> None:
    eventually(lambda: get_cloud(careful, "cloud1.example.org").get("state") == "up", "cloud1 up")
    done = run_command(careful, "certmaster-request", "--once", "--name", NEW, root=careful.root_of(NEW))
    assert done.returncode == 1, "nobody has signed it yet"
    assert run_command(careful, "certmaster-ca", "--list").stdout.split() == [NEW]
    assert ask(careful, "GET", f"/api/v1/clouds/{NEW}").status == 404

    assert run_command(careful, "certmaster-ca", "--sign", NEW).returncode == 0
    assert run_command(careful, "certmaster-ca", "--list").stdout.split() == []
    eventually(lambda: get_cloud(careful, NEW).get("state") == "unreachable", f"{NEW} known, not started")
    careful.start_minion(NEW)
    assert ask(careful, "POST", f"/api/v1/clouds/{NEW}/refresh").status == 200
    assert get_cloud(careful, NEW)["free_memory_mb"] == expected_free_mb(careful.node(NEW))


def test_a_cloud_instance_whose_certificate_is_removed_stays_and_says_so(careful: Cloud) -> None:
    eventually(lambda: get_cloud(careful, NEW).get("state") == "up", f"{NEW} up")
    machines = get_cloud(careful, NEW)["machines"]
    assert run_command(careful, "certmaster-ca", "--clean", NEW).returncode == 0
    eventually(lambda: get_cloud(careful, NEW)["state"] == "unreachable", f"{NEW} unreachable")
    item = get_cloud(careful, NEW)
    assert item["machines"] == machines
    assert "certmaster-ca --sign" in item["error"]
