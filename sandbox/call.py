"""One authenticated request, as an endpoint sees it, and how endpoints are declared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.errors import AccountInvalid, ResourceMissing
from sandbox.notify import Notifier
from sandbox.params import Spec
from sandbox.store import Row, Store

Json = dict[str, Any]


@dataclass
class Call:
    """A request that has passed authentication and whose parameters are valid.

    `platform` is the account of the API key; `account` the one acted upon, which is the platform
    unless `Stripe-Account` named one of its connected accounts. `now` is the sandbox's time. What
    happens by itself has no `request_id`.
    `destiny` is what a fault plan has in store for the object that the request makes.
    """

    store: Store
    notifier: Notifier
    platform: str
    account: str
    now: int
    request_id: str | None
    idempotency_key: str | None
    base_url: str
    path: Mapping[str, str] = field(default_factory=dict)
    params: Json = field(default_factory=dict)
    destiny: Json = field(default_factory=dict)

    def emit(self, type: str, object: Json, previous: Json | None = None) -> None:
        """Record an event of the account acted upon."""
        self.emit_for(self.account, type, object, previous)

    def emit_for(self, account: str, type: str, object: Json, previous: Json | None = None) -> None:
        """Record an event of `account`; one of a connected account goes to Connect endpoints."""
        self.notifier.emit(
            platform=self.platform,
            account=account,
            type=type,
            object=object,
            previous=previous,
            now=self.now,
            request_id=self.request_id,
            idempotency_key=self.idempotency_key,
        )

    def find(self, table: str, id: str, kind: str, param: str, *, status: int = 404) -> Row:
        """Return the row of one of the account's objects.

        Raises:
            ResourceMissing: there is none, or it belongs to another account.
        """
        row = self.store.one(
            f"SELECT * FROM {table} WHERE id = ? AND account = ?",  # noqa: S608
            id,
            self.account,
        )
        if row is None:
            raise ResourceMissing(kind, id, param, status=status)
        return row

    def connected(self, id: str, param: str | None = "account") -> Row:
        """Return the row of an account that the key may see: the platform, or one of its own.

        Raises:
            AccountInvalid: unknown, another platform's, deauthorized or deleted.
        """
        row = self.store.one("SELECT * FROM accounts WHERE id = ?", id)
        if row is None or self.platform not in (row["id"], row["platform"]):
            raise AccountInvalid(id, param)
        if row["deleted"] or row["state"] == "deauthorized":
            raise AccountInvalid(id, param)
        return row


Handler = Callable[[Call], Json]


@dataclass(frozen=True)
class Route:
    """An endpoint of the API: `{name}` in its path is an id.

    `returns` names the object that it answers with, or a list of; it decides what `expand` takes.
    `check` refuses combinations of parameters, before execution.
    """

    method: str
    path: str
    spec: Spec
    handler: Handler
    returns: str
    lists: bool = False
    check: Callable[[Json], None] | None = None
