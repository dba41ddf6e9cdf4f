"""`Minions("*.example.org").get_all_hosts()`: the minions that a specification means, as in Func."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from certmaster.config import CertmasterConfig
from certmaster.config import root as default_root
from func.config import OverlordConfig, load_certmaster_config, load_overlord_config
from func.errors import ConfigError, NoMinions
from func.overlord.group_file import read_groups
from func.overlord.known import KnownMinions
from func.overlord.targets import match, nearest

DEFAULT_PORT = 51234


class Minions:
    """The minions that a specification means and `exclude_spec` does not, by the certificates that are here.

    Files are read when something is asked. Methods raise ConfigError where one cannot be. `just_fqdns` makes
    `get_urls` answer names. The configurations are read below the root unless they are given.
    """

    def __init__(
        self,
        spec: str,
        port: int = DEFAULT_PORT,
        noglobs: Optional[bool] = None,
        verbose: Optional[bool] = None,
        just_fqdns: bool = False,
        groups_backend: str = "conf",
        delegate: bool = False,
        minionmap: Optional[dict[str, Any]] = None,
        exclude_spec: Optional[str] = None,
        *,
        config: Optional[OverlordConfig] = None,
        certmaster_config: Optional[CertmasterConfig] = None,
    ) -> None:
        self.spec = spec
        self.port = port
        self.exclude_spec = exclude_spec or ""
        self._names_only = just_fqdns
        self._config = config or load_overlord_config(default_root())
        self._known = KnownMinions(certmaster_config or load_certmaster_config(default_root()))

    def get_all_hosts(self) -> list[str]:
        """Their names, sorted; none where nothing matches."""
        return self._match(self.spec, self.exclude_spec)

    def get_all_up_hosts(self) -> list[str]:
        """Their names without those on the list of machines that are down."""
        down = set(self.downed_hosts)
        return [name for name in self.get_all_hosts() if name not in down]

    def get_hosts_for_spec(self, spec: str) -> set[str]:
        """The names another specification means, nothing excluded."""
        return set(self._match(spec, ""))

    def get_urls(self, hosts: Optional[list[str]] = None) -> list[str]:
        """Where those (or `hosts`) are called that are not known to be down: https://NAME:PORT."""
        down = set(self.downed_hosts)
        names = [name for name in hosts or self.get_all_hosts() if name not in down]
        return names if self._names_only else [f"https://{name}:{self.port}" for name in names]

    def is_minion(self) -> bool:
        """Whether the specification means anybody."""
        return bool(self.get_all_hosts())

    def select(self) -> list[str]:
        """The same as `get_all_hosts`, but raises NoMinions, which says who may have been meant."""
        found = self.get_all_hosts()
        if not found:
            raise NoMinions(
                f'Can\'t find any minions matching "{self.spec}".',
                nearest(self.spec, self._known.names(), self._groups("@")),
            )
        return found

    @property
    def downed_hosts(self) -> list[str]:
        """The names in overlord.conf's host_down_list, which is nobody's to call."""
        return read_downed(self._config.host_down_list)

    def _match(self, spec: str, exclude: str) -> list[str]:
        unknown = self._config.allow_unknown_minions
        return match(spec, self._known.names(), self._groups(spec + exclude), exclude, unknown)

    def _groups(self, spec: str) -> dict[str, tuple[str, ...]]:
        # A file of groups that cannot be read is nobody's trouble who names no group.
        return read_groups(self._config.group_db) if "@" in spec else {}


def is_minion(minion_string: str) -> bool:
    """Whether a specification means anybody."""
    return Minions(minion_string).is_minion()


def expand_servers(
    spec: str, port: int = DEFAULT_PORT, noglobs: Any = None, verbose: Any = None, just_fqdns: bool = False
) -> list[str]:
    """Where the minions are called that a specification means, or with `just_fqdns` their names."""
    return Minions(spec, port, just_fqdns=just_fqdns).get_urls()


def read_downed(path: Path) -> list[str]:
    """The names in a list of machines that are down, one a line, `#` begins a remark. Raises ConfigError."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise ConfigError(
            f"{path}: the list of machines that are down cannot be read: {exc.strerror}"
        ) from exc
    names = (line.partition("#")[0].strip() for line in lines)
    return list(dict.fromkeys(name for name in names if name))
