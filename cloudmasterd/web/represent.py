"""Shapes that scripts rely on: frozen data to the values that become JSON."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Optional

from cloudmasterd.flavors import Flavor
from cloudmasterd.model import (
    Catalogue,
    CloudInstance,
    Event,
    Image,
    MachineInstance,
    Profile,
    Step,
    Task,
)
from cloudmasterd.operations import Resources
from cloudmasterd.placement import Capacity, Placement
from cloudmasterd.request_ids import plain
from cloudmasterd.tasks.outcome import error_of
from cloudmasterd.times import time_text

CLOUD_FIELDS = (
    "name", "state", "arch", "cpus", "memory_mb", "reserved_memory_mb", "free_memory_mb",
    "live_free_memory_mb", "machines", "running", "tags", "observed_at", "error", "certificate_expires_at",
    "maintenance", "maintenance_reason", "reserve_mb", "notes", "profile",
)  # fmt: skip

MACHINE_FIELDS = (
    "name", "uuid", "cloud", "state", "memory_mb", "max_memory_mb", "vcpus", "autostart", "managed",
    "profile", "image", "tags", "notes", "observed_at", "etag", "groups",
)  # fmt: skip

RESOURCES_FIELDS = (
    "cloud", "arch", "firmwares", "networks", "bridges", "pools", "default_pool", "isos", "virt_type",
    "machine_types", "koan", "observed_at", "age_s",
)  # fmt: skip

TASK_FIELDS = (
    "id", "kind", "state", "target", "cloud", "machine", "machine_name", "position", "error", "result",
    "cancel_asked", "asked_by", "request_id", "created_at", "started_at", "ended_at", "steps", "log",
)  # fmt: skip

STEP_FIELDS = ("name", "title", "state", "detail", "progress", "started_at", "ended_at")

EVENT_FIELDS = ("id", "at", "kind", "text", "cloud", "machine", "machine_name", "task")

IMAGE_FIELDS = (
    "name", "format", "sha256", "size_bytes", "virtual_size", "min_disk_gb", "notes", "state",
    "received_bytes", "error", "created_at",
)  # fmt: skip

PROFILE_FIELDS = (
    "name", "distro", "arch", "breed", "os_version", "kernel_options", "kickstart", "memory_mb", "vcpus",
    "disk_gb", "comment", "observed_at",
)  # fmt: skip


def cloud_etag(cloud: CloudInstance) -> str:
    """The tag of one cloud instance: stands still while only observed_at moves."""
    return f'"c{cloud.revision}"'


def resources_json(cloud: str, heard: Optional[tuple[Resources, float]], now: datetime) -> dict[str, Any]:
    """What a cloud instance has to give; all but its name is null where it never said."""
    if heard is None:
        return {"cloud": cloud, **dict.fromkeys(RESOURCES_FIELDS[1:])}
    found, age_s = heard
    return {
        "cloud": cloud,
        "arch": found.arch,
        "firmwares": list(found.firmwares),
        "networks": list(found.networks),
        "bridges": list(found.bridges),
        "pools": [vars(pool) for pool in found.pools],
        "default_pool": found.default_pool,
        "isos": list(found.isos),
        "virt_type": found.virt_type,
        "machine_types": list(found.machine_types),
        "koan": found.koan,
        "observed_at": time_text(now - timedelta(seconds=age_s)),
        "age_s": round(age_s, 1),
    }


def machine_etag(machine: MachineInstance) -> str:
    """The tag of one machine instance; another machine of the same name never has it."""
    return f'"m{machine.uuid[:8]}-{machine.revision}"'.encode("ascii", "replace").decode("ascii")


def cloud_json(cloud: CloudInstance) -> dict[str, Any]:
    """A cloud instance as the REST interface shows it."""
    return {
        "name": cloud.name,
        "state": cloud.state.value,
        "arch": cloud.arch,
        "cpus": cloud.cpus,
        "memory_mb": cloud.memory_mb,
        "reserved_memory_mb": cloud.reserved_memory_mb,
        "free_memory_mb": cloud.free_memory_mb,
        "live_free_memory_mb": cloud.live_free_memory_mb,
        "machines": cloud.machines,
        "running": cloud.running,
        "tags": dict(cloud.tags),
        "observed_at": time_text(cloud.observed_at),
        "error": cloud.error,
        "certificate_expires_at": time_text(cloud.certificate_expires_at),
        "maintenance": cloud.maintenance_since is not None,
        "maintenance_reason": cloud.maintenance_reason,
        "reserve_mb": cloud.reserve_override_mb,
        "notes": cloud.notes,
        "profile": cloud.profile,
    }


def machine_json(machine: MachineInstance) -> dict[str, Any]:
    """A machine instance as the REST interface shows it."""
    return {
        "name": machine.name,
        "uuid": machine.uuid,
        "cloud": machine.cloud,
        "state": machine.state.value,
        "memory_mb": machine.memory_mb,
        "max_memory_mb": machine.max_memory_mb,
        "vcpus": machine.vcpus,
        "autostart": machine.autostart,
        "managed": machine.managed,
        "profile": machine.profile,
        "image": machine.image,
        "tags": dict(machine.tags),
        "notes": machine.notes,
        "observed_at": time_text(machine.observed_at),
        "etag": machine_etag(machine),
        "groups": list(machine.groups),
    }


def task_path(task_id: int) -> str:
    """Where a task is."""
    return f"/api/v1/tasks/{task_id}"


def task_json(task: Task) -> dict[str, Any]:
    """A task as the REST interface shows it."""
    return {
        "id": task.id,
        "kind": task.kind,
        "state": task.state.value,
        "target": task.target,
        "cloud": task.cloud,
        "machine": task.machine,
        "machine_name": task.machine_name,
        "position": task.position,
        "error": error_of(task),
        "result": dict(task.result),
        "cancel_asked": task.cancel_asked,
        "asked_by": task.asked_by,
        "request_id": plain(task.request_id),
        "created_at": time_text(task.created_at),
        "started_at": time_text(task.started_at),
        "ended_at": time_text(task.ended_at),
        "steps": [step_json(step) for step in task.steps],
        "log": [{"at": time_text(at), "text": text} for at, text in task.log],
    }


def step_json(step: Step) -> dict[str, Any]:
    """A step of a task; what it keeps for undoing is not shown."""
    return {
        "name": step.name,
        "title": step.title,
        "state": step.state.value,
        "detail": step.detail,
        "progress": step.progress,
        "started_at": time_text(step.started_at),
        "ended_at": time_text(step.ended_at),
    }


def event_json(event: Event) -> dict[str, Any]:
    """An event."""
    return {
        "id": event.id,
        "at": time_text(event.at),
        "kind": event.kind,
        "text": event.text,
        "cloud": event.cloud,
        "machine": event.machine,
        "machine_name": event.machine_name,
        "task": None if event.task is None else task_path(event.task),
    }


def image_etag(image: Image) -> str:
    """The tag of one image; another image of the same name never has it."""
    return f'"i{image.revision}"'


def image_json(image: Image) -> dict[str, Any]:
    """An image of the catalogue."""
    return {
        "name": image.name,
        "format": image.format,
        "sha256": image.sha256,
        "size_bytes": image.size_bytes,
        "virtual_size": image.virtual_size,
        "min_disk_gb": image.least_disk_gb,
        "notes": image.notes,
        "state": image.state.value,
        "received_bytes": image.received_bytes,
        "error": image.error,
        "created_at": time_text(image.created_at),
    }


def profile_etag(profile: Profile) -> str:
    """The tag of one profile."""
    return f'"p{profile.revision}"'


def profile_json(profile: Profile, observed_at: Optional[datetime]) -> dict[str, Any]:
    """A profile of the cobbler server, which said so at `observed_at`."""
    return {
        "name": profile.name,
        "distro": profile.distro,
        "arch": profile.arch,
        "breed": profile.breed,
        "os_version": profile.os_version,
        "kernel_options": profile.kernel_options,
        "kickstart": profile.autoinstall,
        "memory_mb": profile.memory_mb,
        "vcpus": profile.vcpus,
        "disk_gb": profile.disk_gb,
        "comment": profile.comment,
        "observed_at": time_text(observed_at),
    }


def catalogue_json(catalogue: Catalogue) -> dict[str, Any]:
    """Where the profiles are from, how old that is, and why it is not newer."""
    return {
        "server": catalogue.server or None,
        "observed_at": time_text(catalogue.fetched_at),
        "error": catalogue.error,
        "failing_since": time_text(catalogue.failing_since),
    }


def flavor_json(flavor: Flavor) -> dict[str, Any]:
    """A size that has a name."""
    return {
        "name": flavor.name,
        "memory_mb": flavor.memory_mb,
        "vcpus": flavor.vcpus,
        "disk_gb": flavor.disk_gb,
    }


def placement_json(placement: Placement) -> dict[str, Any]:
    """Where a machine instance would go, and what every cloud instance says to it."""
    return {
        "chosen": placement.chosen,
        "clouds": [
            {
                "cloud": verdict.cloud,
                "accepted": verdict.accepted,
                "reason": verdict.reason,
                "free_memory_mb": verdict.free_mb,
                "needed_memory_mb": verdict.needed_mb,
                "left_memory_mb": verdict.left_mb,
            }
            for verdict in placement.verdicts
        ],
    }


def capacity_json(capacity: Capacity) -> dict[str, Any]:
    """How many more of each flavor fit, and what the loss of the largest cloud instance would do."""
    largest = capacity.largest
    return {
        "flavors": [
            {
                **flavor_json(room.flavor),
                "fit": room.total,
                "fit_without_largest": room.without_largest,
                "per_cloud": dict(room.per_cloud),
            }
            for room in capacity.flavors
        ],
        "largest": None
        if largest is None
        else {
            "cloud": largest.cloud,
            "machines": largest.machines,
            "memory_mb": largest.memory_mb,
            "unplaced": largest.unplaced,
            "unplaced_memory_mb": largest.unplaced_mb,
        },
        "uncounted": dict(capacity.uncounted),
    }


def only(item: dict[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The chosen fields of an item; all of them when none is chosen."""
    return {name: item[name] for name in fields} if fields else item


def list_json(items: list[dict[str, Any]], next_url: Optional[str]) -> dict[str, Any]:
    """One page of a list."""
    return {"items": items, "next": next_url}
