"""The pages in a real browser: what scripts add to them, and that they fit a small screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cloudmasterd.model import TaskState
from tests.cloudmasterd.web.reading import post, read, task_of
from tests.fakes import wait_for
from tests.integration.browser import Browser, chromium

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(chromium() is None, reason="chromium is not installed: make setup-test installs it"),
]

HERE = "/machines/jboss1.example.org"


@pytest.fixture(scope="module")
def one_browser() -> Iterator[Browser]:
    made = Browser()
    try:
        yield made
    finally:
        made.close()


class Reader:
    """Somebody before a browser."""

    def __init__(self, browser: Browser, port: int) -> None:
        self.browser = browser
        self.root = f"http://127.0.0.1:{port}"

    def go(self, path: str) -> None:
        self.browser.open(self.root + path)
        self.wait(f"document.readyState == 'complete' && location.pathname == '{path.partition('?')[0]}'")
        self.run("window.mark = 'still the same document'")

    def run(self, script: str) -> Any:
        return self.browser.run(script)

    def wait(self, script: str) -> None:
        wait_for(lambda: self.run(script), script)

    def sees(self, words: str) -> None:
        self.wait(f"document.body !== null && document.body.innerText.includes({words!r})")

    def type(self, name: str, value: str) -> None:
        field = f"document.querySelector('[name={name}]')"
        self.run(f"{field}.focus(); {field}.value = {value!r}")
        self.run(f"{field}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    def press(self, selector: str, times: int = 1) -> None:
        self.run(f"for (let i = 0; i < {times}; i++) document.querySelector({selector!r}).click()")


@pytest.fixture
def reader(one_browser: Browser, small: Any) -> Reader:
    return Reader(one_browser, small.port)


def test_the_steps_of_a_task_move_as_they_happen(small: Any, reader: Reader) -> None:
    task = task_of(small, post(small, read(small, HERE).form(f"{HERE}/reboot")))
    reader.go(f"/tasks/{task.id}")
    wait_for(lambda: small.store.tasks.get(task.id).state is TaskState.RUNNING)
    reader.sees("running")
    reader.wait("document.querySelector('.step.run') !== null")
    small.gate.open.set()
    reader.sees("To jboss1.example.org")
    assert reader.run("document.querySelectorAll('.step.run').length") == 0
    assert reader.run("document.querySelector('form[action$=cancel]')") is None
    assert reader.run("window.mark") == "still the same document"


def test_the_preview_follows_what_is_typed(small: Any, reader: Reader) -> None:
    reader.go("/machines/new")
    reader.sees("It would go to cloud1.example.org.")
    reader.press("[name=flavor][value='']")
    reader.type("memory_mb", "100 GB")
    reader.sees("39.9 GB short")
    reader.type("memory_mb", "a lot")
    reader.sees("Correct the marked fields")
    reader.type("memory_mb", "4 GB")
    reader.sees("It would go to cloud1.example.org.")
    assert reader.run("window.mark") == "still the same document"
    assert reader.run("document.activeElement.name + '=' + document.activeElement.value") == "memory_mb=4 GB"
    assert small.store.tasks.list() == []


def test_a_double_click_creates_one_and_leads_to_its_task(small: Any, reader: Reader) -> None:
    reader.go("/machines/new")
    reader.type("name", "jboss7.example.org")
    reader.press("button[value=create]", times=2)
    reader.sees("Create jboss7.example.org")
    assert reader.run("location.pathname") == f"/tasks/{small.store.tasks.list()[0].id}"
    assert len(small.store.tasks.list()) == 1


def test_errors_get_the_focus_and_lead_to_their_fields(small: Any, reader: Reader) -> None:
    reader.go("/machines/new")
    reader.type("name", "Not A Name")
    reader.type("notes", "keep me")
    reader.press("button[value=create]")
    reader.wait("document.activeElement !== null && document.activeElement.id == 'errors'")
    assert reader.run("document.title").startswith("Error: ")
    reader.press("#errors a")
    reader.wait("location.hash == '#f-name'")
    assert reader.run("document.querySelector('[name=notes]').value") == "keep me"


@pytest.mark.parametrize("width", [360, 390, 1180])
def test_no_page_is_wider_than_the_screen(small: Any, reader: Reader, make_machine: Any, width: int) -> None:
    name = "a-very-long-name-that-somebody-chose.production.eu-central.example.org"
    small.fill({"cloud3.example.org": [make_machine(name)]})
    small.store.change_cloud("cloud3.example.org", maintenance=True, maintenance_reason="x" * 200)
    task = task_of(small, post(small, read(small, f"/machines/{name}").form(f"/machines/{name}/pause")))
    reader.browser._page(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
    )
    for path in (
        "/", "/machines", "/machines/new", f"/machines/{name}", f"{HERE}/change", f"{HERE}/delete",
        f"{HERE}/poweroff", "/tasks", f"/tasks/{task.id}", "/events", "/clouds/cloud3.example.org",
        "/clouds/cloud1.example.org/change", "/machines/web1",
    ):  # fmt: skip
        reader.go(path)
        root = "document.documentElement"
        assert reader.run(f"{root}.scrollWidth - {root}.clientWidth") <= 0, path
