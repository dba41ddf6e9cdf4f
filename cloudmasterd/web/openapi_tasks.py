"""The OpenAPI document's part about tasks, events, and what still fits."""

from __future__ import annotations

from cloudmasterd.web.api.tasks import LIST_FIELDS
from cloudmasterd.web.openapi_parts import (
    CURSOR,
    IF_NONE_MATCH,
    LIMIT,
    PREFER,
    READ_PROBLEMS,
    REQUEST_ID,
    UNCHANGED,
    Node,
    answer,
    body,
    in_path,
    in_query,
    names,
    problems,
)
from cloudmasterd.web.represent import EVENT_FIELDS
from cloudmasterd.web.schemas_tasks import TASK_STATES

_TEXT: Node = {"type": "string", "maxLength": 255}
_ONE_CLOUD = in_query("cloud", _TEXT, "Only those of this cloud instance.")
_ONE_MACHINE = in_query("machine", _TEXT, "Only those of the machine instance with this name or UUID.")
_TASK_ID = in_path("task", "The number of a task.", {"type": "integer", "minimum": 1})

_LIST_TASKS: Node = {
    "operationId": "listTasks",
    "summary": "Tasks, newest first",
    "description": "Without their steps, unless `fields` asks for them.",
    "parameters": [
        LIMIT,
        CURSOR,
        in_query("state", names(TASK_STATES), "Only those in one of these states.", joined=True),
        _ONE_MACHINE,
        _ONE_CLOUD,
        in_query("fields", names(list(LIST_FIELDS)), "Only these keys of each item.", joined=True),
        IF_NONE_MATCH,
    ],
    "responses": {"200": answer("TaskList", "One page."), **UNCHANGED, **problems(*READ_PROBLEMS)},
}

_GET_TASK: Node = {
    "operationId": "getTask",
    "summary": "One task, with its steps and its log",
    "description": "With `Prefer: wait=N` it is answered when it has ended, or after N seconds.",
    "parameters": [PREFER, IF_NONE_MATCH],
    "responses": {
        "200": answer("Task", "The task as it is now.", ("ETag", "Preference-Applied")),
        **UNCHANGED,
        **problems("404", *READ_PROBLEMS),
    },
}

_CANCEL_TASK: Node = {
    "operationId": "cancelTask",
    "summary": "Cancel a task",
    "description": "One that waits ends at once; one that runs, before its next step, and what it made is"
    " taken away again. 409 when it has ended.",
    "parameters": [REQUEST_ID],
    "responses": {
        "200": answer("Task", "It has ended.", ()),
        "202": answer("Task", "It will end.", ()),
        **problems("400", "403", "404", "405", "406", "409", "411", "413", "500", "503"),
    },
}

_LIST_EVENTS: Node = {
    "operationId": "listEvents",
    "summary": "What happened, oldest first",
    "description": "To follow: ask with `after` of the page before and a `wait`. An answer without items"
    " says that nothing happened meanwhile.",
    "parameters": [
        in_query(
            "after",
            {"type": "string", "pattern": "^([0-9]{1,18}|latest)$", "default": "0"},
            "Only events with a larger id; `latest` stands for the last one there is.",
        ),
        LIMIT,
        in_query(
            "wait",
            {"type": "integer", "minimum": 0, "maximum": 60, "default": 0},
            "Seconds to wait for an event where there is none yet.",
        ),
        _ONE_MACHINE,
        _ONE_CLOUD,
        in_query("fields", names(list(EVENT_FIELDS)), "Only these keys of each item.", joined=True),
    ],
    "responses": {"200": answer("EventList", "One page.", ()), **problems(*READ_PROBLEMS)},
}

_LIST_FLAVORS: Node = {
    "operationId": "listFlavors",
    "summary": "Sizes that have names",
    "parameters": [IF_NONE_MATCH],
    "responses": {
        "200": answer("FlavorList", "All of them."),
        **UNCHANGED,
        **problems("400", "405", "406", "500"),
    },
}

_GET_CAPACITY: Node = {
    "operationId": "getCapacity",
    "summary": "How many more machine instances of each flavor fit",
    "description": "And how many would fit with the largest cloud instance gone, once its machine instances"
    " have found a place on the others.",
    "responses": {"200": answer("Capacity", "As of now.", ()), **problems(*READ_PROBLEMS)},
}

_PLACE: Node = {
    "operationId": "placeMachine",
    "summary": "Where a machine instance would go",
    "description": "Takes what POST /api/v1/machines takes (`name` may be left out), makes nothing, and"
    " answers with every cloud instance: accepted, or why not, with the numbers.",
    "parameters": [REQUEST_ID],
    "requestBody": body("PlacementRequest", {"flavor": "small"}),
    "responses": {
        "200": answer("Placement", "The choice, and what every cloud instance says to it.", ()),
        **problems("400", "403", "405", "406", "411", "413", "415", "500", "503"),
    },
}

PATHS: dict[str, Node] = {
    "/api/v1/tasks": {"get": _LIST_TASKS},
    "/api/v1/tasks/{task}": {"parameters": [_TASK_ID], "get": _GET_TASK},
    "/api/v1/tasks/{task}/cancel": {"parameters": [_TASK_ID], "post": _CANCEL_TASK},
    "/api/v1/events": {"get": _LIST_EVENTS},
    "/api/v1/flavors": {"get": _LIST_FLAVORS},
    "/api/v1/capacity": {"get": _GET_CAPACITY},
    "/api/v1/placements": {"post": _PLACE},
}
