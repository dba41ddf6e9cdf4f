"""Who sits at the shell of the cloud master, for the audit record."""

from __future__ import annotations

import os
import pwd


def shell_user() -> str:
    """As far as the system knows: the account, and who became it with sudo."""
    try:
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        account = f"uid {os.getuid()}"
    sudo = os.environ.get("SUDO_USER", "")
    return f"{account} (sudo by {sudo[:64]})" if sudo and sudo.isprintable() else account
