"""The OpenAPI document's part about profiles."""

from __future__ import annotations

from cloudmasterd.web.api.profiles import ARCHES
from cloudmasterd.web.openapi_parts import (
    CURSOR,
    IF_NONE_MATCH,
    LIMIT,
    READ_PROBLEMS,
    UNCHANGED,
    Node,
    answer,
    in_path,
    in_query,
    names,
    problems,
)
from cloudmasterd.web.represent import PROFILE_FIELDS
from cloudmasterd.web.schemas import Schema, nullable, page_of, text

_LIST: Node = {
    "operationId": "listProfiles",
    "summary": "Profiles of the cobbler server, by name",
    "description": "As it was last heard of: this never waits for the cobbler server. `catalogue` says how"
    " old that is, and why it is not newer.",
    "parameters": [
        LIMIT,
        CURSOR,
        in_query("arch", names(list(ARCHES)), "Only those for one of these architectures.", joined=True),
        in_query("fields", names(list(PROFILE_FIELDS)), "Only these keys of each item.", joined=True),
        IF_NONE_MATCH,
    ],
    "responses": {"200": answer("ProfileList", "One page."), **UNCHANGED, **problems(*READ_PROBLEMS)},
}

_GET: Node = {
    "operationId": "getProfile",
    "summary": "One profile",
    "parameters": [IF_NONE_MATCH],
    "responses": {
        "200": answer("Profile", "The profile as it was last heard of."),
        **UNCHANGED,
        **problems("404", *READ_PROBLEMS),
    },
}

_REFRESH: Node = {
    "operationId": "refreshProfiles",
    "summary": "Ask the cobbler server now",
    "description": "Waits for its answer, e.g. after profiles were registered there. 409 where no cobbler"
    " server is set.",
    "responses": {
        "200": answer("Catalogue", "It has answered.", ()),
        **problems("400", "403", "405", "406", "409", "500", "502", "503", "504"),
    },
}

PATHS: dict[str, Node] = {
    "/api/v1/profiles": {"get": _LIST},
    "/api/v1/profiles/refresh": {"post": _REFRESH},
    "/api/v1/profiles/{profile}": {
        "parameters": [in_path("profile", "The name of a profile.")],
        "get": _GET,
    },
}

_PROPERTIES: Schema = {
    "name": text("Its name on the cobbler server."),
    "distro": text("The distribution it installs, by cobbler's name."),
    "arch": nullable(
        "string", "Its architecture in cobbler's word, e.g. i386; null where that is not known."
    ),
    "breed": text("The family of its installer, e.g. redhat; may be empty."),
    "os_version": text("What cobbler calls the version, e.g. rhel9; empty where it does not know it."),
    "kernel_options": text(
        "Its own kernel options, as on a command line; values that look secret are hidden."
    ),
    "kickstart": text("The name of its kickstart template; may be empty."),
    "memory_mb": nullable("integer", "The memory it proposes, MiB."),
    "vcpus": nullable("integer", "The virtual CPUs it proposes."),
    "disk_gb": nullable("number", "The disk it proposes, GiB."),
    "comment": text("What is noted about it on the cobbler server."),
    "observed_at": nullable(
        "string", "When the cobbler server last said so (RFC 3339, UTC).", format="date-time"
    ),
}

_CATALOGUE: Schema = {
    "type": "object",
    "description": "Where the profiles are from, how old that is, and why it is not newer.",
    "required": ["server", "observed_at", "error", "failing_since"],
    "properties": {
        "server": nullable("string", "The cobbler server; null where none is set."),
        "observed_at": nullable(
            "string",
            "When it last said that these are its profiles (RFC 3339, UTC); null: never.",
            format="date-time",
        ),
        "error": nullable("string", "Why it could not be asked the last time."),
        "failing_since": nullable(
            "string", "Since when it cannot be asked (RFC 3339, UTC).", format="date-time"
        ),
    },
}


def _list_schema() -> Schema:
    schema = page_of("Profile")
    return {
        **schema,
        "required": [*schema["required"], "catalogue"],
        "properties": {**schema["properties"], "catalogue": {"$ref": "#/components/schemas/Catalogue"}},
    }


PROFILE_SCHEMAS: dict[str, Schema] = {
    "Profile": {
        "type": "object",
        "description": "A cobbler profile that machine instances can be installed from.",
        "required": list(PROFILE_FIELDS),
        "properties": _PROPERTIES,
    },
    "ProfileList": _list_schema(),
    "Catalogue": _CATALOGUE,
}
