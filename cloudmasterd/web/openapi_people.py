"""The OpenAPI document's part about users, tokens and sessions."""

from __future__ import annotations

from cloudmasterd.web.openapi_parts import (
    CURSOR,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LIMIT,
    READ_PROBLEMS,
    Node,
    answer,
    body,
    in_path,
    in_query,
    names,
    problems,
)
from cloudmasterd.web.represent_people import USER_FIELDS

_USER = in_path("user", "The name of a user.")
_TOKEN = in_path("token", "The id of a token: the 12 hex digits after cmt_.")
_SESSION = in_path("session", "The id of a session.")
_CHANGE = ("400", "405", "406", "411", "413", "500", "503")
_OF_USER = in_query("user", {"type": "string", "maxLength": 255}, "Whose; one's own without it (admin).")
_ALL = in_query("all", {"type": "boolean", "default": False}, "Everybody's (admin).")
_NO_CONTENT: Node = {"204": {"description": "It is done."}}

_WHOAMI: Node = {
    "operationId": "whoAmI",
    "summary": "Who asks, and what they may do",
    "responses": {"200": answer("WhoAmI", "As this request is seen.", ()), **problems(*READ_PROBLEMS)},
}

_LIST_USERS: Node = {
    "operationId": "listUsers",
    "summary": "Users, by name",
    "parameters": [
        LIMIT,
        CURSOR,
        in_query("fields", names(list(USER_FIELDS)), "Only these keys of each item.", joined=True),
    ],
    "responses": {"200": answer("UserList", "One page.", ()), **problems(*READ_PROBLEMS)},
}

_CREATE_USER: Node = {
    "operationId": "createUser",
    "summary": "Make a user",
    "description": "Without a password it is one whom the web server in front signs in, or whom tokens are"
    " made for. The same request again is answered 409: names are given once. A password is taken over https"
    " or on the cloud master itself only.",
    "requestBody": body("UserCreate", {"name": "ada", "role": "operator", "scope": ["team=web"]}),
    "responses": {
        "201": answer("User", "The user.", ("ETag", "Location")),
        **problems("409", "415", *_CHANGE),
    },
}

_GET_USER: Node = {
    "operationId": "getUser",
    "summary": "One user",
    "description": "Oneself; any other takes the role admin.",
    "responses": {"200": answer("User", "The user."), **problems("404", *READ_PROBLEMS)},
}

_CHANGE_USER: Node = {
    "operationId": "changeUser",
    "summary": "Change role, scope or title of a user, or let them not sign in any more",
    "description": "Done at once. With another role, or disabled, their sessions end; what their tokens may"
    " do is never more than what they may. 409 where no admin with a password would be left.",
    "parameters": [IF_MATCH],
    "requestBody": body("UserChange", {"disabled": True}),
    "responses": {
        "200": answer("User", "The user as they are now."),
        **problems("404", "409", "412", "415", *_CHANGE),
    },
}

_DELETE_USER: Node = {
    "operationId": "deleteUser",
    "summary": "Delete a user with their tokens and sessions",
    "description": "What they did stays on the audit record under their name. 409 where no admin with a"
    " password would be left.",
    "parameters": [IF_MATCH],
    "responses": {**_NO_CONTENT, **problems("404", "409", "412", *_CHANGE)},
}

_SET_PASSWORD: Node = {
    "operationId": "setPassword",
    "summary": "Give a user another password",
    "description": "One's own takes the present one; somebody else's takes the role admin. Their sessions"
    " end, but for the one that asks; their tokens stay. Over https or on the cloud master itself only.",
    "requestBody": body("PasswordChange", {"present": "four words that were", "new": "four words to come"}),
    "responses": {
        "200": answer("PasswordChanged", "It holds from now on.", ()),
        **problems("404", "415", "429", *_CHANGE),
    },
}

_END_SESSIONS: Node = {
    "operationId": "endSessions",
    "summary": "Sign a user out everywhere",
    "description": "Oneself; anybody else takes the role admin. A token that may do less than its user does"
    " not.",
    "responses": {**_NO_CONTENT, **problems("404", *_CHANGE)},
}

_LIST_TOKENS: Node = {
    "operationId": "listTokens",
    "summary": "API tokens, newest first, without their secrets",
    "description": "One's own; others' take the role admin. All in one page.",
    "parameters": [_OF_USER, _ALL],
    "responses": {"200": answer("TokenList", "All of them.", ()), **problems("404", *READ_PROBLEMS)},
}

_CREATE_TOKEN: Node = {
    "operationId": "createToken",
    "summary": "Make an API token",
    "description": "The secret is in this answer and nowhere else; it is given over https or on the cloud"
    " master itself only. It never may do more than its user, nor more, nor longer, than the token that asks"
    " for it. The same Idempotency-Key again is answered 409 with the id of the token that it made: delete"
    " that one and ask with another key.",
    "parameters": [IDEMPOTENCY_KEY],
    "requestBody": body("TokenCreate", {"title": "nightly backup", "role": "viewer", "expires_s": 7776000}),
    "responses": {
        "201": answer("NewToken", "It is good from now on.", ()),
        **problems("404", "409", "415", *_CHANGE),
    },
}

_DELETE_TOKEN: Node = {
    "operationId": "deleteToken",
    "summary": "Revoke an API token",
    "description": "At once and for good; it stays in lists. One's own; others' take the role admin. A token"
    " ends none that may do more than itself.",
    "responses": {**_NO_CONTENT, **problems("404", *_CHANGE)},
}

_LIST_SESSIONS: Node = {
    "operationId": "listSessions",
    "summary": "Browsers that are signed in, the latest seen first",
    "description": "One's own; others' take the role admin. All in one page.",
    "parameters": [_OF_USER, _ALL],
    "responses": {"200": answer("SessionList", "All of them.", ()), **problems("404", *READ_PROBLEMS)},
}

_DELETE_SESSION: Node = {
    "operationId": "deleteSession",
    "summary": "Sign one browser out",
    "description": "One's own; others' take the role admin. A token that may do less than its user does not.",
    "responses": {**_NO_CONTENT, **problems("404", *_CHANGE)},
}

PATHS: dict[str, Node] = {
    "/api/v1/whoami": {"get": _WHOAMI},
    "/api/v1/users": {"get": _LIST_USERS, "post": _CREATE_USER},
    "/api/v1/users/{user}": {
        "parameters": [_USER],
        "get": _GET_USER,
        "patch": _CHANGE_USER,
        "delete": _DELETE_USER,
    },
    "/api/v1/users/{user}/password": {"parameters": [_USER], "put": _SET_PASSWORD},
    "/api/v1/users/{user}/sessions": {"parameters": [_USER], "delete": _END_SESSIONS},
    "/api/v1/tokens": {"get": _LIST_TOKENS, "post": _CREATE_TOKEN},
    "/api/v1/tokens/{token}": {"parameters": [_TOKEN], "delete": _DELETE_TOKEN},
    "/api/v1/sessions": {"get": _LIST_SESSIONS},
    "/api/v1/sessions/{session}": {"parameters": [_SESSION], "delete": _DELETE_SESSION},
}
