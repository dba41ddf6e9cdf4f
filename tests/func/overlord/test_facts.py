"""Filters by facts: what is sent, and what is made of the answers."""

from __future__ import annotations

from typing import Any

import pytest

from func.errors import FuncError
from func.overlord.facts import AND, OR, Q, as_argument, read_query, unwrapped


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        (Q(runlevel__gt=2), [AND, [["runlevel__gt", 2]]]),
        (Q(a=1, b="x"), [AND, [["a", 1], ["b", "x"]]]),
        (Q(a=1) & Q(b=2) & Q(c=3), [AND, [["a", 1], ["b", 2], ["c", 3]]]),
        (Q(a=1) | Q(b=2), [OR, [["a", 1], ["b", 2]]]),
        (Q(a=1, b=2) | Q(c=3), [OR, [[AND, [["a", 1], ["b", 2]]], ["c", 3]]]),
        ((Q(a=1) | Q(b=2)) & Q(c=3), [AND, [[OR, [["a", 1], ["b", 2]]], ["c", 3]]]),
        (Q(a=1) & ~Q(b=2, c=3), [AND, [["a", 1], ["NOT", [AND, [["b", 2], ["c", 3]]]]]]),
        (~Q(a=1), [AND, [["NOT", [AND, [["a", 1]]]]]]),
        (~~Q(a=1), [AND, [["a", 1]]]),
        (Q(Q(a=1) | Q(b=2), c=3), [AND, [[OR, [["a", 1], ["b", 2]]], ["c", 3]]]),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, list) else "",
)
def test_a_query_is_sent_as_func_writes_it(query: Q, sent: list[Any]) -> None:
    assert as_argument(query) == {"__fact__": sent}


def test_joining_changes_neither_query() -> None:
    first, second = Q(a=1), Q(b=2)
    assert (first | second).to_wire() == [OR, [["a", 1], ["b", 2]]]
    assert (first.to_wire(), second.to_wire()) == ([AND, [["a", 1]]], [AND, [["b", 2]]])


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ([{"__fact__": [True, {"os": "F8"}]}, 5], (True, 5)),
        ([{"__fact__": [False, {"os": "F8"}]}], (False, None)),
        ([{"__fact__": [False, {}]}, 5], (False, None)),
        (["REMOTE_ERROR", "x"], (True, ["REMOTE_ERROR", "x"])),
        ([{"name": 1}], (True, [{"name": 1}])),
        ([], (True, [])),
        (None, (True, None)),
    ],
    ids=str,
)
def test_an_answer_says_whether_the_query_held(answer: Any, meant: tuple[bool, Any]) -> None:
    assert unwrapped(answer) == meant


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("os=Fedora", [["os", "Fedora"]]),
        ("cpus>=4, cpus<9,runlevel > 2", [["cpus__gte", "4"], ["cpus__lt", "9"], ["runlevel__gt", "2"]]),
        ("x<=a=b", [["x__lte", "a=b"]]),
        ("2.6 in uname", [["uname__contains", "2.6"]]),
        ("FED ini os", [["os__icontains", "FED"]]),
    ],
)
def test_a_filter_of_the_command_line_is_read(text: str, sent: list[Any]) -> None:
    assert read_query(text, OR).to_wire() == [OR, sent]


@pytest.mark.parametrize("text", ["", "os", "os=", "=x", "a,b=1", "a b c", "x out os", "os=a,"])
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(FuncError, match="no filter: write FACT=VALUE"):
        read_query(text, AND)
