"""One authenticated request to the local Wise, its refusals, and how endpoints are declared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.errors import SandboxError
from sandbox.notify import Notifier
from sandbox.store import Row, Store

Json = dict[str, Any]


class WiseError(SandboxError):
    """A refusal, in the shape of Wise's: a list with a code, a message and the field's path."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        path: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})
        self.status = status
        self.code = code
        self.path = path

    def body(self, now: int) -> Json:
        """Return the JSON body."""
        if self.status == 401:
            return {"error": self.code, "error_description": str(self)}
        error: Json = {"code": self.code, "message": str(self), "arguments": []}
        if self.path is not None:
            error |= {"path": self.path, "arguments": [self.path]}
        return {"timestamp": iso(now), "errors": [error]}


class NotFound(WiseError):
    """An id names nothing that the token may see."""

    def __init__(self, kind: str, id: object) -> None:
        super().__init__(404, "NOT_FOUND", f"No {kind} {id} that this token may see.")


class Invalid(WiseError):
    """A field of the request cannot be taken (422)."""

    def __init__(self, path: str, message: str, code: str = "NOT_VALID") -> None:
        super().__init__(422, code, message, path)


def iso(moment: int) -> str:
    """Return a moment as Wise writes it: UTC, with a Z."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class WiseCall:
    """A request of a user. `now` is the sandbox's time; `destiny` what a fault plan has in store."""

    store: Store
    notifier: Notifier
    user: int
    now: int
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Json = field(default_factory=dict)
    destiny: Json = field(default_factory=dict)

    def profile(self, id: object) -> Row:
        """Return the row of one of the user's profiles.

        Raises:
            NotFound: there is none, or it belongs to somebody else.
        """
        row = None
        if str(id).isdecimal() and len(str(id)) < 19:
            row = self.store.one(
                "SELECT * FROM wise_profiles WHERE id = ? AND user = ?", int(str(id)), self.user
            )
        if row is None:
            raise NotFound("profile", id)
        return row

    def mine(self, table: str, kind: str, id: object) -> Row:
        """Return the row of something that belongs to one of the user's profiles.

        Raises:
            NotFound: there is none, or it belongs to somebody else.
        """
        row = None
        if len(str(id)) < 64:
            row = self.store.one(
                f"SELECT * FROM {table} WHERE id = ? AND profile IN "  # noqa: S608
                "(SELECT id FROM wise_profiles WHERE user = ?)",
                str(id),
                self.user,
            )
        if row is None:
            raise NotFound(kind, id)
        return row

    def take(self, *names: str, must: tuple[str, ...] = ()) -> Json:
        """Return the body after refusing, by name, what is missing and what is not acted on.

        Raises:
            Invalid: a required field is missing, or one is not known to the sandbox.
        """
        for name in self.body:
            if name not in (*names, *must):
                message = f"The sandbox does not act on `{name}`."
                raise Invalid(name, message, "sandbox.unsupported")
        for name in must:
            if self.body.get(name) is None:
                raise Invalid(name, f"`{name}` is required.", "MISSING")
        return self.body


@dataclass(frozen=True)
class WiseRoute:
    """An endpoint: `{name}` in its path is an id. `created` answers 201."""

    method: str
    path: str
    handler: Callable[[WiseCall], Any]
    created: bool = False


def next_id(store: Store, table: str, base: int) -> int:
    """Return the next number of a table whose ids are numbers, as Wise's are."""
    row = store.one(f"SELECT coalesce(max(id), ?) AS last FROM {table}", base)  # noqa: S608
    assert row is not None, "an aggregate has one row"
    return int(row["last"]) + 1
