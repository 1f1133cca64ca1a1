"""After a failover no bank is paid twice: what connected accounts show is matched as transfers are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotUnfreezable
from domain.payouts.rules import Leave
from domain.payouts.rules.rearming import Fate
from domain.payouts.rules.watermark import KEPT_ATTEMPTS
from domain.payouts.service import bank_rearming, reconciling, unfreezing, watermark
from queues.marks import Marks
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.bank_office import LIVE, BankOffice
from tests.workers.payouts.copies import copied
from workers import payouts, rearming
from workers.rearming import Report
from workers.reconciling import reconcile

ANN = Actor("person", "ann")


@pytest.fixture
def office(engine: Engine, platform: Platform, client: redis.Redis, namespace: str) -> BankOffice:
    platform.fund(1_000_000)
    return BankOffice(engine, platform, marks=Marks(client, namespace, KEPT_ATTEMPTS))


def rearm(office: BankOffice, **more: Any) -> Report:
    """Rearm, as if the calls of before had ended."""
    return rearming.rearm(office, actor=ANN, clock_may_move=True, sleep=lambda _: None, **more)


def fates(report: Report) -> list[Fate]:
    return [one.fate for _, one in report.matched if one.fate is not Fate.KNOWN]


def test_a_bank_attempt_that_was_forgotten_stops_the_next_send(
    office: BankOffice,
) -> None:
    payout_id = office.transfer_only()
    # As on the same server: nothing but the attempt tells that the database is older than what was sent.
    before = office.rows("SELECT count(*) FROM payout_attempts")
    with transaction(office.engine) as tx:
        kept = watermark.present(tx)
    assert office.marks is not None
    office.marks.keep(kept.server, kept.attempts[-1] + 1)
    assert payouts.send(office, payout_id) == Leave("stopped")
    assert office.rows("SELECT count(*) FROM payout_attempts") == before
    assert office.rows("SELECT kind FROM payout_stops WHERE lifted_at IS NULL") == [("failover",)]
    assert office.bank_payouts() == []


def test_a_payout_to_a_bank_that_was_forgotten_is_recorded_again_never_made_again(
    office: BankOffice, admin_url: str
) -> None:
    payout_id = office.transfer_only()
    with copied(office.engine, admin_url) as copy:
        office.work_off()
        # After a day its key is forgotten: under it the bank would be paid again.
        office.pass_days(4)
        back = replace(office, engine=copy)
        back.work_off()
        assert len(back.bank_payouts()) == 1
        assert fates(rearm(back, dry_run=True)) == [Fate.RECORD]
        assert back.attempts() == [("transfer", 1, "succeeded")]
        assert fates(rearm(back)) == [Fate.RECORD]
        assert back.attempts() == [("transfer", 1, "succeeded"), ("bank", 1, "succeeded")]
        back.sweep()
        back.sweep()
        assert back.states() == {payout_id: "paid"}
        back.assert_paid_once()


def test_both_legs_that_were_forgotten_are_recorded_again(
    office: BankOffice, admin_url: str
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    with copied(office.engine, admin_url) as copy:
        office.work_off()
        back = replace(office, engine=copy)
        assert fates(rearm(back)) == [Fate.RECORD, Fate.RECORD]
        back.work_off()
        office.pass_days(4)
        back.sweep()
        assert back.states() == {payout_id: "paid"}
        back.assert_paid_once()


def sent_to_the_bank_twice(office: BankOffice, payout_id: int) -> str:
    """The bank gave the first payout back, and has the second one; returns Stripe's name of that."""
    office.work_off()
    office.move(office.bank_payouts()[-1].id, "failed")
    office.sweep()
    with transaction(office.engine) as tx:
        service.retry(tx, payout_id)
    office.work_off()
    [second] = [made.id for made in office.bank_payouts() if made.status in LIVE]
    return second


def test_what_does_not_plainly_follow_stops_its_payout(office: BankOffice, admin_url: str) -> None:
    payout_id = office.transfer_only()
    with copied(office.engine, admin_url) as copy:
        sent_to_the_bank_twice(office, payout_id)
        back = replace(office, engine=copy)
        assert fates(rearm(back)) == [Fate.RECORD, Fate.FREEZE]
        [(reason,)] = back.rows("SELECT frozen_reason FROM payouts")
        assert "bank/2" in reason
        back.sweep()
        assert payouts.send(back, payout_id) == Leave("frozen")
        assert len(back.bank_payouts()) == 2
        # Again finds the same, and changes nothing.
        assert rearm(back).listed == []


def test_two_people_do_not_let_go_on_what_the_connected_account_shows(
    office: BankOffice, admin_url: str
) -> None:
    payout_id = office.transfer_only()
    with copied(office.engine, admin_url) as copy:
        second = sent_to_the_bank_twice(office, payout_id)
        back = replace(office, engine=copy)
        assert fates(rearm(back)) == [Fate.RECORD, Fate.FREEZE]
        listed = back.rows("SELECT id, kind, external_id, theirs, state FROM payout_differences")
        number = listed[0][0]
        assert listed == [(number, "bank_missing_here", second, "1000", "open")]
        with transaction(copy) as tx, pytest.raises(NotUnfreezable, match=second):
            unfreezing.propose_unfreeze(tx, payout_id, evidence="looked", actor=ANN)
        agreed = (
            "INSERT INTO payout_unfreezes (merchant_id, payout_id, frozen_reason, evidence, proposed_by, agreed_by)"
            " SELECT merchant_id, id, frozen_reason, 'looked', 'ann', 'ben' FROM payouts"
        )

        def agreed_by_two() -> None:
            with transaction(copy) as tx:
                tx.execute(text(agreed))
                tx.execute(text("UPDATE payouts SET frozen_reason = NULL"))

        with pytest.raises(IntegrityError, match=second):
            agreed_by_two()
        # Reading the platform's books does not explain it.
        reconcile(back, back.merchant_id, clock_may_move=True)
        assert back.rows("SELECT state FROM payout_differences") == [("open",)]
        with transaction(copy) as tx:
            reconciling.resolve_difference(
                tx, back.merchant_id, number, note="canceled at the bank", actor=ANN
            )
            shown = back.platform.gateway().bank.find({"account": back.account()})
            matched = bank_rearming.match(tx, payout_id, shown or ())
            assert [one.fate for one in matched] == [Fate.KNOWN, Fate.KNOWN]
            unfreezing.propose_unfreeze(tx, payout_id, evidence="looked", actor=ANN)
            unfreezing.agree_unfreeze(tx, payout_id, actor=Actor("person", "ben"))
        assert back.rows("SELECT frozen_reason FROM payouts") == [(None,)]


def test_accounts_that_cannot_be_read_keep_their_merchant_stopped(
    office: BankOffice, admin_url: str
) -> None:
    payout_id = office.transfer_only()
    with copied(office.engine, admin_url) as copy:
        office.work_off()
        back = replace(office, engine=copy)
        reads = {"method": "GET", "path": "/v1/payouts", "fault": "error_500_not_done"}
        office.platform.stripe.admin("PUT", "faults", seed=0, rules=[reads])
        [listed] = rearm(back).listed
        assert "could not be read" in (listed.uncompared or "")
        assert payouts.send(back, payout_id) == Leave("stopped")
        office.platform.stripe.admin("DELETE", "faults")
        assert fates(rearm(back)) == [Fate.RECORD]
        back.work_off()
        assert len(back.bank_payouts()) == 1
        back.assert_paid_once()


def test_what_was_paid_and_paid_out_again_after_it_came_back_stops_its_payout(
    office: BankOffice, admin_url: str
) -> None:
    payout_id = office.transfer_only()
    office.work_off()
    office.pass_days(4)
    office.sweep()
    assert office.states() == {payout_id: "paid"}
    with copied(office.engine, admin_url) as copy:
        office.move(office.bank_payouts()[-1].id, "failed")
        office.sweep()
        with transaction(office.engine) as tx:
            service.retry(tx, payout_id)
        office.work_off()
        assert len(office.bank_payouts()) == 2
        back = replace(office, engine=copy)
        assert fates(rearm(back)) == [Fate.FREEZE]
        # That the first one came back is heard of after all, and sends nothing.
        back.execute("UPDATE payouts SET look_at = now()")
        payouts.follow(back, max(a for (a,) in back.rows("SELECT id FROM payout_attempts")))
        assert back.states() == {payout_id: "returned"}
        back.sweep()
        assert payouts.send(back, payout_id) == Leave("frozen")
        assert len(back.bank_payouts()) == 2
