"""The errors of the domain: one base class, one class per condition, each with its data.

Expected refusals (what a producer can send) are values with a reason code, never exceptions; see
``domain.referrals.rules.Refusal``.
"""


class DomainError(Exception):
    """Something that a caller asked for cannot be done; the message says what to do instead."""


class NotFound(DomainError):
    """A named thing does not exist for this merchant."""

    def __init__(self, what: str, key: str, hint: str = "") -> None:
        self.what, self.key = what, key
        super().__init__(f"There is no {what} {key!r}." + (f" {hint}" if hint else ""))


class AlreadyExists(DomainError):
    """A name or key is taken."""

    def __init__(self, what: str, key: str, hint: str = "") -> None:
        self.what, self.key = what, key
        super().__init__(f"There is already a {what} {key!r}." + (f" {hint}" if hint else ""))


class Invalid(DomainError):
    """A value breaks a rule; names the field and the rule."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field}: {message}")


class Forbidden(DomainError):
    """The action is not allowed in this state or for this caller."""
