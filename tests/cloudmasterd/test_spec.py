"""Bodies of requests become specifications, or are refused with every wrong field named."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.errors import Invalid
from cloudmasterd.flavors import DEFAULT_FLAVORS
from cloudmasterd.model import RESERVE_BY_POLICY
from cloudmasterd.placement import Need
from cloudmasterd.spec import (
    Change,
    CloudChange,
    DiskSpec,
    MachineSpec,
    Source,
    need_of,
    parse_change,
    parse_cloud_change,
    parse_create,
)

BODY = {
    "name": "jboss1.example.org", "memory_mb": 512, "vcpus": 1, "disks": [{"size_gb": 4}],
    "networks": ["default"], "source": {"kind": "blank"}, "cloud": None, "tags": {"team": "web"},
    "start": True,
}  # fmt: skip
BLOB = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + bytes(range(32))
KEY = f"ssh-ed25519 {base64.b64encode(BLOB).decode()} ada@example.org"


def create(**fields: Any) -> MachineSpec:
    """The smallest body that is right, with these fields beside or instead."""
    return parse_create({"name": "a1", "memory_mb": 512, **fields}, DEFAULT_FLAVORS)


def wrong_in(body: Any, parse=lambda body: parse_create(body, DEFAULT_FLAVORS)) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse(body)
    fields = dict(caught.value.fields)
    assert len(fields) == len(caught.value.fields), "a field is named twice"
    assert all(f"{name}: {text}" in str(caught.value) for name, text in fields.items())
    return fields


def wrong(**fields: Any) -> dict[str, str]:
    return wrong_in({"name": "a1", "memory_mb": 512, **fields})


def test_the_body_that_scripts_rely_on_is_read() -> None:
    assert parse_create(BODY, DEFAULT_FLAVORS) == MachineSpec(
        name="jboss1.example.org", memory_mb=512, vcpus=1, disks=(DiskSpec(4),), networks=("default",),
        tags={"team": "web"},
    )  # fmt: skip


def test_what_is_left_out_has_a_default() -> None:
    spec = create()
    assert (spec.vcpus, spec.disks, spec.networks) == (1, (DiskSpec(10),), ("default",))
    assert (spec.source, spec.firmware, spec.arch, spec.cloud) == (Source(), None, None, None)
    assert (spec.start, spec.autostart, spec.tags, spec.notes, spec.groups) == (True, False, {}, "", ())


def test_null_is_the_same_as_left_out() -> None:
    names = set(MachineSpec.__dataclass_fields__) - {"name", "memory_mb"}
    assert create(**dict.fromkeys(names)) == create()
    assert create(source={"kind": "blank", "volume": None, "image": None}).source == Source()


def test_two_specifications_share_no_default_that_could_be_changed() -> None:
    create().tags["team"] = "web"  # type: ignore[index]
    assert create().tags == {}


def test_no_disks_and_no_networks_are_possible_when_asked_for() -> None:
    assert (create(disks=[]).disks, create(networks=[]).networks) == ((), ())


def test_a_flavor_stands_for_memory_vcpus_and_one_disk() -> None:
    spec = parse_create({"name": "a1", "flavor": "medium"}, DEFAULT_FLAVORS)
    assert (spec.flavor, spec.memory_mb, spec.vcpus, spec.disks) == ("medium", 4096, 2, (DiskSpec(40),))


def test_a_flavor_beside_what_it_stands_for_is_refused() -> None:
    found = wrong(flavor="small", vcpus="2", disks=[4])
    assert set(found) == {"memory_mb", "vcpus", "disks"}
    assert "leave it out: the flavor says it" in found["disks"]


def test_a_flavor_that_is_not_there_is_told_with_the_nearest() -> None:
    found = wrong_in({"name": "a1", "flavor": "smal"})
    assert found == {
        "flavor": "'smal' is no flavor here: give one of tiny, small, medium, large; did you mean 'small'?"
    }


def test_where_there_are_no_flavors_the_sizes_are_asked_for() -> None:
    parse = lambda body: parse_create(body, ())  # noqa: E731
    assert "there are none: give memory_mb" in wrong_in({"name": "a1", "flavor": "small"}, parse)["flavor"]
    assert "flavor" not in wrong_in({"name": "a1"}, parse)["memory_mb"]


def test_every_wrong_field_is_named_at_once() -> None:
    body = {
        "name": "a_b", "memory_mb": "512", "vcpu": 2, "disks": [{"size_gb": 4}, {"size": 3}], "start": 1,
        "source": {"kind": "image", "cloud_init": {"users": [{"sudo": "yes"}]}},
    }  # fmt: skip
    assert set(wrong_in(body)) == {
        "name", "memory_mb", "vcpu", "disks[1].size_gb", "disks[1].size", "start", "source.image",
        "source.cloud_init.users[0].name", "source.cloud_init.users[0].sudo",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0 is too small: give a whole number of MB from 64 to 16777216"),
        (-1, "-1 is too small"),
        (63, "63 is too small"),
        (16777217, "16777217 is too large"),
        (10**30, "a number of more than 18 digits is too large"),
        ("512", "'512' is text: give a whole number of MB from 64 to 16777216, without quotes: 512"),
        ("lots", "'lots' is text: give a whole number of MB from 64 to 16777216"),
        (True, "true: give a whole number"),
        (512.0, "512.0: give a whole number of MB from 64 to 16777216, without a decimal point: 512"),
        (0.5, "0.5: give a whole number of MB"),
        (float("nan"), "nan: give a whole number"),
        (float("inf"), "inf: give a whole number"),
        ([512], "a list: give a whole number"),
        ({}, "an object: give a whole number"),
        (None, "missing: give a whole number of MB from 64 to 16777216, or a flavor: tiny, small, "),
    ],
)  # fmt: skip
def test_memory_that_is_none_is_refused_in_words(value: Any, words: str) -> None:
    assert words in wrong(memory_mb=value)["memory_mb"]


@pytest.mark.parametrize("memory_mb", [64, 16777216])
def test_memory_reaches_its_bounds(memory_mb: int) -> None:
    assert create(memory_mb=memory_mb).memory_mb == memory_mb


@pytest.mark.parametrize(
    ("field", "value", "place", "words"),
    [
        ("vcpus", 0, "vcpus", "0 is too small: give a whole number from 1 to 1024"),
        ("vcpus", 1025, "vcpus", "too large"),
        ("vcpus", True, "vcpus", "true: give a whole number"),
        ("disks", {"size_gb": 4}, "disks", "an object: give a list of at most 16"),
        ("disks", [{"size_gb": 1}] * 17, "disks", "it has 17 items: give a list of at most 16"),
        ("disks", [4], "disks[0]", "4: give an object with size_gb, pool"),
        ("disks", [{"size_gb": 65537}], "disks[0].size_gb", "from 1 to 65536"),
        ("disks", [{"size_gb": 1, "pool": "../x"}], "disks[0].pool", "give the name of a pool"),
        ("disks", [{"size_gb": 1, "Size-GB": 1}], "disks[0].Size-GB", "did you mean 'size_gb'?"),
        ("networks", "default", "networks", "'default' is text: give a list"),
        ("networks", ["ok", ""], "networks[1]", "'': give the name of a network"),
        ("networks", ["a" * 64], "networks[0]", "at most 63"),
        ("firmware", "efi", "firmware", "give one of bios, uefi; did you mean 'uefi'?"),
        ("arch", "amd64", "arch", "give one of x86_64, aarch64"),
        ("autostart", "yes", "autostart", "'yes' is text: give true or false, without quotes"),
        ("start", 0, "start", "0: give true or false"),
        ("cloud", 5, "cloud", "5: give the name of a cloud instance"),
        ("cloud", "c/1", "cloud", "give the name of a cloud instance"),
        ("flavor", 5, "flavor", "5: give the name of a flavor"),
        ("tags", ["web"], "tags", "a list: give an object"),
        ("tags", {"team": 1}, "tags.team", "1: give text of at most 255 characters"),
        ("tags", {"team": "a\nb"}, "tags.team", "it holds the character U+000A"),
        ("tags", {"": "x"}, "tags.''", "'': give a key"),
        ("tags", {f"t{n}": "" for n in range(65)}, "tags", "it has 65 entries: give at most 64"),
        ("notes", "x" * 4097, "notes", "it has 4097 characters: give text of at most 4096"),
        ("notes", "a\x1bb", "notes", "it holds the character U+001B"),
        ("notes", "\ud800", "notes", "it holds the character U+D800"),
        ("groups", ["web", "web"], "groups[1]", "'web' stands there already, at [0]: give it once"),
        ("groups", ["Web"], "groups[0]", "give the name of a group"),
        ("source", "blank", "source", """'blank' is text: give an object such as {"kind": "blank"}"""),
        ("source", {}, "source.kind", "missing: give one of blank, iso, image"),
        ("source", {"kind": "isp"}, "source.kind", "did you mean 'iso'?"),
        ("source", {"kind": []}, "source.kind", "a list: give one of"),
        ("source", {"kind": "iso"}, "source.volume", "missing: give a pool and the name of an ISO image"),
        ("source", {"kind": "iso", "volume": "boot.iso"}, "source.volume", "e.g. default/boot.iso"),
        ("source", {"kind": "iso", "volume": "../../x.iso"}, "source.volume", "give a pool and"),
        ("source", {"kind": "iso", "volume": "p/x.qcow2"}, "source.volume", "give a pool and"),
        ("source", {"kind": "image"}, "source.image", "missing: give the name of an image"),
        ("source", {"kind": "blank", "image": "x"}, "source.image", "belongs to the source kind 'image'"),
        ("source", {"kind": "blank", "imgae": "x"}, "source.imgae", "not a field here"),
        ("zzz", "red", "zzz", "not a field here: the fields are arch, autostart, cloud, disks"),
        ("memory", 512, "memory", "did you mean 'memory_mb'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_would_be_right(
    field: str, value: Any, place: str, words: str
) -> None:
    found = wrong(**{field: value})
    assert set(found) == {place}
    assert words in found[place]


def test_enormous_values_are_refused_in_a_few_words() -> None:
    found = wrong(name="x" * 1_000_000, memory_mb=10**5000, notes="x" * 1_000_000, **{"y" * 1_000_000: 1})
    assert set(found) == {"name", "memory_mb", "notes", "'" + "y" * 57 + "'"}
    assert sum(map(len, found.values())) < 1000


def profile(**fields: Any) -> dict[str, Any]:
    return {"kind": "profile", "profile": "GenomeCloud-RHEL5U2-x86_64", **fields}


def test_a_profile_comes_with_its_metadata() -> None:
    metadata = {
        "certmaster": "cloud.example.org",
        "genome_ca": "0" * 64,
        "a1": "x+y@z/1:2,3-_.",
        "genome_sshkey": ("ssh-rsa,A", "ssh-rsa,B"),
    }
    found = parse_create(
        {
            "name": "a1",
            "memory_mb": 512,
            "source": profile(metadata={**metadata, "genome_sshkey": ["ssh-rsa,A", "ssh-rsa,B"]}),
        },
        DEFAULT_FLAVORS,
    )
    assert found.source.profile == "GenomeCloud-RHEL5U2-x86_64"
    assert found.source.metadata == metadata
    assert need_of(found).koan


def test_metadata_is_not_in_what_a_log_would_show_of_it() -> None:
    secret = parse_create(
        {"name": "a1", "memory_mb": 512, "source": profile(metadata={"genome_token": "s3cret"})},
        DEFAULT_FLAVORS,
    )
    assert "s3cret" not in repr(secret)


@pytest.mark.parametrize(
    ("metadata", "place", "says"),
    [
        ({"Certmaster": "x"}, "source.metadata.Certmaster", "a-z, 0-9 and '_'"),
        ({"1st": "x"}, "source.metadata.1st", "a letter first"),
        ({"root": "/dev/sda1"}, "source.metadata.root", "a meaning of its own"),
        ({"ks": "http://x/"}, "source.metadata.ks", "a meaning of its own"),
        ({"genome_report": "http://x/"}, "source.metadata.genome_report", "a meaning of its own"),
        ({"a": "$(reboot)"}, "source.metadata.a", "letters, digits and"),
        ({"a": "x y"}, "source.metadata.a", "letters, digits and"),
        ({"a": "x;y"}, "source.metadata.a", "letters, digits and"),
        ({"a": "x\n"}, "source.metadata.a", "letters, digits and"),
        ({"a": ""}, "source.metadata.a", "one or more"),
        ({"a": []}, "source.metadata.a", "1 to 64"),
        ({"a": ["x", "$(reboot)"]}, "source.metadata.a[1]", "letters, digits and"),
        ({"a": ["x" * 900] * 2}, "source.metadata", "at most 1792"),
        ({"a": 1}, "source.metadata.a", "give text"),
        ({"a": "x" * 1800}, "source.metadata", "at most 1792"),
        ({f"a{n}": "x" for n in range(65)}, "source.metadata", "at most 64"),
        ("certmaster=x", "source.metadata", "an object"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "given",
)
def test_metadata_that_a_command_line_cannot_hold_is_refused(metadata: Any, place: str, says: str) -> None:
    found = wrong(source=profile(metadata=metadata))
    assert list(found) == [place]
    assert says in found[place]


def test_a_value_of_metadata_is_never_repeated_because_it_may_be_a_token() -> None:
    assert "s3cret" not in str(wrong(source=profile(metadata={"genome_token": "s3cret token"})))


@pytest.mark.parametrize("name", ["a b", "$(reboot)", "a;b", "-x", "a" * 64, "", "a:b", "../x", "x\n"])
def test_the_name_of_a_profile_that_koan_could_misread_is_refused(name: str) -> None:
    assert "the name of a profile" in wrong(source=profile(profile=name))["source.profile"]


def test_a_profile_needs_a_disk_to_be_installed_on() -> None:
    assert "installed on the first" in wrong(source=profile(), disks=[])["disks"]


def test_metadata_belongs_to_profiles_alone() -> None:
    found = wrong(source={"kind": "blank", "metadata": {}})
    assert "belongs to the source kind 'profile'" in found["source.metadata"]


def test_an_image_needs_a_disk_to_be_copied_into() -> None:
    assert "give at least one" in wrong(source={"kind": "image", "image": "el9"}, disks=[])["disks"]


@pytest.mark.parametrize("body", [None, True, 1, 1.5, "x", [], [{"name": "a1"}]])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    assert "give an object with name, memory_mb" in wrong_in(body)["body"]


def test_a_flood_of_unknown_fields_is_counted_not_listed() -> None:
    found = wrong(**{f"x{n}": n for n in range(5000)})
    assert len(found) == 21
    assert found["body"] == "4980 more fields are not known here: leave them out"


def test_a_flood_of_wrong_values_is_counted_not_listed() -> None:
    found = wrong(source={"kind": "image", "image": "el9", "cloud_init": {
        "users": [{"name": f"u{n}", "ssh_keys": ["x"] * 4} for n in range(32)]}})  # fmt: skip
    assert len(found) == 101
    assert found["body"] == "28 more are wrong: correct these first"


@pytest.mark.parametrize(
    "name", ["a", "1a", "jboss1", "jboss1.example.org", "a-b.c-d", "x" * 63, ".".join("a" * 32), "deadbeef"]
)
def test_a_host_name_is_a_name(name: str) -> None:
    assert create(name=name).name == name
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "'': give a host name such as jboss1.example.org"),
        ("x" * 64, "it has 64 characters"),
        ("JBoss1.example.org", "is not in lower case: give 'jboss1.example.org'"),
        ("a_b", "give a host name"),
        ("a..b", "give a host name"),
        (".a", "give a host name"),
        ("a.", "give a host name"),
        ("-a", "give a host name"),
        ("a-.b", "give a host name"),
        ("a/b", "give a host name"),
        ("../etc", "give a host name"),
        ("a b", "give a host name"),
        ("a\n", "give a host name"),
        ("a;reboot", "give a host name"),
        ("<b>", "give a host name"),
        ("küche", "give a host name"),
        ("\ud800", "give a host name"),
        ("192.0.2.7", "would be taken for an address"),
        ("17", "would be taken for an address"),
        ("12345678-1234-1234-1234-123456789abc", "would be taken for a uuid"),
        ("a2345678123412341234123456789abc", "would be taken for a uuid"),
        (None, "null: give a host name"),
        (7, "7: give a host name"),
    ],
)  # fmt: skip
def test_what_is_no_host_name_is_refused(name: Any, words: str) -> None:
    assert words in wrong(name=name)["name"]


def image(**cloud_init: Any) -> dict[str, Any]:
    return {"kind": "image", "image": "el9", "cloud_init": cloud_init}


def test_cloud_init_is_read_and_its_users_become_objects() -> None:
    given = {
        "hostname": "web.example.org", "ssh_keys": [KEY], "user_data": "#cloud-config\n{}\n",
        "users": [
            "ada",
            {"name": "bob", "ssh_keys": [KEY], "groups": ["wheel"], "sudo": True, "shell": "/bin/sh"},
        ],
    }  # fmt: skip
    cloud_init = create(source=image(**given)).source.cloud_init
    assert cloud_init == {**given, "users": [{"name": "ada"}, given["users"][1]]}
    assert json.loads(json.dumps(cloud_init)) == cloud_init


def test_what_cloud_init_was_not_told_is_not_there() -> None:
    assert create(source=image(hostname=None, users=None)).source.cloud_init == {}
    assert create(source={"kind": "image", "image": "el9"}).source.cloud_init == {}


@pytest.mark.parametrize(
    ("field", "value", "place", "words"),
    [
        ("hostname", "A B", "hostname", "give a host name"),
        ("user", "ada", "user", "did you mean 'users'?"),
        ("users", "ada", "users", "'ada' is text: give a list"),
        ("users", [7], "users[0]", "give a user name, or an object with name"),
        ("users", ["Ada"], "users[0]", "give a user name"),
        ("users", ["ada", "bob", "ada"], "users[2].name", "stands there already, at [0]"),
        ("users", [{"name": "ada", "passwd": "x"}], "users[0].passwd", "passwords are not taken here"),
        ("users", [{"name": "ada", "shell": "sh"}], "users[0].shell", "e.g. /bin/bash"),
        ("users", [{"name": "ada", "groups": ["a b"]}], "users[0].groups[0]", "give a user name"),
        ("ssh_keys", KEY, "ssh_keys", "give a list"),
        ("ssh_keys", [KEY, KEY], "ssh_keys[1]", "stands there already"),
        ("ssh_keys", ["-----BEGIN OPENSSH PRIVATE KEY-----\nx"], "ssh_keys[0]", "this is a private key"),
        ("ssh_keys", [KEY + "\n" + KEY], "ssh_keys[0]", "not one printable line"),
        ("ssh_keys", ["ssh-dss AAAA"], "ssh_keys[0]", "'ssh-dss' is no kind of key"),
        ("ssh_keys", ["ssh-rsa"], "ssh_keys[0]", "what follows ssh-rsa is no such key"),
        ("ssh_keys", ["ssh-rsa !!!!"], "ssh_keys[0]", "what follows ssh-rsa is not base64"),
        ("ssh_keys", ["ssh-rsa ä"], "ssh_keys[0]", "what follows ssh-rsa is not base64"),
        ("ssh_keys", [KEY.replace("ssh-ed25519", "ssh-rsa", 1)], "ssh_keys[0]", "is no such key"),
        ("ssh_keys", [KEY[:30]], "ssh_keys[0]", "ssh-ed25519 is not base64"),
        ("ssh_keys", [KEY[:32]], "ssh_keys[0]", "is no such key, or not all of it"),
        ("ssh_keys", [5], "ssh_keys[0]", "5: give a public key"),
        ("user_data", 5, "user_data", "5: give text"),
        ("user_data", "packages: [vim]", "user_data", "it begins with 'packages: [vim]'"),
        ("user_data", "\n", "user_data", "it begins with ''"),
        ("user_data", "#" + "ü" * 32768, "user_data", "it has 65537 bytes"),
        ("user_data", "#!\x00", "user_data", "U+0000"),
        ("user_data", "#!\x0e", "user_data", "U+000E"),
        ("user_data", "#\ud800", "user_data", "no sound Unicode at character 2"),
    ],
)  # fmt: skip
def test_a_mistake_in_cloud_init_is_told_before_anything_is_made(
    field: str, value: Any, place: str, words: str
) -> None:
    found = wrong(source=image(**{field: value}))
    assert set(found) == {f"source.cloud_init.{place}"}
    assert words in next(iter(found.values()))


def test_lines_of_notes_are_kept_and_those_of_a_form_become_plain() -> None:
    assert create(notes="one\r\ntwo\n\tthree").notes == "one\ntwo\n\tthree"


def test_a_change_says_only_what_becomes_different() -> None:
    assert parse_change({"memory_mb": 1024, "tags": {}}) == Change(memory_mb=1024, tags={})
    assert parse_change({"name": "b1", "autostart": False}) == Change(name="b1", autostart=False)


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ({}, "body", "nothing to change: give at least one of memory_mb, vcpus, autostart, tags, "),
        ([], "body", "a list: give an object"),
        ({"notes": None}, "notes", "null: give text"),
        ({"memory_mb": None}, "memory_mb", "null: give a whole number of MB"),
        ({"memory": 5}, "memory", "did you mean 'memory_mb'?"),
        ({"name": "B1"}, "name", "give 'b1'"),
        ({"disks": []}, "disks", "not a field here"),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused(body: Any, place: str, words: str) -> None:
    found = wrong_in(body, parse_change)
    assert set(found) == {place}
    assert words in found[place]


def test_a_cloud_instance_goes_into_maintenance_with_a_reason() -> None:
    body = {"maintenance": True, "maintenance_reason": "kernel update"}
    assert parse_cloud_change(body) == CloudChange(maintenance=True, maintenance_reason="kernel update")


def test_a_reserve_of_null_goes_back_to_the_settings() -> None:
    assert parse_cloud_change({"reserve_mb": 0}).reserve_mb == 0
    assert parse_cloud_change({"reserve_mb": None}).reserve_mb == RESERVE_BY_POLICY


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ({}, "body", "nothing to change: give at least one of maintenance, "),
        ({"maintenance": "true"}, "maintenance", "give true or false, without quotes"),
        ({"maintenance": False, "maintenance_reason": "x"}, "maintenance_reason", "leave it out"),
        ({"maintenance_reason": "x" * 201}, "maintenance_reason", "at most 200 characters in one line"),
        ({"reserve_mb": -1}, "reserve_mb", "-1 is too small: give a whole number of MB (or null"),
        ({"reserve": 5}, "reserve", "did you mean 'reserve_mb'?"),
    ],
)  # fmt: skip
def test_a_change_of_a_cloud_instance_that_cannot_be_is_refused(body: Any, place: str, words: str) -> None:
    found = wrong_in(body, parse_cloud_change)
    assert set(found) == {place}
    assert words in found[place]


def test_a_need_adds_up_the_disks_of_each_pool_and_asks_for_the_iso() -> None:
    spec = create(
        disks=[{"size_gb": 4}, {"size_gb": 5, "pool": "fast"}, {"size_gb": 6}],
        networks=["lan", "dmz", "lan"], source={"kind": "iso", "volume": "isos/el9.iso"},
        firmware="uefi", arch="x86_64", groups=["web"], cloud="cloud1.example.org", vcpus=2,
    )  # fmt: skip
    assert need_of(spec) == Need(
        memory_mb=512, vcpus=2, arch="x86_64", networks=("lan", "dmz"),
        pools={None: 10, "fast": 5, "isos": 0}, groups=("web",), cloud="cloud1.example.org",
        firmware="uefi", volume="isos/el9.iso",
    )  # fmt: skip


# Any JSON at all, and bodies that are nearly right: known names over values of every kind.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = [
    *MachineSpec.__dataclass_fields__, "kind", "volume", "image", "cloud_init", "size_gb", "pool", "hostname",
    "users", "ssh_keys", "user_data", "sudo", "shell", "maintenance", "maintenance_reason", "reserve_mb",
]  # fmt: skip
LEAVES = st.sampled_from(
    [None, True, False, 0, 1, 64, 512, -1, 1.0, "", "a1", "A1", "blank", "iso", "image", "profile", "small",
     "bios", "p/x.iso", KEY, "#!", "x86_64", "12345678-1234-1234-1234-123456789abc"]
)  # fmt: skip
NEARLY = st.recursive(
    LEAVES | JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


@given(JSON | NEARLY | st.dictionaries(st.sampled_from(NAMES), NEARLY, max_size=8))
def test_any_json_is_a_specification_or_invalid_and_never_anything_else(body: Any) -> None:
    for parse, kind in (
        (lambda b: parse_create(b, DEFAULT_FLAVORS), MachineSpec),
        (parse_change, Change),
        (parse_cloud_change, CloudChange),
    ):
        try:
            assert isinstance(parse(body), kind)
        except Invalid as exc:
            assert exc.fields
            assert all(name and text for name, text in exc.fields)
            str(exc).encode("utf-8")  # fit for an answer and a log


RIGHT_DISK = st.fixed_dictionaries(
    {"size_gb": st.integers(1, 65536)}, optional={"pool": st.sampled_from(["a", None])}
)
RIGHT = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True),
        "memory_mb": st.integers(64, 16777216),
    },
    optional={
        "vcpus": st.integers(1, 1024),
        "disks": st.lists(RIGHT_DISK, max_size=16),
        "networks": st.lists(st.sampled_from(["default", "lan", "Dmz_1"]), max_size=16),
        "firmware": st.sampled_from(["bios", "uefi", None]),
        "tags": st.dictionaries(st.sampled_from(["a", "B.c/d"]), st.text("ab \u00fc", max_size=255)),
        "notes": st.text("ab\n\u00fc", max_size=4096),
        "groups": st.lists(st.sampled_from(["web", "db"]), unique=True),
        "cloud": st.sampled_from([None, "cloud1.example.org"]),
        "start": st.booleans(),
    },
)  # fmt: skip


@given(RIGHT)
def test_what_is_right_is_taken_as_it_was_given(body: dict[str, Any]) -> None:
    spec = parse_create(body, DEFAULT_FLAVORS)
    for name in set(body) - {"disks", "networks", "groups"}:
        assert getattr(spec, name) == body[name]
    assert [(d.size_gb, d.pool) for d in spec.disks] == [
        (d["size_gb"], d.get("pool")) for d in body.get("disks", [{"size_gb": 10}])
    ]
    assert sum(need_of(spec).pools.values()) == sum(d.size_gb for d in spec.disks)
