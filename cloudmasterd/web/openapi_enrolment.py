"""The OpenAPI document's part about enrolment."""

from __future__ import annotations

from typing import Any

from cloudmasterd.enrolment import DEFAULT_S, LONGEST_S, SHORTEST_S
from cloudmasterd.web.openapi_parts import (
    IDEMPOTENCY_KEY,
    READ_PROBLEMS,
    Node,
    answer,
    body,
    in_path,
    problems,
)
from cloudmasterd.web.schemas import Schema, nullable, text

_CHANGE = ("400", "403", "405", "406", "409", "411", "413", "500", "503")
_NAME = text(
    "The name a cloud instance may enrol under, or a glob such as cloud*.example.org; the first that comes"
    " has it.",
    minLength=1,
    maxLength=64,
)
_REPLACE = {
    "type": "boolean",
    "description": "Whether a new key may take the name although another has its certificate, as when the"
    " cloud instance was installed anew. For one name, not for a glob.",
}
_EXPIRES_AT = text("Until when it can be used (RFC 3339, UTC).", format="date-time")
_ID = text("What it is called where its secret must not be said.", pattern="^[0-9a-f]{16}$")

_CREATE: Node = {
    "operationId": "createEnrolmentToken",
    "summary": "Make a one-time token that lets one cloud instance in",
    "description": "The secret is in this answer and nowhere else. The same Idempotency-Key again is answered"
    " 409 with the id of the token that it made: delete that one and ask with another key.",
    "parameters": [IDEMPOTENCY_KEY],
    "requestBody": body("EnrolmentTokenCreate", {"name": "cloud4.example.org", "expires_s": 7200}),
    "responses": {
        "201": answer("EnrolmentToken", "It is good from now on.", ()),
        **problems(*_CHANGE, "415"),
    },
}

_LIST: Node = {
    "operationId": "listEnrolmentTokens",
    "summary": "One-time tokens, newest first, without their secrets",
    "description": "All in one page: those that ended are forgotten after a week.",
    "responses": {"200": answer("EnrolmentTokenList", "All of them.", ()), **problems(*READ_PROBLEMS)},
}

_DELETE: Node = {
    "operationId": "deleteEnrolmentToken",
    "summary": "Take a one-time token back",
    "description": "A certificate that was signed with it stays.",
    "responses": {"204": {"description": "It is gone."}, **problems("404", *_CHANGE)},
}

PATHS: dict[str, Node] = {
    "/api/v1/enrolment-tokens": {"get": _LIST, "post": _CREATE},
    "/api/v1/enrolment-tokens/{token}": {
        "parameters": [in_path("token", "The id of a token.")],
        "delete": _DELETE,
    },
}


def _object(description: str, properties: dict[str, Any]) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": list(properties),
        "properties": properties,
    }


ENROLMENT_SCHEMAS: dict[str, Schema] = {
    "EnrolmentTokenCreate": {
        "type": "object",
        "description": "A one-time token to be made.",
        "required": ["name"],
        "properties": {
            "name": _NAME,
            "expires_s": nullable(
                "integer",
                "How long it can be used, seconds.",
                minimum=SHORTEST_S,
                maximum=LONGEST_S,
                default=DEFAULT_S,
            ),
            "replace": {**_REPLACE, "type": ["boolean", "null"], "default": False},
        },
        "additionalProperties": False,
    },
    "EnrolmentToken": _object(
        "A one-time token that was just made.",
        {
            "id": _ID,
            "token": text("The secret.", pattern="^[A-Za-z0-9_-]{43}$"),
            "name": _NAME,
            "expires_at": _EXPIRES_AT,
            "replace": _REPLACE,
            "ca_fingerprint": text(
                "SHA-256 of the authority's certificate (DER), which the cloud instance pins.",
                pattern="^[0-9a-f]{64}$",
            ),
            "metadata": {
                "type": "object",
                "description": "The kernel options, or metadata of genome-replace-self, that make it enrol.",
                "additionalProperties": {"type": "string"},
            },
            "command": text("What does it all on the machine that is to become a cloud instance."),
        },
    ),
    "KnownEnrolmentToken": _object(
        "What is known of a one-time token.",
        {
            "id": _ID,
            "name": _NAME,
            "state": text(
                "claimed: its certificate is being signed; after a crash the same key may go on.",
                enum=["open", "claimed", "used", "expired"],
            ),
            "replace": _REPLACE,
            "used_by": nullable("string", "The name that used it."),
            "created_at": text("When it was made (RFC 3339, UTC).", format="date-time"),
            "expires_at": _EXPIRES_AT,
        },
    ),
    "EnrolmentTokenList": _object(
        "All one-time tokens.",
        {
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/KnownEnrolmentToken"}},
            "next": {"type": "null", "description": "There is no next page."},
        },
    ),
}
