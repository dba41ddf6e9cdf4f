"""Talk to cloud instances over Func, and say in the cloud master's words what goes wrong there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Optional

from cloudmasterd import request_ids
from cloudmasterd.errors import CloudRefused, CloudUnreachable, ConfigError, FabricError, RemoteFault
from cloudmasterd.fabric import Answer, Call
from func import errors as func_errors
from func import keeping
from func.config import load_certmaster_config, load_overlord_config
from func.keeping import FuncFiles as FuncFiles  # for those who may not import func
from func.minion.cloudmaster import ACL_FILE as ACL_FILE
from func.minion.cloudmaster import acl_text as acl_text
from func.overlord.fanout import Fanout, Result
from func.overlord.own import OwnCertificate as OwnCertificate

_CHECK = "check that {cloud} is up, that funcd runs there and that this machine can reach its port"
_DENIED = "AccessToMethodDenied"

Translate = Callable[[Any, str, str], FabricError]


def _timed_out(exc: func_errors.MinionTimeout, cloud: str, method: str) -> FabricError:
    return CloudUnreachable(f"{cloud} did not answer {method} in time: {exc}; {_CHECK.format(cloud=cloud)}")


def _unreachable(exc: func_errors.MinionUnreachable, cloud: str, method: str) -> FabricError:
    return CloudUnreachable(f"{cloud} cannot be asked: {exc}; {_CHECK.format(cloud=cloud)}")


def _not_trusted(exc: func_errors.PeerRefused, cloud: str, method: str) -> FabricError:
    return CloudRefused(
        f"{cloud} and this cloud master do not trust each other: {exc}; check that both certificates are"
        " from the same certmaster and still good, and that both clocks are right"
    )


def _fault(exc: func_errors.XMLRPCFault, cloud: str, method: str) -> FabricError:
    if _DENIED in exc.text:
        return CloudRefused(
            f"{cloud} does not allow this cloud master to call {method}: `dnf upgrade cloudmasterd-minion` or"
            f" `cloudmaster-join` on {cloud} brings /etc/func/minion-acl.d/cloudmasterd.acl, which does; a"
            " minion of another make needs its lines"
        )
    return RemoteFault("XMLRPCFault", f"{cloud} refused to run {method}: {exc.text}")


def _failed(exc: func_errors.RemoteFault, cloud: str, method: str) -> FabricError:
    text = f"{method} failed on {cloud}: {exc.text or 'no reason given'}; the log of funcd there says more"
    return RemoteFault(exc.short_kind, text, exc.traceback, reason=exc.text)


def _no_minion(exc: func_errors.CallError, cloud: str, method: str) -> FabricError:
    return RemoteFault(
        "BadReply",
        f"{cloud} answered {method}, but not as a minion does: {exc}; see what listens on its port",
    )


def _not_able(exc: func_errors.FuncError, cloud: str, method: str) -> FabricError:
    return CloudUnreachable(f"this cloud master cannot call {method} on {cloud}: {exc}")


# The first class that fits counts, so the special ones stand above the general ones.
TRANSLATIONS: tuple[tuple[type[func_errors.FuncError], Translate], ...] = (
    (func_errors.MinionTimeout, _timed_out),
    (func_errors.MinionUnreachable, _unreachable),
    (func_errors.PeerRefused, _not_trusted),
    (func_errors.XMLRPCFault, _fault),
    (func_errors.RemoteFault, _failed),
    (func_errors.CallError, _no_minion),
    (func_errors.FuncError, _not_able),  # our own certificate, an argument without a form on the wire
)


def translate(exc: func_errors.FuncError, cloud: str, method: str) -> FabricError:
    """What Func says of a call, as an error of this package; the original is its cause."""
    error = next(translation for kind, translation in TRANSLATIONS if isinstance(exc, kind))(
        exc, cloud, method
    )
    error.__cause__ = exc
    return error


class FuncFabric:
    """The Fabric whose cloud instances are Func's minions; thread-safe."""

    def __init__(self, fanout: Fanout, timeout_s: float) -> None:
        self._fanout = fanout
        self._timeout_s = timeout_s

    def list_clouds(self) -> list[str]:
        """Names of all minions with a certificate, sorted; raises FabricError where they cannot be listed."""
        try:
            return self._fanout.minions()
        except func_errors.FuncError as exc:
            raise FabricError(f"the cloud instances cannot be listed: {exc}") from exc

    def certificate_expires_at(self, cloud: str) -> Optional[datetime]:
        """When the certificate signed for a cloud instance ends; None where it is not known."""
        return self._fanout.certificate_expires_at(cloud)

    def call(self, cloud: str, method: str, *args: Any, timeout_s: Optional[float] = None) -> Any:
        """Call one cloud instance and return its value; raises FabricError."""
        if not self._fanout.knows(cloud):
            raise _unknown(cloud)
        try:
            return self._fanout.call(
                cloud,
                method,
                *args,
                timeout_s=timeout_s or self._timeout_s,
                request_id=request_ids.current(),
            )
        except func_errors.FuncError as exc:
            raise translate(exc, cloud, method) from exc

    def ask_all(
        self, calls: Mapping[str, Call], timeout_s: Optional[float] = None
    ) -> Iterator[Sequence[Answer]]:
        """Call many cloud instances at once; yields groups of answers, each cloud instance once."""
        asked = {
            cloud: (call.method, call.args) for cloud, call in calls.items() if self._fanout.knows(cloud)
        }
        if len(asked) < len(calls):
            yield [Answer(cloud, error=_unknown(cloud)) for cloud in calls if cloud not in asked]
        try:
            groups = self._fanout.ask(asked, timeout_s or self._timeout_s, request_ids.current())
        except func_errors.FuncError as exc:
            yield [Answer(cloud, error=translate(exc, cloud, calls[cloud].method)) for cloud in asked]
            return
        for group in groups:
            yield [_answer(result, calls[result.minion].method) for result in group]

    def close(self) -> None:
        """Close the connections that are kept."""
        self._fanout.close()


def _unknown(cloud: str) -> CloudRefused:
    return CloudRefused(
        f"the certmaster holds no certificate for {cloud}, so it is not called: it was removed, or never"
        " let in"
    )


def _answer(result: Result, method: str) -> Answer:
    if result.error is not None:
        return Answer(result.minion, error=translate(result.error, result.minion, method))
    return Answer(result.minion, result.value)


def open_own(root: Path, pki_dir: Path, now: Callable[[], datetime]) -> Optional[OwnCertificate]:
    """The own certificate in `pki_dir`; None where overlord.conf names another to call with. ConfigError."""
    with _as_config_error():
        overlord, certmaster = load_overlord_config(root), load_certmaster_config(root)
    if overlord.cert_file is not None or overlord.key_file is not None:
        return None
    return OwnCertificate(pki_dir, overlord.ca_file or certmaster.cadir / "certmaster.crt", now)


def obtain(own: OwnCertificate, ask: Callable[[str], tuple[str, str]]) -> None:
    """Have certmaster certify a new key where that is due; raises ConfigError, and what `ask` raises."""
    with _as_config_error():
        own.obtain(ask)


def open_func(root: Path, timeout_s: float, own: Optional[OwnCertificate] = None) -> FuncFabric:
    """The fabric of the certmaster and the overlord whose files lie below `root`; raises ConfigError.

    It calls with `own`, or with what overlord.conf says. That there is no certificate yet is no error here:
    calls fail until there is one.
    """
    try:
        find = None if own is None else own.find
        fanout = Fanout(load_overlord_config(root), load_certmaster_config(root), find=find)
    except func_errors.ConfigError as exc:
        raise ConfigError(str(exc)) from exc
    return FuncFabric(fanout, timeout_s)


def func_files(root: Path) -> FuncFiles:
    """Where the files of certmaster and the overlord below `root` are; raises ConfigError."""
    with _as_config_error():
        return keeping.func_files(root)


@contextmanager
def certmaster_held_still(files: FuncFiles) -> Iterator[None]:
    """Keep certmaster from writing its files for the length of the block; raises ConfigError."""
    with _as_config_error(), keeping.held_still(files.cadir):
        yield


def authority_pin(files: FuncFiles) -> str:
    """The authority's fingerprint as minions pin it, "" while there is none."""
    return keeping.authority_pin(files.ca_cert)


def newer_list(authority: bytes, here: bytes, other: bytes) -> bool:
    """Whether the list of revoked certificates `here` is of that authority, and newer than another."""
    return keeping.newer_list(authority, here, other)


def certificate_ends(files: FuncFiles) -> list[tuple[Path, Optional[datetime]]]:
    """The authority's certificate and this machine's own, with their ends; None for a file that is none."""
    with _as_config_error():
        return keeping.certificate_ends(files)


def addresses(files: FuncFiles, cloud: str, timeout_s: float) -> list[str]:
    """Where calls to a cloud instance go; raises CloudUnreachable saying why no place is known."""
    try:
        return keeping.addresses(files.hosts_file, cloud, timeout_s)
    except func_errors.MinionUnreachable as exc:
        raise CloudUnreachable(f"{cloud} has no address here: {exc}") from exc


@contextmanager
def _as_config_error() -> Iterator[None]:
    try:
        yield
    except func_errors.ConfigError as exc:
        raise ConfigError(str(exc)) from exc
