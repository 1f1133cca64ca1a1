"""A small merchant for the tests of payouts: payees, earnings, runs, and a gateway made of paper."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import Engine, text

from domain.db import Tx, transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.ledger import service as ledger
from domain.payouts import service
from domain.payouts.gateway import Deadline, Found, Order, PayeeCheck
from domain.payouts.rules import GatewayOutcome
from domain.payouts.service import Attempt, PayeeUpdate, RunSpec

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)

_sources = count(1)

SUCCESS = GatewayOutcome("response", http_status=200, external_id="tr_1", request_id="req_1")
POOR = GatewayOutcome(
    "response", http_status=400, code="balance_insufficient", message="Insufficient funds."
)
CLOSED = GatewayOutcome("response", http_status=403, code="account_invalid", message="Closed.")
SILENCE = GatewayOutcome("timeout", message="ReadTimeout")
BUSY = GatewayOutcome("response", http_status=429, message="Too many requests.")


class PaperGateway:
    """The pure half of a gateway; the other half must not be reached by what is tested with it."""

    method = "stripe"
    account = "acct_paper"
    api_version = "2026-10-28.paper"

    def params(self, order: Order) -> dict[str, Any]:
        return {
            "amount": order.amount,
            "currency": order.currency,
            "destination": order.destination,
            "metadata": {"attempt": order.key},
        }

    def send(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        raise AssertionError("paper sends nothing")

    def find(self, params: Mapping[str, Any]) -> list[Found] | None:
        raise AssertionError("paper finds nothing")

    def check_payee(self, destination: str) -> PayeeCheck | None:
        raise AssertionError("paper knows nobody")


PAPER = PaperGateway()


def merchant(tx: Tx, key: str = "acme") -> int:
    """A test merchant; returns its id."""
    made: int = tx.execute(
        text("INSERT INTO merchants (key, name, mode) VALUES (:key, :key, 'test') RETURNING id"),
        {"key": key},
    ).scalar_one()
    return made


def payee(
    tx: Tx,
    merchant_id: int,
    user: str = "ada",
    account: str | None = "acct_ada",
    *,
    method: str = "stripe",
    at: datetime = JUNE,
) -> None:
    """Say how a user is paid."""
    service.put_payees(tx, [PayeeUpdate(merchant_id, user, method, at, account)])


def earning(
    merchant_id: int,
    amount: int,
    user: str = "ada",
    *,
    currency: str = "usd",
    due: datetime = JUNE,
    reverses: NewEarning | int | None = None,
    hold: str | None = None,
    method: str | None = None,
) -> NewEarning:
    """An earning of a source of its own; a debit reverses one, or is an adjustment."""
    kind = "clawback" if reverses is not None else "adjustment" if amount < 0 else "reward"
    return NewEarning(
        merchant_id=merchant_id,
        user_id=user,
        currency=currency,
        amount=amount,
        kind=kind,
        source_kind="test",
        source_id=next(_sources),
        available_at=due,
        occurred_at=JUNE,
        method=method,
        reverses=reverses,
        hold_reason=hold,
    )


def earn(tx: Tx, merchant_id: int, amount: int, user: str = "ada", **more: Any) -> int:
    """Record one earning; returns its id."""
    [made] = earnings.record(tx, [earning(merchant_id, amount, user, **more)])
    return made


def run(engine: Engine, merchant_id: int, name: str = "run", **more: Any) -> service.RunResult:
    """Build a run as of June; returns its result."""
    return service.build_run(engine, RunSpec(merchant_id, name, JUNE, **more))


def one_payout(engine: Engine, amounts: tuple[int, ...] = (1_000,)) -> int:
    """A merchant with one payee and an approved payout of ``amounts``; returns the payout's id."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        for amount in amounts:
            earn(tx, acme, amount)
    run(engine, acme)
    return scalar(engine, "SELECT id FROM payouts")


def begin(engine: Engine, payout_id: int) -> Attempt:
    """Begin an attempt that has to be possible."""
    with transaction(engine) as tx:
        attempt = service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)
    assert isinstance(attempt, Attempt), attempt
    return attempt


def record(engine: Engine, attempt: Attempt, outcome: GatewayOutcome) -> service.Recorded:
    """Record an outcome in a transaction of its own."""
    with transaction(engine) as tx:
        return service.record_outcome(tx, attempt, outcome)


def scalar(engine: Engine, statement: str, **values: Any) -> Any:
    """One value."""
    with transaction(engine) as tx:
        return tx.execute(text(statement), values).scalar_one()


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """All rows as tuples."""
    with transaction(engine) as tx:
        return [tuple(row) for row in tx.execute(text(statement), values)]


def execute(engine: Engine, statement: str, **values: Any) -> None:
    """Change something behind the services' back."""
    with transaction(engine) as tx:
        tx.execute(text(statement), values)


def expire_lease(engine: Engine, attempt_id: int) -> None:
    """As if the lease had run out."""
    execute(
        engine,
        "UPDATE payout_attempts SET lease_until = clock_timestamp() - interval '1 second' WHERE id = :id",
        id=attempt_id,
    )


def age(owner: Engine, attempt_id: int, hours: float) -> None:
    """As if the attempt had been sent so long ago; the runtime role may not change that."""
    with transaction(owner) as tx:
        tx.execute(text("ALTER TABLE payout_attempts DISABLE TRIGGER keep_frozen"))
        tx.execute(
            text(
                "UPDATE payout_attempts SET sent_at = sent_at - make_interval(secs => :seconds) WHERE id = :id"
            ),
            {"id": attempt_id, "seconds": hours * 3600},
        )
        tx.execute(text("ALTER TABLE payout_attempts ENABLE TRIGGER keep_frozen"))


def broken(tx: Tx) -> list[str]:
    """Every invariant of the money subjects that does not hold."""
    return [
        *ledger.check_invariants(tx),
        *earnings.check_invariants(tx),
        *service.check_invariants(tx),
    ]


def assert_whole(engine: Engine) -> None:
    """Nothing is broken."""
    with transaction(engine) as tx:
        assert broken(tx) == []
