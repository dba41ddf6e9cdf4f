"""The shapes of tasks, events and what still fits in the OpenAPI document, written by hand as the others."""

from __future__ import annotations

from cloudmasterd.web.schemas import Schema, nullable, page_of, text, whole

TASK_STATES = ["waiting", "running", "done", "failed", "cancelled"]
STEP_STATES = ["waiting", "running", "done", "failed", "undoing", "undone", "skipped"]


def _time(description: str) -> Schema:
    return nullable("string", description, format="date-time")


def _flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


_STEP: Schema = {
    "type": "object",
    "description": "One step of a task.",
    "required": ["name", "title", "state", "detail", "progress", "started_at", "ended_at"],
    "properties": {
        "name": text("What kind of step it is."),
        "title": text("What it does, for people."),
        "state": text("undoing, undone: a later step failed, and what this one made is taken away.",
                      enum=STEP_STATES),
        "detail": text("What it found, waits for, or what went wrong."),
        "progress": nullable("integer", "Percent, where it is known.", minimum=0, maximum=100),
        "started_at": _time("When it began."),
        "ended_at": _time("When it ended."),
    },
}  # fmt: skip

_TASK: Schema = {
    "type": "object",
    "description": "One operation in the background. It outlives a restart of cloudmasterd.",
    "required": [
        "id", "kind", "state", "target", "cloud", "machine", "machine_name", "position", "error", "result",
        "cancel_asked", "asked_by", "request_id", "created_at", "started_at", "ended_at", "steps", "log",
    ],
    "properties": {
        "id": whole("Its number."),
        "kind": text("machine.create, machine.start, machine.delete and so on."),
        "state": text("done, failed and cancelled are its ends.", enum=TASK_STATES),
        "target": text("The path of what it works on."),
        "cloud": nullable("string", "The cloud instance it works on."),
        "machine": nullable("string", "The UUID of the machine instance it works on."),
        "machine_name": nullable("string", "Its name."),
        "position": nullable("integer", "While it waits: its place in line, 1 is next."),
        "error": nullable("string", "Why it failed, and what could not be undone or is still being undone."),
        "result": {"type": "object", "description": "What came of it, by kind."},
        "cancel_asked": _flag("Whether it was asked to end early."),
        "asked_by": text("Who asked for it."),
        "request_id": text("The X-Request-Id of the request that made it."),
        "created_at": _time("When it was asked for."),
        "started_at": _time("When its first step began."),
        "ended_at": _time("When it ended."),
        "steps": {
            "type": "array",
            "description": "In order.",
            "items": {"$ref": "#/components/schemas/Step"},
        },
        "log": {
            "type": "array",
            "description": "What happened on the way, oldest first.",
            "items": {
                "type": "object",
                "required": ["at", "text"],
                "properties": {"at": _time("When."), "text": text("What.")},
            },
        },
    },
}  # fmt: skip

_EVENT: Schema = {
    "type": "object",
    "description": "Something that happened to a cloud instance or a machine instance.",
    "required": ["id", "at", "kind", "text", "cloud", "machine", "machine_name", "task"],
    "properties": {
        "id": whole("Its number; a later event has a larger one."),
        "at": _time("When it was seen."),
        "kind": text("machine.appeared, machine.vanished, machine.changed, cloud.unreachable and so on."),
        "text": text("One sentence for people."),
        "cloud": nullable("string", "The cloud instance."),
        "machine": nullable("string", "The UUID of the machine instance."),
        "machine_name": nullable("string", "Its name."),
        "task": nullable("string", "The path of the task it belongs to."),
    },
}

_FLAVOR_PROPERTIES: Schema = {
    "name": text("Its name."),
    "memory_mb": whole("Memory, MiB."),
    "vcpus": whole("Virtual CPUs."),
    "disk_gb": whole("The size of its disk, GiB."),
}

_CAPACITY: Schema = {
    "type": "object",
    "required": ["flavors", "largest", "uncounted"],
    "properties": {
        "flavors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [*_FLAVOR_PROPERTIES, "fit", "fit_without_largest", "per_cloud"],
                "properties": {
                    **_FLAVOR_PROPERTIES,
                    "fit": whole("How many more fit on all cloud instances together."),
                    "fit_without_largest": nullable(
                        "integer", "How many with the largest cloud instance gone; null when there is none."
                    ),
                    "per_cloud": {
                        "type": "object",
                        "additionalProperties": {"type": "integer"},
                        "description": "How many more fit on each.",
                    },
                },
            },
        },
        "largest": {
            "anyOf": [{"$ref": "#/components/schemas/Evacuation"}, {"type": "null"}],
            "description": "What the loss of the largest cloud instance would take.",
        },
        "uncounted": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Cloud instances that take nothing now, and why.",
        },
    },
}

_EVACUATION: Schema = {
    "type": "object",
    "required": ["cloud", "machines", "memory_mb", "unplaced", "unplaced_memory_mb"],
    "properties": {
        "cloud": text("The cloud instance whose loss would cost most."),
        "machines": whole("Its active machine instances, which the others would have to take."),
        "memory_mb": whole("The memory they need, MiB, overhead included."),
        "unplaced": whole("Those that would find no place; while there are any, nothing more fits."),
        "unplaced_memory_mb": whole("The memory those need, MiB."),
    },
}

_PLACEMENT: Schema = {
    "type": "object",
    "required": ["chosen", "clouds"],
    "properties": {
        "chosen": nullable("string", "The cloud instance that would get it; null when it fits nowhere."),
        "clouds": {"type": "array", "items": {"$ref": "#/components/schemas/Verdict"}},
    },
}

_VERDICT: Schema = {
    "type": "object",
    "description": "What one cloud instance says to a machine instance.",
    "required": ["cloud", "accepted", "reason", "free_memory_mb", "needed_memory_mb", "left_memory_mb"],
    "properties": {
        "cloud": text("Its name."),
        "accepted": _flag("Whether it could take it."),
        "reason": text("Why, or why not, with the number that decided."),
        "free_memory_mb": nullable("integer", "What it has free, MiB."),
        "needed_memory_mb": whole("What is needed, MiB, overhead included."),
        "left_memory_mb": nullable("integer", "What would be left, MiB; negative when it is too little."),
    },
}

_EVENT_LIST: Schema = {
    **page_of("Event"),
    "required": ["items", "next", "after"],
    "properties": {
        **page_of("Event")["properties"],
        "after": whole("Give this as `after` to go on from here."),
    },
}

TASK_SCHEMAS: dict[str, Schema] = {
    "Task": _TASK,
    "Step": _STEP,
    "TaskList": page_of("Task"),
    "Event": _EVENT,
    "EventList": _EVENT_LIST,
    "Flavor": {"type": "object", "required": list(_FLAVOR_PROPERTIES), "properties": _FLAVOR_PROPERTIES},
    "FlavorList": page_of("Flavor"),
    "Capacity": _CAPACITY,
    "Evacuation": _EVACUATION,
    "Placement": _PLACEMENT,
    "Verdict": _VERDICT,
}
