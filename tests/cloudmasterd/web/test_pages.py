"""The browser view over real HTTP: what it says, that it is well-formed, and that it escapes everything."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from cloudmasterd.errors import CloudUnreachable
from tests.cloudmasterd.web.reading import page

PAGES = [
    "/",
    "/machines",
    "/machines?name=boss&state=running",
    "/machines?name=nothing-is-called-this",
    "/machines/jboss1.example.org",
    "/machines/web1",
    "/clouds/cloud1.example.org",
    "/clouds/cloud2.example.org",
    "/clouds/cloud3.example.org",
    "/clouds/cloud1.example.org/change",
    "/profiles",
    "/profiles?arch=i386",
    "/machines/new",
    "/machines/new?cloud=cloud1.example.org&flavor=large",
    "/machines/jboss1.example.org/change",
    "/machines/jboss1.example.org/delete",
    "/machines/jboss1.example.org/poweroff",
    "/machines/jboss1.example.org/reset",
    "/tasks",
    "/tasks?state=failed,done&cloud=cloud1.example.org&machine=web1",
    "/events",
    "/events?machine=web1&cloud=cloud2.example.org",
    "/nothing",
    "/machines/nothing",
    "/machines?state=nothing",
]


@pytest.mark.parametrize("target", PAGES)
def test_pages_are_well_formed_and_without_inline_script_or_style(small: Any, target: str) -> None:
    answer = small.get(target, Accept="text/html,*/*;q=0.8")
    read = page(answer)
    assert answer.status == (200 if "nothing" not in target or "name=" in target else answer.status)
    assert read.headings[0] == "h1" and read.headings.count("h1") == 1 and "h3" not in read.headings
    assert "main" in read.ids and "#main" in read.links
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


def test_every_link_leads_somewhere(small: Any, make_machine: Any) -> None:
    twins = [f"{n}{n}111111-1111-4111-8111-111111111111" for n in "12"]
    odd = [make_machine(name) for name in ("a/b", "..", "100% Größe", '"><b>')]
    small.fill({"cloud3.example.org": [*odd, *(make_machine("twin", uid=uid) for uid in twins)]})
    seen = set()
    for target in PAGES[: PAGES.index("/nothing")]:
        for link in set(page(small.get(target)).links) - seen:
            if not link.startswith("#"):
                assert small.get(link).status == 200, link
            seen.add(link)


def test_the_overview_has_the_figures(small: Any) -> None:
    text = page(small.get("/")).text
    # the words stand first in the page, the figure above them on the screen
    assert "free of 128 GB memory 120.4 GB" in text
    assert "1 needs attention" in text
    assert "machine instances, 2 running 3" in text
    assert "60.2 GB" in text and "1 of 2" in text


def test_bars_say_in_words_what_they_show(small: Any) -> None:
    labels = page(small.get("/")).labels
    assert "640 MB used by machine instances, 3.2 GB reserved, 60.2 GB free, of 64 GB" in labels


def test_an_unreachable_cloud_instance_is_told_with_reason_age_and_what_to_check(small: Any) -> None:
    for target in ("/", "/clouds/cloud2.example.org"):
        text = page(small.get(target)).text
        assert "has not answered for 6 min. Connection refused." in text
        assert "Its 1 machine instance is shown as last seen" in text
        assert "What to check" in text and "func cloud2.example.org ping" in text
        assert "7 min ago" in text
    assert "As last seen." in page(small.get("/machines/web1")).text


def test_many_things_to_look_at_do_not_push_the_table_away(world: Any, make_machine: Any) -> None:
    many = [f"cloud{i:02}" for i in range(20)]
    world.store.sync_clouds(dict.fromkeys(many))
    world.store.mark_unreachable(dict.fromkeys(many, "no answer"), world.clock.now())
    text = page(world.get("/")).text
    assert "20 need attention" in text and "17 more" in text


def test_a_certificate_about_to_end_is_told(small: Any) -> None:
    small.clock.time += timedelta(days=289)
    assert "ends in 11 days" in page(small.get("/")).text
    small.clock.time += timedelta(days=20)
    assert "has a certificate that ended" in page(small.get("/clouds/cloud1.example.org")).text


def test_an_overcommitted_cloud_instance_is_told(small: Any, make_machine: Any) -> None:
    small.fill({"cloud1.example.org": [make_machine("big", memory_mb=70000)]})
    read = page(small.get("/"))
    assert "is overcommitted by 7.7 GB" in read.text
    assert any("overcommitted by 7.7 GB" in label for label in read.labels)


def test_without_a_cloud_instance_the_overview_tells_how_to_enrol_one(world: Any) -> None:
    text = page(world.get("/")).text
    assert "No cloud instance yet" in text
    assert "certmaster = cloud.example.org" in text and "certmaster-ca --sign" in text
    assert "There is no cloud instance yet" in page(world.get("/machines")).text


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='x",
    "${1+1}",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_and_nothing_else(small: Any, make_machine: Any, name: str) -> None:
    item = make_machine(name)
    small.fill({"cloud1.example.org": [item]})
    small.store.mark_unreachable({"cloud3.example.org": name}, small.clock.now())
    for target in ("/", "/machines", f"/machines/{item.uuid}", "/clouds/cloud1.example.org"):
        answer = small.get(target)
        assert answer.status == 200
        read = page(answer)
        if target != "/":
            assert name in read.text
        assert "<script>alert" not in answer.text and "<img" not in answer.text


@pytest.mark.parametrize(
    "target", ["/%3Cscript%3Ealert(1)", "/machines?name=%22%3E%3Cscript%3E", "/<script>"]
)
def test_a_hostile_request_is_escaped(small: Any, target: str) -> None:
    answer = small.get(target.replace("<script>", "%3Cscript%3E"), Accept="text/html")
    page(answer)
    assert "<script>" not in answer.text


def test_machines_are_filtered_by_a_form_and_paged_by_links(world: Any, make_machine: Any) -> None:
    world.fill({"cloud1": [make_machine(f"web{i:03}") for i in range(230)] + [make_machine("db")]})
    seen: list[str] = []
    target = "/machines?name=WEB&cloud=&state=running"
    while target:
        text = world.get(target).text
        seen += re.findall(r">(web\d\d\d)</a>", text)
        following = re.search(r'<a href="([^"]+)" rel="next">', text)
        target = following[1].replace("&amp;", "&") if following else ""
        assert 'value="WEB"' in text
    assert seen == [f"web{i:03}" for i in range(230)]


def test_a_filter_that_nothing_fits_says_so(small: Any) -> None:
    assert "None of the 3 machine instances fits" in page(small.get("/machines?state=crashed")).text


def test_the_refresh_button_asks_and_leads_back(small: Any) -> None:
    assert 'action="/clouds/cloud1.example.org/refresh"' in small.get("/clouds/cloud1.example.org").text
    answer = small.ask("POST", "/clouds/cloud1.example.org/refresh")
    assert (answer.status, answer.headers["location"]) == (303, "/clouds/cloud1.example.org")
    assert small.fleet.asked == ["cloud1.example.org"]


def test_a_refresh_that_fails_leads_back_to_the_page_that_says_why(small: Any) -> None:
    small.fleet.errors["cloud1.example.org"] = CloudUnreachable("no answer within 10 s")
    assert small.ask("POST", "/clouds/cloud1.example.org/refresh").status == 303
    assert "No answer within 10 s." in page(small.get("/clouds/cloud1.example.org")).text
    assert small.ask("POST", "/clouds/none/refresh").status == 404


def test_errors_are_pages_for_people_and_problems_for_programs(small: Any) -> None:
    person = small.get("/machines/nothing", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert person.status == 404
    text = page(person).text
    assert "404 Not Found" in text and "nothing" in text
    program = small.get("/machines/nothing", Accept="application/json")
    assert (program.status, program.headers["content-type"]) == (406, "application/problem+json")
    assert small.get("/api/v1/x", Accept="text/html").headers["content-type"] == "application/problem+json"


def test_an_open_page_is_told_when_nothing_is_new(small: Any, make_machine: Any) -> None:
    for target in ("/", "/machines", "/clouds/cloud1.example.org", "/machines/web1"):
        tag = small.get(target).headers["etag"]
        assert small.get(target, If_None_Match=tag).status == 304
        small.fill({"cloud1.example.org": [make_machine("jboss1.example.org")]})
        assert small.get(target, If_None_Match=tag).status == 200, "a page shows ages: any write is news"


def test_ages_are_times_that_the_script_can_count_on(small: Any) -> None:
    text = small.get("/clouds/cloud2.example.org").text
    assert 'data-now="2026-11-22T08:00:00Z"' in text
    assert '<time datetime="2026-11-22T07:53:00Z"' in text and 'data-age="ago">7 min ago</time>' in text


def test_static_files_are_kept_for_ever_under_a_name_of_their_content(small: Any) -> None:
    links = [link for link in page(small.get("/")).links if link.startswith("/static/")]
    assert sorted(link.rsplit(".", 1)[1] for link in links) == ["css", "js", "svg"]
    for link in links:
        answer = small.get(link)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert re.search(r"\.[0-9a-f]{12}\.", link)
        assert small.get(link, If_None_Match=answer.headers["etag"]).status == 304
    assert small.get("/static/style.css").status == 404
    assert small.get("/static/..%2f..%2fserver.py").status == 404
