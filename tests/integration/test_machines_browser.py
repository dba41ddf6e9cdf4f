"""Somebody at a browser makes a machine instance, watches it come up, and reads why another finds no room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudmasterd.web.figures import memory
from demo.cloud import Cloud
from tests.integration.browser import Browser, chromium
from tests.integration.machines import OVERHEAD_MB, done, free_mb, machine, state_of, tasks
from tests.integration.support import eventually

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="chromium is not installed: make setup-test installs it"
)

NAME = "desk1.example.org"
WHERE = "cloud1.example.org"  # the one with the most free memory


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def gone_afterwards(cloud: Cloud) -> Iterator[None]:
    yield
    if state_of(cloud, NAME) is not None:
        done(cloud, "DELETE", f"/machines/{NAME}?force=true")


def seen(browser: Browser) -> str:
    return str(browser.run("document.body ? document.body.innerText : ''"))


def wait_for(browser: Browser, words: str, within_s: float = 20.0) -> None:
    eventually(lambda: words in seen(browser), f"the page to say {words!r}", within_s)


def click(browser: Browser, words: str) -> None:
    """Press the button, or follow the link, that reads so."""
    found = f"[...document.querySelectorAll('button, a')].find(e => e.innerText.trim() === {words!r})"
    eventually(lambda: browser.run(f"{found} !== undefined"), f"a button {words!r}")
    browser.run(f"{found}.click()")


def write(browser: Browser, field: str, value: str) -> None:
    """Type into a field, or choose the option of a group."""
    there = f"document.querySelector('[name={field}]')"
    eventually(lambda: browser.run(f"{there} !== null"), f"a field {field}")
    if browser.run(f"{there}.type") == "radio":
        browser.run(f"document.querySelector('[name={field}][value=\"{value}\"]').click()")
        return
    browser.run(f"{there}.value = {value!r}")
    browser.run(f"{there}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def path(browser: Browser) -> str:
    return str(browser.run("location.pathname"))


def test_a_machine_is_made_through_the_form_and_followed_until_it_runs(
    browser: Browser, cloud: Cloud
) -> None:
    before = free_mb(cloud)[WHERE]
    browser.open(f"{cloud.url}clouds/{WHERE}")
    wait_for(browser, memory(before))
    assert NAME not in seen(browser)

    browser.open(f"{cloud.url}machines")
    click(browser, "Create a machine")
    eventually(lambda: path(browser) == "/machines/new", "the form")
    write(browser, "name", NAME)
    write(browser, "flavor", "small")
    wait_for(browser, f"It would go to {WHERE}.")
    click(browser, "Create it")
    eventually(lambda: path(browser).startswith("/tasks/"), "the page of its task")
    browser.run("window.mark = 'still the same document'")
    wait_for(browser, f"To {NAME}")
    text = seen(browser)
    assert f"Make disk 1 of 20 GB on {WHERE}" in text and f"{NAME} is running" in text
    assert browser.run("window.mark") == "still the same document"

    click(browser, f"To {NAME}")
    eventually(lambda: path(browser).startswith("/machines/"), "the page of the machine instance")
    eventually(lambda: browser.run("document.querySelector('h1')?.innerText") == NAME, "its name")
    wait_for(browser, "running")
    click(browser, WHERE)
    eventually(lambda: path(browser) == f"/clouds/{WHERE}", "the page of its cloud instance")
    wait_for(browser, NAME)
    after = free_mb(cloud)[WHERE]
    assert after == before - 2048 - OVERHEAD_MB
    wait_for(browser, memory(after))


def test_one_that_fits_nowhere_is_refused_with_the_reason_of_each_cloud_instance(
    browser: Browser, cloud: Cloud
) -> None:
    before = len(tasks(cloud))
    browser.open(f"{cloud.url}machines/new")
    write(browser, "name", NAME)
    write(browser, "flavor", "")
    write(browser, "memory_mb", "60 GB")
    write(browser, "vcpus", "10")
    click(browser, "Create it")
    wait_for(browser, "It was not created.")
    text = seen(browser)
    for reason in (
        f"{WHERE}\n\nRefused:\n52.3 GB free, 60.1 GB needed: 7.8 GB short",
        "cloud2.example.org\n\nRefused:\n38.0 GB free, 60.1 GB needed: 22.1 GB short",
        "cloud3.example.org\n\nRefused:\n25242 MB free, 61568 MB needed: 36326 MB short",
    ):
        assert reason in text
    assert "8 CPUs, 10 vCPUs wanted" in text
    assert browser.run("document.querySelector('[name=memory_mb]').value") == "60 GB", "it stays typed"
    assert len(tasks(cloud)) == before and state_of(cloud, NAME) is None

    write(browser, "memory_mb", "1 GB")
    write(browser, "vcpus", "1")
    click(browser, "Create it")
    wait_for(browser, f"To {NAME}")
    assert machine(cloud, NAME)["memory_mb"] == 1024


def test_deleting_a_running_one_wants_its_name_typed(browser: Browser, cloud: Cloud) -> None:
    done(cloud, "POST", "/machines", {"name": NAME, "memory_mb": 512, "disks": [{"size_gb": 1}]})
    browser.open(f"{cloud.url}machines/{NAME}")
    click(browser, "Delete …")
    eventually(lambda: path(browser) == f"/machines/{NAME}/delete", "the page that asks once more")
    wait_for(browser, "It is running.")
    write(browser, "name", "desk2.example.org")
    browser.run("document.querySelector('[name=force]').click()")
    click(browser, "Delete it")
    wait_for(browser, "It was not deleted.")
    assert state_of(cloud, NAME) == "running"
    write(browser, "name", NAME)
    assert browser.run("document.querySelector('[name=force]').checked") is True
    click(browser, "Delete it")
    eventually(lambda: path(browser).startswith("/tasks/"), "the page of its task")
    eventually(lambda: state_of(cloud, NAME) is None, f"{NAME} to be gone")


def test_all_of_it_works_without_scripts(browser: Browser, cloud: Cloud) -> None:
    browser.without_scripts()
    browser.open(f"{cloud.url}machines/new")
    eventually(lambda: "Where it would go" in browser.text(), "the form")
    assert f"It would go to {WHERE}." in browser.text()
