"""The shop that the sequences of ``test_machine`` are played in: what is there before each, what they do to
the database, and what it shows afterwards in the words of the model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import transaction
from domain.payouts import service as payouts
from domain.payouts.gateway import SeenTransfer
from domain.payouts.rules import GatewayOutcome, Leave
from domain.payouts.service import Attempt, PayeeUpdate, Resolution, RunSpec
from domain.referrals import admin, holds
from domain.referrals.admin import NewCode, Terms
from domain.referrals.rules.holds import HoldPolicy
from tests.domain.inbox import shop
from tests.domain.inbox.shop import DAY, JUNE, TESTER
from tests.domain.payouts.house import CLOSED, PAPER, SILENCE, SUCCESS
from tests.oracles.merchant.conversions import SAME, Event
from tests.oracles.merchant.payouts import FOREVER, METHOD, Merchant, Payout, Picture
from tests.oracles.merchant.terms import Code, Program
from workers.looking_again import look_again

FAR: Final = datetime(2100, 1, 1, tzinfo=UTC)
TERMS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "p0": (
        "usd",
        {
            "rule": {"kind": "percentage", "basis_points": 1000, "cap": 700},
            "referee_rule": {"amount": 51},
        },
    ),
    "p1": (
        "usd",
        {
            "rule": {
                "kind": "tiered",
                "by": "count",
                "tiers": [{"from": 1, "amount": 100}, {"from": 3, "amount": 300}],
            }
        },
    ),
    "p2": ("eur", {"rule": {"kind": "recurring", "basis_points": 800, "max_payments": 2}}),
    "p3": (
        "usd",
        {
            "rule": {"kind": "one_time", "amount": 500},
            "referee_rule": {"basis_points": 300, "cap": 90},
            "max_rewards_per_referrer": 2,
        },
    ),
}
"""Currency and first terms of each program; a sequence begins with other terms for some of them."""
CODES: Final = (
    *(
        Code(f"{owner.upper()}-{p.upper()}", p, owner)
        for p in ("p0", "p3")
        for owner in ("ada", "bob")
    ),
    Code("ADA-P1", "p1", "ada", max_uses=4),
    Code("BOB-P1", "p1", "bob"),
    Code("ADA-P2", "p2", "ada"),
    Code("BOB-P2", "p2", "bob", expires_at=JUNE + 20 * DAY),
)
PAID_AT: Final = {
    "ada": (METHOD, "acct_1"),
    "bob": (METHOD, "acct_2"),
    "u0": (METHOD, "acct_1"),
    "u1": (METHOD, "acct_3"),
    "u2": ("wise", "acct_4"),
}
"""How people are paid: u0 where ada is, u2 in another way than runs do, u3 not yet."""


def beginning() -> Merchant:
    """The model of the shop before anything happened."""
    return Merchant(
        {key: Program(key, currency, terms) for key, (currency, terms) in TERMS.items()},
        {code.name: deepcopy(code) for code in CODES},
        dict(PAID_AT),
    )


def build(db: Any, key: str) -> int:
    """The same shop in the database; returns the merchant's id."""
    with transaction(db) as tx:
        merchant = shop.merchant(tx, key)
        for name, (currency, terms) in TERMS.items():
            made = Terms(**terms, currency=currency)
            admin.create_program(tx, merchant, name, name, made, actor=TESTER)
        for code in CODES:
            new = NewCode(code.owner, code.name, code.max_uses, code.expires_at, SAME)
            admin.create_codes(tx, merchant, code.program, [new], actor=TESTER)
        payouts.put_payees(
            tx,
            [
                PayeeUpdate(merchant, user, method, JUNE, account)
                for user, (method, account) in PAID_AT.items()
            ],
        )
    settle_looks(db, merchant)
    return merchant


def settle_looks(db: Any, merchant: int) -> None:
    """As if all payees had been looked at for the last time, whatever other transactions are open here."""
    with transaction(db) as tx:
        tx.execute(text("DELETE FROM destination_looks WHERE merchant_id = :m"), {"m": merchant})


class Stage:
    """One merchant in a database (an engine, or one whose commits are savepoints)."""

    def __init__(self, db: Any, merchant: int, key: str) -> None:
        self.db, self.merchant, self.key = db, merchant, key

    def deliver(self, texts: Sequence[str]) -> None:
        """Apply events as one batch."""
        shop.send(self.db, *texts)

    def text(self, e: Event) -> str:
        """An event as it is published."""
        if e.kind == "came":
            data: dict[str, Any] = {"code": e.code, "referred_user_id": e.user}
            return self._event("conversion.attributed", e, data)
        if e.kind == "bought":
            data = {
                "code": e.code,
                "referred_user_id": e.user,
                "transaction_id": e.order,
                "amount": e.amount,
                "currency": e.currency,
                "referred_email_hash": SAME if e.same else None,
            }
            return self._event("conversion.recorded", e, data)
        if e.kind == "refunded":
            part = (
                {"full": True} if e.amount is None else {"amount": e.amount, "currency": e.currency}
            )
            return self._event(
                "conversion.refunded", e, {"transaction_id": e.order, "refund_id": e.name} | part
            )
        data = {"transaction_id": e.order, "dispute_id": e.name, "outcome": e.outcome}
        return self._event("conversion.disputed", e, data)

    def _event(self, type_: str, e: Event, data: dict[str, Any]) -> str:
        return shop.event(type_, e.id, e.at, to=self.key, **data)

    def change(self, program: Program) -> None:
        with transaction(self.db) as tx:
            terms = Terms(**program.terms, currency=program.currency)
            version = admin.change_program(tx, self.merchant, program.key, terms, actor=TESTER)
        assert version == program.version

    def set_status(self, program: Program) -> None:
        with transaction(self.db) as tx:
            admin.set_program_status(tx, self.merchant, program.key, program.status, actor=TESTER)

    def set_policy(self, program: Program) -> None:
        with transaction(self.db) as tx:
            policy = HoldPolicy(**program.policy)
            holds.set_policy(tx, self.merchant, program.key, policy, actor=TESTER)

    def set_code(self, code: Code) -> None:
        with transaction(self.db) as tx:
            admin.set_code_status(
                tx, self.merchant, code.name, code.status, actor=TESTER, reason="said so"
            )

    def move(self, user: str, where: tuple[str, str]) -> None:
        """Somebody is paid elsewhere from now on, and that is looked at, for the last time."""
        with transaction(self.db) as tx:
            update = PayeeUpdate(self.merchant, user, where[0], JUNE, where[1])
            assert payouts.put_payees(tx, [update]) == [True]
        look_again(self.db, self.merchant)
        settle_looks(self.db, self.merchant)

    def decide(self, order: str, kind: str, ref: str, what: str) -> None:
        """Release or reject a suspicion."""
        act = holds.release if what == "release" else holds.reject
        with transaction(self.db) as tx:
            [hold] = [
                h.id
                for h in holds.listing(tx, self.merchant, limit=100)
                if (h.transaction_id, h.kind, h.ref) == (order, kind, ref)
            ]
            act(tx, self.merchant, hold, actor=TESTER, reason="looked")

    def run(self, name: str, as_of: datetime, minimums: dict[str, int]) -> None:
        at = FAR if as_of == FOREVER else as_of
        payouts.build_run(self.db, RunSpec(self.merchant, name, at, minimums))

    def runs_of(self, made: Sequence[Payout]) -> list[str]:
        """Which run made each of some payouts, of which the run is not known."""
        found = self._rows(
            "SELECT r.name, p.user_id, p.currency, p.amount FROM payouts p"
            " JOIN payout_runs r ON r.id = p.run_id WHERE p.merchant_id = :merchant ORDER BY p.id"
        )
        by_payee = {(user, currency): name for name, user, currency, _ in found}
        return [by_payee[p.user, p.currency] for p in made]

    def payout_id(self, payout: Payout) -> int:
        [(found,)] = self._rows(
            "SELECT p.id FROM payouts p JOIN payout_runs r ON r.id = p.run_id WHERE"
            " p.merchant_id = :merchant AND (r.name, p.user_id, p.currency) = (:run, :user, :currency)",
            run=payout.run,
            user=payout.user,
            currency=payout.currency,
        )
        number: int = found
        return number

    def begin(self, payout: Payout) -> Attempt | None:
        """Commit to sending a payout; None if it was canceled instead."""
        number = self.payout_id(payout)
        with transaction(self.db) as tx:
            begun = payouts.begin_first_attempt(tx, payouts.frozen(tx, number), PAPER)
        assert not isinstance(begun, Leave) or begun.reason in ("on_hold", "destination_changed"), (
            begun
        )
        return begun if isinstance(begun, Attempt) else None

    def answer(self, attempt: Attempt, outcome: str) -> str:
        """Record what the gateway answered (``paid``, ``refused`` or ``silence``); the payout's state."""
        with transaction(self.db) as tx:
            return payouts.record_outcome(tx, attempt, answered(attempt, outcome)).payout_state

    def resolve(self, payout: Payout, outcome: str) -> str:
        """Ask again about an unknown one, under its own key; the payout's state."""
        [(attempt,)] = self._rows(
            "SELECT id FROM payout_attempts WHERE payout_id = :payout AND state = 'unknown'",
            payout=self.payout_id(payout),
        )
        with transaction(self.db) as tx:
            begun = payouts.begin_resolution(tx, attempt, PAPER.account)
            assert isinstance(begun, Resolution), begun
            said = replace(answered(begun.attempt, outcome), replayed=True)
            return payouts.record_outcome(tx, begun.attempt, said).payout_state

    def retry(self, payout: Payout) -> None:
        number = self.payout_id(payout)
        with transaction(self.db) as tx:
            payouts.retry(tx, number)

    def cancel(self, payout: Payout) -> None:
        number = self.payout_id(payout)
        with transaction(self.db) as tx:
            payouts.cancel(tx, number, reason="said so")

    def come_back(self, payout: Payout) -> None:
        """The gateway shows all that came back of a payout by now, in parts."""
        number = self.payout_id(payout)
        [(key, transfer)] = self._rows(
            "SELECT idempotency_key, external_id FROM payout_attempts"
            " WHERE payout_id = :payout AND state IN ('succeeded', 'reversed')",
            payout=number,
        )
        parts = tuple((f"{transfer}/{n}", one.amount) for n, one in enumerate(payout.back))
        with transaction(self.db) as tx:
            seen = SeenTransfer(transfer, key, parts)
            assert payouts.book_reversals(tx, self.merchant, seen) is payouts.Booked.BOOKED

    def release_payout(self, payout: Payout) -> None:
        number = self.payout_id(payout)
        with transaction(self.db) as tx:
            payouts.release(tx, number, reason="said so", actor=TESTER)

    def settle(self, payout: Payout, part: int, decision: str) -> None:
        [*found] = self._rows(
            "SELECT id FROM payout_reversals WHERE payout_id = :payout ORDER BY id",
            payout=self.payout_id(payout),
        )
        with transaction(self.db) as tx:
            payouts.decide(
                tx,
                self.merchant,
                found[part][0],
                owed=decision == "owed",
                reason="said so",
                actor=TESTER,
            )

    def _rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        return shop.rows(self.db, statement, merchant=self.merchant, **values)

    def picture(self) -> Picture:
        """All that the model says of a merchant, as the database has it: read at one moment."""
        [(found,)] = self._rows(PICTURE)
        return {name: sorted(map(tuple, rows or [])) for name, rows in found.items()}


def answered(attempt: Attempt, outcome: str) -> GatewayOutcome:
    """What a gateway says of an attempt."""
    if outcome == "paid":
        return replace(SUCCESS, external_id=f"tr_{attempt.attempt_id}")
    return CLOSED if outcome == "refused" else SILENCE


PICTURE: Final = """
SELECT json_build_object(
    'conversions', (
        SELECT json_agg(json_build_array(
            transaction_id, referrer_user_id, referred_user_id, c.code, program_version, amount_earned,
            referee_amount_earned, currency, coalesce(seq, 0), refunded_amount, reversed_amount,
            referee_reversed_amount, fully_refunded, dispute_lost, payout_status))
        FROM tracking_details t JOIN codes c ON c.id = t.code_id WHERE t.merchant_id = :merchant),
    'holds', (
        SELECT json_agg(json_build_array(t.transaction_id, kind, ref, coalesce(outcome, '')))
        FROM tracking_holds h JOIN trackings t ON t.id = h.tracking_id WHERE h.merchant_id = :merchant),
    'earnings', (
        SELECT json_agg(json_build_array(
            coalesce(t.transaction_id, ''), e.user_id, e.currency, e.amount, e.kind,
            CASE WHEN t.id IS NULL THEN 0 ELSE floor(extract(epoch FROM e.available_at))::bigint END,
            e.voided_at IS NOT NULL, e.held_at IS NOT NULL AND e.voided_at IS NULL,
            coalesce(u.name, ''), coalesce(p.state, '')))
        FROM earnings e
        LEFT JOIN tracking_reversals r ON e.source_kind = 'tracking_reversal' AND r.id = e.source_id
        LEFT JOIN trackings t
            ON t.id = CASE WHEN e.source_kind = 'tracking' THEN e.source_id ELSE r.tracking_id END
        LEFT JOIN payouts p ON p.id = e.payout_id
        LEFT JOIN payout_runs u ON u.id = p.run_id
        WHERE e.merchant_id = :merchant),
    'payouts', (
        SELECT json_agg(json_build_array(
            u.name, p.user_id, p.currency, p.amount, p.state, p.reversed_amount))
        FROM payouts p JOIN payout_runs u ON u.id = p.run_id WHERE p.merchant_id = :merchant),
    'events', (
        SELECT json_agg(json_build_array(event_id, status, coalesce(reason, '')))
        FROM inbox_events WHERE merchant_id = :merchant),
    'owed', (
        SELECT json_agg(json_build_array(owner, currency, balance))
        FROM ledger_accounts WHERE merchant_id = :merchant AND kind = 'payable' AND balance <> 0),
    'attributions', (
        SELECT json_agg(json_build_array(
            g.key, a.referred_user_id, c.code, floor(extract(epoch FROM a.attributed_at))::bigint))
        FROM attributions a JOIN codes c ON c.id = a.code_id JOIN programs g ON g.id = a.program_id
        WHERE a.merchant_id = :merchant))
"""
