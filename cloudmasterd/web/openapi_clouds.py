"""The OpenAPI document's part about cloud instances."""

from __future__ import annotations

from cloudmasterd.web.openapi_parts import (
    CHANGE_PROBLEMS,
    CLOUD_NAME,
    CURSOR,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    LIMIT,
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
from cloudmasterd.web.represent import CLOUD_FIELDS
from cloudmasterd.web.schemas import CLOUD_STATES

_LIST: Node = {
    "operationId": "listClouds",
    "summary": "Cloud instances, by name",
    "parameters": [
        LIMIT,
        CURSOR,
        in_query("state", names(CLOUD_STATES), "Only those in one of these states.", joined=True),
        in_query("fields", names(list(CLOUD_FIELDS)), "Only these keys of each item.", joined=True),
        IF_NONE_MATCH,
    ],
    "responses": {"200": answer("CloudList", "One page."), **UNCHANGED, **problems(*READ_PROBLEMS)},
}

_GET: Node = {
    "operationId": "getCloud",
    "summary": "One cloud instance",
    "parameters": [IF_NONE_MATCH],
    "responses": {
        "200": answer("Cloud", "The cloud instance, with its last figures and their age."),
        **UNCHANGED,
        **problems("404", *READ_PROBLEMS),
    },
}

_CHANGE: Node = {
    "operationId": "changeCloud",
    "summary": "Maintenance, reserve, tags and notes of a cloud instance",
    "description": "Done at once. In maintenance a cloud instance takes no new machine instances; those it"
    " has go on.",
    "parameters": [IF_MATCH, REQUEST_ID],
    "requestBody": body("CloudChange", {"maintenance": True, "maintenance_reason": "a new disk"}),
    "responses": {
        "200": answer("Cloud", "The cloud instance as it is now."),
        **problems("400", "403", "404", "405", "406", "411", "412", "413", "415", "500", "503"),
    },
}

_REFRESH: Node = {
    "operationId": "refreshCloud",
    "summary": "Ask a cloud instance now",
    "description": "Waits for its answer. What it answers is in the store, and so in every list and page."
    " What it has to give besides is asked as well.",
    "responses": {
        "200": answer("Cloud", "The cloud instance as it just answered."),
        **problems("400", "403", "404", "405", "406", "500", "502", "503", "504"),
    },
}

_REMOVE: Node = {
    "operationId": "removeCloud",
    "summary": "Take a cloud instance out for good",
    "description": "Its certificate is revoked and what is known of it forgotten; it is not asked, and need"
    " not be up. What runs there goes on running. It comes back only by a new enrolment.",
    "parameters": [
        in_query(
            "force",
            {"type": "boolean", "default": False},
            "Also where machine instances live there or tasks are at work there; those tasks are ended."
            " Without it that is a 409 which names them in `errors`.",
        ),
        IF_MATCH,
        REQUEST_ID,
    ],
    "responses": {
        "204": {"description": "It is no cloud instance any more."},
        **problems(*CHANGE_PROBLEMS, "412"),
    },
}

_RESOURCES: Node = {
    "operationId": "getCloudResources",
    "summary": "Networks, pools, ISO images and firmwares of a cloud instance",
    "description": "As last heard, when a machine instance was to be made or the cloud instance refreshed:"
    " nobody is asked. Where it was never heard everything is null; then refresh the cloud instance.",
    "responses": {
        "200": answer("CloudResources", "What it has to give, and how old that is.", ()),
        **problems("404", *READ_PROBLEMS),
    },
}

_REBUILD: Node = {
    "operationId": "rebuildCloud",
    "summary": "Install a cloud instance anew from a profile",
    "description": "Everything on it is erased. All machine instances that live there must stand in `lose`,"
    " and nothing else: otherwise 409, with who would be lost in `errors`. The task can be cancelled until it"
    " reboots the cloud instance.",
    "parameters": [IDEMPOTENCY_KEY, PREFER, IF_MATCH, REQUEST_ID],
    "requestBody": body(
        "CloudRebuild",
        {"profile": "GenomeCloud-F42-x86_64", "lose": ["jboss1.example.org"], "reason": "new disks"},
    ),
    "responses": accepted(
        "The task that installs it.", (*CHANGE_PROBLEMS, "412", "415", "501", "502", "504")
    ),
}

PATHS: dict[str, Node] = {
    "/api/v1/clouds": {"get": _LIST},
    "/api/v1/clouds/{cloud}": {"parameters": [CLOUD_NAME], "get": _GET, "patch": _CHANGE, "delete": _REMOVE},
    "/api/v1/clouds/{cloud}/refresh": {"parameters": [CLOUD_NAME], "post": _REFRESH},
    "/api/v1/clouds/{cloud}/resources": {"parameters": [CLOUD_NAME], "get": _RESOURCES},
    "/api/v1/clouds/{cloud}/rebuild": {"parameters": [CLOUD_NAME], "post": _REBUILD},
}
