"""Drive the distribution's chromium over its debugging pipe: no driver program, no package."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Any, Optional

from tests.integration.support import eventually

# It reads from descriptor 3 and writes to 4.
EXEC = """if True:
    import fcntl, os, sys
    read, write = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3])
    os.dup2(read, 3)
    os.dup2(write, 4)
    os.execv(sys.argv[3], sys.argv[3:])
"""

# What it says of a question whose page is replaced by another before there is an answer.
GONE = (
    "navigated or closed",
    "context was destroyed",
    "Cannot find context",
    "Cannot find default execution",
)


class PageGone(Exception):
    """The page went before it could answer."""


def chromium() -> Optional[str]:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page. Messages are JSON ended by NUL: https://chromedevtools.github.io/devtools-protocol/."""

    def __init__(self) -> None:
        program = chromium()
        assert program is not None
        self._home = tempfile.mkdtemp(prefix="chromium-")
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", EXEC, str(to_browser), str(from_browser), program,
             "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run",
             f"--user-data-dir={self._home}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._id = 0
        page = eventually(self._first_page, "the browser to have a page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self._page("Page.enable")

    def open(self, url: str) -> None:
        """Go to an address; the document may still be loading."""
        assert "errorText" not in self._page("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; None when the page goes while it is asked."""
        try:
            answer = self._page("Runtime.evaluate", expression=script, returnByValue=True)
        except PageGone:
            return None
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def path(self) -> str:
        """Where the page is; empty while it is still loading, because what is below may not be there yet."""
        return str(self.run("document.readyState === 'complete' ? location.pathname : ''") or "")

    def seen(self) -> str:
        """What a reader of the page sees, asked of scripts; empty while it is still loading."""
        return str(self.run("document.readyState === 'complete' ? document.body.innerText : ''") or "")

    def wait_for(self, words: str, within_s: float = 60.0) -> None:
        """Wait until the page says so."""
        eventually(lambda: words in self.seen(), f"the page to say {words!r}", within_s)

    def wait_for_path(self, start: str) -> None:
        """Wait until a page is there, whole, whose path begins so."""
        eventually(lambda: self.path().startswith(start), f"the page {start}", 60.0)

    def click(self, words: str) -> None:
        """Press the button, or follow the link, that reads so."""
        found = f"[...document.querySelectorAll('button, a')].find(e => e.innerText.trim() === {words!r})"
        # after the answer, so that no answer means no click; a page that refreshes itself between the two may
        # have put another in its place
        later = f"setTimeout(() => (e.isConnected ? e : {found} || e).click(), 0)"
        self._once(found, later, f"a button {words!r}")

    def write(self, field: str, value: str) -> None:
        """Type into a field, or choose the option of a group."""
        one = f"[name={field}][value={json.dumps(value)}]"
        found = f"document.querySelector({json.dumps(f'[name={field}]:not([type=radio]), {one}')})"
        typed = f"e.value = {value!r}, e.dispatchEvent(new Event('input', {{bubbles: true}}))"
        self._once(found, f"e.type === 'radio' ? e.click() : ({typed})", f"a field {field}")

    def _once(self, found: str, act: str, what: str) -> None:
        """Do something with an element `e` as soon as the page is whole and has it: in one step, since
        scripts and loading pages may take it away between two."""
        script = f"(e => document.readyState === 'complete' && e ? ({act}, true) : false)({found})"
        eventually(lambda: self.run(script) is True, what, 60.0)

    def without_scripts(self) -> None:
        """Load what comes next as a browser would that runs no scripts."""
        self._page("Emulation.setScriptExecutionDisabled", value=True)

    def text(self) -> str:
        """What a reader of the page sees; works without scripts too."""
        tree = self._page("Accessibility.getFullAXTree")["nodes"]
        names = [
            n.get("name", {}).get("value", "") for n in tree if n.get("role", {}).get("value") == "StaticText"
        ]
        return "\n".join(names)

    def take_cookie(self, url: str, name: str, value: str) -> None:
        """Have a cookie as if that site had given it."""
        more = {"httpOnly": True, "sameSite": "Lax"}
        assert self._page("Network.setCookie", url=url, name=name, value=value, **more)["success"]

    def before_each_page(self, script: str) -> None:
        """Run a script before anything of the pages to come."""
        self._page("Page.addScriptToEvaluateOnNewDocument", source=script)

    def frames(self) -> list[str]:
        """The addresses of the page and of what it has in frames, as far as that may be shown there."""
        tree = self._page("Page.getFrameTree")["frameTree"]
        inside = [one["frame"] for one in tree.get("childFrames", ())]
        return [one.get("unreachableUrl") and "refused" or one["url"] for one in (tree["frame"], *inside)]

    def drop_cookies(self) -> None:
        """Forget all cookies."""
        self._page("Network.clearBrowserCookies")

    def type(self, text: str) -> None:
        """Type where the keyboard's focus is."""
        self._page("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press Tab or Enter."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        known = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._page("Input.dispatchKeyEvent", type="keyDown", text=text, **known)
        self._page("Input.dispatchKeyEvent", type="keyUp", **known)

    def narrow(self) -> None:
        """Be as wide as a phone."""
        self._page(
            "Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True
        )

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # its helpers as well
        self._process.wait(60)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._home, ignore_errors=True)

    def _first_page(self) -> Optional[str]:
        found = self._call("Target.getTargets")["targetInfos"]
        return next((str(target["targetId"]) for target in found if target["type"] == "page"), None)

    def _page(self, method: str, **params: Any) -> Any:
        return self._call(method, self._session, **params)

    def _call(self, method: str, session: Optional[str] = None, **params: Any) -> Any:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._id:
                error = answer.get("error")
                if error is not None and any(words in error["message"] for words in GONE):
                    raise PageGone(error["message"])
                assert error is None, error
                return answer["result"]

    def _receive(self) -> Any:
        while b"\0" not in self._buffer:
            data = os.read(self._in, 65536)
            assert data, "the browser ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
