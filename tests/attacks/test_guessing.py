"""Who guesses finds nothing out, gets slower, and holds nobody else up."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Optional
from urllib.parse import urlencode

import pytest

from cloudmasterd.rights import Role
from tests.attacks.town import CSRF, ENTRY, FORM, SESSION, Answer, Town, open_town
from tests.integration.support import eventually

HTML = {"Accept": "text/html"}
TRIES = 4
MOST_TRIES = 10
AT_ONCE = 64
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One of its own: whoever fails there is held up there alone."""
    with open_town(tmp_path_factory.mktemp("guessed")) as made:
        yield made


def ask_from(
    town: Town, source: str, method: str, path: str, headers: dict[str, str], body: Optional[bytes] = None
) -> Answer:
    """The answer to a request from another address of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", town.port, timeout=60, source_address=(source, 0))
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        found = tuple(response.getheaders())
        return Answer(response.status, {k.lower(): v for k, v in found}, response.read(), found)
    finally:
        connection.close()


class Guesser:
    """Somebody at an address, with a form of the login."""

    def __init__(self, town: Town, source: str) -> None:
        self.town, self.source = town, source
        page = ask_from(town, source, "GET", "/login", HTML)
        found, cookie = CSRF.search(page.text), page.cookie(ENTRY)
        assert found is not None and cookie is not None
        self.csrf, self.cookie = found[1], cookie

    def guess(self, name: str, password: str) -> Answer:
        headers = {**HTML, "Content-Type": FORM, "Cookie": f"{ENTRY}={self.cookie}"}
        body = urlencode({"user": name, "password": password, "csrf": self.csrf, "next": "/"}).encode()
        return ask_from(self.town, self.source, "POST", "/login", headers, body)


def held_up(answer: Answer) -> int:
    """For how many seconds no other try is taken."""
    return int(answer.headers.get("retry-after", "0"))


def timed(guesser: Guesser, name: str, password: str) -> tuple[float, Answer]:
    began = time.monotonic()
    answer = guesser.guess(name, password)
    return time.monotonic() - began, answer


def test_neither_text_nor_time_tells_who_is_a_user(town: Town) -> None:
    disabled = town.make("disabled", Role.VIEWER, session=False)
    changed = b'{"disabled": true}'
    headers = {**town.admin.bearer, "Content-Type": "application/json"}
    assert town.ask("PATCH", f"/api/v1/users/{disabled.name}", headers, changed).status == 200
    kinds = {
        "a wrong password": ("vera", "not the one"),
        "nobody": ("nobody-of-that-name", "not the one"),
        "a disabled user's own": ("disabled", disabled.password),
        "a password that is too long": ("vera", "x" * 5000),
    }
    fastest: dict[str, float] = {}
    texts: dict[str, str] = {}

    def are_alike() -> bool:
        usual = fastest["a wrong password"]
        return all(usual / 3 < took < 3 * usual for took in fastest.values())

    for number in range(MOST_TRIES):
        if number >= TRIES and are_alike():
            break  # a busy machine takes longer over one or another; what tells them apart is never so
        for i, (kind, (name, password)) in enumerate(kinds.items()):
            guesser = Guesser(town, f"127.1.{number + 1}.{i + 1}")
            took, answer = timed(guesser, name, password)
            assert answer.status == 403, kind
            assert answer.cookie(SESSION) is None
            fastest[kind] = min(took, fastest.get(kind, took))
            texts[kind] = answer.text.replace(name, "NAME").replace(guesser.csrf, "CSRF")
    alike = {CSRF.sub("", text).split("<form")[0].split("data-now")[0] for text in texts.values()}
    assert len(alike) == 1
    notes = {
        text[text.index('id="errors"') : text.index("</div>", text.index('id="errors"'))]
        for text in texts.values()
    }
    assert len(notes) == 1
    # scrypt is a tenth of a second and more; what does not run it answers in a hundredth
    assert are_alike(), fastest


def test_who_guesses_waits_and_the_owner_does_not(town: Town) -> None:
    guesser = Guesser(town, "127.2.0.1")
    statuses, waits = [], []
    for number in range(12):
        answer = guesser.guess("olga", f"guess {number}")
        statuses.append(answer.status)
        if answer.status == 429:
            waits.append(int(answer.headers["retry-after"]))
    assert statuses[:5] == [403] * 5
    assert waits and max(waits) <= 900
    # the waits of the beginning are over before one has looked
    eventually(lambda: held_up(guesser.guess("olga", "once more")) >= 8, "a wait that lasts")
    # even with the right one, from there; from elsewhere, and in what is open already, the owner is at home
    assert guesser.guess("olga", town.olga.password).status == 429
    assert Guesser(town, "127.2.0.2").guess("olga", town.olga.password).status == 303
    assert town.ask("GET", "/api/v1/whoami", town.olga.session).status == 200
    assert town.ask("GET", "/api/v1/whoami", town.olga.bearer).status == 200


def test_many_who_guess_one_name_from_everywhere_lock_nobody_out(town: Town) -> None:
    """Each address has a few tries; one that never failed has its own, whatever the others do."""
    for number in range(12):
        Guesser(town, f"127.3.0.{number + 1}").guess("wendy", "wrong")
    assert Guesser(town, "127.3.1.1").guess("wendy", town.wendy.password).status == 303


def test_the_account_page_is_no_better_place_to_guess(town: Town) -> None:
    person = town.make("guessed", Role.VIEWER)
    statuses = []
    for number in range(8):
        fields = {"present": f"guess {number}", "new": "a wholly new secret", "again": "a wholly new secret"}
        statuses.append(town.form("/account/password", fields, person).status)
    assert statuses[0] == 400 and 429 in statuses, statuses
    sent = b'{"new": "a wholly new secret", "present": "guess"}'
    headers = {**person.bearer, "Content-Type": "application/json"}
    path = "/api/v1/users/guessed/password"
    eventually(lambda: held_up(town.ask("PUT", path, headers, sent)) >= 8, "a wait that lasts")
    assert town.ask("PUT", path, headers, sent).status == 429
    assert town.form("/account/password", fields, person).status == 429


def test_sixty_four_logins_at_once_leave_everybody_else_their_answers(town: Town) -> None:
    guessers = [Guesser(town, f"127.4.0.{number + 1}") for number in range(AT_ONCE)]
    slowest, over = [0.0], threading.Event()

    def look() -> int:
        looked = 0
        while not over.is_set() or looked < 3:
            began = time.monotonic()
            assert town.ask("GET", "/api/v1/machines", town.vera.bearer).status == 200
            slowest[0] = max(slowest[0], time.monotonic() - began)
            looked += 1
        return looked

    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        watch = pool.submit(look)
        try:
            answers = list(pool.map(lambda one: one.guess("vera", "wrong").status, guessers))
        finally:
            over.set()
        assert watch.result() >= 3
    assert set(answers) <= {403, 429} and 429 in answers, answers
    assert slowest[0] < PATIENCE_S
    assert Guesser(town, "127.4.1.1").guess("vera", town.vera.password).status == 303


def test_guessing_tokens_finds_none_and_fills_no_record(town: Town) -> None:
    before = town.ask("GET", "/api/v1/audit?limit=1", town.admin.bearer).json()["items"][0]["id"]
    prefix = "_".join(town.vera.token.split("_")[:2])  # the public half is known
    for number in range(200):
        guess = f"{prefix}_{number:043d}"
        answer = ask_from(town, "127.5.0.1", "GET", "/api/v1/whoami", {"Authorization": f"Bearer {guess}"})
        assert answer.status == 401 and guess not in answer.text
    records = town.ask("GET", f"/api/v1/audit?after={before}&limit=1000", town.admin.bearer).json()["items"]
    of_it = [record for record in records if record["address"] == "127.5.0.1"]
    assert 1 <= len(of_it) <= 40
    assert town.ask("GET", "/api/v1/whoami", town.vera.bearer).status == 200


def test_guessing_what_a_form_carries_finds_nothing(town: Town) -> None:
    for number in range(100):
        headers = {**HTML, **town.admin.session, "Content-Type": FORM}
        body = f"csrf={number:040x}&name=forged&role=admin".encode()
        assert town.ask("POST", "/users", headers, body).status == 403
    # as much of it as there is, and one letter wrong
    for csrf in (town.admin.csrf[:-1], town.admin.csrf[:-1] + "g", town.admin.csrf.upper() + "0"):
        body = f"csrf={csrf}&name=forged&role=admin".encode()
        headers = {**HTML, **town.admin.session, "Content-Type": FORM}
        assert town.ask("POST", "/users", headers, body).status == 403


@pytest.mark.parametrize("part", [b"user=", b"next=", b""])
@pytest.mark.parametrize("filling", [b"a", b"%", b"%25", b"&", b"a=b&"])
def test_a_huge_form_of_nobodys_is_not_worth_reading(town: Town, part: bytes, filling: bytes) -> None:
    body = part + filling * (1_000_000 // len(filling))
    answer = town.ask("POST", "/login", {**HTML, "Content-Type": FORM}, body)
    assert answer.status == 400 and len(answer.body) < 10_000
