"""The OpenAPI document: the contract of the REST interface, held against the routes by a test."""

from __future__ import annotations

from cloudmasterd import __version__
from cloudmasterd.web import (
    openapi_audit,
    openapi_clouds,
    openapi_enrolment,
    openapi_images,
    openapi_machines,
    openapi_people,
    openapi_profiles,
    openapi_rights,
    openapi_tasks,
)
from cloudmasterd.web.openapi_parts import (
    HEADERS,
    IF_NONE_MATCH,
    PARAMETERS,
    UNCHANGED,
    Node,
    answer,
    problems,
    responses,
)
from cloudmasterd.web.schemas import SCHEMAS
from cloudmasterd.web.schemas_people import PEOPLE_SCHEMAS
from cloudmasterd.web.schemas_requests import REQUEST_SCHEMAS
from cloudmasterd.web.schemas_tasks import TASK_SCHEMAS

_GET_DOCUMENT: Node = {
    "operationId": "getDocument",
    "summary": "This document",
    "parameters": [IF_NONE_MATCH],
    "responses": {
        "200": {
            "description": "An OpenAPI 3.1 document.",
            "content": {"application/json": {"schema": {"type": "object"}}},
            "headers": {"ETag": {"$ref": "#/components/headers/ETag"}},
        },
        **UNCHANGED,
        **problems("400", "405", "406", "500"),
    },
}

_LIVE: Node = {
    "operationId": "live",
    "summary": "Whether the process answers",
    "responses": {"200": answer("Health", "It does.", ()), **problems("400", "405", "500")},
}

_READY: Node = {
    "operationId": "ready",
    "summary": "Whether this cloud master can do its work",
    "responses": {
        "200": answer("Readiness", "It can.", ()),
        "503": answer("Readiness", "It cannot; `reasons` says why.", ()),
        **problems("400", "405", "500"),
    },
}

PATHS: dict[str, Node] = {
    **openapi_clouds.PATHS,
    **openapi_machines.PATHS,
    **openapi_images.PATHS,
    **openapi_profiles.PATHS,
    **openapi_enrolment.PATHS,
    **openapi_people.PATHS,
    **openapi_tasks.PATHS,
    **openapi_audit.PATHS,
    "/api/v1/openapi.json": {"get": _GET_DOCUMENT},
    "/healthz": {"get": _LIVE},
    "/readyz": {"get": _READY},
}


def document() -> Node:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cloudmasterd",
            "version": __version__,
            "summary": "Machine instances on cloud instances.",
            "description": "Memory is in MB (MiB), disks are in GB (GiB), times are RFC 3339 in UTC, errors"
            " are problem documents. Long work is answered 202 with a task. Every response has X-Request-Id.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "/"}],
        "paths": openapi_rights.with_rights(PATHS, problems("401", "403")),
        "components": {
            "schemas": {
                **SCHEMAS,
                **TASK_SCHEMAS,
                **REQUEST_SCHEMAS,
                **openapi_images.IMAGE_SCHEMAS,
                **openapi_profiles.PROFILE_SCHEMAS,
                **openapi_enrolment.ENROLMENT_SCHEMAS,
                **PEOPLE_SCHEMAS,
                **openapi_audit.AUDIT_SCHEMAS,
            },
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": responses(),
            "securitySchemes": dict(openapi_rights.SECURITY_SCHEMES),
        },
    }
