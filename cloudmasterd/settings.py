"""The table of cloudmasterd's settings: key, default, what each is for, how its text is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from cloudmasterd.flavors import DEFAULT_FLAVORS, format_flavors
from cloudmasterd.placement import Policy
from cloudmasterd.setting_values import (
    Parse,
    absolute_path,
    address,
    base_url,
    cobbler_address,
    flavors,
    ip_addresses,
    one_of,
    path_or_none,
    policy,
    profile_name,
    role_of_strangers,
    shown_yes_or_no,
    title,
    whole_number,
    yes_or_no,
)

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Setting:
    """One setting: its key, its default, what it is for, and how its text becomes a value."""

    key: str
    default: Any
    help: str
    parse: Parse
    shown_default: str = ""  # for a default that is worked out when the file is read
    show: Callable[[Any], str] = str  # the way back: the text that gives a value


SETTINGS = (
    Setting(
        "listen_addr",
        "127.0.0.1",
        "Address the pages and the REST interface listen on, in plain HTTP. From another machine no password"
        " is taken and no secret given out that way: it comes by a web server in front that speaks TLS, see"
        " behind_proxy.",
        address,
    ),
    Setting("listen_port", 8107, "TCP port they listen on.", whole_number(1, 65535)),
    Setting(
        "behind_proxy",
        False,
        "Whether people come through a web server on the addresses of proxy_addr, which speaks TLS to them."
        " Its X-Forwarded-For and X-Forwarded-Proto are believed; of anybody else they are not.",
        yes_or_no,
        show=shown_yes_or_no,
    ),
    Setting(
        "proxy_addr",
        ("127.0.0.1", "::1"),
        "The addresses that web server asks from, joined with commas.",
        ip_addresses,
        show=", ".join,
    ),
    Setting(
        "proxy_secret_file",
        None,
        "The file with the secret that the web server sends as X-Proxy-Secret beside X-Remote-User, the name"
        " of somebody it has signed in itself (LDAP, PAM, Kerberos); for this daemon's eyes alone. Empty:"
        " nobody is believed to have been signed in elsewhere.",
        path_or_none,
        shown_default="none",
        show=lambda path: str(path or ""),
    ),
    Setting(
        "remote_user_role",
        None,
        "What somebody may do whom the web server has signed in and who is no user here: viewer, operator, or"
        " none, and then only users get in.",
        role_of_strangers,
        show=lambda role: "none" if role is None else str(role.value),
    ),
    Setting(
        "session_idle_s",
        3600,
        "Seconds without a request after which a browser has to sign in again.",
        whole_number(1, 86400),
    ),
    Setting(
        "session_max_s",
        43200,
        "Seconds after which it has to in any case. At least session_idle_s.",
        whole_number(1, 604800),
    ),
    Setting(
        "database",
        Path("/var/lib/cloudmasterd/cloudmasterd.db"),
        "The SQLite file; it is made when it is not there. Only one cloudmasterd can have it open.",
        absolute_path,
    ),
    Setting(
        "image_dir",
        Path("/var/lib/cloudmasterd/images"),
        "Where the data of images is kept; it is made when it is not there, for its owner alone.",
        absolute_path,
    ),
    Setting(
        "name",
        "",
        "What the pages call this cloud.",
        title,
        shown_default="the host name of the cloud master",
    ),
    Setting(
        "func_root",
        Path("/"),
        "The directory below which the files of Func and certmaster lie, e.g. etc/func/overlord.conf.",
        absolute_path,
    ),
    Setting(
        "certmaster_socket",
        Path("/run/certmaster/admin.sock"),
        "Where certmaster is asked for one-time tokens, who waits, and this cloud master's own certificate:"
        " admin_socket of its certmaster.conf. The user cloudmasterd runs as must be in the group that"
        " admin_group names there, or in certmaster's own.",
        absolute_path,
    ),
    Setting(
        "pki_dir",
        Path("/var/lib/cloudmasterd/pki"),
        "Where the key and the certificate are kept with which the cloud master calls cloud instances; it is"
        " made when it is not there, for its owner alone.",
        absolute_path,
    ),
    Setting(
        "poll_interval_s",
        15,
        "Seconds between two looks at a cloud instance, give or take 10 %.",
        whole_number(1, 3600),
    ),
    Setting(
        "minion_timeout_s",
        10,
        "Seconds a cloud instance may take for one answer before it counts as unreachable.",
        whole_number(1, 300),
    ),
    Setting(
        "breaker_max_interval_s",
        300,
        "A cloud instance that fails three times in a row is asked less and less often, at last once in"
        " this many seconds. At least poll_interval_s.",
        whole_number(1, 86400),
    ),
    Setting(
        "reserve_memory_min_mb",
        1024,
        "MB of each cloud instance's memory that no machine instance gets, at least.",
        whole_number(0, 1 << 30),
    ),
    Setting(
        "reserve_memory_percent",
        5,
        "The same in percent of its memory; the larger of the two counts.",
        whole_number(0, 100),
    ),
    Setting(
        "machine_overhead_mb",
        128,
        "MB counted for each active machine instance on top of its own memory.",
        whole_number(0, 1 << 20),
    ),
    Setting(
        "placement_policy",
        Policy.MOST_FREE_MEMORY,
        "Which of the cloud instances that can take a new machine instance gets it: most-free-memory, pack"
        " (the fullest) or spread (the one with the fewest active).",
        policy,
        show=lambda policy: str(policy.value),
    ),
    Setting(
        "flavors",
        DEFAULT_FLAVORS,
        "Named sizes, NAME=MEMORY_MB:VCPUS:DISK_GB joined with commas, all in one line.",
        flavors,
        show=format_flavors,
    ),
    Setting(
        "tasks_per_cloud",
        4,
        "Tasks that may be under way at once on one cloud instance; more wait in line.",
        whole_number(1, 64),
    ),
    Setting(
        "task_patience_s",
        600,
        "Seconds a task keeps trying while its cloud instance does not answer, before it fails.",
        whole_number(10, 86400),
    ),
    Setting(
        "shutdown_timeout_s",
        120,
        "Seconds a machine instance may take to shut down when it is asked to. Then the task fails and"
        " offers to power it off; nothing is powered off unasked.",
        whole_number(5, 3600),
    ),
    Setting(
        "cobbler_server",
        None,
        "The cobbler server whose profiles machine instances are installed from: HOST, http://HOST or"
        " https://HOST, the last with the authorities this machine trusts. Its catalogue is read without a"
        " login; koan on the cloud instances goes to the same host. Empty: no profiles.",
        cobbler_address,
        shown_default="none",
        show=lambda address: str(address or ""),
    ),
    Setting(
        "profile_refresh_s",
        60,
        "Seconds between two looks whether the cobbler server's profiles have changed.",
        whole_number(1, 86400),
    ),
    Setting(
        "public_url",
        "",
        "Where installing machines reach this cloud master, through Apache: what they report goes there.",
        base_url,
        shown_default="`http://HOST/` with the host name of the cloud master",
    ),
    Setting(
        "install_silent_s",
        900,
        "Seconds without a word from an installing machine after which its task says that it is silent.",
        whole_number(1, 86400),
    ),
    Setting(
        "install_timeout_s",
        7200,
        "Seconds an installation may take; then its task fails.",
        whole_number(1, 604800),
    ),
    Setting(
        "rebuild_profile",
        "",
        "The cobbler profile a cloud instance is rebuilt from when the request names none; empty: the one it"
        " was last rebuilt from.",
        profile_name,
        shown_default="none",
    ),
    Setting("log_level", "INFO", f"The least that is logged: {', '.join(LOG_LEVELS)}.", one_of(*LOG_LEVELS)),
)
