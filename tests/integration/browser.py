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

# It reads from descriptor 3 and writes to 4.
EXEC = """if True:
    import fcntl, os, sys
    read, write = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3])
    os.dup2(read, 3)
    os.dup2(write, 4)
    os.execv(sys.argv[3], sys.argv[3:])
"""


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
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self._page("Page.enable")

    def open(self, url: str) -> None:
        """Go to an address; the document may still be loading."""
        assert "errorText" not in self._page("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._page("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

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

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # its helpers as well
        self._process.wait(10)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._home, ignore_errors=True)

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
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _receive(self) -> Any:
        while b"\0" not in self._buffer:
            data = os.read(self._in, 65536)
            assert data, "the browser ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
