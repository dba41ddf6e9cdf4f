"""What a call gave, as Func's users see it, and the other way round."""

from __future__ import annotations

from typing import Any

from func import wire
from func.errors import BadReply, CallError, MinionTimeout, PeerRefused, RemoteFault, XMLRPCFault
from func.overlord.fanout import Result

_KINDS = ((MinionTimeout, "socket.timeout"), (PeerRefused, "OpenSSL.SSL.Error"),
          (XMLRPCFault, "xmlrpclib.Fault"), (BadReply, "xmlrpclib.ProtocolError"))  # fmt: skip


def as_func_value(result: Result) -> Any:
    """A result as Func's users see it: the value, or a list that begins with REMOTE_ERROR."""
    return result.value if result.error is None else as_func_error(result.error)


def as_func_error(error: CallError) -> list[str]:
    """An error as Func's users see it, under the name Func gives to its kind."""
    if isinstance(error, RemoteFault):
        return wire.remote_error(error.kind, error.text, error.traceback)
    kind = next((name for kind, name in _KINDS if isinstance(error, kind)), "socket.error")
    text = f"<Fault {error.code}: {error.text!r}>" if isinstance(error, XMLRPCFault) else str(error)
    return wire.remote_error(kind, text)


def as_result(minion: str, value: Any) -> Result:
    """The typed form of what Func's users see."""
    if wire.is_remote_error(value):
        return Result(minion, error=wire.to_remote_fault(value))
    return Result(minion, value)
