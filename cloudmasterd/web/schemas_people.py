"""The shapes of users, tokens and sessions in the OpenAPI document, sent and answered."""

from __future__ import annotations

from cloudmasterd.password_rules import MAX_BYTES, MIN_CHARACTERS
from cloudmasterd.people import MAX_SCOPE, MAX_TITLE
from cloudmasterd.web.api.people_bodies import LONGEST_S, MAX_NAME, MAX_PAIR, ROLES, SHORTEST_S
from cloudmasterd.web.schemas import Schema, nullable, page_of, text

_ROLE = text("viewer sees, operator changes machine instances too, admin does all.", enum=list(ROLES))
_NAME = text("The name they sign in with: small letters.", minLength=1, maxLength=MAX_NAME)
_SCOPE: Schema = {
    "type": "array",
    "description": "Tags such as team=web: what may be changed are machine instances that carry one of them."
    " Empty: all.",
    "items": {"type": "string", "maxLength": MAX_PAIR},
    "maxItems": MAX_SCOPE,
    "uniqueItems": True,
}
_OPTIONAL_SCOPE: Schema = {**_SCOPE, "type": ["array", "null"]}
_TITLE = text("Who or what that is, for people.", maxLength=MAX_TITLE)
_TOKEN_ID = text("What it is called where its secret must not be said.", pattern="^[0-9a-f]{12}$")


def _time(description: str) -> Schema:
    return text(f"{description} (RFC 3339, UTC).", format="date-time")


def _time_or_null(description: str) -> Schema:
    return nullable("string", f"{description} (RFC 3339, UTC).", format="date-time")


def _password(description: str) -> Schema:
    return nullable("string", description, maxLength=MAX_BYTES)


def _answered(description: str, properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": list(properties),
        "properties": properties,
    }


def _sent(description: str, required: list[str], properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _list_of(name: str, description: str) -> Schema:
    return _answered(
        description,
        {
            "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            "next": {"type": "null", "description": "There is no next page."},
        },
    )


_USER: dict[str, Schema] = {
    "name": _NAME,
    "role": _ROLE,
    "scope": _SCOPE,
    "title": _TITLE,
    "disabled": {"type": "boolean", "description": "Whether they, and their tokens, may not come in."},
    "has_password": {"type": "boolean", "description": "Without one they sign in elsewhere."},
    "created_at": _time("When the user was made"),
    "password_changed_at": _time_or_null("When the password was changed; null while it is the first"),
    "last_login_at": _time_or_null("When they signed in last"),
    "etag": text("What If-Match takes."),
}
_TOKEN: dict[str, Schema] = {
    "id": _TOKEN_ID,
    "user": _NAME,
    "title": _TITLE,
    "role": _ROLE,
    "scope": _SCOPE,
    "state": text("Whether it is good for anything.", enum=["good", "expired", "revoked"]),
    "created_at": _time("When it was made"),
    "expires_at": _time_or_null("Until when it is good; null: until it is revoked"),
    "last_used_at": _time_or_null("When it was used last, to about a minute"),
    "last_address": nullable("string", "From where."),
    "revoked_at": _time_or_null("When it was revoked"),
}

PEOPLE_SCHEMAS: dict[str, Schema] = {
    "WhoAmI": _answered(
        "Who asks.",
        {
            "name": _NAME,
            "role": _ROLE,
            "means": text("How that is known.", enum=["session", "token", "proxy", "none"]),
            "scopes": {
                "type": "array",
                "description": "What they change carries a tag of each of these lists. Empty: anything.",
                "items": {"type": "array", "items": {"type": "string"}},
            },
            "token": nullable("string", "The id of the token it was asked with."),
            "session": nullable("string", "The id of the session it was asked in."),
            "expires_at": _time_or_null("Until when the token is good"),
            "may": {
                "type": "array",
                "description": "The operationIds that are open to them.",
                "items": {"type": "string"},
            },
        },
    ),
    "User": _answered("Somebody who may sign in.", _USER),
    "UserList": page_of("User"),
    "UserCreate": _sent(
        "A user to be made.",
        ["name", "role"],
        {
            "name": text("a-z, 0-9, '.', '_', '@' and '-', a letter or digit first.", maxLength=MAX_NAME),
            "role": _ROLE,
            "scope": {**_OPTIONAL_SCOPE, "default": []},
            "title": nullable("string", "Who that is, for people.", maxLength=MAX_TITLE, default=""),
            "password": _password(f"At least {MIN_CHARACTERS} characters. Null: none."),
        },
    ),
    "UserChange": _sent(
        "What is to become different; what is absent stays.",
        [],
        {
            "role": _ROLE,
            "scope": _SCOPE,
            "disabled": {"type": "boolean", "description": "Whether they may not come in."},
            "title": _TITLE,
        },
    ),
    "PasswordChange": _sent(
        "Another password.",
        [],
        {
            "new": _password(f"At least {MIN_CHARACTERS} characters. Null: one is made, and answered."),
            "present": _password("The one that holds until then; for one's own."),
        },
    ),
    "PasswordChanged": _answered(
        "The password holds.",
        {"name": _NAME, "password": nullable("string", "The password that was made; null: it was sent.")},
    ),
    "Token": _answered("What is known of an API token.", _TOKEN),
    "TokenList": _list_of("Token", "Tokens."),
    "TokenCreate": _sent(
        "A token to be made.",
        ["title"],
        {
            "title": text("What it is for.", maxLength=MAX_TITLE),
            "role": {**_ROLE, "type": ["string", "null"], "default": "viewer"},
            "scope": _OPTIONAL_SCOPE,
            "expires_s": nullable(
                "integer",
                "How long it is good, seconds. Null: until it is revoked, or as long as the token that asks.",
                minimum=SHORTEST_S,
                maximum=LONGEST_S,
            ),
            "user": nullable("string", "Whose it is to be; oneself without it.", maxLength=MAX_NAME),
        },
    ),
    "NewToken": _answered(
        "A token that was just made.",
        {**_TOKEN, "token": text("The secret.", pattern="^cmt_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$")},
    ),
    "Session": _answered(
        "A browser that is signed in.",
        {
            "id": text("What it is called."),
            "user": _NAME,
            "present": {"type": "boolean", "description": "Whether it is the one that asks."},
            "created_at": _time("When they signed in"),
            "seen_at": _time("When they were seen last"),
            "address": nullable("string", "From where."),
            "agent": text("What the browser says it is."),
        },
    ),
    "SessionList": _list_of("Session", "Sessions."),
}
