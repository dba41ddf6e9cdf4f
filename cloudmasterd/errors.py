"""What can go wrong in the cloud master, named by what the receiver can do about it.

    CloudError
     |- Invalid            the request says something that cannot be: correct it   (fields: what to correct)
     |- NotFound           no such thing here
     |- Conflict           it can be, but not now or not beside what is there   (fields: what is)
     |   |- MachineExists
     |   |- NoRoom
     |   `- StaleVersion   it changed since you read it: read it again
     |- Unauthenticated    nobody knows who asks: sign in, or send a token that is good
     |- Forbidden          it is known who asks, and they may not
     |- TooManyAttempts    wrong passwords came too often: wait   (retry_after_s)
     |- FabricError        a cloud instance did not do what was asked
     |   |- CloudUnreachable   no answer
     |   |- CloudRefused       it answered that we may not, or its certificate is not to be trusted
     |   |- RemoteFault        it tried and failed  (kind, text, traceback: the remote side's own)
     |   `- Unsupported        it cannot do this: its func or its libvirt is too old for it
     |- CobblerError       the cobbler server did not say what it was asked
     |   `- CobblerUnreachable   no answer
     |- CertmasterUnreachable   the certmaster of this machine did not answer, or could not: the text says why
     |- ConfigError        a configuration file cannot be used: file, line, key and what would be right
     |- BackupError        a backup cannot be written, read or put back: nothing was changed
     |- StartError         the daemon cannot start here, e.g. its port is taken
     `- StoreError         the database cannot be used
         |- StoreLocked        another cloud master has it open
         `- StoreTooNew        written by a newer cloudmasterd

No HTTP status lives here: web/ has one table for that.
"""

from __future__ import annotations

from collections.abc import Sequence


class CloudError(Exception):
    """Root of every error this package raises on purpose; its text is fit to show to a user."""


class Invalid(CloudError):
    """The request says something that cannot be. `fields` are (field name, what would be right) pairs."""

    def __init__(self, text: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.fields = tuple(fields)


class NotFound(CloudError):
    """There is no such thing; the text says where to look."""


class Conflict(CloudError):
    """The request is sound, but what is there now stands against it.

    `fields` are (who or what, why) pairs where several do, e.g. each cloud instance of a NoRoom.
    """

    def __init__(self, text: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.fields = tuple(fields)


class MachineExists(Conflict):
    """A machine instance of that name is there already."""


class NoRoom(Conflict):
    """No cloud instance can take the machine instance."""


class StaleVersion(Conflict):
    """What is to be changed has changed since the caller read it."""


class Unauthenticated(CloudError):
    """Nobody knows who asks; the text says how to show that."""


class Forbidden(CloudError):
    """Who asks is known, and may not; the text says what it takes."""


class TooManyAttempts(CloudError):
    """Wrong passwords came too often; in `retry_after_s` seconds another try is taken."""

    def __init__(self, text: str, retry_after_s: int) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class FabricError(CloudError):
    """A cloud instance did not do what was asked of it."""


class CloudUnreachable(FabricError):
    """A cloud instance gave no answer within its deadline."""


class CloudRefused(FabricError):
    """A cloud instance answered, but one side does not trust or allow the other."""


class RemoteFault(FabricError):
    """A cloud instance ran the method and it failed there.

    `kind` is the remote exception's class name without its module, `text` its text, `traceback` the remote
    traceback for the log (never for a user). `reason` is the remote text alone, where `text` says more around
    it.
    """

    def __init__(self, kind: str, text: str, traceback: str = "", reason: str = "") -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind
        self.text = text
        self.traceback = traceback
        self.reason = reason or text


class Unsupported(FabricError):
    """A cloud instance cannot do this at all; the text says what it would take."""


class CertmasterUnreachable(CloudError):
    """The certmaster of this machine did not answer, or could not do it; the text says what to look at."""


class CobblerError(CloudError):
    """The cobbler server refused, or what answered there is no cobbler server; the text says what came."""


class CobblerUnreachable(CobblerError):
    """The cobbler server gave no answer within its deadline."""


class ConfigError(CloudError):
    """A configuration file cannot be used; the text names file, line, key and what would be right."""


class StartError(CloudError):
    """The daemon cannot start here; the text says what stands in the way."""


class BackupError(CloudError):
    """A backup cannot be written, read or put back; the text says why, and nothing was changed."""


class StoreError(CloudError):
    """The database cannot be used."""


class StoreLocked(StoreError):
    """Another cloud master has the database open."""


class StoreTooNew(StoreError):
    """The database was written by a newer cloudmasterd."""
