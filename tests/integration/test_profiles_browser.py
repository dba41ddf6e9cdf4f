"""Somebody at a browser looks through the profiles of a real cobbler server and begins a machine from one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.cloud import MASTER, Cloud, free_ports
from tests.cobbler.bench import Bench, Unavailable
from tests.integration.browser import Browser, chromium
from tests.integration.conftest import write_log
from tests.integration.signing_in import sign_in
from tests.integration.support import ask, eventually

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="chromium is not installed: make setup-test installs it"
)

PROFILE = "GenomeCloud-RHEL5U2-x86_64"
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    try:
        yield made
    finally:
        made.close()


def cloud_with(bench: Bench, root: Path) -> Cloud:
    server = bench.url.rpartition("//")[2]
    return Cloud(
        root, 1, ports=free_ports(), log=write_log,
        settings={"cobbler_server": server, "profile_refresh_s": 1, "poll_interval_s": 1},
    )  # fmt: skip


@pytest.fixture(scope="module")
def stocked(cobbler: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose cobbler server has one profile."""
    cobbler.register(PROFILE, virt_ram=1024, virt_cpus=2, virt_file_size=8, comment="for the web team")
    made = cloud_with(cobbler, tmp_path_factory.mktemp("profiles"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_profile_that_is_registered_appears_without_a_reload(
    browser: Browser, stocked: Cloud, cobbler: Bench
) -> None:
    sign_in(browser, stocked)
    browser.open(stocked.url)
    browser.click("Profiles")
    browser.wait_for(PROFILE)
    text = browser.seen()
    for words in ("for the web team", "1 GB, 2 vCPUs, 8 GB disk", "x86_64", "asked"):
        assert words in text
    browser.run("window.mark = 'still the same document'")
    cobbler.register("registered-just-now")
    browser.wait_for("registered-just-now")
    assert browser.run("window.mark") == "still the same document"


def test_a_profile_leads_to_a_form_that_has_it_chosen_and_says_where_it_would_go(
    browser: Browser, stocked: Cloud
) -> None:
    sign_in(browser, stocked)
    browser.open(f"{stocked.url}profiles")
    links = f"[...document.querySelectorAll('a[href=\"/machines/new?profile={PROFILE}\"]')]"
    link = f"({links}.find(e => e.checkVisibility()) || null)"
    eventually(lambda: browser.run(f"{link} !== null"), "the link of the profile")
    browser.run(f"{link}.click()")
    browser.wait_for_path("/machines/new")
    browser.wait_for("Create a machine instance")
    assert browser.run("document.querySelector('[name=source]:checked').value") == "profile"
    assert browser.run("document.querySelector('[name=profile]').value") == PROFILE
    assert browser.run("document.querySelector('[name=metadata]').checkVisibility()") is True
    assert browser.run("document.querySelector('[name=user_data]').checkVisibility()") is False
    # the test driver has no QEMU, so that koan is of no use there
    browser.wait_for("no koan, which installs from profiles")


@pytest.mark.parametrize("page", ["profiles", f"machines/new?profile={PROFILE}"])
def test_it_fits_a_phone_and_is_reached_by_the_keyboard(browser: Browser, stocked: Cloud, page: str) -> None:
    browser._page("Emulation.setDeviceMetricsOverride", **PHONE)
    sign_in(browser, stocked)
    browser.open(f"{stocked.url}{page}")
    browser.wait_for(PROFILE)
    browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= 390
    reachable = "[...document.querySelectorAll('main a, main button, main input, main select, main summary')]"
    hidden = f"{reachable}.filter(e => e.checkVisibility() && e.tabIndex < 0).length"
    assert browser.run(hidden) == 0


def test_it_reads_fully_without_scripts(browser: Browser, stocked: Cloud) -> None:
    sign_in(browser, stocked)
    browser.without_scripts()
    browser.open(f"{stocked.url}profiles")
    eventually(lambda: PROFILE in browser.text() and "Ask it now" in browser.text(), "the profile")


def test_the_catalogue_is_there_after_a_restart_though_cobbler_is_not(
    browser: Browser, tmp_path: Path
) -> None:
    try:
        bench = Bench().__enter__()
    except Unavailable as exc:
        pytest.skip(f"no bench for cobbler: {exc}")
    try:
        bench.register(PROFILE)
        cloud = cloud_with(bench, tmp_path)
        try:
            cloud.start()
            eventually(lambda: ask(cloud, "GET", "/api/v1/profiles").json["items"], "the profile")
            bench.stop()
            cloud.end(MASTER)
            cloud.start_master()
            sign_in(browser, cloud)
            browser.open(f"{cloud.url}profiles")
            browser.wait_for("The cobbler server cannot be asked for")
            assert PROFILE in browser.seen() and "refused" in browser.seen()
            told = ask(cloud, "GET", "/api/v1/profiles").json
            assert [item["name"] for item in told["items"]] == [PROFILE]
            assert told["catalogue"]["observed_at"] and told["catalogue"]["failing_since"]
            body = (
                b'{"name": "m1", "memory_mb": 512, "source": {"kind": "profile", "profile": "%s"}}'
                % PROFILE.encode()
            )
            json = {"Content-Type": "application/json"}
            refused = ask(cloud, "POST", "/api/v1/machines", body=body, headers=json)
            assert refused.status == 504 and "Try again when it answers" in refused.json["detail"]
        finally:
            cloud.stop()
    finally:
        bench.stop()
