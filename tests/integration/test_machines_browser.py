"""Somebody at a browser makes a machine instance, watches it come up, and reads why another finds no room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudmasterd.web.figures import memory
from demo.cloud import Cloud
from tests.integration.browser import Browser, chromium
from tests.integration.machines import OVERHEAD_MB, done, free_mb, machine, state_of, tasks
from tests.integration.signing_in import sign_in
from tests.integration.support import eventually

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="chromium is not installed: make setup-test installs it"
)

NAME = "desk1.example.org"
WHERE = "cloud1.example.org"  # the one with the most free memory


@pytest.fixture
def browser(cloud: Cloud) -> Iterator[Browser]:
    made = Browser()
    try:
        sign_in(made, cloud)
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def gone_afterwards(cloud: Cloud) -> Iterator[None]:
    yield
    if state_of(cloud, NAME) is not None:
        done(cloud, "DELETE", f"/machines/{NAME}?force=true")


def test_a_machine_is_made_through_the_form_and_followed_until_it_runs(
    browser: Browser, cloud: Cloud
) -> None:
    before = free_mb(cloud)[WHERE]
    browser.open(f"{cloud.url}clouds/{WHERE}")
    browser.wait_for(memory(before))
    assert NAME not in browser.seen()

    browser.open(f"{cloud.url}machines")
    browser.click("Create a machine")
    browser.wait_for_path("/machines/new")
    browser.write("name", NAME)
    browser.write("flavor", "small")
    browser.wait_for(f"It would go to {WHERE}.")
    browser.click("Create it")
    browser.wait_for_path("/tasks/")
    browser.run("window.mark = 'still the same document'")
    browser.wait_for(f"To {NAME}")
    text = browser.seen()
    assert f"Make disk 1 of 20 GB on {WHERE}" in text and f"{NAME} is running" in text
    assert browser.run("window.mark") == "still the same document"

    browser.click(f"To {NAME}")
    browser.wait_for_path("/machines/")
    eventually(lambda: browser.run("document.querySelector('h1')?.innerText") == NAME, "its name")
    browser.wait_for("running")
    browser.click(WHERE)
    browser.wait_for_path(f"/clouds/{WHERE}")
    browser.wait_for(NAME)
    after = free_mb(cloud)[WHERE]
    assert after == before - 2048 - OVERHEAD_MB
    browser.wait_for(memory(after))


def test_one_that_fits_nowhere_is_refused_with_the_reason_of_each_cloud_instance(
    browser: Browser, cloud: Cloud
) -> None:
    before = len(tasks(cloud))
    browser.open(f"{cloud.url}machines/new")
    browser.write("name", NAME)
    browser.write("flavor", "")
    browser.write("memory_mb", "60 GB")
    browser.write("vcpus", "10")
    browser.click("Create it")
    browser.wait_for("It was not created.")
    text = browser.seen()
    for reason in (
        f"{WHERE}\n\nRefused:\n52.3 GB free, 60.1 GB needed: 7.8 GB short",
        "cloud2.example.org\n\nRefused:\n38.0 GB free, 60.1 GB needed: 22.1 GB short",
        "cloud3.example.org\n\nRefused:\n25242 MB free, 61568 MB needed: 36326 MB short",
    ):
        assert reason in text
    assert "8 CPUs, 10 vCPUs wanted" in text
    assert browser.run("document.querySelector('[name=memory_mb]').value") == "60 GB", "it stays typed"
    assert len(tasks(cloud)) == before and state_of(cloud, NAME) is None

    browser.write("memory_mb", "1 GB")
    browser.write("vcpus", "1")
    browser.click("Create it")
    browser.wait_for(f"To {NAME}")
    assert machine(cloud, NAME)["memory_mb"] == 1024


def test_deleting_a_running_one_wants_its_name_typed(browser: Browser, cloud: Cloud) -> None:
    done(cloud, "POST", "/machines", {"name": NAME, "memory_mb": 512, "disks": [{"size_gb": 1}]})
    browser.open(f"{cloud.url}machines/{NAME}")
    browser.click("Delete …")
    browser.wait_for_path(f"/machines/{NAME}/delete")
    browser.wait_for("It is running.")
    browser.write("name", "desk2.example.org")
    browser.run("document.querySelector('[name=force]').click()")
    browser.click("Delete it")
    browser.wait_for("It was not deleted.")
    assert state_of(cloud, NAME) == "running"
    browser.write("name", NAME)
    assert browser.run("document.querySelector('[name=force]').checked") is True
    browser.click("Delete it")
    browser.wait_for_path("/tasks/")
    eventually(lambda: state_of(cloud, NAME) is None, f"{NAME} to be gone")


def test_all_of_it_works_without_scripts(browser: Browser, cloud: Cloud) -> None:
    browser.without_scripts()
    browser.open(f"{cloud.url}machines/new")
    eventually(lambda: "Where it would go" in browser.text(), "the form")
    assert f"It would go to {WHERE}." in browser.text()
