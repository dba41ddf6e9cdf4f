"""Profiles over real HTTP: listed, asked for anew, shown with their age, and taken by a form."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from cloudmasterd.errors import CobblerError, CobblerUnreachable
from cloudmasterd.profiles import Profiles
from cloudmasterd.web.api.profiles import MAX_REFRESHES
from cloudmasterd.web.represent import PROFILE_FIELDS
from tests.cloudmasterd.web.reading import page, post, read, task_of
from tests.fakes import profile, wait_for

PROFILES = "/api/v1/profiles"
RHEL5, F8 = "GenomeCloud-RHEL5U2-x86_64", "GenomeCloud-F8-i386"
DOWN = CobblerUnreachable("the cobbler server http://cobbler.example.org does not answer: refused")


@pytest.fixture
def stocked(small: Any) -> Any:
    """A cloud master whose cobbler server has two profiles and was asked just now."""
    small.cobbler.put(
        profile(RHEL5, memory_mb=1024, vcpus=2, disk_gb=8.0, comment="the old one"),
        profile(
            F8, arch="i386", distro="F8-i386", os_version="", autoinstall="/genome.ks", kernel_options="quiet"
        ),
    )
    small.profiles.refresh()
    return small


def test_the_catalogue_is_listed_by_name_with_where_it_is_from(stocked: Any) -> None:
    told = stocked.get(PROFILES).json()
    assert [item["name"] for item in told["items"]] == [F8, RHEL5]
    assert set(told["items"][0]) == set(PROFILE_FIELDS)
    assert told["items"][1]["memory_mb"] == 1024 and told["items"][1]["disk_gb"] == 8.0
    assert told["catalogue"] == {
        "server": "http://cobbler.example.org", "observed_at": "2026-11-22T08:00:00.000Z", "error": None,
        "failing_since": None,
    }  # fmt: skip
    assert told["items"][0]["observed_at"] == told["catalogue"]["observed_at"]


def test_one_profile_is_told_as_in_the_list(stocked: Any) -> None:
    one = stocked.get(f"{PROFILES}/{F8}")
    assert one.json() == stocked.get(PROFILES).json()["items"][0]
    again = stocked.get(f"{PROFILES}/{F8}", If_None_Match=one.headers["etag"])
    assert again.status == 304
    missing = stocked.get(f"{PROFILES}/GenomeCloud-F8-i686")
    assert missing.status == 404 and f"did you mean '{F8}'" in missing.json()["detail"]


def test_the_list_is_filtered_paged_and_cut_to_fields(stocked: Any) -> None:
    assert [i["name"] for i in stocked.get(f"{PROFILES}?arch=i386").json()["items"]] == [F8]
    assert stocked.get(f"{PROFILES}?arch=aarch64,s390x").json()["items"] == []
    first = stocked.get(f"{PROFILES}?limit=1&fields=name").json()
    assert first["items"] == [{"name": F8}]
    assert stocked.get(first["next"]).json()["items"] == [{"name": RHEL5}]
    wrong = stocked.get(f"{PROFILES}?arch=i368")
    assert wrong.status == 400 and "did you mean 'i386'" in wrong.json()["detail"]


def test_the_tag_of_the_list_moves_with_the_profiles_and_not_with_their_age(stocked: Any) -> None:
    tag = stocked.get(PROFILES).headers["etag"]
    stocked.clock.time += timedelta(minutes=5)
    stocked.profiles.refresh()
    assert stocked.get(PROFILES, If_None_Match=tag).status == 304
    assert stocked.get(PROFILES).json()["catalogue"]["observed_at"] == "2026-11-22T08:05:00.000Z"
    stocked.cobbler.put(profile("new"))
    stocked.profiles.refresh()
    assert stocked.get(PROFILES, If_None_Match=tag).status == 200


def test_a_refresh_asks_now_and_what_was_registered_is_there(stocked: Any) -> None:
    stocked.cobbler.put(profile("new"))
    told = stocked.send("POST", PROFILES + "/refresh")
    assert (told.status, told.json()["error"]) == (200, None)
    assert stocked.get(f"{PROFILES}/new").status == 200


@pytest.mark.parametrize(("error", "status"), [(DOWN, 504), (CobblerError("no cobbler there"), 502)])
def test_a_server_that_fails_leaves_the_catalogue_and_says_why(
    stocked: Any, error: CobblerError, status: int
) -> None:
    stocked.cobbler.error = error
    refused = stocked.send("POST", PROFILES + "/refresh")
    assert (refused.status, refused.json()["detail"]) == (status, str(error))
    told = stocked.get(PROFILES).json()
    assert len(told["items"]) == 2
    assert told["catalogue"]["error"] == str(error)
    assert told["catalogue"]["failing_since"] == "2026-11-22T08:00:00.000Z"


def test_reading_never_waits_for_a_server_that_hangs(stocked: Any) -> None:
    stocked.cobbler.hold = threading.Event()
    stocked.profiles.look()
    try:
        for target in (PROFILES, f"{PROFILES}/{F8}", "/profiles", "/machines/new?profile=x"):
            assert stocked.get(target).status == 200, target
        assert stocked.send("POST", "/api/v1/placements", body()).status == 200
    finally:
        stocked.cobbler.hold.set()


def test_refreshes_are_bounded(stocked: Any) -> None:
    stocked.cobbler.hold = threading.Event()
    answers: list[int] = []
    callers = [
        threading.Thread(target=lambda: answers.append(stocked.send("POST", PROFILES + "/refresh").status))
        for _ in range(MAX_REFRESHES + 1)
    ]
    for caller in callers:
        caller.start()
    try:
        wait_for(lambda: answers == [503], "the one too many to be refused")
    finally:
        stocked.cobbler.hold.set()
        for caller in callers:
            caller.join(60)
    assert answers == [503] + [200] * MAX_REFRESHES


def body(**more: Any) -> dict[str, Any]:
    source = {"kind": "profile", "profile": F8, **more}
    return {"name": "jboss7.example.org", "memory_mb": 512, "source": source}


def test_a_machine_is_made_from_a_profile_over_rest(stocked: Any) -> None:
    made = stocked.send("POST", "/api/v1/machines", body(metadata={"genome_token": "s3cret"}))
    assert made.status == 202
    assert "s3cret" not in made.text
    assert [step["name"] for step in made.json()["steps"]][2:4] == ["install", "report:booted"]
    assert "s3cret" not in stocked.get(f"/tasks/{made.json()['id']}").text
    assert "s3cret" not in stocked.get("/api/v1/tasks").text


def test_a_create_from_an_unknown_profile_says_the_nearest(stocked: Any) -> None:
    refused = stocked.send("POST", "/api/v1/machines", body(profile="GenomeCloud-F8-i686"))
    assert refused.status == 400
    assert refused.json()["errors"][0]["field"] == "source.profile"
    assert f"did you mean '{F8}'" in refused.json()["detail"]


def test_a_create_while_cobbler_is_down_says_what_to_do(stocked: Any) -> None:
    stocked.cobbler.error = DOWN
    stocked.clock.time += timedelta(seconds=2)
    refused = stocked.send("POST", "/api/v1/machines", body())
    assert refused.status == 504
    assert "Try again when it answers" in refused.json()["detail"]
    assert stocked.store.tasks.list() == []


def test_a_placement_says_where_it_would_go(stocked: Any) -> None:
    told = stocked.send("POST", "/api/v1/placements", body()).json()
    assert told["chosen"] == "cloud1.example.org"
    refused = stocked.send("POST", "/api/v1/placements", body(profile="none"))
    assert refused.status == 400


# The page


def test_the_page_shows_every_profile_and_how_old_that_is(stocked: Any) -> None:
    stocked.clock.time += timedelta(minutes=3)
    shown = read(stocked, "/profiles")
    for words in (
        F8,
        RHEL5,
        "the old one",
        "RHEL5U2-x86_64 (rhel5)",
        "1 GB, 2 vCPUs, 8 GB disk",
        "3 min ago",
    ):
        assert words in shown.text, words
    assert f"/machines/new?profile={F8}" in shown.links
    assert "http://cobbler.example.org" in shown.text
    assert "/profiles" in read(stocked, "/").links, "the pages lead there"


def test_the_page_asks_anew_by_a_button_and_comes_back(stocked: Any) -> None:
    stocked.cobbler.put(profile("fresh"))
    form = read(stocked, "/profiles").form("/profiles/refresh")
    answer = post(stocked, form)
    assert (answer.status, answer.headers["location"]) == (303, "/profiles")
    assert "fresh" in read(stocked, "/profiles").text


def test_a_silent_server_is_told_on_the_page_above_what_it_had(stocked: Any) -> None:
    stocked.cobbler.error = DOWN
    assert post(stocked, read(stocked, "/profiles").form("/profiles/refresh")).status == 303
    stocked.clock.time += timedelta(hours=2)
    shown = read(stocked, "/profiles").text
    assert "The cobbler server cannot be asked for 2 h." in shown
    assert "refused" in shown and "what it had when it answered last" in shown
    assert F8 in shown


def test_the_page_of_a_server_that_never_answered_or_has_none_says_so(small: Any) -> None:
    assert "has not answered yet" in read(small, "/profiles").text
    small.profiles.refresh()
    shown = read(small, "/profiles").text
    assert "The cobbler server has no profiles." in shown
    assert "genome-register-profiles --server cobbler.example.org" in shown


def test_without_a_server_the_page_says_how_to_set_one(small: Any) -> None:
    Profiles(small.store, None, small.clock)  # as the next start without the setting
    shown = read(small, "/profiles").text
    assert "No cobbler server is set" in shown and "cobbler_server = cobbler.example.org" in shown


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"b', "Größe", "a:b"])
def test_a_hostile_profile_is_shown_and_nothing_else(small: Any, name: str) -> None:
    small.cobbler.put(profile(name, comment=name, kernel_options=name, autoinstall=name, distro=name))
    small.profiles.refresh()
    for target in ("/profiles", "/machines/new"):
        answer = small.get(target)
        assert name in page(answer).text
        assert "<script>alert" not in answer.text


def test_long_catalogues_are_paged_and_filtered_by_links(small: Any) -> None:
    small.cobbler.put(*(profile(f"p{number:03}") for number in range(230)))
    small.profiles.refresh()
    seen: list[str] = []
    target = "/profiles?arch=x86_64"
    while target:
        shown = read(small, target)
        seen += [link.rpartition("=")[2] for link in shown.links if link.startswith("/machines/new?profile=")]
        target = next((link for link in shown.links if "cursor=" in link), "")
        assert not target or "arch=x86_64" in target
    assert list(dict.fromkeys(seen)) == [f"p{number:03}" for number in range(230)]
    assert "There is no profile for i386" in read(small, "/profiles?arch=i386").text


# The form


def test_a_profile_of_the_page_leads_to_a_form_that_has_it_chosen(stocked: Any) -> None:
    form = read(stocked, f"/machines/new?profile={F8}").form("/machines/new")
    assert (form.values["source"], form.values["profile"]) == ("profile", F8)
    task = task_of(
        stocked,
        post(
            stocked,
            form,
            "create",
            name="a1",
            metadata="certmaster=cloud.example.org\ngenome_sshkey=a\ngenome_sshkey=b",
        ),
    )
    assert task.arguments["source"]["profile"] == F8
    secret = stocked.store.tasks.get_secret(task.id)
    assert '"certmaster": "cloud.example.org"' in secret and '"genome_sshkey": ["a", "b"]' in secret


def test_the_form_offers_the_profiles_there_are(stocked: Any) -> None:
    text = read(stocked, "/machines/new").text
    assert f"{F8} (i386)" in text and f"{RHEL5} (x86_64)" in text


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    [
        ({"metadata": "certmaster"}, "metadata", "is not name=value"),
        ({"metadata": "certmaster=$(reboot)"}, "metadata", "letters, digits and"),
        ({"metadata": "root=/dev/sda"}, "metadata", "a meaning of its own"),
        ({"profile": "none"}, "profile", "there are: "),
        ({"profile": ""}, "profile", "the name of a profile"),
    ],
)
def test_what_is_wrong_with_a_profile_stands_at_its_field(
    stocked: Any, typed: dict[str, str], field: str, says: str
) -> None:
    form = read(stocked, f"/machines/new?profile={F8}").form("/machines/new")
    refused = page(post(stocked, form, "create", **{"name": "a1", **typed}))
    assert says in refused.error(field)
    assert stocked.store.tasks.list() == []


def test_a_form_sent_while_cobbler_is_down_keeps_what_was_typed(stocked: Any) -> None:
    form = read(stocked, f"/machines/new?profile={F8}").form("/machines/new")
    stocked.cobbler.error = DOWN
    stocked.clock.time += timedelta(seconds=2)
    answer = post(stocked, form, "create", name="a1", metadata="certmaster=c")
    assert answer.status == 504
    again = page(answer)
    assert "Try again when it answers" in again.text
    assert again.form("/machines/new").values["metadata"] == "certmaster=c"


def test_the_preview_says_where_one_from_a_profile_would_go(stocked: Any) -> None:
    form = read(stocked, f"/machines/new?profile={F8}").form("/machines/new")
    assert "It would go to cloud1.example.org." in page(post(stocked, form, "check", name="a1")).text
