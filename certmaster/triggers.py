"""Run an administrator's programs before and after a request, a signature and a removal."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

from certmaster.certdir import list_files
from certmaster.errors import TriggerFailed

log = logging.getLogger(__name__)

# A trigger keeps a machine's enrolment waiting, and one of certmaster's workers.
_LONGEST_S = 60.0
_SAID = 300


class Triggers:
    """The programs in DIRECTORY/{request,sign,remove}/{pre,post}/, by name, each told a host name."""

    def __init__(self, directory: Path, longest_s: float = _LONGEST_S) -> None:
        self._directory = directory
        self._longest_s = longest_s

    def run(self, what: str, when: str, name: str) -> None:
        """Run them one after the other; raises TriggerFailed at the first that fails, and FileError.

        Never to be called with the authority's lock held: a trigger may well call certmaster-ca.
        """
        for program in list_files(self._directory / what / when):
            # as in certmaster 0.28, packages leave .rpmsave and .rpmnew there
            if ".rpm" not in program.name and program.is_file() and os.access(program, os.X_OK):
                self._run(program, name)

    def _run(self, program: Path, name: str) -> None:
        try:
            done = subprocess.run(
                [str(program), name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self._longest_s,
            )
        except subprocess.TimeoutExpired as exc:
            raise TriggerFailed(
                f"certmaster trigger failed: {program} takes longer than {self._longest_s:g} s"
            ) from exc
        except OSError as exc:
            raise TriggerFailed(
                f"certmaster trigger failed: {program} cannot be run: {exc.strerror}"
            ) from exc
        if done.returncode:
            said = done.stdout.decode("utf-8", "replace").strip()[-_SAID:]
            if said:
                log.warning("%s %s: %s", program, name, said)
            raise TriggerFailed(f"certmaster trigger failed: {program} returns {done.returncode}")
