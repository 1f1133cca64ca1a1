"""After a failover everything is paid once, by the sandbox's books: what was forgotten is recorded again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Forbidden, Invalid
from domain.payouts import service
from domain.payouts.errors import DatabaseMoved, NotMarkable, NotUnfreezable
from domain.payouts.rules import Leave
from domain.payouts.rules.rearming import Fate
from domain.payouts.service import adjusting, approving, outside, reconciling, unfreezing
from domain.payouts.service import rearming as rearming_service
from domain.payouts.store import policies
from queues.marks import Marks
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.copies import copied, on_another_timeline
from tests.workers.payouts.office import JUNE, Office
from workers import payouts, rearming
from workers.rearming import Report
from workers.reconciling import reconcile

ANN, BOB = Actor("person", "ann"), Actor("person", "bob")


def rearm(office: Office, **more: Any) -> Report:
    """Rearm, as if the calls of before had ended."""
    return rearming.rearm(office, actor=ANN, clock_may_move=True, sleep=lambda _: None, **more)


def rows(office: Office, statement: str) -> list[tuple[Any, ...]]:
    with transaction(office.engine) as tx:
        return [tuple(row) for row in tx.execute(text(statement))]


def fates(report: Report) -> list[Fate]:
    return [one.fate for _, one in report.matched if one.fate is not Fate.KNOWN]


def stopped(office: Office) -> list[tuple[Any, ...]]:
    return rows(
        office,
        "SELECT merchant_id, method FROM payout_stops WHERE kind = 'failover' AND lifted_at IS NULL",
    )


def test_what_was_sent_after_a_backup_is_recorded_again_and_all_is_paid_once(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000, 2_000, 3_000, 4_000, 5_000)
    ids = marked.build()
    for payout_id in ids[:2]:
        payouts.send(marked, payout_id)
    with copied(marked.engine, admin_url) as copy:
        marked.platform.plan({"fault": "drop_after", "nth": [2]})
        for payout_id in ids[2:4]:
            payouts.send(marked, payout_id)
        back = replace(marked, engine=copy)
        back.work_off()
        assert stopped(back) == [(None, None)]
        assert len(back.platform.transfers()) == 4

        told = rearm(back, dry_run=True)
        assert fates(told) == [Fate.RECORD, Fate.RECORD]
        assert (told.lifted, stopped(back)) == (False, [(None, None)])
        done = rearm(back)
        assert fates(done) == [Fate.RECORD, Fate.RECORD]
        assert (done.lifted, done.waited, stopped(back)) == (True, 1, [])
        assert [back.states()[i] for i in ids] == ["paid"] * 4 + ["approved"]

        payouts.sweep(back)
        back.work_off()
        assert set(back.states().values()) == {"paid"}
        back.assert_paid_once()
        assert rows(back, "SELECT kind FROM payout_differences") == []
        [(action, by)] = rows(
            back, "SELECT action, actor_id FROM audit_entries WHERE action = 'payouts.rearmed'"
        )
        assert (action, by) == ("payouts.rearmed", "ann")
        # It goes on as any other.
        back.owe(700)
        [later] = back.build("later")
        back.work_off()
        assert back.states()[later] == "paid"
        back.assert_paid_once()


def test_what_was_in_flight_when_the_backup_was_taken_is_settled(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000, 2_000)
    first, second = marked.build()
    marked.platform.plan({"fault": "drop_before", "nth": [1]})
    payouts.send(marked, first)
    with copied(marked.engine, admin_url) as copy:
        marked.work_off()
        assert set(marked.states().values()) == {"paid"}
        back = replace(marked, engine=copy)
        assert set(fates(rearm(back))) == {Fate.RECORD, Fate.SETTLE}
        back.work_off()
        assert set(back.states().values()) == {"paid"}
        back.assert_paid_once()
        assert second


def test_a_run_that_was_forgotten_is_not_paid_again_and_a_person_settles_it(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000)
    marked.build("before")
    marked.work_off()
    marked.owe(2_000)
    with copied(marked.engine, admin_url) as copy:
        assert marked.build("forgotten") == [2]
        marked.work_off()
        back = replace(marked, engine=copy)
        done = rearm(back)
        assert fates(done) == [Fate.BLOCK]
        [(_, user)] = done.blocked
        assert back.build("again") == [], "its payee is blocked"
        back.work_off()
        assert len(back.platform.transfers()) == 2
        [(number, kind)] = rows(
            back, "SELECT id, kind FROM payout_differences WHERE state = 'open'"
        )
        assert kind == "missing_here"

        with pytest.raises(Forbidden, match="tr_"), transaction(back.engine) as tx:
            # The next run would pay it once more.
            service.block_payee(tx, back.merchant_id, user, None)
        with transaction(back.engine) as tx:
            adjusting.adjust(tx, back.merchant_id, user, -2_000, "usd", "paid: tr", ANN)
            reconciling.resolve_difference(tx, back.merchant_id, number, note="adjusted", actor=ANN)
            service.block_payee(tx, back.merchant_id, user, None)
        now = datetime.now(UTC)
        assert payouts.build(back, back.merchant_id, "after", now).created == 0, "it is even"
        back.owe(300)
        payouts.build(back, back.merchant_id, "new", now)
        assert rows(back, "SELECT id, amount FROM payouts WHERE state <> 'paid'") == [(3, 300)], (
            "no number is given out again that the gateway knows"
        )
        back.work_off()
        assert sum(t.net for t in back.platform.transfers()) == 3_300


def test_a_doubtful_transfer_stops_its_payout_and_pays_nothing(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000, 2_000, 3_000)
    ids = marked.build()
    with copied(marked.engine, admin_url) as copy:
        for payout_id in ids:
            payouts.send(marked, payout_id)
        part, whole, _ = marked.platform.transfers()
        marked.platform.call("POST", f"/v1/transfers/{part.id}/reversals", amount="100")
        marked.platform.call("POST", f"/v1/transfers/{whole.id}/reversals")
        back = replace(marked, engine=copy)
        with transaction(copy) as tx:
            service.cancel(tx, ids[2], reason="before anybody knew")
        done = rearm(back)
        assert sorted(f.name for f in fates(done)) == ["BLOCK", "FREEZE", "FREEZE"]
        assert back.build("again") == [], "what was canceled was paid"
        back.work_off()
        assert len(back.platform.transfers()) == 3
        reasons = rows(back, "SELECT frozen_reason FROM payouts WHERE id < 3 ORDER BY id")
        assert ["was taken back" in reason for (reason,) in reasons] == [True, True]
        # Again changes nothing, and finds the same.
        assert rearm(back).listed == []


def test_killed_anywhere_it_goes_on_and_the_stop_stays_until_it_is_done(
    marked: Office, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked.owe(1_000, 2_000, 3_000)
    ids = marked.build()
    with copied(marked.engine, admin_url) as copy:
        for payout_id in ids:
            payouts.send(marked, payout_id)
        back = replace(marked, engine=copy)
        back.work_off()
        for name, left in (("apply", 0), ("apply", 1), ("skip_numbers", 0), ("lift", 0)):
            whole = getattr(rearming_service, name)
            calls = [left]

            def dying(*args: Any, _whole: Any = whole, _calls: Any = calls, **more: Any) -> Any:
                if not _calls[0]:
                    raise KeyboardInterrupt
                _calls[0] -= 1
                return _whole(*args, **more)

            monkeypatch.setattr(rearming_service, name, dying)
            with pytest.raises(KeyboardInterrupt):
                rearm(back)
            monkeypatch.setattr(rearming_service, name, whole)
            assert stopped(back) == [(None, None)]
            assert payouts.send(back, ids[2]) in (Leave("stopped"), Leave("succeeded"))
        assert rearm(back).lifted
        back.work_off()
        assert set(back.states().values()) == {"paid"}
        back.assert_paid_once()


def test_a_gateway_that_cannot_be_asked_stays_stopped_by_itself(
    marked: Office, admin_url: str, platform: Platform
) -> None:
    marked.owe(1_000)
    [payout_id] = marked.build()
    with copied(marked.engine, admin_url) as copy:
        payouts.send(marked, payout_id)
        back = replace(marked, engine=copy)
        books = {"method": "GET", "path": "/v1/balance_transactions"}
        platform.stripe.admin(
            "PUT", "faults", seed=0, rules=[{**books, "fault": "error_500_not_done"}]
        )
        done = rearm(back)
        assert [listed.uncompared is None for listed in done.listed] == [False]
        assert stopped(back) == [(back.merchant_id, "stripe")]
        assert payouts.send(back, payout_id) == Leave("stopped")
        platform.stripe.admin("DELETE", "faults")
        assert fates(rearm(back)) == [Fate.RECORD]
        assert stopped(back) == []
        back.work_off()
        back.assert_paid_once()


def test_what_stays_stopped_is_matched_from_the_same_moment_on_later(
    marked: Office, admin_url: str
) -> None:
    """What was recorded again, and what others send meanwhile, does not narrow what was forgotten."""
    marked.owe(1_000, 2_000)
    first, second = marked.build()
    payouts.send(marked, first)
    with copied(marked.engine, admin_url) as copy:
        payouts.send(marked, second)
        back = replace(marked, engine=copy)
        back.execute(
            "INSERT INTO payees (merchant_id, user_id, method, as_of)"
            f" VALUES ({marked.merchant_id}, 'bank', 'manual', now())"
        )
        made_at = rows(back, "SELECT created_at FROM payout_attempts")[0][0]
        reports = [rearming.rearm(back, actor=ANN, sleep=lambda _: None) for _ in range(2)]
        assert [fates(report) for report in reports] == [[Fate.RECORD], []]
        assert {report.since for report in reports} == {made_at - timedelta(hours=1)}
        assert stopped(back) == [(back.merchant_id, "manual")]


def test_a_number_that_was_given_out_again_is_not_taken_for_the_payout_that_was_paid(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000)
    marked.build("before")
    marked.work_off()
    marked.owe(2_000)
    with copied(marked.engine, admin_url) as copy:
        assert marked.build("forgotten") == [2]
        marked.work_off()
        back = replace(marked, engine=copy)
        # Before anybody rearms, a run is built: number 2 is another payee's now, number 3 would pay again.
        back.owe(700)
        back.execute(
            "UPDATE earnings SET available_at = now() + interval '1 day' WHERE amount = 2000"
        )
        assert back.build("other") == [2]
        back.execute("UPDATE earnings SET available_at = '2026-06-01' WHERE amount = 2000")
        assert back.build("again") == [3]
        done = rearm(back)
        assert fates(done) == [Fate.FREEZE]
        back.work_off()
        payouts.sweep(back)
        back.work_off()
        assert len(back.platform.transfers()) == 2
        assert rows(back, "SELECT id, state FROM payouts WHERE id > 1 ORDER BY id") == [
            (2, "approved"),
            (3, "canceled"),
        ]


def test_bank_files_wait_for_the_word_of_a_person_with_evidence(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000)
    [payout_id] = marked.build()
    marked.execute(
        "INSERT INTO payees (merchant_id, user_id, method, as_of)"
        f" VALUES ({marked.merchant_id}, 'bank', 'manual', now())"
    )
    payouts.send(marked, payout_id)
    with copied(marked.engine, admin_url) as copy:
        back = replace(marked, engine=copy)
        done = rearm(back)
        assert stopped(back) == [(back.merchant_id, "manual")]
        assert done.lifted
        with pytest.raises(Invalid, match="evidence"):
            rearm(back, compared=["acme/manual"])
        with pytest.raises(Invalid, match="acme/cheque"):
            rearm(back, compared=["acme/cheque"], evidence="seen")
        rearm(back, compared=["acme/manual"], evidence="no file since Monday, says the bank's list")
        assert stopped(back) == []
        assert rows(
            back, "SELECT reason FROM audit_entries WHERE action = 'payouts.rearmed' ORDER BY id"
        )[-1] == ("no file since Monday, says the bank's list",)


def test_an_old_server_that_still_runs_cannot_use_a_key_once_rearming_has_begun(
    marked: Office, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked.owe(1_000, 2_000)
    first, second = marked.build()
    payouts.send(marked, first)
    with copied(marked.engine, admin_url) as copy:
        back = replace(marked, engine=copy)
        mirrored: list[int] = []

        def meanwhile(_seconds: float) -> None:
            payouts.send(marked, second)
            mirrored.append(len(marked.platform.transfers()))

        rearming.rearm(back, actor=ANN, clock_may_move=True, sleep=meanwhile)
        assert mirrored == [1]
        payouts.send(marked, second)
        assert len(marked.platform.transfers()) == 1
        back.work_off()
        assert set(back.states().values()) == {"paid"}
        back.assert_paid_once()


def test_a_key_of_another_account_than_attempts_went_through_keeps_its_merchant_stopped(
    marked: Office, admin_url: str, client: redis.Redis, namespace: str
) -> None:
    marked.owe(1_000)
    marked.build()
    marked.work_off()
    assert isinstance(marked.marks, Marks)
    with copied(marked.engine, admin_url) as copy:
        back = replace(marked, engine=copy)
        client.zadd(f"{namespace}:mark.accounts", {f"{marked.merchant_id}/stripe/acct_other": 2e12})
        [listed] = rearm(back).listed
        assert "acct_other" in str(listed.uncompared)
        assert stopped(back) == [(back.merchant_id, "stripe")]


def test_it_looks_back_further_when_asked_but_never_less_far(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000)
    marked.build()
    marked.work_off()
    with copied(marked.engine, admin_url) as copy:
        back = replace(marked, engine=copy)
        with pytest.raises(Invalid, match="not later"):
            rearming.rearm(back, actor=ANN, since=JUNE.replace(year=2099), sleep=lambda _: None)
        assert rearm(back, since=JUNE.replace(year=2020)).since.year == 2020


def test_without_a_stop_there_is_nothing_to_do(marked: Office, engine: Engine) -> None:
    marked.owe(1_000)
    marked.build()
    marked.work_off()
    report = rearm(marked)
    assert (report.stop, report.listed, report.lifted) == (None, [], False)


def test_what_was_paid_out_of_a_run_that_waits_for_approval_again_is_not_free_once_it_is_rejected(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000, 2_000)
    with transaction(marked.engine) as tx:
        policies.put(tx, marked.merchant_id, "always", 72)
    paid, unpaid = marked.build()
    with copied(marked.engine, admin_url) as copy:
        with transaction(marked.engine) as tx:
            [(run_id, seen)] = tx.execute(text("SELECT id, members_hash FROM payout_runs"))
            approving.approve(tx, run_id, actor=ANN, seen_hash=bytes(seen))
        payouts.finish_run(marked, run_id)
        payouts.send(marked, paid)
        back = replace(marked, engine=copy)
        done = rearm(back)
        assert fates(done) == [Fate.FREEZE]
        assert back.states() == {paid: "draft", unpaid: "draft"}

        with transaction(copy) as tx:
            approving.reject(tx, run_id, actor=ANN, reason="nobody knows what it paid")
        payouts.sweep(back)
        assert back.states() == {paid: "draft", unpaid: "canceled"}
        with transaction(copy) as tx:
            policies.put(tx, back.merchant_id, "never", 72)
        [again] = back.build("again")
        back.work_off()
        assert back.states() == {paid: "draft", unpaid: "canceled", again: "paid"}
        assert sorted(t.net for t in back.platform.transfers()) == [1_000, 2_000]


def test_a_second_failover_while_it_is_rearmed_leaves_the_stop(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000, 2_000, 3_000)
    first, second, third = marked.build()
    payouts.send(marked, first)
    with copied(marked.engine, admin_url) as copy:
        payouts.send(marked, second)
        back = replace(marked, engine=copy)
        with pytest.raises(DatabaseMoved, match="rearm` again"):
            rearming.rearm(
                back, actor=ANN, clock_may_move=True, sleep=lambda _: on_another_timeline(copy)
            )
        assert stopped(back) == [(None, None)]
        assert payouts.send(back, third) == Leave("stopped")
        assert rearm(back).lifted
        assert stopped(back) == []
        payouts.sweep(back)
        back.work_off()
        assert set(back.states().values()) == {"paid"}
        back.assert_paid_once()


def test_a_failover_while_one_way_to_pay_is_rearmed_stops_the_others_too(
    marked: Office, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked.owe(1_000, 2_000)
    first, second = marked.build()
    marked.execute(
        "INSERT INTO payees (merchant_id, user_id, method, as_of)"
        f" VALUES ({marked.merchant_id}, 'bank', 'manual', now())"
    )
    payouts.send(marked, first)
    with copied(marked.engine, admin_url) as copy:
        back = replace(marked, engine=copy)
        rearm(back)
        assert stopped(back) == [(back.merchant_id, "manual")]
        read_books = rearming._made

        def meanwhile(*args: Any) -> Any:
            on_another_timeline(copy)
            return read_books(*args)

        monkeypatch.setattr(rearming, "_made", meanwhile)
        with pytest.raises(DatabaseMoved):
            rearm(back, compared=["acme/manual"], evidence="none was sent")
        assert payouts.send(back, second) == Leave("stopped")
        assert (None, None) in stopped(back)


def test_a_payee_who_was_paid_under_an_account_that_was_forgotten_is_not_paid_again(
    marked: Office, admin_url: str
) -> None:
    marked.owe(1_000)
    marked.build("before")
    marked.work_off()
    marked.owe(2_000)
    with copied(marked.engine, admin_url) as copy:
        marked.execute(f"UPDATE payees SET account = '{marked.platform.account()}' WHERE id = 2")
        assert marked.build("forgotten") == [2]
        marked.work_off()
        assert len(marked.platform.transfers()) == 2
        back = replace(marked, engine=copy)
        [listed] = rearm(back).listed
        assert "no payee" in str(listed.uncompared)
        assert stopped(back) == [(back.merchant_id, "stripe")]
        back.build("again")
        back.work_off()
        assert len(back.platform.transfers()) == 2

        with transaction(back.engine) as tx:
            [(number, user)] = tx.execute(
                text(
                    "SELECT d.id, y.user_id FROM payout_differences d, payees y"
                    " WHERE d.state = 'open' AND y.id = 2"
                )
            )
            adjusting.adjust(tx, back.merchant_id, user, -2_000, "usd", "paid: tr", ANN)
            reconciling.resolve_difference(tx, back.merchant_id, number, note="adjusted", actor=ANN)
        assert [one.uncompared for one in rearm(back).listed] == [None]
        assert stopped(back) == []


def test_what_a_person_said_was_paid_outside_is_recorded_as_what_the_gateway_paid(
    marked: Office, admin_url: str
) -> None:
    """Somebody saw the payment in the gateway's dashboard, and said so before anybody rearmed."""
    marked.owe(1_000)
    [payout_id] = marked.build()
    with copied(marked.engine, admin_url) as copy:
        payouts.send(marked, payout_id)
        back = replace(marked, engine=copy)
        with transaction(copy) as tx:
            outside.propose_outside(
                tx, payout_id, reference="tr_1", evidence="the dashboard", actor=ANN
            )
        assert fates(rearm(back)) == [Fate.RECORD]
        assert stopped(back) == []
        assert rows(back, "SELECT withdrawn_by FROM outside_payments") == [("ann",)]
        back.work_off()
        back.assert_paid_once()


def let_go_on(office: Office, payout_id: int) -> None:
    """Two people agree."""
    with transaction(office.engine) as tx:
        unfreezing.propose_unfreeze(tx, payout_id, evidence="it looks unpaid", actor=ANN)
    with transaction(office.engine) as tx:
        unfreezing.agree_unfreeze(tx, payout_id, actor=BOB)


AGREED = (
    "INSERT INTO payout_unfreezes (merchant_id, payout_id, frozen_reason, evidence, proposed_by, agreed_by)"
    " SELECT merchant_id, id, frozen_reason, 'seen', 'ann', 'bob' FROM payouts WHERE frozen_reason IS NOT NULL"
)


@pytest.fixture
def paid_and_forgotten(marked: Office, admin_url: str) -> Iterator[tuple[Office, int, str]]:
    """A payout whose transfer was made by an attempt that the database forgot, a part of it taken back: rearming
    stopped it. A day later the gateway knows its key no more."""
    marked.owe(1_000)
    [payout_id] = marked.build()
    with copied(marked.engine, admin_url) as copy:
        payouts.send(marked, payout_id)
        [made] = marked.platform.transfers()
        marked.platform.call("POST", f"/v1/transfers/{made.id}/reversals", amount="100")
        back = replace(marked, engine=copy)
        assert fates(rearm(back)) == [Fate.FREEZE]
        assert back.states() == {payout_id: "approved"}
        yield back, payout_id, made.id


def test_two_people_do_not_let_go_on_what_the_gateways_books_show_as_paid(
    paid_and_forgotten: tuple[Office, int, str],
) -> None:
    back, payout_id, made = paid_and_forgotten
    with pytest.raises(NotUnfreezable, match=f"books show {made}"):
        let_go_on(back, payout_id)
    back.execute(AGREED)
    with pytest.raises(IntegrityError, match=f"books show {made}"):
        back.execute("UPDATE payouts SET frozen_reason = NULL")
    back.work_off()
    assert len(back.platform.transfers()) == 1

    [(difference,)] = rows(
        back, f"SELECT id FROM payout_differences WHERE external_id = '{made}' AND state = 'open'"
    )
    with transaction(back.engine) as tx:
        reconciling.resolve_difference(
            tx, back.merchant_id, difference, note="it paid another payee", actor=ANN
        )
    back.execute("UPDATE payouts SET frozen_reason = NULL")
    assert rows(back, "SELECT frozen_reason, frozen_at FROM payouts") == [(None, None)]


def test_what_was_all_taken_back_at_the_gateway_is_let_go_on_and_paid(
    paid_and_forgotten: tuple[Office, int, str],
) -> None:
    back, payout_id, made = paid_and_forgotten
    back.platform.call("POST", f"/v1/transfers/{made}/reversals")
    with pytest.raises(NotUnfreezable, match=made):
        let_go_on(back, payout_id)
    reconcile(back, back.merchant_id, clock_may_move=True)
    let_go_on(back, payout_id)


def test_books_that_were_read_before_it_was_stopped_say_nothing(
    paid_and_forgotten: tuple[Office, int, str],
) -> None:
    back, payout_id, made = paid_and_forgotten
    back.platform.call("POST", f"/v1/transfers/{made}/reversals")
    reconcile(back, back.merchant_id, clock_may_move=True)
    back.execute("UPDATE payouts SET frozen_at = now() + interval '1 minute'")
    with pytest.raises(NotUnfreezable, match="not read since"):
        let_go_on(back, payout_id)
    back.execute(AGREED)
    with pytest.raises(IntegrityError, match="not read since"):
        back.execute("UPDATE payouts SET frozen_reason = NULL")


def test_what_is_said_to_be_paid_outside_is_let_go_on_and_then_never_taken_back_unexplained(
    paid_and_forgotten: tuple[Office, int, str],
) -> None:
    back, payout_id, made = paid_and_forgotten
    with transaction(back.engine) as tx:
        outside.propose_outside(tx, payout_id, reference=made, evidence="the books", actor=ANN)
    let_go_on(back, payout_id)
    with pytest.raises(NotMarkable, match=f"books show {made}"), transaction(back.engine) as tx:
        outside.withdraw_outside(tx, payout_id, reason="no", actor=ANN)
    back.work_off()
    with transaction(back.engine) as tx:
        outside.agree_outside(tx, payout_id, actor=BOB)
    assert back.states() == {payout_id: "paid"}
    assert len(back.platform.transfers()) == 1
