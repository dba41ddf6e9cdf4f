"""Clouds of real processes, one a test file, and the marker that keeps them out of `make test-unit`."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.qemu_clones import qemu_clones, qemu_uri  # noqa: F401  fixtures
from tests.integration.support import eventually, libvirtd_program, start_libvirtd


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


LOG: deque[str] = deque(maxlen=300)


def write_log(name: str, line: str) -> None:
    """Keep what the programs say; it is shown beside a test that fails."""
    LOG.append(f"{name:<18} | {line}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        report.sections.append(("the last the programs said", "\n".join(LOG)))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Three cloud instances that are looked at every second."""
    made = Cloud(
        tmp_path_factory.mktemp("cloud"),
        ports=free_ports(),
        log=write_log,
        settings={"poll_interval_s": 1, "minion_timeout_s": 5},
    )
    try:
        made.start()
        # one that did not answer in time is known not to, and is asked again
        eventually(lambda: {c["state"] for c in made.list_clouds()} == {"up"}, "all cloud instances up")
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def libvirt_uri() -> Iterator[str]:
    """A host several connections share; see support.start_libvirtd."""
    if libvirtd_program() is None:
        pytest.skip("libvirtd is not installed: make setup-test installs it")
    yield from start_libvirtd()


@pytest.fixture(scope="module")
def host(libvirt_uri: str) -> Iterator[Any]:
    """A connection to that host, emptied; what is on it outlives every minion as long as this is open."""
    libvirt = pytest.importorskip("libvirt")
    connection = libvirt.open(libvirt_uri)
    for domain in connection.listAllDomains():
        domain.destroy()
        domain.undefine()
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def lasting_cloud(tmp_path_factory: pytest.TempPathFactory, libvirt_uri: str, host: Any) -> Iterator[Cloud]:
    """A cloud instance whose machine instances outlive its minion, seldom looked at; tasks of no patience."""
    made = Cloud(
        tmp_path_factory.mktemp("lasting"), 1, ports=free_ports(), log=write_log, libvirt_uri=libvirt_uri,
        settings={"poll_interval_s": 60, "minion_timeout_s": 5, "task_patience_s": 25},
    )  # fmt: skip
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory, libvirt_uri: str) -> Iterator[Cloud]:
    """Like `cloud`, but cloud1's libvirt is one the test can reach as well, and nobody looks unasked."""
    made = Cloud(
        tmp_path_factory.mktemp("shared"), ports=free_ports(), log=write_log, libvirt_uri=libvirt_uri,
        settings={"poll_interval_s": 3600, "breaker_max_interval_s": 3600},
    )  # fmt: skip
    try:
        made.start()
        yield made
    finally:
        made.stop()
