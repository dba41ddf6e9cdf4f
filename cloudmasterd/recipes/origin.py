"""What a machine instance is to begin with, looked up before anything is promised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional

from cloudmasterd.errors import Invalid
from cloudmasterd.images import Images, refuse_replaced
from cloudmasterd.model import Image, Profile
from cloudmasterd.profiles import Profiles, arch_of
from cloudmasterd.spec import MachineSpec
from cloudmasterd.store.room import Room


@dataclass(frozen=True)
class Origin:
    """The image or the profile that a source names; neither for a blank one or an ISO image."""

    image: Optional[Image] = None
    profile: Optional[Profile] = None
    server: str = ""  # the cobbler server's host name, where there is a profile

    def fitted(self, spec: MachineSpec) -> MachineSpec:
        """The same machine instance, for the architecture of its profile."""
        if self.profile is None or spec.arch is not None:
            return spec
        return replace(spec, arch=arch_of(self.profile))

    def refuse_changed(self, room: Room) -> None:
        """Raises Conflict where the image is not what it was when it was looked up."""
        if self.image is not None:
            refuse_replaced(room, self.image)

    def arguments(self) -> dict[str, Any]:
        """What the task is told of it."""
        if self.image is not None:
            return {"image": self.image.name, "sha256": self.image.sha256}
        if self.profile is not None:
            return {"profile": self.profile.name, "server": self.server}
        return {}


def look_up(
    spec: MachineSpec, images: Optional[Images], profiles: Optional[Profiles], *, ask: bool = False
) -> Origin:
    """Find what the source names; raises Invalid or Conflict for what no machine instance can be made from.

    With `ask` the cobbler server is asked whether it still has the profile; raises CobblerError.
    """
    kind = spec.source.kind
    if kind == "image":
        if images is None:
            raise _refused(f"image {spec.source.image or ''}", "this cloud master has no images")
        return Origin(image=images.refuse(spec))
    if kind == "profile":
        if profiles is None:
            raise _refused(f"profile {spec.source.profile or ''}", "this cloud master has no profiles")
        profile = profiles.find_now(spec) if ask else profiles.find(spec)
        return Origin(profile=profile, server=profiles.host)
    return Origin()


def _refused(what: str, why: str) -> Invalid:
    told = f"a machine instance cannot be made from {what} here: {why}"
    return Invalid(told, fields=[("source.kind", f"blank or iso: {why}")])
