"""Keep a running minion's certificate good: renew it, follow the list of revoked ones, take new files up."""

from __future__ import annotations

import logging
import os
import random
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Optional

from certmaster import upkeep
from certmaster.certdir import MinionFiles, minion_files
from certmaster.config import MinionConfig, load_minion_config
from certmaster.errors import CertmasterError
from certmaster.request import Certificates
from func.config import MinionConfig as FuncMinionConfig
from func.errors import ConfigError

log = logging.getLogger(__name__)

_LOOK_S = 5.0
_SPREAD = 0.25

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Subject:
    """Whose certificate it is, where its files are, and which certmaster looks after it (None: nobody)."""

    name: str
    files: MinionFiles
    crl_file: Path
    certmaster: Optional[MinionConfig]
    may_renew: bool = True


def subject_of(config: FuncMinionConfig, name: str, files: Certificates, crl_file: Path) -> Subject:
    """What minion.conf leaves to be kept good: a certificate it names itself is somebody else's to renew."""
    own = MinionFiles(files.key_file, files.key_file.with_suffix(".csr"), files.cert_file, files.ca_file)
    if not config.use_certmaster:
        return Subject(name, own, crl_file, None)
    certmaster = load_minion_config(config.root)
    kept = minion_files(certmaster.cert_dir, name)
    is_kept = (kept.key_file, kept.cert_file, kept.ca_file) == (own.key_file, own.cert_file, own.ca_file)
    return Subject(name, own, crl_file, certmaster, may_renew=is_kept)


class Upkeep:
    """A thread that asks the certmaster now and then and hands on a context of files that changed.

    The pauses vary by a quarter, by chance, so that a fleet that was started at once does not ask at once.
    """

    def __init__(
        self,
        subject: Subject,
        make_context: Callable[[], ssl.SSLContext],
        use: Callable[[ssl.SSLContext], None],
        chance: Callable[[], float] = random.random,
        look_s: float = _LOOK_S,
    ) -> None:
        self._subject = subject
        self._make_context = make_context
        self._use = use
        self._chance = chance
        self._renew_chance = chance()
        self._look_s = look_s
        self._stamp = self._look()
        self._said = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin with a first round at once."""
        self._thread.start()

    def close(self) -> None:
        """End; a call to the certmaster that is under way is left to itself."""
        self._stopped.set()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopped.wait(min(wait_s, self._look_s)):
            wait_s -= self._look_s
            if wait_s <= 0 and self._subject.certmaster is not None:
                self.ask(self._subject.certmaster)
                wait_s = self._subject.certmaster.upkeep_interval_s * (1 + _SPREAD * (2 * self._chance() - 1))
            elif wait_s <= 0:
                wait_s = self._look_s
            self.take_up()

    def ask(self, certmaster: MinionConfig) -> None:
        """One round with the certmaster; what fails is logged whenever its reason changes."""
        subject, files = self._subject, self._subject.files
        try:
            upkeep.fetch_crl(certmaster, files.ca_file, subject.crl_file)
            if subject.may_renew:
                now = datetime.now(timezone.utc)
                upkeep.keep_good(certmaster, files, subject.name, now, self._renew_chance)
            self._said = ""
        except CertmasterError as exc:
            if str(exc) != self._said:
                self._said = str(exc)
                log.warning("%s; asking again every %g s", exc, certmaster.upkeep_interval_s)

    def take_up(self) -> None:
        """Hand on a context of the files as they are, where they changed and fit each other."""
        stamp = self._look()
        if stamp == self._stamp or not stamp:
            return
        try:
            context = self._make_context()
        except ConfigError as exc:
            # In the middle of a renewal they do not fit; the context at hand serves on.
            log.debug("the new certificate cannot be used yet: %s", exc)
            return
        self._stamp = stamp
        self._use(context)
        log.info("the new certificate of %s is in use", self._subject.name)

    def _look(self) -> Stamp:
        files = self._subject.files
        return _stamp((files.cert_file, files.key_file, files.ca_file))


def _stamp(paths: Sequence[Path]) -> Stamp:
    try:
        stats = [os.stat(path) for path in paths]  # noqa: PTH116
    except OSError:
        return ()
    return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)
