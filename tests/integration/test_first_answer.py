"""What a fresh cloud answers: over REST, in pages, with Func's command and with its client."""

from __future__ import annotations

import ast

from cloudmasterd.model import MemoryPolicy
from demo.cloud import Cloud
from tests.integration.support import (
    ask,
    expected_free_mb,
    get_cloud,
    list_machines,
    python_script,
    run_command,
)


def test_the_first_answer_has_all_cloud_instances_with_the_right_figures(cloud: Cloud) -> None:
    answer = {item["name"]: item for item in ask(cloud, "GET", "/api/v1/clouds").json["items"]}
    assert sorted(answer) == sorted(cloud.names)
    for node in cloud.nodes:
        item = answer[node.name]
        assert item["state"] == "up"
        assert item["error"] is None
        assert (item["memory_mb"], item["cpus"], item["arch"]) == (node.memory_mb, node.cpus, "x86_64")
        assert item["free_memory_mb"] == expected_free_mb(node)
        assert item["reserved_memory_mb"] == MemoryPolicy().reserved_mb(node.memory_mb)
        assert item["machines"] == len(node.machines)
        assert item["running"] == sum(m.state == "running" for m in node.machines)
        assert item["observed_at"].endswith("Z")
        assert item["certificate_expires_at"].endswith("Z")


def test_every_machine_is_listed_where_it_is_and_as_it_is(cloud: Cloud) -> None:
    seen = {
        (m["name"], m["cloud"], m["state"], m["memory_mb"], m["vcpus"], m["uuid"])
        for m in list_machines(cloud)
    }
    assert seen == {
        (m.name, node.name, m.state, m.memory_mb, m.vcpus, m.uuid)
        for node in cloud.nodes
        for m in node.machines
    }


def test_one_cloud_instance_and_one_machine_have_addresses_of_their_own(cloud: Cloud) -> None:
    assert get_cloud(cloud, "cloud2.example.org")["memory_mb"] == 48 * 1024
    machine = ask(cloud, "GET", "/api/v1/machines/jboss1.example.org").json
    assert machine["cloud"] == "cloud1.example.org"
    assert ask(cloud, "GET", f"/api/v1/machines/{machine['uuid']}").json["name"] == "jboss1.example.org"


def test_the_health_addresses_say_it_is_well(cloud: Cloud) -> None:
    assert ask(cloud, "GET", "/healthz", accept="*/*").status == 200
    assert ask(cloud, "GET", "/readyz", accept="*/*").status == 200


def test_the_document_of_the_interface_is_served(cloud: Cloud) -> None:
    document = ask(cloud, "GET", "/api/v1/openapi.json").json
    assert document["openapi"].startswith("3.")
    assert (
        "/api/v1/clouds/{cloud}/refresh" in document["paths"]
        or "/clouds/{cloud}/refresh" in document["paths"]
    )


def test_an_unchanged_list_is_not_sent_twice(cloud: Cloud) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", cloud.ports.web, timeout=60)
    connection.request("GET", "/api/v1/machines", headers=cloud.admin.headers())
    first = connection.getresponse()
    first.read()
    known = {**cloud.admin.headers(), "If-None-Match": first.headers["ETag"]}
    connection.request("GET", "/api/v1/machines", headers=known)
    again = connection.getresponse()
    assert (again.status, again.read()) == (304, b"")
    connection.close()


def test_the_pages_read_fully_without_a_script(cloud: Cloud) -> None:
    overview = ask(cloud, "GET", "/", accept="text/html").body.decode()
    for node in cloud.nodes:
        assert node.name in overview
    machines = ask(cloud, "GET", "/machines", accept="text/html").body.decode()
    assert "jboss1.example.org" in machines
    one = ask(cloud, "GET", "/clouds/cloud1.example.org", accept="text/html").body.decode()
    assert "jboss1.example.org" in one and "jboss3.example.org" not in one


def test_the_command_of_func_prints_the_free_memory_of_all(cloud: Cloud) -> None:
    done = run_command(cloud, "func", "*", "call", "virt", "freemem")
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == {
        node.name: classic_free_mb(cloud, node.name) for node in cloud.nodes
    }


def test_the_client_of_func_gives_the_same(cloud: Cloud) -> None:
    printed = python_script(
        cloud, "from func.overlord.client import Client; print(Client('*').virt.freemem())"
    )
    assert ast.literal_eval(printed) == {node.name: classic_free_mb(cloud, node.name) for node in cloud.nodes}


def classic_free_mb(cloud: Cloud, name: str) -> int:
    """Func's own formula: 256 MB for the host, the memory of active machines, no overhead."""
    node = cloud.node(name)
    return node.memory_mb - 256 - sum(m.memory_mb for m in node.machines if m.state != "off")
