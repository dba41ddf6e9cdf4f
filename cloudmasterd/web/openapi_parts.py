"""What the operations of the OpenAPI document are put together from."""

from __future__ import annotations

from typing import Any, Optional

Node = dict[str, Any]

PROBLEM_TEXTS = {
    "400": "A parameter, a header or the body is wrong; `errors` names it and what would be right.",
    "401": "It is not known who asks: there is no credential, or it is no good; `detail` says which.",
    "403": "It is known who asks, and they may not: their role or their tags do not go that far, a secret"
    " would be there for others to read, or a browser sent this on behalf of another site.",
    "404": "No such thing; `detail` says where to look.",
    "405": "The path does not have this method; `Allow` lists those it has.",
    "406": "The client accepts nothing that this path answers with.",
    "409": "It can be, but not now or not beside what is there; `errors` has the reasons where there are"
    " several: of a machine instance that fits nowhere, one for each cloud instance (`field` is its name).",
    "411": "The body came in chunks; send it with its Content-Length.",
    "412": "If-Match names another version than the present one; read it again.",
    "413": "The body is larger than 1 MiB; a chunk of an image, than 4 MiB.",
    "415": "The body is of another type than `Accept` of this answer says.",
    "429": "Wrong passwords came too often; `Retry-After` says in how many seconds another one is taken.",
    "500": "An error in cloudmasterd; `detail` has the id under which its log says more.",
    "501": "The cloud instance cannot do this at all; `detail` says what it would take.",
    "502": "The cloud instance refused, or tried and failed; or the cobbler server did not say what it was"
    " asked.",
    "503": "The store cannot be used, or too much of the same is under way.",
    "504": "The cloud instance, or the cobbler server, did not answer within its deadline.",
}

IF_NONE_MATCH: Node = {"$ref": "#/components/parameters/IfNoneMatch"}
IF_MATCH: Node = {"$ref": "#/components/parameters/IfMatch"}
IDEMPOTENCY_KEY: Node = {"$ref": "#/components/parameters/IdempotencyKey"}
PREFER: Node = {"$ref": "#/components/parameters/Prefer"}
REQUEST_ID: Node = {"$ref": "#/components/parameters/RequestId"}
AUDIT_REASON: Node = {"$ref": "#/components/parameters/AuditReason"}
UNCHANGED: Node = {"304": {"$ref": "#/components/responses/NotModified"}}

READ_PROBLEMS = ("400", "405", "406", "500", "503")
CHANGE_PROBLEMS = ("400", "403", "404", "405", "406", "409", "411", "413", "500", "503")


def problems(*codes: str) -> Node:
    """The error responses with these statuses."""
    return {code: {"$ref": f"#/components/responses/Problem{code}"} for code in codes}


def answer(schema: str, text: str, headers: tuple[str, ...] = ("ETag",)) -> Node:
    """A response of one shape, with headers that are described under their names."""
    response: Node = {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    if headers:
        names = {name: name.replace("-", "") for name in headers}
        response["headers"] = {n: {"$ref": f"#/components/headers/{key}"} for n, key in names.items()}
    return response


def accepted(when: str, problem_codes: tuple[str, ...]) -> Node:
    """The responses of a request that becomes a task."""
    headers = ("Location", "Preference-Applied", "Idempotency-Replayed")
    return {
        "200": answer("Task", "With `Prefer: wait`, the task has ended; `state` says how.", headers),
        "202": answer("Task", when, headers),
        **problems(*problem_codes),
    }


def body(schema: str, example: Optional[Node] = None) -> Node:
    """A JSON body of one shape."""
    media: Node = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        media["example"] = example
    return {"required": True, "content": {"application/json": media}}


def in_query(name: str, schema: Node, text: str, joined: bool = False) -> Node:
    """A query parameter."""
    parameter: Node = {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
    if joined:
        # commas within one value are understood as well as repetition
        parameter.update(style="form", explode=False)
    return parameter


def in_path(name: str, text: str, schema: Optional[Node] = None) -> Node:
    """A name in a path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text,
        "schema": schema or {"type": "string", "minLength": 1, "maxLength": 255},
    }


def names(values: list[str]) -> Node:
    """The schema of several out of a few words."""
    return {"type": "array", "items": {"type": "string", "enum": values}}


LIMIT = in_query(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "How many items a page has at most.",
)
CURSOR = in_query(
    "cursor", {"type": "string"}, "Where the page starts: taken from `next` of the page before."
)
CLOUD_NAME = in_path("cloud", "The name of a cloud instance.")
MACHINE_NAME = in_path("machine", "The name or the UUID of a machine instance.")


def _header_parameter(name: str, text: str, schema: Optional[Node] = None) -> Node:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": schema or {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$"},
    }


PARAMETERS: dict[str, Node] = {
    "IfNoneMatch": _header_parameter(
        "If-None-Match", "The ETag of what the client has; answered 304 while that holds."
    ),
    "IfMatch": _header_parameter(
        "If-Match",
        "The ETag of the version that is to be changed, or several, or *; any other version is answered 412."
        " Tags are compared strongly (RFC 9110). Without it any version is changed.",
    ),
    "IdempotencyKey": _header_parameter(
        "Idempotency-Key",
        "A name of the client's for this request, e.g. a UUID. The same request under the same key is"
        " answered with the task that it made the first time; another request under that key is answered"
        " 409.",
        {"type": "string", "pattern": '^"?[A-Za-z0-9._:+/=@~-]{1,128}"?$'},
    ),
    "Prefer": _header_parameter(
        "Prefer", "`wait=N` waits up to N seconds, at most 60, for the task to end (RFC 7240)."
    ),
    "RequestId": _header_parameter(
        "X-Request-Id",
        "A name of the client's for this one request; the task, the audit record and the audit logs of the"
        " cloud instances keep it. Send 1 to 64 letters, digits and `-`: whatever else is sent is passed"
        " over, and replaced by one of ours.",
        {"type": "string"},
    ),
    "AuditReason": _header_parameter(
        "X-Audit-Reason", "Why, in a few words: the audit record keeps it.", {"type": "string"}
    ),
}


def _header(text: str) -> Node:
    return {"description": text, "schema": {"type": "string"}}


HEADERS: dict[str, Node] = {
    "ETag": _header("Changes with every fact; observed_at alone does not change it."),
    "Location": _header("The task: /api/v1/tasks/{id}."),
    "PreferenceApplied": _header("`wait=N` when the request waited; absent when no place to wait was free."),
    "IdempotencyReplayed": _header("`true` when this task was made by an earlier request with the same key."),
    "RetryAfter": _header("Seconds."),
    "WWWAuthenticate": _header('How to ask: Bearer realm="cloudmasterd".'),
    "XRequestId": _header("The id of this request, the client's or ours; every response has it."),
}


def responses() -> dict[str, Node]:
    """The responses that operations refer to."""
    schema = {"$ref": "#/components/schemas/Problem"}
    told = {
        f"Problem{code}": {"description": text, "content": {"application/problem+json": {"schema": schema}}}
        for code, text in PROBLEM_TEXTS.items()
    }
    told["Problem401"]["headers"] = {"WWW-Authenticate": {"$ref": "#/components/headers/WWWAuthenticate"}}
    told["Problem429"]["headers"] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    return {"NotModified": {"description": "What the client has still holds."}, **told}
