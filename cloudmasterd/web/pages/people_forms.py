"""What the forms about people share: roles, tags and passwords as they are typed."""

from __future__ import annotations

from cloudmasterd.errors import Invalid
from cloudmasterd.rights import Role
from cloudmasterd.web.pages.forms import Form

ROLES = (
    (Role.VIEWER.value, "viewer", "sees everything, changes nothing"),
    (Role.OPERATOR.value, "operator", "creates, changes and deletes machine instances"),
    (Role.ADMIN.value, "admin", "everything: cloud instances, enrolment, users"),
)


def role_of(form: Form) -> Role:
    """The role that was chosen; raises Invalid."""
    try:
        return Role(form.text("role"))
    except ValueError as exc:
        want = f"choose one of {', '.join(value for value, _, _ in ROLES)}"
        raise Invalid(f"role: {want}", [("role", want)]) from exc


def scope_of(form: Form) -> list[str]:
    """The tags that were typed, one a line."""
    return [line.strip() for line in form.text("scope").splitlines() if line.strip()]


def as_typed(form: Form, name: str) -> str:
    """The value of a field with the blanks around it, which are a part of a password."""
    return (form.values.get(name) or [""])[0]
