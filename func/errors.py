"""What can go wrong between an overlord and its minions.

FuncError
 |- ConfigError        a configuration file cannot be used: file, line, key, what would be right
 |- NoMinions          no certificate matches the target specification
 |- JobBookError       the file of asynchronous calls cannot be used
 |- WireError          bytes on the wire that the protocol does not allow
 |- CallError          one call to one minion did not give a value
 |   |- MinionUnreachable    no connection, or it broke        (text as Func shows it: `[Errno 111] ...`)
 |   |   `- MinionTimeout    no answer within the deadline
 |   |- PeerRefused          TLS: one side does not trust the other's certificate
 |   |- BadReply             it answered, but not in the protocol  (an HTTP status, bytes that are no reply)
 |   |- XMLRPCFault          the minion answered a Fault       (code, text; e.g. access denied)
 |   `- RemoteFault          the method ran and failed         (kind, text, traceback)
 `- HostError          the virtualisation below a minion did not do what was asked
"""

from __future__ import annotations

from collections.abc import Sequence


class FuncError(Exception):
    """Root of every error of this package; its text is fit to show to a user."""


class ConfigError(FuncError):
    """A configuration file cannot be used."""


class NoMinions(FuncError):
    """No minion's certificate matches the target specification; `near` are names that may have been meant."""

    def __init__(self, text: str, near: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.near = tuple(near)


class JobBookError(FuncError):
    """The file in which an overlord remembers its asynchronous calls cannot be used."""


class WireError(FuncError):
    """Bytes on the wire that the protocol does not allow."""


class CallError(FuncError):
    """One call to one minion did not give a value."""


class MinionUnreachable(CallError):
    """The minion could not be connected to, or the connection broke."""


class MinionTimeout(MinionUnreachable):
    """The minion did not answer within its deadline."""


class PeerRefused(CallError):
    """TLS failed: one side does not trust the other's certificate."""


class BadReply(CallError):
    """It answered, but not as a minion does: an HTTP status other than 200, or bytes that are no reply."""


class XMLRPCFault(CallError):
    """The minion answered with an XML-RPC fault: it did not run the method."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class RemoteFault(CallError):
    """The method ran on the minion and failed there.

    `kind` is the remote exception's class as sent (`func.minion.codes.X`, `codes.X` and `<class 'X'>` all
    occur), `text` its text, `traceback` the remote traceback.
    """

    def __init__(self, kind: str, text: str = "", traceback: str = "") -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind
        self.text = text
        self.traceback = traceback

    @property
    def short_kind(self) -> str:
        """The class name alone, without module or `<class '...'>`."""
        return self.kind.strip("<>").replace("class ", "").strip("'\" ").rpartition(".")[2]


class HostError(FuncError):
    """The virtualisation below a minion did not do what was asked."""
