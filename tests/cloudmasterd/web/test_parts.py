"""The pure parts of the web: Accept, cursors, tags, figures, the cache and the table of errors."""

from __future__ import annotations

import base64
import json
import math
from datetime import timedelta
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd import errors
from cloudmasterd.errors import CloudError
from cloudmasterd.model import CloudInstance, CloudState, MachineState
from cloudmasterd.web import figures, paths
from cloudmasterd.web.cache import ReplyCache
from cloudmasterd.web.exchange import Reply, list_etag, matches
from cloudmasterd.web.negotiate import prefers_html, quality
from cloudmasterd.web.problems import problem_of, status_of
from cloudmasterd.web.validate import Wrong, cursor, encode_cursor


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, 1.0),
        ("application/json", 1.0),
        ("APPLICATION/JSON ; Q=0.5", 0.5),
        ("*/*;q=0.3", 0.3),
        ("*/*, application/*;q=0.2", 0.2),
        ("application/json;q=0, */*", 0.0),
        ("text/*", 0.0),
        ("application/json;q=much", 0.0),
        ("application/json;q=9", 1.0),
        (";;;,,,", 0.0),
    ],
)
def test_the_most_specific_range_of_an_accept_header_decides(accept: Optional[str], wanted: float) -> None:
    assert quality(accept, "application/json") == wanted


@given(st.text())
def test_any_accept_header_is_read(accept: str) -> None:
    assert 0 <= quality(accept, "text/html") <= 1
    assert not math.isnan(quality(accept, "text/html"))


def test_browsers_get_pages_and_programs_problems() -> None:
    assert prefers_html("text/html,application/xhtml+xml,*/*;q=0.8")
    assert not prefers_html("application/json")
    assert not prefers_html("application/problem+json, text/html;q=0.1")


@given(st.text(), st.text())
def test_a_cursor_comes_back_as_it_was(name: str, uid: str) -> None:
    text = encode_cursor("machines", [name, uid])
    assert paths.segment(text) == text
    try:
        name.encode("utf-8"), uid.encode("utf-8")
    except UnicodeEncodeError:
        with pytest.raises(Wrong):
            cursor("machines", 2)([text])
    else:
        assert cursor("machines", 2)([text]) == (name, uid)


@given(st.text())
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(Wrong):
        cursor("machines", 2)([text])


@pytest.mark.parametrize(
    "value", [[], {}, ["machines"], ["machines", "a", 1], ["clouds", "a", "b"], "machines", None, [[[]]]]
)
def test_json_that_is_no_place_is_no_cursor(value: Any) -> None:
    with pytest.raises(Wrong):
        cursor("machines", 2)([base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")])


def test_tags_differ_by_query_and_by_change() -> None:
    tags = {
        list_etag(1, "/a", ""),
        list_etag(2, "/a", ""),
        list_etag(1, "/a", "limit=1"),
        list_etag(1, "/b", ""),
    }
    assert len(tags) == 4


@pytest.mark.parametrize(
    ("header", "tag", "same"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"b", W/"a"', '"a"', True),
        ("*", '"a"', True),
        ('"b"', '"a"', False),
        ("a", '"a"', False),
        (None, '"a"', False),
    ],
)
def test_tags_are_compared_weakly(header: Optional[str], tag: str, same: bool) -> None:
    assert matches(header, tag) is same


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172799, "47 h"),
        (172800, "2 days"),
    ],
)
def test_ages_are_one_number(seconds: float, words: str) -> None:
    assert figures.age(seconds) == words


@pytest.mark.parametrize(
    ("mb", "words"),
    [(None, "unknown"), (0, "0 MB"), (1023, "1023 MB"), (1024, "1 GB"), (34611, "33.8 GB"), (-2048, "-2 GB"),
     (1536 * 1024, "1.5 TB")],
)  # fmt: skip
def test_memory_is_told_in_the_unit_that_fits(mb: Optional[int], words: str) -> None:
    assert figures.memory(mb) == words


@given(st.integers(1, 10**7), st.integers(0, 10**7), st.integers(-(10**7), 10**7))
def test_the_lengths_of_a_bar_fill_it(total: int, reserved: int, free: int) -> None:
    cloud = CloudInstance(
        "c", CloudState.UP, memory_mb=total, reserved_memory_mb=reserved, free_memory_mb=free
    )
    bar = figures.bar(cloud)
    assert bar is not None
    assert bar.used + bar.reserved + bar.free == figures.BAR_WIDTH
    assert min(bar.used, bar.reserved, bar.free) >= 0
    assert bar.over is (free < 0)


def test_every_state_has_a_mark() -> None:
    assert set(figures.STATE_KINDS) == set(CloudState) | set(MachineState)


def test_the_cache_forgets_with_each_write_and_stays_bounded() -> None:
    cache = ReplyCache(max_bytes=4000, max_entries=3)
    cache.keep("/a", 1, Reply(body=b"a"))
    assert cache.find("/a", 1) == Reply(body=b"a")
    assert cache.find("/a", 2) is None
    cache.keep("/huge", 1, Reply(body=b"x" * 2000))
    assert cache.find("/huge", 1) is None
    for number in range(10):
        cache.keep(f"/{number}", 1, Reply(body=b"x" * 900))
    assert sum(cache.find(f"/{number}", 1) is not None for number in range(10)) <= 3
    assert cache.find("/9", 1) is not None


STATUSES = {
    "Invalid": 400, "NotFound": 404, "Conflict": 409, "MachineExists": 409, "NoRoom": 409,
    "StaleVersion": 412, "Unsupported": 501, "FabricError": 502, "CloudUnreachable": 504, "CloudRefused": 502,
    "ConfigError": 500, "StoreError": 503, "StoreLocked": 503, "StoreTooNew": 503,
    "StartError": 500, "CloudError": 500, "CobblerError": 502, "CobblerUnreachable": 504,
    "CertmasterUnreachable": 503, "Unauthenticated": 401, "Forbidden": 403,
}  # fmt: skip


@pytest.mark.parametrize("name", STATUSES)
def test_every_error_has_its_status(name: str) -> None:
    error: CloudError = getattr(errors, name)("a text")
    assert status_of(error) == STATUSES[name]
    assert problem_of(error).detail == "a text"
    assert problem_of(error).type.startswith("urn:cloudmasterd:problem:")


def test_whoever_has_to_wait_is_told_how_long() -> None:
    problem = problem_of(errors.TooManyAttempts("wait", 7))
    assert problem.status == 429 and ("Retry-After", "7") in problem.headers


def test_the_table_knows_the_whole_tree() -> None:
    named = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, CloudError)
    }
    by_hand = {"RemoteFault", "TooManyAttempts"}
    never_here = {"BackupError"}  # cloudmasterctl's alone
    assert named - by_hand - never_here == set(STATUSES)


@pytest.mark.parametrize(
    ("target", "split"),
    [
        ("/a?b=c?d", ("/a", "b=c?d")),
        ("http://host/a%2Fb?x", ("/a%2Fb", "x")),
        ("http://host", ("/", "")),
        ("//a", ("//a", "")),
    ],
)
def test_targets_are_split(target: str, split: tuple[str, str]) -> None:
    assert paths.split_target(target) == split


def test_times_to_come_and_times_past() -> None:
    from cloudmasterd.clock import SystemClock

    now = SystemClock().now()
    assert figures.until(now + timedelta(days=12), now) == "in 12 days"
    assert figures.until(now - timedelta(hours=3), now) == "3 h ago"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no machine instance is called 'x'", "No machine instance is called 'x'."),
        ("cloud1.example.org cannot be asked", "cloud1.example.org cannot be asked."),
        ("/nope is not there; did you mean /machines?", "/nope is not there; did you mean /machines?"),
        ("", ""),
    ],
)
def test_an_error_stands_on_a_page_as_a_sentence(text: str, shown: str) -> None:
    assert figures.sentence(text) == shown
