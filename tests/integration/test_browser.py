"""The pages in a real browser: they refresh themselves without a reload, and read fully without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.cloud import Cloud
from tests.integration.browser import Browser, chromium
from tests.integration.signing_in import sign_in
from tests.integration.support import eventually, func_call

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="chromium is not installed: make setup-test installs it"
)


@pytest.fixture
def browser(cloud: Cloud) -> Iterator[Browser]:
    made = Browser()
    try:
        sign_in(made, cloud)
        yield made
    finally:
        made.close()


def test_the_overview_refreshes_itself_without_a_reload(browser: Browser, cloud: Cloud) -> None:
    name, machine = "cloud1.example.org", "jboss1.example.org"
    browser.open(cloud.url)
    eventually(lambda: name in browser.seen(), "the page to show its cloud instances")
    browser.run("window.mark = 'still the same document'")
    row = f"""[...document.querySelectorAll('tr, li, article, section')]
              .filter(e => e.innerText.includes('{name}')).map(e => e.innerText).pop() || ''"""
    before = browser.run(row)
    func_call(cloud, name, "virt", "destroy", machine)
    try:
        eventually(
            lambda: without_age(browser.run(row)) != without_age(before), f"a change in {before!r}", 30
        )
        assert browser.run("window.mark") == "still the same document"
    finally:
        func_call(cloud, name, "virt", "create", machine)


def without_age(text: str) -> list[str]:
    """The figures of a row, without what changes by itself: seconds since it was seen."""
    return [word for word in text.split() if word.isdigit() or "." in word or "," in word]


def test_a_machine_that_stops_shows_in_the_list_without_a_reload(browser: Browser, cloud: Cloud) -> None:
    machine = "jboss6.example.org"
    browser.open(cloud.url + "machines")
    eventually(lambda: machine in browser.seen(), "the page to show the machines")
    browser.run("window.mark = 'still the same document'")
    rows = f"[...document.querySelectorAll('tr')].filter(e => e.innerText.includes('{machine}'))"
    row = f"{rows}[0]?.innerText || 'running'"
    assert "running" in browser.run(row)
    func_call(cloud, "cloud3.example.org", "virt", "destroy", machine)
    try:
        eventually(lambda: "running" not in browser.run(row), f"{machine} off in the page", 30)
        assert browser.run("window.mark") == "still the same document"
    finally:
        func_call(cloud, "cloud3.example.org", "virt", "create", machine)


@pytest.mark.parametrize("page", ["", "machines", "clouds/cloud3.example.org"])
def test_a_page_reads_fully_without_scripts(browser: Browser, cloud: Cloud, page: str) -> None:
    browser.without_scripts()
    browser.open(cloud.url + page)
    wanted = {"": cloud.names, "machines": [m.name for n in cloud.nodes for m in n.machines]}.get(
        page, [m.name for m in cloud.nodes[2].machines]
    )
    eventually(lambda: all(name in browser.text() for name in wanted), f"{wanted} in the page")
