"""What can go wrong, each with its exit code.

ReplaceError
    BootFailed    1   koan or the boot loader failed
    Usage         2   wrong arguments or configuration
    NotRoot       3   only root may do that
    CobblerFailed 4   the cobbler server or the profile cannot be used
    Declined      5   a person, or the lack of one, or running machine instances said no
      Interrupted     Ctrl-C or a signal, before anything was changed; afterwards it becomes a BootFailed
"""

from __future__ import annotations


class ReplaceError(Exception):
    """Why nothing was prepared, in words for people."""

    code = 1


class BootFailed(ReplaceError):
    """koan or the boot loader did not do its part; the text says what the default entry is now."""


class Usage(ReplaceError):
    """The arguments or the configuration file must change."""

    code = 2


class NotRoot(ReplaceError):
    """Somebody else than root asked."""

    code = 3


class CobblerFailed(ReplaceError):
    """The server does not answer as a cobbler server would, or the profile is not there or broken."""

    code = 4


class Declined(ReplaceError):
    """Erasing this machine needs a yes that was not given."""

    code = 5


class Interrupted(Declined):
    """A signal came."""
