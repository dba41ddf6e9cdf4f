"""Take names out: requests that wait, keys that were rejected, and certificates, which are revoked."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from certmaster import ca
from certmaster.audit import Audit
from certmaster.certdir import locked, read_file, remove_file
from certmaster.config import CertmasterConfig
from certmaster.errors import BadCertificate, UnknownName
from certmaster.rejected import Rejections
from certmaster.revocation import Revocations, kept
from certmaster.shelf import Shelf, nearest
from certmaster.tokens import Tokens
from certmaster.triggers import Triggers

log = logging.getLogger(__name__)


class Removal:
    """Removes by glob. Every method raises FileError."""

    def __init__(
        self,
        config: CertmasterConfig,
        shelf: Shelf,
        revocations: Revocations,
        rejections: Rejections,
        tokens: Tokens,
        triggers: Triggers,
        audit: Audit,
    ) -> None:
        self._config = config
        self._shelf = shelf
        self._revocations = revocations
        self._rejections = rejections
        self._tokens = tokens
        self._triggers = triggers
        self._audit = audit

    def remove(self, pattern: str, *, revoke_keys: bool) -> list[Path]:
        """Remove what there is under the names that match; the files removed. UnknownName, TriggerFailed."""
        waiting, signed = self._shelf.find_waiting([pattern]), self._shelf.find_signed([pattern])
        rejected = {self._rejections.name_of(path) for path in self._rejections.find([pattern])}
        found = {p.stem.lower() for p in waiting} | {self._shelf.name_of(p).lower() for p in signed}
        names = sorted(found | rejected)
        if not names:
            known = self._shelf.list_waiting() + [self._shelf.name_of(p) for p in self._shelf.find_signed(())]
            raise UnknownName(f"nothing waits or is signed for {pattern!r}{nearest(pattern, known)}")
        for name in names:
            self._triggers.run("remove", "pre", name)
        with locked(self._config.cadir):
            # Looked for again: a request that waited may be a certificate by now.
            waiting, signed = self._shelf.find_waiting(names), self._shelf.find_signed(names)
            # On the list before it is gone: what a crash cuts off is still there to be removed.
            self._revoke(signed, revoke_keys)
            removed = [*waiting, *self._rejections.find(names), *signed]
            for path in removed:
                remove_file(path)
        for name in names:
            self._audit.add("revoke" if revoke_keys else "clean", name, "removed")
            self._triggers.run("remove", "post", name)
        return removed

    def earlier(self, name: str) -> list[bytes]:
        """What the certificate of a name was renewed or upgraded from."""
        return self._all_earlier()[name]

    def _all_earlier(self) -> defaultdict[str, list[bytes]]:
        found: defaultdict[str, list[bytes]] = defaultdict(list)
        for name, pem in kept(self._config.renewedroot, self._shelf.suffix):
            found[name].append(pem)
        return found

    def _revoke(self, signed: Sequence[Path], revoke_keys: bool) -> None:
        """Put certificates on the list, and what they were renewed from; the lock is held."""
        revoked: list[bytes] = []
        earlier = self._all_earlier()
        for path in signed:
            pem, name = read_file(path), self._shelf.name_of(path).lower()
            self._tokens.end_claims(name)
            certs = earlier[name]
            try:
                if pem is not None:
                    ca.common_name(pem)
                    certs = [pem, *certs]
            except BadCertificate as exc:
                log.warning("%s is removed and cannot be revoked: %s", path, exc)
            for cert in certs if revoke_keys else ():
                self._revocations.keep(name, cert, self._config.cert_extension)
            revoked += certs
        if revoked:
            self._revocations.add(revoked)
