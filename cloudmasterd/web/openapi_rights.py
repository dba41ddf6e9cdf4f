"""Which role each operation of the REST interface takes, as the OpenAPI document says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from cloudmasterd.rights import Role
from cloudmasterd.web.openapi_parts import AUDIT_REASON

Node = dict[str, Any]

ANYBODY = frozenset(("live", "ready"))
VIEWER = frozenset(
    (
        "whoAmI", "getDocument", "getUser", "setPassword", "endSessions", "listTokens", "createToken",
        "deleteToken", "listSessions", "deleteSession",
        "listClouds", "getCloud", "getCloudResources", "listMachines", "getMachine", "listTasks", "getTask",
        "listEvents", "listFlavors", "getCapacity", "placeMachine", "listImages", "getImage",
        "listProfiles", "getProfile",
    )
)  # fmt: skip
OPERATOR = frozenset(
    (
        "createMachine", "changeMachine", "deleteMachine", "adoptMachine", "startMachine", "shutdownMachine",
        "poweroffMachine", "rebootMachine", "resetMachine", "pauseMachine", "resumeMachine", "cancelTask",
        "refreshCloud", "refreshProfiles", "createImage", "sendImageData", "deleteImage",
    )
)  # fmt: skip
UNBOUND = frozenset(("createImage", "sendImageData", "deleteImage"))
"""What is refused to those whose rights are bound to tags, because it carries none."""

SECURITY_SCHEMES: Mapping[str, Node] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of POST /api/v1/tokens, of the page /account or of `cloudmasterctl token`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "cloudmasterd_session",
        "description": "A browser that has signed in at /login; over TLS the cookie is called"
        " __Host-cloudmasterd_session.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "What the pages of a session carry in their forms; goes with every request of a"
        " session that may change something.",
    },
}

_SAFE = ("get", "head")
_METHODS = ("get", "post", "put", "patch", "delete")


def role_of(operation_id: str) -> Optional[Role]:
    """What it takes; None for what answers anybody. What stands nowhere here is for admins."""
    if operation_id in ANYBODY:
        return None
    if operation_id in VIEWER:
        return Role.VIEWER
    return Role.OPERATOR if operation_id in OPERATOR else Role.ADMIN


def with_rights(paths: Mapping[str, Node], problems: Mapping[str, Node]) -> dict[str, Node]:
    """The paths, each operation with the role it takes and with the answers to those who do not have it."""
    return {path: _item(item, problems) for path, item in paths.items()}


def allowed(paths: Mapping[str, Node], role: Role, bound: bool) -> list[str]:
    """The operations that somebody with that role may ask for, `bound` to tags or not."""
    ids = [item[method]["operationId"] for item in paths.values() for method in _METHODS if method in item]
    roles = {operation: role_of(operation) for operation in ids if not (bound and operation in UNBOUND)}
    return [operation for operation, takes in roles.items() if takes is None or role.includes(takes)]


def _item(item: Node, problems: Mapping[str, Node]) -> Node:
    return {
        key: _operation(key, value, problems) if key in _METHODS else value for key, value in item.items()
    }


def _operation(method: str, operation: Node, problems: Mapping[str, Node]) -> Node:
    role = role_of(operation["operationId"])
    if role is None:
        return {**operation, "security": []}
    session, parameters = {"session": [role.value]}, list(operation.get("parameters", ()))
    if method not in _SAFE:
        session["csrf"] = [role.value]
        parameters.append(AUDIT_REASON)
    responses = {**operation["responses"], **problems}
    return {
        **operation,
        "parameters": parameters,
        "x-required-role": role.value,
        "security": [{"token": [role.value]}, session],
        "responses": dict(sorted(responses.items())),
    }
