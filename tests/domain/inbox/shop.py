"""A merchant with programs and codes, and its events: what the tests of the conversion road share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Barrier
from typing import Any

from sqlalchemy import Engine, create_engine, pool, text

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.earnings import service as earnings
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, Outcome, Parsed, parse
from domain.ledger import service as ledger
from domain.merchants import service as merchants
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms

JUNE = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TESTER = Actor("person", "tester")
PATIENCE = 60
"""Seconds that a test waits for its threads."""

PERCENTAGE = {"kind": "percentage", "basis_points": 1000}
ONE_TIME = {"kind": "one_time", "amount": 500}
RECURRING = {"kind": "recurring", "basis_points": 800, "max_payments": 3}
TIERED = {
    "kind": "tiered",
    "by": "count",
    "tiers": [{"from": 1, "basis_points": 400}, {"from": 4, "basis_points": 1000}],
}

_messages = count(1)


def merchant(tx: Tx, key: str = "acme") -> int:
    """A test merchant; returns its id."""
    return merchants.add(tx, key, key, mode="test", actor=TESTER).id


def program(
    tx: Tx, merchant_id: int, rule: dict[str, Any], key: str = "refer", **terms: Any
) -> int:
    """A program in US dollars, unless said otherwise; returns its id."""
    made = Terms(rule=rule, **({"currency": "usd"} | terms))
    return admin.create_program(tx, merchant_id, key, key, made, actor=TESTER)


def code(
    tx: Tx, merchant_id: int, name: str, owner: str = "ada", key: str = "refer", **more: Any
) -> None:
    """A code of one's own choice."""
    admin.create_codes(tx, merchant_id, key, [NewCode(owner, name, **more)], actor=TESTER)


@contextmanager
def read_only(engine: Engine, admin_url: str) -> Iterator[None]:
    """Meanwhile new connections, and the engine has no other, find a server that takes no writes."""
    admin = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    setting = f'ALTER DATABASE "{engine.url.database}" SET default_transaction_read_only = '

    def say(value: str) -> None:
        with admin.connect() as connection:
            connection.execute(text(setting + value))

    say("on")
    engine.dispose()
    try:
        yield
    finally:
        say("off")


def open_shop(engine: Engine, rule: dict[str, Any], **terms: Any) -> int:
    """A merchant `acme` with one program and Ada's code `ADA-01`; returns the merchant's id."""
    max_uses = terms.pop("max_uses", None)
    with transaction(engine) as tx:
        acme = merchant(tx)
        program(tx, acme, rule, **terms)
        code(tx, acme, "ADA-01", max_uses=max_uses)
    return acme


def event(
    type_: str,
    id_: str,
    at: datetime = JUNE,
    *,
    to: str = "acme",
    source: str = "shop",
    **data: Any,
) -> str:
    """The text of an event; data fields that are None are left out."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": id_,
            "source": source,
            "merchant": to,
            "type": type_,
            "time": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "data": {name: value for name, value in data.items() if value is not None},
        }
    )


def conversion(
    order: str,
    user: str = "ben",
    amount: int | None = 10_000,
    *,
    by: str | None = "ADA-01",
    at: datetime = JUNE,
    id_: str | None = None,
    **data: Any,
) -> str:
    """Somebody bought. The event's id follows from the order unless given."""
    return event(
        "conversion.recorded",
        id_ or f"{order}/paid",
        at,
        code=by,
        referred_user_id=user,
        transaction_id=order,
        amount=amount,
        **data,
    )


def attributed(
    user: str = "ben", by: str = "ADA-01", *, at: datetime = JUNE, id_: str = "", **data: Any
) -> str:
    """Somebody came by a code."""
    return event(
        "conversion.attributed",
        id_ or f"{user}/{by}",
        at,
        code=by,
        referred_user_id=user,
        **data,
    )


def refund(
    order: str,
    amount: int | None = None,
    *,
    id_: str = "r1",
    at: datetime = JUNE + DAY,
    event_id: str | None = None,
    currency: str | None = "usd",
) -> str:
    """A part of an order given back; without an amount, all of it."""
    part = {"full": True} if amount is None else {"amount": amount, "currency": currency}
    return event(
        "conversion.refunded",
        event_id or f"{order}/{id_}",
        at,
        transaction_id=order,
        refund_id=id_,
        **part,
    )


def dispute(
    order: str,
    outcome: str = "opened",
    *,
    id_: str = "d1",
    at: datetime = JUNE + DAY,
    event_id: str | None = None,
) -> str:
    """An order is disputed, or the dispute is decided."""
    return event(
        "conversion.disputed",
        event_id or f"{order}/{id_}/{outcome}",
        at,
        transaction_id=order,
        dispute_id=id_,
        outcome=outcome,
    )


def read(*texts: str) -> list[Parsed]:
    """Parse texts as one message would bring them."""
    message = f"message-{next(_messages)}"
    return parse(Delivery(message, position, one) for position, one in enumerate(texts))


def send(engine: Engine, *texts: str) -> list[Outcome]:
    """Apply texts as one batch, in a transaction of its own."""
    with transaction(engine) as tx:
        return inbox.apply(tx, read(*texts))


def send_one_by_one(engine: Engine, *texts: str) -> list[Outcome]:
    """Apply each text as a batch of its own."""
    return [send(engine, one)[0] for one in texts]


def said(outcomes: Iterable[Outcome]) -> list[str]:
    """Outcomes in short: the status, and the reason where there is one."""
    return [o.status + (f":{o.reason}" if o.reason else "") for o in outcomes]


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """All rows as tuples."""
    with transaction(engine) as tx:
        return [tuple(row) for row in tx.execute(text(statement), values)]


def scalar(engine: Engine, statement: str, **values: Any) -> Any:
    """One value."""
    return rows(engine, statement, **values)[0][0]


def balance(engine: Engine, user: str = "ada", currency: str = "usd") -> int:
    """What is owed to a user, as the ledger keeps it."""
    found = rows(
        engine,
        "SELECT balance FROM ledger_accounts WHERE kind = 'payable' AND owner = :user AND currency = :currency",
        user=user,
        currency=currency,
    )
    return found[0][0] if found else 0


def standing(engine: Engine) -> dict[str, str]:
    """Each event's id with its status and reason, as its row keeps them."""
    found = rows(engine, "SELECT event_id, status, reason FROM inbox_events")
    return {i: status + (f":{reason}" if reason else "") for i, status, reason in found}


def broken(tx: Tx) -> list[str]:
    """Every invariant of the ledger and of earnings that does not hold, and our own sums."""
    return [*ledger.check_invariants(tx), *earnings.check_invariants(tx)] + [
        f"tracking {row.id}: reversals {row.taken}, kept {row.reversed_amount}"
        for row in tx.execute(text(_DRIFTED))
    ]


_DRIFTED = """
    SELECT t.id, t.reversed_amount, coalesce(sum(r.reversed), 0) AS taken FROM trackings t
    LEFT JOIN tracking_reversals r ON r.tracking_id = t.id
    GROUP BY t.id
    HAVING coalesce(sum(r.reversed), 0) <> t.reversed_amount
        OR coalesce(sum(r.referee_reversed), 0) <> t.referee_reversed_amount
        OR coalesce(sum(r.amount), 0) <> t.refunded_amount
"""


def assert_whole(engine: Engine) -> None:
    """Nothing is broken."""
    with transaction(engine) as tx:
        assert broken(tx) == []


def together(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run all of ``work`` at the same moment; raises what any of it raised."""
    barrier = Barrier(len(work), timeout=PATIENCE)

    def start(one: Callable[[], Any]) -> Any:
        barrier.wait()
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return [f.result(PATIENCE) for f in [pool.submit(start, one) for one in work]]


def wait_until_blocked(engine: Engine, backends: int = 1) -> None:
    """Return once so many other backends of this database wait for a lock; fails after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        waiting = scalar(
            engine,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'",
        )
        if waiting >= backends:
            return
        time.sleep(0.005)
    raise AssertionError(f"{backends} backends never waited for a lock")
