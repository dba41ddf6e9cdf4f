"""`Client("*.example.org").virt.freemem()`: call minions as Func's users know it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

from certmaster.config import CertmasterConfig
from certmaster.config import root as default_root
from func import wire
from func.config import OverlordConfig, load_certmaster_config, load_overlord_config
from func.errors import (
    BadReply,
    ConfigError,
    FuncError,
    MinionTimeout,
    PeerRefused,
    RemoteFault,
    XMLRPCFault,
)
from func.overlord.fanout import Fanout, Result
from func.overlord.targets import read_groups, select

_WITHOUT_EFFECT = frozenset({"interactive", "verbose", "mapfile", "init_ssl", "minions_class", "nforks"})
"""What Func's Client took as well; without meaning here, where calls are always parallel."""

_KINDS = ((MinionTimeout, "socket.timeout"), (PeerRefused, "OpenSSL.SSL.Error"),
          (XMLRPCFault, "xmlrpclib.Fault"), (BadReply, "xmlrpclib.ProtocolError"))  # fmt: skip


def as_func_value(result: Result) -> Any:
    """A result as Func's users see it: the value, or a list that begins with REMOTE_ERROR."""
    error = result.error
    if error is None:
        return result.value
    if isinstance(error, RemoteFault):
        return wire.remote_error(error.kind, error.text, error.traceback)
    kind = next((name for kind, name in _KINDS if isinstance(error, kind)), "socket.error")
    text = f"<Fault {error.code}: {error.text!r}>" if isinstance(error, XMLRPCFault) else str(error)
    return wire.remote_error(kind, text)


class Method:
    """A dotted name on its way to a call: `client.virt.freemem`."""

    def __init__(self, client: Client, path: tuple[str, ...]) -> None:
        self._client = client
        self._path = path

    def __getattr__(self, name: str) -> Method:
        if name.startswith("__"):
            raise AttributeError(name)
        return Method(self._client, (*self._path, name))

    def __call__(self, *args: Any) -> Any:
        """Call it on every minion of the client."""
        *module, method = self._path
        if not module:
            raise AttributeError(
                f"{method!r} is a module: call one of its methods, as .{method}.list_methods()"
            )
        return self._client.run(".".join(module), method, args)


class Client:
    """Calls the minions that a target specification means, all at once.

    A call gives {minion: value}; where a minion failed, ["REMOTE_ERROR", type, text, traceback]
    where type is what Func calls it: socket.error, socket.timeout, OpenSSL.SSL.Error, xmlrpclib.Fault or
    xmlrpclib.ProtocolError. With `noglobs` the specification is one name and a call gives the bare value.
    `timeout` is in seconds, for each minion; without it overlord.conf's socket_timeout holds, else 60.
    `config` is an OverlordConfig or a file.
    """

    def __init__(
        self,
        spec: str,
        port: Optional[int] = None,
        nforks: int = 1,
        async_: bool = False,
        noglobs: bool = False,
        timeout: Optional[float] = None,
        exclude_spec: Optional[str] = None,
        config: Union[OverlordConfig, Path, str, None] = None,
        *,
        root: Optional[Path] = None,
        certmaster_config: Optional[CertmasterConfig] = None,
        **kwargs: Any,
    ) -> None:
        _check_wishes(async_ or kwargs.pop("async", False), kwargs)
        below = root or default_root()
        self._config = _overlord_config(config, below, port)
        self._spec = spec
        self._exclude = exclude_spec or ""
        self._noglobs = noglobs
        self._timeout_s = timeout or None
        self._fanout = Fanout(self._config, certmaster_config or load_certmaster_config(below))
        # Func's users never close a client.
        self._finalizer = weakref.finalize(self, self._fanout.close)

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(name)
        return Method(self, (name,))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def list_minions(self) -> list[str]:
        """The names of the minions meant, sorted; raises NoMinions when there are none."""
        if self._noglobs:
            return [self._spec]
        groups = read_groups(self._config.group_db) if "@" in self._spec + self._exclude else {}
        unknown = self._config.allow_unknown_minions
        return select(self._spec, self._fanout.minions(), groups, self._exclude, unknown)

    def run(self, module: str, method: str, args: Sequence[Any] = (), nforks: int = 1, **_: Any) -> Any:
        """Call `module.method` on every minion meant; `nforks` is taken for old callers' sake.

        Raises NoMinions, ConfigError, and WireError for arguments that have no form on the wire.
        """
        found = {result.minion: as_func_value(result) for result in self.results(module, method, args)}
        return found[self._spec] if self._noglobs else found

    def results(self, module: str, method: str, args: Sequence[Any] = ()) -> list[Result]:
        """The same as `run` with errors as exceptions, sorted by minion."""
        calls = dict.fromkeys(self.list_minions(), (f"{module}.{method}", tuple(args)))
        groups = self._fanout.ask(calls, self._timeout_s)
        return sorted((result for group in groups for result in group), key=lambda result: result.minion)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._finalizer()


Overlord = Client


def _check_wishes(asynchronous: bool, others: dict[str, Any]) -> None:
    if asynchronous:
        raise FuncError("asynchronous calls are not there yet: leave async_ away, calls run in parallel")
    if others.pop("delegate", False):
        raise FuncError("calls through other overlords (delegate) are not supported: leave delegate away")
    unknown = sorted(set(others) - _WITHOUT_EFFECT)
    if unknown:
        raise TypeError(f"Client() got an unexpected keyword argument {unknown[0]!r}")


def _overlord_config(
    config: Union[OverlordConfig, Path, str, None], root: Path, port: Optional[int]
) -> OverlordConfig:
    if not isinstance(config, OverlordConfig):
        if config is not None and not Path(config).exists():
            raise ConfigError(f"{config}: no such configuration file")
        config = load_overlord_config(root, Path(config) if config is not None else None)
    return replace(config, listen_port=port) if port else config
