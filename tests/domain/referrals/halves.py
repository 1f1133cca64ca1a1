"""A reward for both sides of which a payout has one, when it turns out that both are paid to one account."""

from __future__ import annotations

from typing import Any

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service as payouts
from domain.payouts.service import PayeeUpdate, RunSpec
from domain.referrals import holds
from domain.referrals.rules.holds import HoldPolicy
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    PERCENTAGE,
    code,
    conversion,
    merchant,
    program,
    rows,
    send,
)
from tests.domain.payouts.house import PAPER, SUCCESS
from tests.domain.referrals.stage import settle_looks
from workers.looking_again import look_again

MIA = Actor("person", "mia")


def pay(db: Any, acme: int, user: str, account: str) -> None:
    with transaction(db) as tx:
        payouts.put_payees(tx, [PayeeUpdate(acme, user, "stripe", JUNE, account)])
    look_again(db, acme)
    settle_looks(db, acme)


def run(db: Any, acme: int, name: str) -> payouts.RunResult:
    return payouts.build_run(db, RunSpec(acme, name, JUNE + DAY))


def begin(db: Any, number: int) -> Any:
    with transaction(db) as tx:
        return payouts.begin_first_attempt(tx, payouts.frozen(tx, number), PAPER)


def send_payout(db: Any, number: int) -> None:
    attempt = begin(db, number)
    with transaction(db) as tx:
        assert payouts.record_outcome(tx, attempt, SUCCESS).payout_state == "paid"


def half_claimed(
    db: Any, claimed: str, *, sent: bool, merchant_id: int | None = None
) -> tuple[int, int]:
    """Ada referred Ben, both were rewarded; one side is in a payout, then both are paid to one account.
    Returns the merchant, `acme` (made unless it is there), and the payout."""
    with transaction(db) as tx:
        acme = merchant(tx) if merchant_id is None else merchant_id
        program(tx, acme, PERCENTAGE, referee_rule={"amount": 1_000})
        code(tx, acme, "ADA-01")
        code(tx, acme, "BEN-01", "ben")
        holds.set_policy(tx, acme, None, HoldPolicy(shared_destination=True), actor=MIA)
    send(db, conversion("o1"))
    pay(db, acme, claimed, "acct_1")
    assert run(db, acme, "first").created == 1
    [(number,)] = rows(db, "SELECT id FROM payouts")
    if sent:
        send_payout(db, number)
    pay(db, acme, "ada" if claimed == "ben" else "ben", "acct_1")
    return acme, number
