"""One cloud under attack for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudmasterd.rights import Role
from demo.cloud import free_ports
from tests.attacks.hostile_cobbler import hostile_cobbler
from tests.attacks.town import HostileCloud, Person, Town


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A cloud of one instance; its admin, and an operator, one bound to team=web, and a viewer."""
    with hostile_cobbler() as cobbler:
        yield from _town(tmp_path_factory.mktemp("town"), cobbler)


def _town(folder: Path, cobbler: str) -> Iterator[Town]:
    log: list[str] = []
    settings = {"poll_interval_s": 5, "minion_timeout_s": 5, "log_level": "debug", "cobbler_server": cobbler}
    cloud = HostileCloud(
        folder,
        1,
        ports=free_ports(),
        log=lambda name, line: log.append(f"{name} | {line}"),
        settings=settings,
    )
    try:
        cloud.start()
        made = Town(cloud, log=log)
        admin = Person("admin", cloud.admin.password(), cloud.admin.token(), Role.ADMIN)
        made.people["admin"] = made.signed_in(admin)
        made.people["olga"] = made.make("olga", Role.OPERATOR)
        made.people["wendy"] = made.make("wendy", Role.OPERATOR, ("team=web",))
        made.people["vera"] = made.make("vera", Role.VIEWER)
        yield made
    finally:
        cloud.stop()
