"""The OpenAPI document's part about the audit record."""

from __future__ import annotations

from cloudmasterd.acting import RESULTS
from cloudmasterd.record_text import COLUMNS
from cloudmasterd.web.api.audit import FORMAT_NAMES
from cloudmasterd.web.openapi_parts import CURSOR, LIMIT, READ_PROBLEMS, Node, in_query, names, problems
from cloudmasterd.web.schemas import Schema, nullable, page_of, text, whole

_TEXT: Node = {"type": "string", "maxLength": 255}
_TIME: Node = {"type": "string", "examples": ["2026-11-22", "2026-11-22T08:00:00Z"]}
_LINES: Node = {"schema": {"type": "string"}}
_LINK: Node = {
    "Link": {"description": "The next page, where there is one.", "schema": {"type": "string"}},
}

_LIST_AUDIT: Node = {
    "operationId": "listAudit",
    "summary": "Who did what, newest first",
    "description": "Every change, every refused attempt, and what others did on the cloud instances. To"
    " follow, ask with `after`: then the oldest comes first. CSV and JSON lines are chosen by Accept or"
    " `format`, and their next page is in `Link`. The hash of a record is SHA-256 over the hash before it and"
    " the record without `previous` and `hash` as JSON with sorted keys, without spaces, in ASCII.",
    "parameters": [
        LIMIT,
        CURSOR,
        in_query(
            "after",
            {"type": "integer", "minimum": 0, "maximum": 999_999_999},
            "Only records with a larger id, oldest first.",
        ),
        in_query("format", {"type": "string", "enum": list(FORMAT_NAMES)}, "Instead of Accept."),
        in_query("fields", names(list(COLUMNS)), "Only these keys of each item of JSON.", joined=True),
        in_query("who", _TEXT, "Only those of this user or cloud instance."),
        in_query("action", _TEXT, "Only those of this kind, e.g. deleteMachine."),
        in_query("target", _TEXT, "Only those of this path and of what lies below it."),
        in_query("result", {"type": "string", "enum": list(RESULTS)}, "Only those that ended like this."),
        in_query("request_id", _TEXT, "Only those of this request."),
        in_query("since", _TIME, "Only those of this time or later; UTC where it names no zone."),
        in_query("until", _TIME, "Only those before this time."),
    ],
    "responses": {
        "200": {
            "description": "One page.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/AuditList"}},
                "text/csv": _LINES,
                "application/x-ndjson": _LINES,
            },
            "headers": _LINK,
        },
        **problems(*READ_PROBLEMS),
    },
}

PATHS: dict[str, Node] = {"/api/v1/audit": {"get": _LIST_AUDIT}}

_ENTRY: Schema = {
    "type": "object",
    "description": "Something that somebody did, or tried.",
    "properties": {
        "id": whole("Its number; they have no gaps."),
        "at": text("When, in UTC."),
        "who": text("The user, or the cloud instance where it was observed; empty: nobody known."),
        "means": text("session, token, proxy or none; local: a command; observed: others did it there."),
        "credential": text("The public id of the token or the session."),
        "address": text("Where the request came from."),
        "request_id": text("The X-Request-Id of the request."),
        "action": text("The operationId of the request, also of a form; or the kind of an event."),
        "target": text("The path of what it was done to."),
        "result": text("How it ended.", enum=list(RESULTS)),
        "status": nullable("integer", "The HTTP status; null where it is written with the change itself."),
        "reason": text("Why, where X-Audit-Reason said so."),
        "detail": {"type": "object", "description": "What changed, or what stood against it."},
        "previous": text("The hash of the record before it."),
        "hash": text("Its own hash."),
    },
}

_LIST: Schema = {
    **page_of("AuditEntry"),
    "required": ["items", "next", "head"],
    "properties": {
        **page_of("AuditEntry")["properties"],
        "head": text("COUNT:HASH of the whole record, to be noted elsewhere."),
    },
}

AUDIT_SCHEMAS: dict[str, Schema] = {"AuditEntry": _ENTRY, "AuditList": _LIST}
