"""One-time tokens over REST: made, listed without their secrets, taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudmasterd.enrolment import DEFAULT_S, LONGEST_S, SHORTEST_S, EnrolmentToken, KnownToken
from cloudmasterd.jsonbody import Field, WrongError, flag, invalid, read_object, text, whole
from cloudmasterd.times import time_text
from cloudmasterd.web.asking import asker_of, mark_of
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.represent import list_json
from cloudmasterd.web.site import EnrolmentCases, Site

LONGEST_NAME = 64

_FIELDS = (
    Field("name", text(LONGEST_NAME)),
    Field("expires_s", whole(SHORTEST_S, LONGEST_S, "seconds"), DEFAULT_S, may_be_null=True),
    Field("replace", flag, False, may_be_null=True),
)


class EnrolmentTokens:
    """The resource /api/v1/enrolment-tokens; no answer of it is to be kept anywhere."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def create(self, asked: Asked) -> Reply:
        """Make one; this answer alone has its secret. The same Idempotency-Key again is a conflict."""
        wanted = read_wanted(asked.body)
        mark = mark_of(asker_of(asked, self._site.clock))
        made = self._site.enrolment.new_token(**wanted, mark=mark)
        return Reply(201, json_bytes(made_json(self._site.enrolment, made)), headers=(NO_STORE,))

    def list(self, asked: Asked) -> Reply:
        """All of them, newest first; certmaster forgets them a week after their end."""
        items = [known_json(token) for token in self._site.enrolment.list_tokens()]
        return Reply(body=json_bytes(list_json(items, None)), headers=(NO_STORE,))

    def delete(self, asked: Asked) -> Reply:
        """Take one back."""
        self._site.enrolment.delete_token(asked.names["token"])
        return Reply(204, headers=(NO_STORE,))


def read_wanted(body: Any) -> dict[str, Any]:
    """name_glob, expires_s and replace out of a body; raises Invalid naming every wrong field."""
    try:
        values = read_object(body, _FIELDS)
    except WrongError as exc:
        raise invalid(exc.fields) from exc
    return {"name_glob": values["name"], "expires_s": values["expires_s"], "replace": values["replace"]}


def made_json(enrolment: EnrolmentCases, made: EnrolmentToken) -> dict[str, Any]:
    """A token that was just made, with what it is used with."""
    metadata = enrolment.metadata(made)
    return {
        "id": made.id,
        "token": made.token,
        "name": made.name,
        "expires_at": time_text(made.expires_at),
        "replace": made.replace,
        "ca_fingerprint": made.ca_fingerprint,
        "metadata": metadata,
        "command": command_of(metadata),
    }


def command_of(metadata: Mapping[str, str], between: str = " ") -> str:
    """What does it all on the machine that is to become a cloud instance, for a shell."""
    options = [f"-m {key}={value}" for key, value in metadata.items()]
    return between.join(["genome-replace-self -c $COBBLER_REPO", *options])


def known_json(token: KnownToken) -> dict[str, Any]:
    """What is known of a token; never its secret."""
    return {
        "id": token.id,
        "name": token.name,
        "state": token.state,
        "replace": token.replace,
        "used_by": token.used_by or None,
        "created_at": time_text(token.created_at),
        "expires_at": time_text(token.expires_at),
    }
