"""The shapes of the OpenAPI document; written by hand, because scripts rely on them and not on our code."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def nullable(kind: str, description: str, **more: Any) -> Schema:
    """A value of one kind, or null."""
    return {"type": [kind, "null"], "description": description, **more}


def whole(description: str, **more: Any) -> Schema:
    """A whole number."""
    return {"type": "integer", "description": description, **more}


def text(description: str, **more: Any) -> Schema:
    """A text."""
    return {"type": "string", "description": description, **more}


TAGS: Schema = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "Words of the owner's, by key.",
}
_OBSERVED = nullable(
    "string",
    "When these figures were true (RFC 3339, UTC); null before the first answer.",
    format="date-time",
)

CLOUD_STATES = ["new", "up", "unreachable", "maintenance"]
MACHINE_STATES = ["running", "paused", "off", "shutting-down", "crashed", "creating", "unknown"]

CLOUD: Schema = {
    "type": "object",
    "description": "A cloud instance: a hypervisor of this cloud.",
    "required": [
        "name", "state", "arch", "cpus", "memory_mb", "reserved_memory_mb", "free_memory_mb",
        "live_free_memory_mb", "machines", "running", "tags", "observed_at", "error",
        "certificate_expires_at", "maintenance", "maintenance_reason", "reserve_mb", "notes", "profile",
    ],
    "properties": {
        "name": text("The name in its certificate."),
        "state": text("new: it has a certificate and has not answered yet.", enum=CLOUD_STATES),
        "arch": nullable("string", "Its architecture, e.g. x86_64."),
        "cpus": nullable("integer", "Its CPUs."),
        "memory_mb": nullable("integer", "All its memory, MiB."),
        "reserved_memory_mb": nullable("integer", "Kept for the cloud instance itself, MiB."),
        "free_memory_mb": nullable(
            "integer",
            "What new machine instances can have, MiB: total - reserved - maximum memory and overhead of the "
            "active ones. Negative when it is overcommitted.",
        ),
        "live_free_memory_mb": nullable("integer", "What its kernel calls available, MiB, when it says."),
        "machines": whole("Machine instances on it."),
        "running": whole("Those of them that run."),
        "tags": TAGS,
        "observed_at": _OBSERVED,
        "error": nullable("string", "Why it is unreachable."),
        "certificate_expires_at": nullable("string", "When its certificate ends.", format="date-time"),
        "maintenance": {"type": "boolean", "description": "Whether it takes no new machine instances now."},
        "maintenance_reason": text("Why, in words of whoever said so."),
        "reserve_mb": nullable(
            "integer", "The reserve that was set for this one, MiB; null where the configuration says it."
        ),
        "notes": text("Free text."),
        "profile": nullable("string", "The profile this cloud master installed it from; null: it did not."),
    },
}  # fmt: skip


def _texts(description: str) -> Schema:
    return {"type": ["array", "null"], "items": {"type": "string"}, "description": description}


CLOUD_RESOURCES: Schema = {
    "type": "object",
    "description": "What a cloud instance has to give to machine instances besides memory.",
    "required": [
        "cloud", "arch", "firmwares", "networks", "bridges", "pools", "default_pool", "isos", "virt_type",
        "machine_types", "koan", "observed_at", "age_s",
    ],
    "properties": {
        "cloud": text("Its name."),
        "arch": nullable("string", "Its architecture."),
        "firmwares": _texts("bios, uefi: the best one last."),
        "networks": _texts("Active networks of libvirt, by name."),
        "bridges": _texts("Bridges of the host; machine instances can be on them as on networks."),
        "pools": {
            "type": ["array", "null"],
            "description": "Active storage pools.",
            "items": {
                "type": "object",
                "required": ["name", "capacity_gb", "free_gb", "default"],
                "properties": {
                    "name": text("Its name."),
                    "capacity_gb": {"type": "number", "description": "All of it, GiB."},
                    "free_gb": {"type": "number", "description": "What is free, GiB."},
                    "default": {"type": "boolean", "description": "Whether disks go here that name no pool."},
                },
            },
        },
        "default_pool": nullable("string", "The pool for disks that name none; null without any pool."),
        "isos": _texts("ISO images, as pool/name.iso."),
        "virt_type": nullable("string", "kvm, qemu or test."),
        "machine_types": _texts("Machine types of its hypervisor."),
        "koan": nullable("boolean", "Whether it can install from profiles."),
        "observed_at": _OBSERVED,
        "age_s": nullable("number", "The same in seconds ago."),
    },
}  # fmt: skip

MACHINE: Schema = {
    "type": "object",
    "description": "A machine instance: a virtual machine on a cloud instance.",
    "required": [
        "name", "uuid", "cloud", "state", "memory_mb", "max_memory_mb", "vcpus", "autostart", "managed",
        "profile", "image", "tags", "notes", "observed_at", "etag", "groups",
    ],
    "properties": {
        "name": text("Its name; two cloud instances may each have a machine instance of one name."),
        "uuid": text("Its UUID, accepted wherever the name is."),
        "cloud": text("The cloud instance it is on."),
        "state": text("What it was doing when last seen.", enum=MACHINE_STATES),
        "memory_mb": whole("Its memory now, MiB."),
        "max_memory_mb": whole("What it may grow to, MiB: the figure that free memory is counted with."),
        "vcpus": whole("Its virtual CPUs."),
        "autostart": {"type": "boolean", "description": "Whether it starts with its cloud instance."},
        "managed": {"type": "boolean", "description": "Whether this cloud master made or adopted it."},
        "profile": nullable("string", "The profile it was installed from."),
        "image": nullable("string", "The image it was cloned from."),
        "tags": TAGS,
        "notes": text("Free text."),
        "observed_at": _OBSERVED,
        "etag": text("The tag of this state of it, as in the ETag header; observed_at does not change it."),
        "groups": {
            "type": "array",
            "items": {"type": "string"},
            "description": "No two machine instances of one of these groups are placed on one cloud"
            " instance.",
        },
    },
}  # fmt: skip

PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong, and what would be right (RFC 9457).",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": text("urn:cloudmasterd:problem:KIND, or about:blank where the status says all."),
        "title": text("The status in words."),
        "status": whole("The HTTP status."),
        "detail": text("What was wrong, where, and what would be right."),
        "errors": {
            "type": "array",
            "description": "The fields that were wrong, or what stands against the request.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": text("The parameter, the header, the field of the body, or the cloud instance."),
                    "message": text("What would be right, or the reason."),
                },
            },
        },
    },
}


def page_of(name: str) -> Schema:
    """One page of a list of these."""
    items: Schema = {
        "description": f"With `fields`, each item has those keys only ({name} names them all).",
        "anyOf": [{"$ref": f"#/components/schemas/{name}"}, {"type": "object"}],
    }
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": items},
            "next": nullable("string", "The URL of the next page, relative to the root; null on the last."),
        },
    }


SCHEMAS: dict[str, Schema] = {
    "Cloud": CLOUD,
    "CloudList": page_of("Cloud"),
    "CloudResources": CLOUD_RESOURCES,
    "Machine": MACHINE,
    "MachineList": page_of("Machine"),
    "Problem": PROBLEM,
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": text("Always ok.", enum=["ok"])},
    },
    "Readiness": {
        "type": "object",
        "required": ["ready", "reasons"],
        "properties": {
            "ready": {"type": "boolean"},
            "reasons": {"type": "array", "items": {"type": "string"}, "description": "Why it is not ready."},
        },
    },
}
