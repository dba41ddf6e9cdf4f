"""The exceptions of a minion whose names are part of the wire: `func.minion.codes.X` is what a peer reads."""

from __future__ import annotations

from collections.abc import Mapping

from func.errors import FuncError, HostError


class FuncException(FuncError):  # noqa: N818 - Func's own name, peers compare it
    """Root of what Func's own modules raise."""


class InvalidMethodException(FuncException):
    """The module is here, but it has no such method."""


class ModuleNotFoundException(InvalidMethodException):
    """There is no such module on this minion, or the method's name has no dot."""


class AccessToMethodDenied(FuncException):
    """No ACL lets the peer call the method; answered as a fault, not as a result."""


class TooManyJobs(FuncException):
    """More asynchronous calls wait than this minion keeps waiting."""


class JobLost(FuncException):
    """An asynchronous call whose end nobody knows any more; what `jobs.job_status` gives with its code 2."""


class BadFactQuery(FuncException):
    """A fact filter that cannot be understood, or asks for a fact that this minion does not know."""


class Refused(HostError):  # noqa: N818 - its kinds are named by what the receiver can do, and peers compare them
    """The host will not do what was asked of the module `machine`; the text says what would be right."""


class NameTaken(Refused):
    """Another machine of this host has the name."""


class NoSuchMachine(Refused):
    """No machine of this host has the uuid."""


class NoSuchNetwork(Refused):
    """The network is not there, or not active."""


class NoSuchPool(Refused):
    """The storage pool is not there, or not active."""


class NoSuchVolume(Refused):
    """The pool has no such volume."""


class VolumeExists(Refused):
    """The volume is there already, and this operation did not make it."""


class VolumeInUse(Refused):
    """Another machine or volume stands on the volume."""


class DiskFull(Refused):
    """The pool has not the room."""


class WrongState(Refused):
    """The machine's present state does not allow it."""


class Unsupported(Refused):
    """This host cannot do that, whatever the arguments."""


class BadSpec(Refused):
    """The arguments are wrong; no host would take them."""


class OperationMismatch(Refused):
    """The operation's id was given out for something else."""


REFUSALS: Mapping[str, type[Refused]] = {
    kind.__name__: kind
    for kind in (
        NameTaken, NoSuchMachine, NoSuchNetwork, NoSuchPool, NoSuchVolume, VolumeExists, VolumeInUse,
        DiskFull, WrongState, Unsupported, BadSpec, OperationMismatch,
    )
}  # fmt: skip
"""Every refusal by the name the wire carries."""
