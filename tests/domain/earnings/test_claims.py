"""What is due is what the rules say, and what is claimed is what was due."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.db import Tx, transaction
from domain.earnings import service
from domain.payouts.rules import members_digest
from tests.domain.payouts import house
from tests.domain.payouts.house import JULY, JUNE, earn, earning, merchant

MAY = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass
class Known:
    """An earning as the test made it."""

    id: int
    user: str
    amount: int
    due: datetime
    held: bool
    voided: bool
    method: str | None
    claimed: bool
    debits: list[tuple[int, int]] = field(default_factory=list)


def draft(tx: Tx, earning_id: int) -> int:
    """A draft, in a run of its own, for the payee of an earning."""
    made: int = tx.execute(
        text(
            """
            WITH e AS (SELECT * FROM earnings WHERE id = :id),
            run AS (INSERT INTO payout_runs (merchant_id, name, as_of, members_hash)
                    SELECT merchant_id, 'of ' || gen_random_uuid(), now(), '' FROM e RETURNING id)
            INSERT INTO payouts (merchant_id, run_id, payee_id, user_id, account_id, method, destination, currency,
                                 amount, members, members_hash)
            SELECT e.merchant_id, run.id, p.id, p.user_id, e.account_id, 'stripe', 'a', 'usd', 1, 1, ''
            FROM run, e JOIN payees p USING (merchant_id, user_id) RETURNING id
            """
        ),
        {"id": earning_id},
    ).scalar_one()
    return made


def made_up(tx: Tx, choice: random.Random, acme: int) -> list[Known]:
    """Credits of three users in every standing, with debits whose own dates and holds say nothing."""
    known = []
    for _ in range(60):
        credit = Known(
            0,
            choice.choice(["ada", "bob", "cyd"]),
            choice.randrange(1, 1_000),
            choice.choice([MAY, JUNE, JULY]),
            choice.random() < 0.2,
            False,
            choice.choice([None, None, "stripe", "manual"]),
            False,
        )
        credit.id = earn(
            tx,
            acme,
            credit.amount,
            credit.user,
            due=credit.due,
            hold="held" if credit.held else None,
            method=credit.method,
        )
        for _ in range(choice.choice([0, 0, 1, 2])):
            taken = -choice.randrange(1, 100)
            own = choice.choice([MAY, JULY])
            hold = choice.choice([None, "copied"])
            debit = earn(tx, acme, taken, credit.user, reverses=credit.id, due=own, hold=hold)
            credit.debits.append((debit, taken))
        known.append(credit)
    for credit in known:
        if choice.random() < 0.2:
            credit.claimed = True
            tx.execute(
                text("UPDATE earnings SET payout_id = :p WHERE id = :id"),
                {"p": draft(tx, credit.id), "id": credit.id},
            )
        elif choice.random() < 0.15:
            credit.voided = True
            tx.execute(
                text("UPDATE earnings SET voided_at = now() WHERE id = :id"), {"id": credit.id}
            )
    return known


def due_of(known: list[Known], user: str, method: str | None) -> list[tuple[int, int]]:
    """(id, amount) of what is due to a user as of June, by the words of the rules."""
    found = []
    for credit in known:
        if credit.user != user:
            continue
        credit_is_due = (
            not credit.claimed
            and not credit.voided
            and not credit.held
            and credit.due <= JUNE
            and (credit.method is None or method is None or credit.method == method)
        )
        if credit_is_due:
            found.append((credit.id, credit.amount))
        if credit.claimed or credit_is_due:
            found += credit.debits
    return found


@pytest.mark.parametrize("seed", range(8))
def test_what_is_due_and_what_is_claimed_is_what_the_rules_say(tx: Tx, seed: int) -> None:
    choice = random.Random(seed)
    acme = merchant(tx)
    for user in ("ada", "bob", "cyd"):
        house.payee(tx, acme, user, f"acct_{user}")
    known = made_up(tx, choice, acme)
    methods = {"ada": "stripe", "bob": "manual", "cyd": None}
    accounts = {
        p.user_id: p.account_id
        for p in service.payables(
            tx, service.accounts_with_unclaimed(tx, acme, after=0, limit=1_000)
        )
    }
    wanted = [(accounts[user], method) for user, method in methods.items() if user in accounts]
    due = {d.account_id: d for d in service.due(tx, acme, wanted, JUNE)}
    for user, method in methods.items():
        expected = due_of(known, user, method)
        got = due[accounts[user]]
        assert (got.amount, got.members) == (sum(a for _, a in expected), len(expected)), user
        assert got.digest is None or bytes(got.digest) == members_digest(expected)

    payout = draft(tx, next(credit.id for credit in known if credit.user == "ada"))
    claimed = service.claim(tx, acme, [(accounts["ada"], "stripe", payout)], JUNE)
    expected = due_of(known, "ada", "stripe")
    assert (claimed[payout].amount, claimed[payout].members) == (
        sum(a for _, a in expected),
        len(expected),
    )
    assert bytes(claimed[payout].digest) == members_digest(expected)
    assert service.claim(tx, acme, [(accounts["ada"], "stripe", payout)], JUNE) == {}


def test_an_account_that_another_writer_holds_is_left_out_or_waited_for(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in ("ada", "bob"):
            earn(tx, acme, 100, user)
    with transaction(engine) as tx:
        ids = service.accounts_with_unclaimed(tx, acme, after=0, limit=10)
    with transaction(engine) as writer:
        # A writer of earnings holds the payee's account until it commits.
        service.record(writer, [earning(acme, 50, "ada")])
        with transaction(engine) as tx:
            assert [p.user_id for p in service.lock_payables(tx, ids)] == ["bob"]
            assert [p.user_id for p in service.payables(tx, ids)] == ["ada", "bob"]
    with transaction(engine) as tx:
        assert [p.user_id for p in service.lock_payables(tx, ids, wait=True)] == ["ada", "bob"]


def test_accounts_are_read_in_order_and_in_pages(tx: Tx) -> None:
    acme, other = merchant(tx), merchant(tx, "other")
    service.record(tx, [earning(acme, 10, f"u{n}") for n in range(5) for _ in range(3)])
    earn(tx, other, 10, "u9")
    first = service.accounts_with_unclaimed(tx, acme, after=0, limit=3)
    rest = service.accounts_with_unclaimed(tx, acme, after=first[-1], limit=3)
    assert first + rest == sorted({*first, *rest})
    assert [len(first), len(rest)] == [3, 2]
    assert service.accounts_with_unclaimed(tx, acme, after=rest[-1], limit=3) == []


def test_earnings_are_given_back_only_by_a_canceled_payout(engine: Engine) -> None:
    payout_id = house.one_payout(engine, (700, 300))
    with transaction(engine) as tx, pytest.raises(IntegrityError, match="canceled"):
        service.release(tx, payout_id)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE payouts SET state = 'canceled'"))
        assert service.release(tx, payout_id) == 2
        assert service.held_members(tx, payout_id) == 0


def test_a_claimed_earning_does_not_move_to_another_payout(engine: Engine) -> None:
    first = house.one_payout(engine)
    acme = house.scalar(engine, "SELECT id FROM merchants")
    with transaction(engine) as tx:
        earn(tx, acme, 5)
    house.run(engine, acme, "second")
    with transaction(engine) as tx:
        tx.execute(text("UPDATE payouts SET state = 'canceled' WHERE id = :id"), {"id": first})
        with pytest.raises(IntegrityError, match="leaves payout"):
            tx.execute(
                text("UPDATE earnings SET payout_id = :other WHERE payout_id = :id"),
                {"id": first, "other": house.scalar(engine, "SELECT max(id) FROM payouts")},
            )
