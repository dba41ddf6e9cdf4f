"""Decide which requests become certificates, and which certificates stay good."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Optional

from certmaster import ca, proof, renewal
from certmaster.audit import Audit, actor
from certmaster.certdir import PUBLIC, locked, read_file, remove_file, write_file
from certmaster.config import CertmasterConfig
from certmaster.errors import BadRequest, KeyConflict, RenewalRefused, TokenRefused, UnknownName
from certmaster.master import Masters
from certmaster.names import MASTER_SIGN
from certmaster.rejected import Rejections
from certmaster.removal import Removal
from certmaster.revocation import Revocations, count_good, kept
from certmaster.seal import Seal
from certmaster.shelf import Shelf, Signed, Waiting, file_stem
from certmaster.tokens import Tokens
from certmaster.triggers import Triggers

log = logging.getLogger(__name__)

# Anyone on the network may leave a request: what waits must not fill the disk.
MOST_WAITING = 1000

# What is renewed at two thirds of its life has one or two before it that are still good.
MOST_RENEWED = 50

_SOUND_DIGESTS = ("sha256", "sha384", "sha512")


class Authority:
    """A certificate authority in the files of certmaster.conf.

    Safe to use from several threads and processes at once. `now` tells the time in UTC, `chance(n)` gives n
    random bits. Every method raises FileError where a file is in the way, and those that sign or remove
    raise TriggerFailed. Who is behind a change is said by `audit.acting`.
    """

    def __init__(
        self,
        config: CertmasterConfig,
        host_name: str,
        now: Callable[[], datetime],
        chance: Callable[[int], int] = secrets.randbits,
        key_bits: int = ca.CA_KEY_BITS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._config = config
        self._now = now
        self._most_waiting = most_waiting
        self._seal = Seal(config.cadir, host_name, now, chance, key_bits)
        weak = config.historic_requests
        self.shelf = Shelf(config.certroot, config.csrroot, config.masterroot, config.cert_extension, weak)
        revokedroot = config.revokedroot
        self._revocations = Revocations(config.cadir, revokedroot, self._seal, now, self._replaced)
        self._triggers = Triggers(config.trigger_dir)
        self.audit = Audit(config.audit_log, now)
        self.tokens = Tokens(config.tokenroot, now, lambda: locked(config.cadir))
        self._rejections = Rejections(config.csrroot)
        self._removal = Removal(
            config, self.shelf, self._revocations, self._rejections, self.tokens, self._triggers, self.audit
        )
        self.masters = Masters(
            config, host_name, self.shelf, self._seal, self._revocations, self._removal, self.audit, now
        )

    def prepare(self) -> bytes:
        """The authority's certificate; key and certificate are made where there are none yet."""
        return self._seal.prepare()

    def certificate(self) -> bytes:
        """The authority's certificate as it lies in its file."""
        return self._seal.certificate()

    def crl(self) -> bytes:
        """The list of revoked certificates, signed anew where that is due."""
        return self._revocations.publish()

    def enrol(self, csr_pem: bytes, with_triggers: bool = True) -> Optional[bytes]:
        """The certificate for a request, None while it waits for an administrator.

        Raises BadRequest for an unsound one, KeyConflict where the name belongs to another key, TokenRefused
        where it shows a token that is not good; such a request is not kept waiting.
        """
        triggers = self._triggers.run if with_triggers else _no_trigger
        request = self._read_request(csr_pem)
        triggers("request", "pre", request.name)
        # Most calls are polls; those find what is there without keeping a signature waiting.
        is_new = False
        if proof.is_proof(request.challenge):
            pem, is_new = self._enrol_by_token(request, csr_pem, triggers)
        elif (found := self._issued(request)) is not None:
            pem = found
        elif self._config.autosign:
            self._check_key(request)
            self._check_rejected(request)
            triggers("sign", "pre", request.name)
            with locked(self._config.cadir):
                pem = self._issued(request) or b""
                if not pem:
                    self.shelf.is_waiting(request)
                    pem, is_new = self._sign(request, csr_pem), True
        else:
            if self._keep_waiting(request, csr_pem):
                triggers("request", "post", request.name)
            return self._issued(request)
        if is_new:
            triggers("sign", "post", request.name)
            triggers("request", "post", request.name)
        return pem

    def _enrol_by_token(
        self, request: ca.CertRequest, csr_pem: bytes, triggers: Callable[[str, str, str], None]
    ) -> tuple[bytes, bool]:
        """Sign once for whoever proves to have a token; the same request gets its certificate again."""
        name, key = request.name, request.key_fingerprint
        self._check_key(request)
        if self._still_good(request) is None:
            with locked(self._config.cadir):
                self.tokens.proved(request.challenge, name, key)  # no program runs for one that is not good
            triggers("sign", "pre", name)
        with locked(self._config.cadir):
            there = self.shelf.signed(name)
            conflict = "" if there is None else self._conflict(request, there)
            if there is not None and not conflict and ca.expires_at(there) > self._now():
                self.tokens.end_claims(name)  # what a crash cut off is done
                return there, False
            token = self.tokens.proved(request.challenge, name, key)
            if conflict and not token.replace:
                raise TokenRefused(f"{conflict}; so does a token made with --replace. Its own is not used up")
            # Claimed first: whatever moment this is cut off at, nobody else gets in by this token.
            token = self.tokens.claim(token, name, key)
            if there is not None and conflict:
                self.tokens.end_claims(name, but=token.id)
                self.shelf.set_aside(self._config.replacedroot, name, there)
                self._revocations.add([there, *self._removal.earlier(name)])
                log.warning("the certificate of %s is replaced: the old one is revoked", name)
                self.audit.add("replace", name, f"serial {ca.serial_number(there):x} revoked")
            if self.shelf.csr_file(name).exists():
                log.warning(
                    "the request that waited under %s is dropped: %s came with a token", name, key[:16]
                )
            pem = self._sign(request, csr_pem, f", token {token.id}")
            self.tokens.use_up(token)
        return pem, True

    def renew(self, csr_pem: bytes, signature: bytes) -> bytes:
        """A certificate for a new key, for whoever holds that of the name's good certificate.

        The same request again gets the same certificate: that is the lost reply. Raises BadRequest,
        RenewalRefused.
        """
        request = self._read_request(csr_pem)
        self._check_key(request)
        with locked(self._config.cadir):
            there = self.shelf.signed(request.name)
            if there is None:
                raise RenewalRefused(f"{request.name} has no certificate here: it must enrol")
            if ca.key_fingerprint(there) == request.key_fingerprint:
                return there
            said = renewal.message(request.name, there, request.key_fingerprint)
            if not ca.holder_signed(there, said, signature):
                raise RenewalRefused(f"the renewal of {request.name} is not signed by the key it has now")
            if not ca.is_issued_by(there, self._seal.certificate()):
                raise RenewalRefused(f"the certificate of {request.name} is from another authority")
            if ca.expires_at(there) <= self._now():
                raise RenewalRefused(
                    f"the certificate of {request.name} ended on {ca.expires_at(there):%Y-%m-%d}: "
                    f"`certmaster-ca --new-token {request.name} --replace` lets it in again"
                )
            if self._revocations.has(there):
                raise RenewalRefused(f"the certificate of {request.name} is revoked")
            aside = self._config.renewedroot
            if count_good(aside, self.shelf.suffix, request.name, self._now()) >= MOST_RENEWED:
                raise RenewalRefused(
                    f"{request.name} renewed {MOST_RENEWED} that are still good: is its clock right?"
                )
            self.shelf.set_aside(aside, request.name, there)
            return self._sign(request, csr_pem, ", renewed")

    def list_waiting(self) -> list[str]:
        """The names that wait for a signature, sorted."""
        return self.shelf.list_waiting()

    def describe_waiting(self) -> list[Waiting]:
        """The requests that wait, by name, with what tells them apart."""
        return self.shelf.describe_waiting()

    def list_signed(self, patterns: Sequence[str] = ()) -> list[Signed]:
        """The signed certificates whose names match one of the globs (all without one), by name."""
        return self.shelf.list_signed(patterns)

    def list_hashes(self, patterns: Sequence[str] = ()) -> list[str]:
        """`CN-HASH` of each signed certificate that matches, as Func's access lists write it."""
        pems = [self.shelf.certificate(path) for path in self.shelf.find_signed(patterns)]
        return [f"{ca.common_name(pem)}-{ca.subject_hash(pem)}" for pem in pems]

    def sign(self, name: str, key_fingerprint: str = "") -> Path:
        """Sign what waits under that name, of that key where one is given; the certificate's file.

        Raises UnknownName, BadRequest, KeyConflict.
        """
        self.prepare()
        path = self.shelf.csr_file(file_stem(name))
        if not path.exists():
            raise UnknownName(self.shelf.nothing_under(name))
        self._triggers.run("sign", "pre", path.stem.lower())
        with locked(self._config.cadir):
            csr_pem = read_file(path)
            if csr_pem is None:
                raise UnknownName(self.shelf.nothing_under(name))
            request = self._read_request(csr_pem)
            if request.name != path.stem.lower():
                raise BadRequest(f"{path} asks for the name {request.name!r}: clean it and let it ask again")
            _check_seen(request, key_fingerprint)
            if self._issued(request) is None:
                self._check_key(request)
                self._sign(request, csr_pem)
            else:
                remove_file(path)
        self._triggers.run("sign", "post", request.name)
        return self.shelf.cert_file(request.name)

    def reject(self, name: str, key_fingerprint: str = "") -> Path:
        """Drop what waits under that name, and let its key wait no more; the file that went.

        The key may ask again once the name is cleaned, or with a token. Raises UnknownName, KeyConflict.
        """
        path = self.shelf.csr_file(file_stem(name))
        with locked(self._config.cadir):
            csr_pem = read_file(path)
            if csr_pem is None:
                raise UnknownName(self.shelf.nothing_under(name))
            try:
                request = self._read_request(csr_pem)
            except BadRequest:
                log.warning("%s is no request that could be signed: it is dropped", path)
            else:
                _check_seen(request, key_fingerprint)
                self._rejections.add(request.name, request.key_fingerprint, csr_pem)
            remove_file(path)
        self.audit.add("reject", path.stem.lower(), "rejected")
        return path

    def clean(self, pattern: str) -> list[Path]:
        """Remove the requests and revoke the certificates whose names match a glob; the files removed.

        Raises UnknownName.
        """
        self.prepare()
        return self._removal.remove(pattern, revoke_keys=False)

    def revoke(self, pattern: str) -> list[Path]:
        """Like `clean`, and the keys of those certificates are never signed again, under no name."""
        self.prepare()
        return self._removal.remove(pattern, revoke_keys=True)

    def upgrade(self) -> list[Path]:
        """Sign every certificate with a weak digest anew, with SHA-256 and for the same key; their files."""
        issuer = self.prepare()
        done = []
        with locked(self._config.cadir):
            for path in self.shelf.find_signed(()):
                pem, name = self.shelf.certificate(path), self.shelf.name_of(path).lower()
                # A certmaster of before looked at no name: what it called like a cloud master stays as it is.
                good = MASTER_SIGN not in ca.common_name(pem) and ca.is_issued_by(pem, issuer)
                good = good and ca.expires_at(pem) > self._now()
                if ca.digest(pem) in _SOUND_DIGESTS or not good or self._revocations.has(pem):
                    continue
                serial = self._seal.next_serial()
                self.shelf.set_aside(self._config.renewedroot, name, pem)
                new = ca.sign_again(pem, issuer, self._seal.key(), serial, self._now())
                write_file(path, new, PUBLIC)
                self.audit.add("upgrade", name, f"signed with SHA-256, serial {serial:x}")
                done.append(path)
        return done

    def _read_request(self, csr_pem: bytes) -> ca.CertRequest:
        return ca.read_request(csr_pem, admit_weak=self._config.historic_requests)

    def _check_key(self, request: ca.CertRequest) -> None:
        """Raise KeyConflict for a key that was revoked by name."""
        if self._revocations.has_key(request.key_fingerprint):
            raise KeyConflict(
                f"{request.name} asks with the key {request.key_fingerprint[:16]}..., which was revoked: "
                "remove its key file there, so that it makes a new one"
            )

    def _check_rejected(self, request: ca.CertRequest) -> None:
        """Raise KeyConflict for a key that an administrator does not want under that name."""
        since = self._rejections.since(request.name, request.key_fingerprint)
        if since is not None:
            raise KeyConflict(
                f"{request.name} with the key {request.key_fingerprint[:16]}... was rejected at "
                f"{since:%Y-%m-%d %H:%M} UTC: `certmaster-ca --clean {request.name}` lets it ask again"
            )

    def _issued(self, request: ca.CertRequest) -> Optional[bytes]:
        """The certificate that the request's key has and can still use, if any; raises KeyConflict."""
        pem = self.shelf.signed(request.name)
        if pem is None:
            return None
        conflict = self._conflict(request, pem)
        if conflict:
            raise KeyConflict(conflict)
        return pem if ca.expires_at(pem) > self._now() else None

    def _still_good(self, request: ca.CertRequest) -> Optional[bytes]:
        try:
            return self._issued(request)
        except KeyConflict:
            return None

    def _conflict(self, request: ca.CertRequest, pem: bytes) -> str:
        """Why the certificate under the request's name stands against it; empty where it does not."""
        free = f"`certmaster-ca --clean {request.name}` frees the name"
        if ca.key_fingerprint(pem) != request.key_fingerprint:
            return f"{request.name} is signed for another key than {request.key_fingerprint[:16]}...: {free}"
        if not ca.is_issued_by(pem, self._seal.certificate()):
            return f"{self.shelf.cert_file(request.name)} is from another authority: {free}"
        return ""

    def _replaced(self) -> list[bytes]:
        """What was replaced before there was a list: it begins with that."""
        found = kept(self._config.replacedroot, self.shelf.suffix)
        return [pem for name, pem in found if pem != self.shelf.signed(name)]

    def _keep_waiting(self, request: ca.CertRequest, csr_pem: bytes) -> bool:
        """Store a request; whether that was news."""
        self._check_key(request)
        self._check_rejected(request)
        with locked(self._config.cadir):
            if self._issued(request) is not None or self.shelf.is_waiting(request):
                return False
            if len(self.list_waiting()) >= self._most_waiting:
                raise KeyConflict(
                    f"{self._most_waiting} requests wait already: sign or clean some of them first"
                )
            self.shelf.keep(request, csr_pem, actor())
        log.info("%s waits: `certmaster-ca --sign %s` signs it", request.name, request.name)
        self.audit.add("request", request.name, f"waits, key {request.key_fingerprint[:16]}")
        return True

    def _sign(self, request: ca.CertRequest, csr_pem: bytes, why: str = "") -> bytes:
        """Sign and store; to be called with the lock held."""
        serial = self._seal.next_serial()
        pem = ca.sign(
            csr_pem,
            self._seal.certificate(),
            self._seal.key(),
            serial,
            self._now(),
            self._config.cert_days,
            admit_weak=self._config.historic_requests,
        )
        path, name = self.shelf.cert_file(request.name), request.name
        write_file(path, pem, PUBLIC)
        remove_file(self.shelf.csr_file(name))
        self._rejections.forget(name)
        log.info("%s signed: %s, serial %x, until %s", name, path, serial, ca.expires_at(pem).date())
        self.audit.add("sign", name, f"signed, serial {serial:x}, key {request.key_fingerprint[:16]}{why}")
        return pem


def _check_seen(request: ca.CertRequest, key_fingerprint: str) -> None:
    """Raise KeyConflict where somebody looked at another key than that which waits by now."""
    if key_fingerprint and request.key_fingerprint != key_fingerprint.lower():
        raise KeyConflict(
            f"{request.name} waits with the key {request.key_fingerprint[:16]}... by now, not with "
            f"{key_fingerprint[:16]}...: look at it again"
        )


def _no_trigger(_what: str, _when: str, _name: str) -> None:
    """What runs for a caller who wants none of the administrator's programs."""
