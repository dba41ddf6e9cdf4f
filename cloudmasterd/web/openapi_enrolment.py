"""The OpenAPI document's part about enrolment."""

from __future__ import annotations

from typing import Any

from cloudmasterd.enrolment import DEFAULT_S, LONGEST_S, SHORTEST_S
from cloudmasterd.web.openapi_parts import (
    IDEMPOTENCY_KEY,
    READ_PROBLEMS,
    REQUEST_ID,
    Node,
    answer,
    body,
    in_path,
    in_query,
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

_SEEN = in_query(
    "key_fingerprint",
    {"type": "string", "pattern": "^[0-9A-Fa-f:]{64,95}$"},
    "The key that was seen and compared, as the list has it. Where another key waits under the name by now,"
    " nothing is done and the answer is 409.",
)

_REQUESTS: Node = {
    "operationId": "listEnrolments",
    "summary": "Requests for a certificate that wait to be signed, by name",
    "description": "All in one page. Whoever reaches the certmaster may leave a request: compare the key with"
    " the machine's own before you sign it.",
    "responses": {"200": answer("EnrolmentList", "All of them.", ()), **problems(*READ_PROBLEMS)},
}

_SIGN: Node = {
    "operationId": "signEnrolment",
    "summary": "Sign a request: the machine becomes a cloud instance",
    "description": "It fetches its certificate within seconds and appears among the cloud instances.",
    "parameters": [_SEEN, REQUEST_ID],
    "responses": {"204": {"description": "It is signed."}, **problems("404", *_CHANGE)},
}

_REJECT: Node = {
    "operationId": "rejectEnrolment",
    "summary": "Reject a request",
    "description": "The same key waits under this name no more, however often it asks: until somebody cleans"
    " the name (`certmaster-ca --clean NAME`), or it shows a one-time token.",
    "parameters": [_SEEN, REQUEST_ID],
    "responses": {"204": {"description": "It is gone."}, **problems("404", *_CHANGE)},
}

_REQUESTED = in_path("name", "The name that is asked for.")

PATHS: dict[str, Node] = {
    "/api/v1/enrolments": {"get": _REQUESTS},
    "/api/v1/enrolments/{name}": {"parameters": [_REQUESTED], "delete": _REJECT},
    "/api/v1/enrolments/{name}/sign": {"parameters": [_REQUESTED], "post": _SIGN},
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
    "Enrolment": _object(
        "A request for a certificate that waits to be signed.",
        {
            "name": text("The name that is asked for."),
            "address": nullable("string", "Where it came from; null for one of before this was kept."),
            "key_fingerprint": nullable(
                "string",
                "SHA-256 of its public key (DER); null where it cannot be read; then it cannot be signed.",
                pattern="^[0-9a-f]{64}$",
            ),
            "since": text("When it came (RFC 3339, UTC).", format="date-time"),
            "age_s": {"type": "integer", "minimum": 0, "description": "How long ago that is, seconds."},
        },
    ),
    "EnrolmentList": _object(
        "All requests that wait.",
        {
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/Enrolment"}},
            "next": {"type": "null", "description": "There is no next page."},
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
