"""What a request proves, to whom, and what it gives away."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest

from certmaster import ca, proof
from tests.certmaster.support import openssl

NAME = "cloud1.example.org"
KEY_A, KEY_B = "a" * 64, "b" * 64
TOKEN = "kD3-x_" + "A" * 37


def test_a_token_has_256_bits_and_fits_on_a_kernel_command_line() -> None:
    made = {proof.new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(proof.TOKEN.fullmatch(token) for token in made)


def test_a_proof_holds_for_its_token_name_and_key_alone() -> None:
    key = proof.key_of(TOKEN)
    made = proof.make(TOKEN, NAME.upper(), KEY_A)
    assert proof.holds(made, key, NAME, KEY_A)
    assert not proof.holds(made, key, NAME, KEY_B)
    assert not proof.holds(made, key, "cloud2.example.org", KEY_A)
    assert not proof.holds(made, proof.key_of(proof.new_token()), NAME, KEY_A)


def test_the_proof_is_what_the_document_says() -> None:
    key = hashlib.sha256(TOKEN.encode()).digest()
    name = hashlib.sha256(b"certmaster token id\0" + key).hexdigest()[:16]
    what = b"certmaster enrolment 1\0cloud1.example.org\0" + KEY_A.encode()
    mac = hmac.new(key, what, hashlib.sha256).hexdigest()
    assert proof.make(TOKEN, NAME, KEY_A) == f"genome1:{name}:{mac}"


def test_neither_the_token_nor_what_is_kept_of_it_stands_in_a_proof() -> None:
    made = proof.make(TOKEN, NAME, KEY_A)
    assert TOKEN not in made
    assert proof.key_of(TOKEN).hex()[:16] not in made


@pytest.mark.parametrize(
    "challenge",
    ["", "genome1:", "genome1:0:0", "genome1:" + "0" * 16, "genome1:" + "0" * 16 + ":" + "0" * 63,
     "genome1:" + "0" * 16 + ":" + "G" * 64, "genome1:" + "../" * 5 + "x:" + "0" * 64, "secret"],
)  # fmt: skip
def test_what_is_no_proof_names_no_token_and_holds_for_nobody(challenge: str) -> None:
    assert proof.claimed_id(challenge) is None
    assert not proof.holds(challenge, proof.key_of(TOKEN), NAME, KEY_A)


def test_a_request_carries_the_proof_where_openssl_looks_for_it(keys: list[bytes]) -> None:
    made = proof.make(TOKEN, NAME, KEY_A)
    csr = ca.make_request(keys[0], NAME, made)
    shown = openssl("req", "-noout", "-text", "-verify", given=csr).decode()
    assert re.search(rf"challengePassword\s*:\s*{made}", shown)
    assert ca.read_request(csr).challenge == made
    assert made not in repr(ca.read_request(csr)), "it must not get into a log by accident"


def test_a_request_of_the_openssl_command_is_read_with_its_challenge_password(
    tmp_path, keys: list[bytes]
) -> None:
    (tmp_path / "key").write_bytes(keys[0])
    (tmp_path / "conf").write_text(
        "[req]\nprompt=no\ndistinguished_name=dn\nattributes=at\n[dn]\nCN=cloud1.example.org\n"
        "[at]\nchallengePassword=summer of 69\n"
    )
    csr = openssl("req", "-new", "-sha256", "-key", tmp_path / "key", "-config", tmp_path / "conf")
    assert ca.read_request(csr).challenge == "summer of 69"
    assert ca.read_request(ca.make_request(keys[0], NAME)).challenge == ""


def test_no_token_looks_like_an_option() -> None:
    assert not [token for token in (proof.new_token() for _ in range(2000)) if token.startswith("-")]
