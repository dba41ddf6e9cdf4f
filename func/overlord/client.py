"""`Client("*.example.org").virt.freemem()`: call minions as Func's users know it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

from certmaster.config import CertmasterConfig
from certmaster.config import root as default_root
from func.config import OverlordConfig, load_certmaster_config, load_overlord_config
from func.errors import ConfigError, FuncError
from func.overlord import facts
from func.overlord.facts import Narrowing, Q
from func.overlord.fanout import Fanout, Result, check_request_id
from func.overlord.job_book import JobBook, book_file
from func.overlord.jobs import LOST, NO_SUCH_JOB, NOTHING_YET, PARTIAL, RUNNING, Ask, Calls, Jobs, Standing
from func.overlord.local import LOCAL
from func.overlord.minions import Minions, expand_servers, is_minion
from func.overlord.results import as_func_value, as_result

__all__ = ["Client", "Method", "Minions", "Overlord", "Q", "as_func_value", "expand_servers", "is_minion"]

_WITHOUT_EFFECT = frozenset({"interactive", "verbose", "mapfile", "init_ssl", "minions_class", "nforks"})
"""What Func's Client took as well; without meaning here, where calls are always parallel."""

_FALSE = frozenset({"false", "f", "n", "no", "0", "", "none"})


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


class Client(Narrowing):
    """Calls the minions that a target specification means, all at once.

    A call gives {minion: value}; where a minion failed, ["REMOTE_ERROR", type, text, traceback]
    where type is what Func calls it: socket.error, socket.timeout, OpenSSL.SSL.Error, xmlrpclib.Fault or
    xmlrpclib.ProtocolError. With `noglobs` the specification is one minion and a call gives the bare value.
    With `async_` (or `**{"async": True}`) a call gives the id of a job, to be asked for with `job_status`;
    with `noglobs` as well it gives the minion's own id, for `jobs.job_status`.
    `timeout` is in seconds, for each minion; without it overlord.conf's socket_timeout holds, else 60.
    `config` is an OverlordConfig or a file. `request_id` is written into the minions' audit logs.
    Raises NoMinions where the specification means nobody, and ConfigError.
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
        request_id: str = "",
        root: Optional[Path] = None,
        certmaster_config: Optional[CertmasterConfig] = None,
        **kwargs: Any,
    ) -> None:
        self._async = _is_true(kwargs.pop("async", async_))
        _check_wishes(kwargs)
        check_request_id(request_id)
        below = root or default_root()
        self.overlord_config = _overlord_config(config, below, port)
        self.certmaster_config = certmaster_config or load_certmaster_config(below)
        self.server_spec = spec
        self.exclude_spec = exclude_spec or ""
        self.timeout = timeout or None
        self._noglobs = noglobs
        self._request_id = request_id
        self._minions = Minions(
            spec,
            self.overlord_config.listen_port,
            exclude_spec=exclude_spec,
            config=self.overlord_config,
            certmaster_config=self.certmaster_config,
        )
        self._fanout = Fanout(self.overlord_config, self.certmaster_config)
        self.timeout_s = self.timeout or self._fanout.timeout_s
        # Func's users never close a client.
        self._finalizer = weakref.finalize(self, self._fanout.close)
        self._jobs = Jobs(JobBook(book_file(below)), _asking(self._fanout, self.timeout, request_id))
        self.targets()

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(name)
        return Method(self, (name,))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def minions_class(self) -> Minions:
        """The minions this client means, to ask more about them."""
        return self._minions

    @property
    def minions(self) -> list[str]:
        """Where they are called: https://NAME:PORT."""
        return self._minions.get_urls()

    def list_minions(self, format: str = "list") -> list[str]:  # noqa: A002 - Func's name
        """The names of the minions meant, sorted; raises NoMinions when there are none."""
        return self._minions.select()

    def run(
        self, module: str, method: str, args: Sequence[Any] = (), nforks: int = 1,
        timeout: Optional[float] = None, **_: Any,
    ) -> Any:  # fmt: skip
        """Call `module.method` on every minion meant; `nforks` is taken for old callers' sake.

        Raises NoMinions, ConfigError, and WireError for arguments that have no form on the wire. The module
        `local` is on this side: `client.local.copyfile.send(...)`.
        """
        name = f"{module}.{method}"
        if name.startswith("local."):
            return _local(self, name[len("local.") :], args)
        if self._async and not self._noglobs:
            limit_s = timeout or self.timeout_s
            return self._jobs.start(self.server_spec, name, self._sent(args), self.targets(), limit_s)
        if self._async:
            module = f"async.{module}"
        found = {
            result.minion: as_func_value(result) for result in self.results(module, method, args, timeout)
        }
        return found.get(self.targets()[0]) if self._noglobs else found

    def results(
        self, module: str, method: str, args: Sequence[Any] = (), timeout: Optional[float] = None
    ) -> list[Result]:
        """The same as `run` with errors as exceptions, sorted by minion."""
        groups = self.answers(module, method, args, timeout)
        return sorted((result for group in groups for result in group), key=lambda result: result.minion)

    def answers(
        self, module: str, method: str, args: Sequence[Any] = (), timeout: Optional[float] = None
    ) -> Iterator[list[Result]]:
        """The same as `results`, in groups as they come in."""
        calls = dict.fromkeys(self.targets(), (f"{module}.{method}", self._sent(args)))
        groups = self.ask(calls, timeout)
        return groups if self._query is None else _filtered(groups)

    def ask(self, calls: Calls, timeout: Optional[float] = None) -> Iterator[list[Result]]:
        """Call {minion: (method, args)}, all at once; gives groups of results as they come in."""
        return self._fanout.ask(calls, timeout or self.timeout, self._request_id)

    def job_status(self, jobid: str) -> tuple[int, Any]:
        """Func's code and {minion: value}; -1 in its place while calls are being sent, 0 for no such job.

        1: every minion ended. 3: those that ended are in it. 4: none runs, but some cannot be asked just now
        and are in it with their error, which is not final. Asks only minions not known to have ended.
        """
        return _as_func_status(self._jobs.status(jobid))

    def follow(self, jobid: str, interval: float = 0.5) -> Iterator[tuple[int, Any]]:
        """`job_status` again and again until the job has ended, or cannot be asked for a minute."""
        for standing in self._jobs.follow(jobid, interval):
            yield _as_func_status(standing)

    def open_job_ids(self) -> dict[str, int]:
        """{id: code} of the jobs of the last hour, as they stood when they were last asked for."""
        return self._jobs.open_ids()

    def tail_log(self, job_id: str, host: Optional[str] = None, remove_old: Any = None) -> tuple[Any, bool]:
        """({minion: what its method printed last}, whether the job ended); None where there is nothing."""
        return self._of_job(job_id, "jobs.tail_output", host)

    def check_progress(self, job_id: str, host: str) -> tuple[Any, bool]:
        """({minion: [current, total]}, whether the job ended); None where the method does not tell."""
        said, ended = self._of_job(job_id, "jobs.get_progress", host)
        told = {minion: value for minion, value in (said or {}).items() if value != [0, 0]}
        return told or None, ended

    def close(self) -> None:
        """Close the connections that are kept."""
        self._finalizer()

    def targets(self) -> list[str]:
        """The minions to call: those meant that are not known to be down (overlord.conf's host_down_list)."""
        names = self.list_minions()
        if not self._noglobs:
            down = set(self._minions.downed_hosts)
            return [name for name in names if name not in down]
        if len(names) > 1:
            raise FuncError(f'noglobs means one minion, but "{self.server_spec}" means {len(names)}')
        return names

    def _sent(self, args: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(args) if self._query is None else (facts.as_argument(self._query), *args)

    def _of_job(self, job_id: str, method: str, host: Optional[str]) -> tuple[Any, bool]:
        code, _ = self.job_status(job_id)
        minion_jobs = self._jobs.minion_jobs(job_id)
        calls = {name: (method, (own,)) for name, own in minion_jobs.items() if host in (None, name)}
        groups = self.ask(calls) if calls else iter(())
        said = {result.minion: as_func_value(result) for group in groups for result in group}
        return said or None, code not in (RUNNING, PARTIAL)


Overlord = Client


def _asking(fanout: Fanout, timeout_s: Optional[float], request_id: str) -> Ask:
    # Not a method of the client, which would then hold itself and its connections until the collector comes.
    return lambda calls: fanout.ask(calls, timeout_s, request_id)


def _is_true(wish: Any) -> bool:
    # As Func read it: programs pass it on from files.
    return str(wish).strip().lower() not in _FALSE


def _check_wishes(others: dict[str, Any]) -> None:
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


def _local(client: Client, name: str, args: Sequence[Any]) -> Any:
    if name not in LOCAL:
        raise AttributeError(f"there is no local.{name}; there are {', '.join(sorted(LOCAL))}")
    return LOCAL[name](client, *args)


def _filtered(groups: Iterator[list[Result]]) -> Iterator[list[Result]]:
    for group in groups:
        values = [(result, *facts.unwrapped(result.value)) for result in group]
        yield [
            result if result.error else as_result(result.minion, value)
            for result, holds, value in values
            if holds
        ]


def _as_func_status(standing: Standing) -> tuple[int, Any]:
    if standing.code in (LOST, RUNNING):
        return standing.code, NO_SUCH_JOB if standing.code == LOST else NOTHING_YET
    values = {minion: facts.unwrapped(value) for minion, value in standing.values.items()}
    return standing.code, {minion: value for minion, (holds, value) in values.items() if holds}
