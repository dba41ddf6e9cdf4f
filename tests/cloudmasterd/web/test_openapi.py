"""The OpenAPI document against the routes, against itself and against what is really answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Optional

import pytest

from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import Invalid
from cloudmasterd.flavors import DEFAULT_FLAVORS
from cloudmasterd.model import CloudState, MachineState, StepState, TaskState
from cloudmasterd.rebuild_spec import RebuildSpec, parse_rebuild
from cloudmasterd.rights import Role
from cloudmasterd.spec import (
    Change,
    CloudChange,
    MachineSpec,
    parse_change,
    parse_cloud_change,
    parse_create,
)
from cloudmasterd.web.api.people_bodies import (
    NewPassword,
    NewToken,
    NewUser,
    UserChange,
    parse_new_password,
    parse_new_token,
    parse_new_user,
    parse_user_change,
)
from cloudmasterd.web.assets import Assets
from cloudmasterd.web.body import Body
from cloudmasterd.web.openapi import document
from cloudmasterd.web.openapi_rights import ANYBODY, OPERATOR, UNBOUND, VIEWER, allowed
from cloudmasterd.web.represent import (
    CLOUD_FIELDS,
    EVENT_FIELDS,
    IMAGE_FIELDS,
    MACHINE_FIELDS,
    STEP_FIELDS,
    TASK_FIELDS,
)
from cloudmasterd.web.router import Route
from cloudmasterd.web.routes import table
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.waiting import Waits
from tests.fakes import profile

DOCUMENT = document()
METHODS = ("get", "post", "put", "patch", "delete")


def described() -> Iterator[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = [
                    resolve(p) for p in item.get("parameters", []) + item[method].get("parameters", [])
                ]
                yield method.upper(), path, item[method], parameters


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def routes() -> tuple[Route, ...]:
    assets = Assets()
    site = Site(None, None, SystemClock(), "x", 15, list)  # type: ignore[arg-type]
    return table(site, Templates(site, assets.url), assets, Waits())


def programs(route: Route) -> bool:
    return route.path.startswith("/api/") or route.path in ("/healthz", "/readyz")


def test_routes_and_document_have_the_same_paths_and_methods() -> None:
    served = {(route.method, route.path) for route in routes() if programs(route)}
    assert served == {(method, path) for method, path, _, _ in described()}


def test_routes_and_document_have_the_same_parameters() -> None:
    by_place = {(route.method, route.path): route for route in routes()}
    for method, path, _, parameters in described():
        in_query = {p["name"] for p in parameters if p["in"] == "query"}
        assert in_query == {param.name for param in by_place[method, path].params}, path
        in_path = {p["name"] for p in parameters if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path)), path


def test_routes_and_document_take_the_same_roles() -> None:
    roles = {(route.method, route.path): route.role for route in routes()}
    for method, path, operation, _ in described():
        role = roles[method, path]
        where = (method, path, operation["operationId"])
        assert operation.get("x-required-role") == (None if role is None else role.value), where
        schemes = [{"token"}, {"session"} if method == "GET" else {"session", "csrf"}]
        assert [set(way) for way in operation["security"]] == ([] if role is None else schemes), where
        named = [names for way in operation["security"] for names in way.values()]
        assert all(names == [role.value] for names in named if role is not None), where
        refusals = {"401", "403"} & set(operation["responses"])
        assert refusals == (set() if role is None else {"401", "403"}), where
        assert set().union(*operation["security"]) <= set(DOCUMENT["components"]["securitySchemes"])


def test_what_is_open_to_a_role_is_open_to_those_above_it() -> None:
    paths = DOCUMENT["paths"]
    for bound in (False, True):
        viewer, operator, admin = (set(allowed(paths, role, bound)) for role in Role)
        assert viewer < operator < admin
    everything = {operation["operationId"] for _, _, operation, _ in described()}
    assert set(allowed(paths, Role.ADMIN, False)) == everything
    assert set(allowed(paths, Role.OPERATOR, False)) - set(allowed(paths, Role.OPERATOR, True)) == UNBOUND
    assert everything >= ANYBODY | VIEWER | OPERATOR | UNBOUND  # no name in the table is a wrong one


def test_every_operation_is_complete() -> None:
    ids = [operation["operationId"] for _, _, operation, _ in described()]
    assert len(ids) == len(set(ids))
    for _, path, operation, parameters in described():
        assert operation["summary"]
        assert any(code.startswith("2") for code in operation["responses"]), path
        for code, response in operation["responses"].items():
            assert re.fullmatch(r"\d{3}", code) and resolve(response)["description"]
            if code[0] in "45" and (path, code) != ("/readyz", "503"):
                assert list(resolve(response)["content"]) == ["application/problem+json"]
        for parameter in parameters:
            assert parameter["description"] and parameter["schema"]
            assert parameter["in"] != "path" or parameter["required"] is True


def header_names(parameters: list[dict[str, Any]]) -> set[str]:
    return {parameter["name"] for parameter in parameters if parameter["in"] == "header"}


def test_bodies_are_described_where_they_are_read() -> None:
    by_place = {(route.method, route.path): route for route in routes()}
    for method, path, operation, _ in described():
        reads = by_place[method, path].body in (Body.JSON, Body.BYTES)
        assert ("requestBody" in operation) is reads, path
        assert ("415" in operation["responses"]) is reads, path
        assert ("413" in operation["responses"]) is (by_place[method, path].body is not Body.DROPPED), path
        if reads:
            assert operation["requestBody"]["required"] is True


def test_what_headers_bring_about_is_described_with_them() -> None:
    for _, path, operation, parameters in described():
        given, codes = header_names(parameters), set(operation["responses"])
        assert ("If-None-Match" in given) == ("304" in codes), path
        assert ("If-Match" in given) == ("412" in codes), path
        for code in codes & {"200", "202"}:
            headers = operation["responses"][code].get("headers", {})
            assert ("Idempotency-Replayed" in headers) is ("Idempotency-Key" in given), path
            assert ("Location" not in headers) or "Prefer" in given, path


def test_every_reference_leads_somewhere() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                resolve(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(DOCUMENT)


SHAPES = (
    ("Cloud", CLOUD_FIELDS),
    ("Machine", MACHINE_FIELDS),
    ("Task", TASK_FIELDS),
    ("Step", STEP_FIELDS),
    ("Event", EVENT_FIELDS),
    ("Image", IMAGE_FIELDS),
)


def test_the_schemas_are_the_shapes() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name, keys in SHAPES:
        assert tuple(schemas[name]["properties"]) == tuple(schemas[name]["required"]) == keys
    assert set(schemas["Cloud"]["properties"]["state"]["enum"]) == {s.value for s in CloudState}
    assert set(schemas["Machine"]["properties"]["state"]["enum"]) == {s.value for s in MachineState}
    assert set(schemas["Task"]["properties"]["state"]["enum"]) == {s.value for s in TaskState}
    assert set(schemas["Step"]["properties"]["state"]["enum"]) == {s.value for s in StepState}


def read_create(body: Any) -> MachineSpec:
    return parse_create(body, DEFAULT_FLAVORS)


REQUESTS: list[tuple[str, Any, Any, dict[str, Any]]] = [
    (
        "MachineCreate",
        lambda body: parse_create(body, DEFAULT_FLAVORS),
        MachineSpec,
        {"name": "a", "memory_mb": 512},
    ),
    ("MachineChange", parse_change, Change, {}),
    ("CloudChange", parse_cloud_change, CloudChange, {}),
    ("CloudRebuild", parse_rebuild, RebuildSpec, {}),
    ("UserCreate", parse_new_user, NewUser, {"name": "ada", "role": "viewer"}),
    ("UserChange", parse_user_change, UserChange, {}),
    ("PasswordChange", parse_new_password, NewPassword, {}),
    ("TokenCreate", parse_new_token, NewToken, {"title": "backup"}),
]


@pytest.mark.parametrize(("name", "read", "kind", "least"), REQUESTS, ids=[row[0] for row in REQUESTS])
def test_what_is_sent_has_the_fields_that_are_read(name: str, read: Any, kind: Any, least: Any) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    assert set(schema["properties"]) == {field.name for field in fields(kind)}
    assert schema["additionalProperties"] is False
    for field, described_as in schema["properties"].items():
        kinds = described_as.get("type", ())
        if "integer" in kinds or kinds == "integer":
            for number, right in (
                (described_as["minimum"], True), (described_as["minimum"] - 1, False),
                (described_as["maximum"], True), (described_as["maximum"] + 1, False),
            ):  # fmt: skip
                assert accepts(read, {**least, field: number}) is right, (field, number)
        if "null" in kinds:
            assert accepts(read, {**least, field: None}) or field in least, field
        elif field not in least:
            assert not accepts(read, {**least, field: None}) or "anyOf" in described_as, field
        for word in described_as.get("enum", ()):
            assert accepts(read, {**least, field: word}), (field, word)
        if "maxLength" in described_as and field not in ("name",):
            assert accepts(read, {**least, field: "x" * described_as["maxLength"]}), field
            assert not accepts(read, {**least, field: "x" * (described_as["maxLength"] + 1)}), field


def accepts(read: Any, value: Any) -> bool:
    try:
        read(value)
    except Invalid:
        return False
    return True


def test_the_kinds_of_sources_are_those_that_are_read() -> None:
    sources = DOCUMENT["components"]["schemas"]["MachineCreate"]["properties"]["source"]["anyOf"]
    wanted = {"volume": "default/boot.iso", "image": "debian-12", "profile": "GenomeCloud-F8-i386"}
    for choice in sources[:-1]:
        schema = resolve(choice)
        source = {"kind": schema["properties"]["kind"]["enum"][0]}
        source.update({name: wanted[name] for name in schema["required"] if name != "kind"})
        assert accepts(read_create, {"name": "a", "memory_mb": 512, "source": source}), source
        for name in schema["required"]:
            less = {key: value for key, value in source.items() if key != name}
            assert not accepts(read_create, {"name": "a", "memory_mb": 512, "source": less}), less


def test_examples_of_bodies_are_right() -> None:
    readers: dict[str, Any] = {row[0]: row[1] for row in REQUESTS}
    for _, path, operation, _ in described():
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if media is not None:
            name = media["schema"]["$ref"].rsplit("/", 1)[1]
            if name in readers:
                readers[name](media["example"])
            assert misfit(media["example"], media["schema"]) is None, path


KINDS: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": float,
}  # fmt: skip


def misfit(value: Any, schema: dict[str, Any], where: str = "$") -> Optional[str]:
    """Where a value does not fit a schema, for the few words that the document uses."""
    schema = resolve(schema)
    if "anyOf" in schema:
        found = [misfit(value, choice, where) for choice in schema["anyOf"]]
        return None if None in found else found[0]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(type(value) is KINDS[kind] for kind in kinds):
        return f"{where}: {value!r} is not {kinds}"
    if isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        inner = [misfit(item, schema["additionalProperties"], f"{where}.{k}") for k, item in value.items()]
        return next((m for m in inner if m), None)
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: {value!r} is not in {schema['enum']}"
    if isinstance(value, list):
        inner = [misfit(item, schema["items"], f"{where}[{i}]") for i, item in enumerate(value)]
        return next((m for m in inner if m), None)
    if isinstance(value, dict):
        missing = set(schema.get("required", ())) - set(value)
        if missing:
            return f"{where}: {missing} missing"
        properties = schema.get("properties", {})
        for key, item in value.items():
            problem = misfit(item, properties[key], f"{where}.{key}") if key in properties else None
            if problem:
                return problem
        if properties and set(value) - set(properties):
            return f"{where}: {set(value) - set(properties)} not described"
    return None


CLOUD, MACHINE, TASK = "/api/v1/clouds/{cloud}", "/api/v1/machines/{machine}", "/api/v1/tasks/{task}"
IMAGE, PROFILE = "/api/v1/images/{image}", "/api/v1/profiles/{profile}"
TOKENS = "/api/v1/enrolment-tokens"
ENROLMENTS = "/api/v1/enrolments"
# whom one has to be for these, test_people_api.py makes first
PEOPLE = {(m, p) for m, p, _, _ in described() if p.split("/")[3:4] in (["users"], ["tokens"], ["sessions"])}
PEOPLE |= {("GET", "/api/v1/whoami")}
PROFILE_NAME = "GenomeCloud-RHEL5U2-x86_64"
NEW_IMAGE = {"name": "first", "format": "raw", "sha256": "0" * 64, "size_bytes": 1024}
SIZE = {"memory_mb": 512}

ANSWERS: list[tuple[str, str, str, int, Any]] = [
    ("GET", "/api/v1/clouds", "/api/v1/clouds", 200, None),
    ("GET", "/api/v1/clouds/cloud1.example.org", CLOUD, 200, None),
    ("GET", "/api/v1/clouds/cloud3.example.org", CLOUD, 200, None),
    ("GET", "/api/v1/clouds/none", CLOUD, 404, None),
    ("PATCH", "/api/v1/clouds/cloud1.example.org", CLOUD, 200, {"reserve_mb": 9, "tags": {"a": "b"}}),
    ("PATCH", "/api/v1/clouds/cloud1.example.org", CLOUD, 400, {"reserve_mb": -9}),
    ("PATCH", "/api/v1/clouds/none", CLOUD, 404, {"notes": "x"}),
    ("POST", "/api/v1/clouds/cloud1.example.org/refresh", CLOUD + "/refresh", 200, None),
    ("GET", "/api/v1/clouds/cloud1.example.org/resources", CLOUD + "/resources", 200, None),
    ("GET", "/api/v1/clouds/cloud2.example.org/resources", CLOUD + "/resources", 200, None),
    ("GET", "/api/v1/clouds/none/resources", CLOUD + "/resources", 404, None),
    (
        "POST",
        "/api/v1/clouds/cloud1.example.org/rebuild",
        CLOUD + "/rebuild",
        202,
        {"profile": PROFILE_NAME, "lose": ["build1", "jboss1.example.org"]},
    ),
    (
        "POST",
        "/api/v1/clouds/cloud1.example.org/rebuild",
        CLOUD + "/rebuild",
        409,
        {"profile": PROFILE_NAME, "lose": ["build1"]},
    ),
    ("POST", "/api/v1/clouds/cloud1.example.org/rebuild", CLOUD + "/rebuild", 400, {}),
    ("POST", "/api/v1/clouds/cloud2.example.org/rebuild", CLOUD + "/rebuild", 504, {"profile": PROFILE_NAME}),
    ("GET", "/api/v1/machines?limit=2", "/api/v1/machines", 200, None),
    ("GET", "/api/v1/machines?limit=x", "/api/v1/machines", 400, None),
    ("POST", "/api/v1/machines", "/api/v1/machines", 202, {"name": "a", **SIZE}),
    ("POST", "/api/v1/machines", "/api/v1/machines", 400, {"name": "A"}),
    ("POST", "/api/v1/machines", "/api/v1/machines", 409, {"name": "a", "memory_mb": 1 << 20}),
    ("GET", "/api/v1/machines/web1", MACHINE, 200, None),
    ("PATCH", "/api/v1/machines/web1", MACHINE, 200, {"notes": "x"}),
    ("PATCH", "/api/v1/machines/build1", MACHINE, 202, SIZE),
    ("PATCH", "/api/v1/machines/web1", MACHINE, 504, SIZE),
    ("DELETE", "/api/v1/machines/build1", MACHINE, 202, None),
    ("DELETE", "/api/v1/machines/jboss1.example.org", MACHINE, 409, None),
    ("POST", "/api/v1/machines/build1/adopt", MACHINE + "/adopt", 202, None),
    ("POST", "/api/v1/machines/build1/start", MACHINE + "/start", 202, None),
    ("POST", "/api/v1/machines/build1/shutdown", MACHINE + "/shutdown", 409, None),
    ("POST", "/api/v1/machines/jboss1.example.org/shutdown", MACHINE + "/shutdown", 202, None),
    ("POST", "/api/v1/machines/jboss1.example.org/poweroff", MACHINE + "/poweroff", 202, None),
    ("POST", "/api/v1/machines/jboss1.example.org/reboot", MACHINE + "/reboot", 202, None),
    ("POST", "/api/v1/machines/jboss1.example.org/reset", MACHINE + "/reset", 202, None),
    ("POST", "/api/v1/machines/jboss1.example.org/pause", MACHINE + "/pause", 202, None),
    ("POST", "/api/v1/machines/jboss1.example.org/resume", MACHINE + "/resume", 409, None),
    ("GET", "/api/v1/tasks", "/api/v1/tasks", 200, None),
    ("GET", "/api/v1/tasks?fields=steps", "/api/v1/tasks", 200, None),
    ("GET", "/api/v1/tasks/1", TASK, 200, None),
    ("GET", "/api/v1/tasks/9", TASK, 404, None),
    ("POST", "/api/v1/tasks/9/cancel", TASK + "/cancel", 404, None),
    ("GET", "/api/v1/events", "/api/v1/events", 200, None),
    ("GET", "/api/v1/events?after=x", "/api/v1/events", 400, None),
    ("GET", "/api/v1/flavors", "/api/v1/flavors", 200, None),
    ("GET", "/api/v1/capacity", "/api/v1/capacity", 200, None),
    ("POST", "/api/v1/placements", "/api/v1/placements", 200, SIZE),
    ("POST", "/api/v1/placements", "/api/v1/placements", 400, {}),
    ("GET", "/api/v1/images", "/api/v1/images", 200, None),
    ("GET", "/api/v1/images/first", IMAGE, 200, None),
    ("GET", "/api/v1/images/none", IMAGE, 404, None),
    ("POST", "/api/v1/images", "/api/v1/images", 201, {**NEW_IMAGE, "name": "second"}),
    ("POST", "/api/v1/images", "/api/v1/images", 409, NEW_IMAGE),
    ("POST", "/api/v1/images", "/api/v1/images", 400, {}),
    ("GET", "/api/v1/profiles", "/api/v1/profiles", 200, None),
    ("GET", "/api/v1/profiles?arch=vax", "/api/v1/profiles", 400, None),
    ("POST", "/api/v1/profiles/refresh", "/api/v1/profiles/refresh", 200, None),
    ("GET", "/api/v1/profiles/GenomeCloud-RHEL5U2-x86_64", PROFILE, 200, None),
    ("GET", "/api/v1/profiles/none", PROFILE, 404, None),
    ("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", 200, None),
    ("GET", "/healthz", "/healthz", 200, None),
    ("GET", "/readyz", "/readyz", 200, None),
]


@pytest.mark.parametrize(("method", "target", "path", "status", "body"), ANSWERS)
def test_answers_are_as_described(
    small: Any, method: str, target: str, path: str, status: int, body: Any
) -> None:
    if "/tasks" in path:
        small.send("POST", "/api/v1/machines", {"name": "first", **SIZE})
    if "/profiles" in path or "/rebuild" in path:
        small.cobbler.put(profile(memory_mb=512, disk_gb=8.0))
        small.profiles.refresh()
    if "/images" in path:
        small.send("POST", "/api/v1/images", NEW_IMAGE)
    if target.endswith("cloud1.example.org/resources"):
        small.send("POST", "/api/v1/clouds/cloud1.example.org/refresh")
    answer = small.send(method, target, body)
    assert answer.status == status, answer.text
    response = resolve(DOCUMENT["paths"][path][method.lower()]["responses"][str(status)])
    (media,) = response["content"]
    assert answer.headers["content-type"] == media
    assert misfit(answer.json(), response["content"][media]["schema"]) is None
    told = {name.lower() for name in response.get("headers", {})}
    assert {"etag", "location"} & set(answer.headers) <= told


def test_every_operation_has_an_answer_that_was_looked_at() -> None:
    looked_at = {(method, path) for method, _, path, status, _ in ANSWERS if status < 300}
    everything = {(method, path) for method, path, _, _ in described()}
    # what ends, and what is resumed, needs more than one request: test_tasks.py and test_changes.py do it
    # and what is sent or answered there is no JSON: test_images.py
    assert everything - looked_at == {
        ("POST", TASK + "/cancel"), ("POST", MACHINE + "/resume"),
        ("PUT", IMAGE + "/data"), ("DELETE", IMAGE),
        ("GET", "/api/v1/audit"),  # in three forms: test_audit.py
        # and these want a certmaster: test_enrolment.py
        ("GET", TOKENS), ("POST", TOKENS), ("DELETE", TOKENS + "/{token}"),
        ("GET", ENROLMENTS), ("DELETE", ENROLMENTS + "/{name}"), ("POST", ENROLMENTS + "/{name}/sign"),
        ("DELETE", CLOUD),  # test_removal.py
        *PEOPLE,
    }  # fmt: skip


def test_whole_tasks_and_events_are_the_whole_shape(small: Any) -> None:
    small.gate.open.set()
    ended = small.send("POST", "/api/v1/machines", {"name": "a", **SIZE}, Prefer="wait=20")
    assert (ended.status, ended.json()["state"]) == (200, "done")
    cancelled = small.send("POST", f"{ended.headers['location']}/cancel")
    assert cancelled.status == 409
    schemas = DOCUMENT["components"]["schemas"]
    assert misfit(ended.json(), schemas["Task"]) is None
    for event in small.get("/api/v1/events").json()["items"]:
        assert misfit(event, schemas["Event"]) is None


def test_items_of_lists_are_the_whole_shape(small: Any) -> None:
    for name, target in (("Cloud", "/api/v1/clouds"), ("Machine", "/api/v1/machines")):
        for item in small.get(target).json()["items"]:
            assert misfit(item, DOCUMENT["components"]["schemas"][name]) is None


def test_the_document_is_served(small: Any) -> None:
    assert small.get("/api/v1/openapi.json").json() == DOCUMENT
