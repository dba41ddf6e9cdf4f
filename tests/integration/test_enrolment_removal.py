"""A cloud instance is let in, put out and kept out: real certmaster, real funcd, real TLS."""

from __future__ import annotations

import shutil
import signal
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certmaster import ca
from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.support import ask, eventually, get_cloud, list_machines, refresh, run_command

STAYS, NEW = "cloud1.example.org", "cloud2.example.org"
ENROLMENTS = "/api/v1/enrolments"


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of one, whose certmaster signs nothing by itself any more, and a second that is not in yet."""
    made = Cloud(
        tmp_path_factory.mktemp("removal"), clouds=2, ports=free_ports(), log=write_log,
        settings={"poll_interval_s": 1, "minion_timeout_s": 5},
    )  # fmt: skip
    try:
        made.prepare()
        made.start_certmaster()
        made.start_minion(STAYS)
        made.end("certmaster")
        file = made.root_of("certmaster") / "etc/certmaster/certmaster.conf"
        file.write_text(file.read_text().replace("autosign = yes", "autosign = no"))
        made.start_certmaster()
        made.start_master()
        yield made
    finally:
        made.stop()


def requests(cloud: Cloud) -> list[Any]:
    found = ask(cloud, "GET", ENROLMENTS)
    assert found.status == 200, found.body
    return list(found.json["items"])


def ask_for_certificate(cloud: Cloud) -> int:
    root = cloud.root_of(NEW)
    return run_command(cloud, "certmaster-request", "--once", "--name", NEW, root=root).returncode


def key_of(cloud: Cloud) -> str:
    csr = (cloud.root_of(NEW) / f"etc/pki/certmaster/{NEW}.csr").read_bytes()
    return ca.read_request(csr).key_fingerprint


def test_who_asks_is_shown_rejected_and_stays_rejected(careful: Cloud) -> None:
    assert ask_for_certificate(careful) == 1
    (one,) = requests(careful)
    assert (one["name"], one["address"], one["key_fingerprint"]) == (NEW, "127.0.0.1", key_of(careful))
    assert 0 <= one["age_s"] < 600
    assert ask(careful, "DELETE", f"{ENROLMENTS}/{NEW}").status == 204
    assert ask_for_certificate(careful) == 1
    assert requests(careful) == []
    assert run_command(careful, "certmaster-ca", "--clean", NEW).returncode == 0


def test_who_was_seen_is_signed_and_appears(careful: Cloud) -> None:
    assert ask_for_certificate(careful) == 1
    seen = requests(careful)[0]["key_fingerprint"]
    assert ask(careful, "POST", f"{ENROLMENTS}/{NEW}/sign?key_fingerprint={'0' * 64}").status == 409
    assert ask_for_certificate(careful) == 1
    assert ask(careful, "POST", f"{ENROLMENTS}/{NEW}/sign?key_fingerprint={seen}").status == 204
    careful.start_minion(NEW)
    eventually(lambda: get_cloud(careful, NEW).get("state") == "up", f"{NEW} up")
    audit = (careful.root_of("certmaster") / "var/log/certmaster/audit.log").read_text()
    assert f" for admin sign {NEW}: signed" in audit


def certificate(cloud: Cloud) -> Path:
    return cloud.root_of("certmaster") / f"var/lib/certmaster/certs/{NEW}.cert"


def test_a_removed_one_is_refused_though_it_has_key_and_certificate(careful: Cloud, tmp_path: Path) -> None:
    living = {m["name"] for m in list_machines(careful, f"&cloud={NEW}")}
    assert living
    refused = ask(careful, "DELETE", f"/api/v1/clouds/{NEW}")
    assert refused.status == 409
    assert {error["field"] for error in refused.json["errors"]} == living
    kept = shutil.copy(certificate(careful), tmp_path / "kept.cert")
    assert ask(careful, "DELETE", f"/api/v1/clouds/{NEW}?force=true").status == 204

    assert ask(careful, "GET", f"/api/v1/clouds/{NEW}").status == 404
    assert refresh(careful, NEW).status == 404
    assert {m["cloud"] for m in list_machines(careful)} == {STAYS}
    done = run_command(careful, "func", NEW, "ping")
    assert done.returncode == 1, "the certmaster's own overlord does not know it either"
    # Somebody puts the certificate back where the overlord looks for names: it is revoked all the same.
    shutil.copy(kept, certificate(careful))
    try:
        said = eventually(lambda: get_cloud(careful, NEW).get("error"), f"{NEW} tried")
        assert "revoked" in said
        assert refresh(careful, NEW).status == 502
        done = run_command(careful, "func", NEW, "ping")
        assert "FAILED" in done.stdout, done.stdout
    finally:
        certificate(careful).unlink()
    assert ask(careful, "DELETE", f"/api/v1/clouds/{NEW}?force=true").status == 204


def test_it_comes_back_by_a_new_enrolment_alone(careful: Cloud) -> None:
    careful.end(NEW)
    crl = careful.root_of(NEW) / "etc/pki/certmaster/ca.crl"
    crl.write_bytes((careful.root_of("certmaster") / "etc/pki/certmaster/ca/certmaster.crl").read_bytes())
    assert ask_for_certificate(careful) == 1, "its certificate is good for nothing, and it asks for another"
    assert ask(careful, "GET", f"/api/v1/clouds/{NEW}").status == 404
    assert [one["name"] for one in requests(careful)] == [NEW]
    assert ask(careful, "POST", f"{ENROLMENTS}/{NEW}/sign").status == 204
    careful.start_minion(NEW)
    eventually(lambda: get_cloud(careful, NEW).get("state") == "up", f"{NEW} up again")


def test_a_dead_one_is_removed_at_once_and_its_task_ends(careful: Cloud) -> None:
    machine = list_machines(careful, f"&cloud={NEW}&state=running")[0]
    careful.processes[NEW].send(signal.SIGSTOP)  # it takes the call, and never answers
    task = ask(careful, "POST", f"/api/v1/machines/{machine['uuid']}/poweroff")
    assert task.status == 202, task.body
    path = task.headers["location"]
    eventually(lambda: ask(careful, "GET", path).json["state"] == "running", "the task under way")
    careful.processes[NEW].send(signal.SIGKILL)
    careful.end(NEW)
    refused = ask(careful, "DELETE", f"/api/v1/clouds/{NEW}").json
    assert f"task {task.json['id']}" in {error["field"] for error in refused["errors"]}
    assert ask(careful, "DELETE", f"/api/v1/clouds/{NEW}?force=true").status == 204
    assert ask(careful, "GET", f"/api/v1/clouds/{NEW}").status == 404
    # It would go on asking for ten minutes, and to be undone for a day.
    ended = eventually(lambda: (t := ask(careful, "GET", path).json)["ended_at"] and t, "the task ended", 120)
    assert ended["state"] in ("cancelled", "failed")
    events = ask(careful, "GET", "/api/v1/events?limit=1000").json["items"]
    removed = [event["text"] for event in events if event["kind"] == "cloud.removed"]
    assert removed[-1] == f"admin removed {NEW}: its certificate is revoked"


@pytest.mark.parametrize("name", ["cloudmaster@master", "cloudmaster@", "x@y.example.org"])
def test_nobody_on_the_network_is_a_cloud_master(careful: Cloud, name: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    key = serialization.load_pem_private_key(ca.new_key(), None)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    text = csr.public_bytes(serialization.Encoding.PEM).decode()
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{careful.ports.certmaster}/RPC2") as proxy:
        assert proxy.wait_for_cert(text) == [False, "", ""]
        with pytest.raises(xmlrpc.client.Fault, match="master_certificate.* is not supported"):
            proxy.master_certificate(text)
    assert name not in [one["name"] for one in requests(careful)]
