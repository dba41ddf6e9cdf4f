"""The OpenAPI document's part about machine instances."""

from __future__ import annotations

from cloudmasterd.web.openapi_parts import (
    CHANGE_PROBLEMS,
    CURSOR,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    LIMIT,
    MACHINE_NAME,
    PREFER,
    READ_PROBLEMS,
    REQUEST_ID,
    UNCHANGED,
    Node,
    accepted,
    answer,
    body,
    in_query,
    names,
    problems,
)
from cloudmasterd.web.represent import MACHINE_FIELDS
from cloudmasterd.web.schemas import MACHINE_STATES

_FABRIC_PROBLEMS = ("501", "502", "504")
_MAKING = [IDEMPOTENCY_KEY, PREFER, REQUEST_ID]
_CHANGING = [IF_MATCH, *_MAKING]

_EXAMPLE: Node = {
    "name": "jboss1.example.org",
    "memory_mb": 512,
    "vcpus": 1,
    "disks": [{"size_gb": 4}],
    "networks": ["default"],
    "source": {"kind": "blank"},
    "cloud": None,
    "tags": {"team": "web"},
    "start": True,
}

_LIST: Node = {
    "operationId": "listMachines",
    "summary": "Machine instances, by name and UUID",
    "parameters": [
        LIMIT,
        CURSOR,
        in_query(
            "cloud",
            {"type": "array", "items": {"type": "string"}},
            "Only those on one of these cloud instances; a name that is none of them is an error.",
            joined=True,
        ),
        in_query("state", names(MACHINE_STATES), "Only those in one of these states.", joined=True),
        in_query("fields", names(list(MACHINE_FIELDS)), "Only these keys of each item.", joined=True),
        IF_NONE_MATCH,
    ],
    "responses": {"200": answer("MachineList", "One page."), **UNCHANGED, **problems(*READ_PROBLEMS)},
}

_GET: Node = {
    "operationId": "getMachine",
    "summary": "One machine instance, by name or UUID",
    "parameters": [IF_NONE_MATCH],
    "responses": {
        "200": answer("Machine", "The machine instance as last seen."),
        **UNCHANGED,
        **problems("404", "409", *READ_PROBLEMS),
    },
}

_CREATE: Node = {
    "operationId": "createMachine",
    "summary": "Make a machine instance",
    "description": "Its cloud instance is chosen and the memory held for it before the answer; what is then"
    " to be done is the task. A name that is taken, or no room, is answered 409 and leaves nothing behind.",
    "parameters": _MAKING,
    "requestBody": body("MachineCreate", _EXAMPLE),
    "responses": accepted("The task that makes it.", (*CHANGE_PROBLEMS, "415", *_FABRIC_PROBLEMS)),
}

_CHANGE: Node = {
    "operationId": "changeMachine",
    "summary": "Another size, name, tags or notes for a machine instance",
    "description": "Tags and notes alone are changed at once and answered 200 with the machine instance."
    " Anything else is a task, whose `result` says whether memory and vCPUs changed now or will at the"
    " next start.",
    "parameters": _CHANGING,
    "requestBody": body("MachineChange", {"memory_mb": 1024, "tags": {"team": "web"}}),
    "responses": {
        **accepted("The task that changes it.", (*CHANGE_PROBLEMS, "412", "415", *_FABRIC_PROBLEMS)),
        "200": {
            "description": "The machine instance as it is now; or, with `Prefer: wait`, the task that has"
            " ended.",
            "headers": {
                "ETag": {"$ref": "#/components/headers/ETag"},
                "Location": {"$ref": "#/components/headers/Location"},
                "Preference-Applied": {"$ref": "#/components/headers/PreferenceApplied"},
                "Idempotency-Replayed": {"$ref": "#/components/headers/IdempotencyReplayed"},
            },
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/Machine"},
                            {"$ref": "#/components/schemas/Task"},
                        ]
                    }
                }
            },
        },
    },
}

_FORCE: Node = {"type": "boolean", "default": False}

_DELETE: Node = {
    "operationId": "deleteMachine",
    "summary": "Take a machine instance away, with its disks",
    "description": "A disk that another machine instance uses is never deleted.",
    "parameters": [
        in_query("force", _FORCE, "Also when it runs: it is powered off first."),
        in_query("keep_disks", {"type": "boolean", "default": False}, "Leave its disks where they are."),
        *_CHANGING,
    ],
    "responses": accepted("The task that deletes it.", (*CHANGE_PROBLEMS, "412", *_FABRIC_PROBLEMS)),
}

_ADOPT: Node = {
    "operationId": "adoptMachine",
    "summary": "Take a machine instance that another tool made into our care",
    "parameters": _CHANGING,
    "responses": accepted("The task that adopts it.", (*CHANGE_PROBLEMS, "412", *_FABRIC_PROBLEMS)),
}


def _action(name: str, summary: str, description: str = "") -> Node:
    operation: Node = {
        "operationId": f"{name}Machine",
        "summary": summary,
        "parameters": [
            in_query("force", _FORCE, "Also where the state of the machine instance speaks against it."),
            *_CHANGING,
        ],
        "responses": accepted("The task.", (*CHANGE_PROBLEMS, "412", *_FABRIC_PROBLEMS)),
    }
    if description:
        operation["description"] = description
    return {"parameters": [MACHINE_NAME], "post": operation}


_MACHINE = "/api/v1/machines/{machine}"

PATHS: dict[str, Node] = {
    "/api/v1/machines": {"get": _LIST, "post": _CREATE},
    _MACHINE: {"parameters": [MACHINE_NAME], "get": _GET, "patch": _CHANGE, "delete": _DELETE},
    f"{_MACHINE}/adopt": {"parameters": [MACHINE_NAME], "post": _ADOPT},
    f"{_MACHINE}/start": _action(
        "start", "Start a machine instance", "409 where its memory is not free on its cloud instance."
    ),
    f"{_MACHINE}/shutdown": _action(
        "shutdown",
        "Ask a machine instance to shut down",
        "Its operating system is asked by ACPI. When it has not shut down in time the task fails and says so;"
        " nothing is powered off unasked.",
    ),
    f"{_MACHINE}/poweroff": _action(
        "poweroff", "Cut the power of a machine instance", "What it has not written is lost."
    ),
    f"{_MACHINE}/reboot": _action("reboot", "Ask a machine instance to reboot"),
    f"{_MACHINE}/reset": _action("reset", "Reset a machine instance", "What it has not written is lost."),
    f"{_MACHINE}/pause": _action("pause", "Let a machine instance stand still"),
    f"{_MACHINE}/resume": _action("resume", "Let a paused machine instance go on"),
}
