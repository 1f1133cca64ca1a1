"""What an event is when it comes: new, a duplicate, a conflict, refused, or tried again."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from domain import clock
from domain.db import transaction
from domain.inbox import service as inbox
from domain.inbox.rules import STANDING_REASONS
from domain.loyalty import service as loyalty
from domain.merchants import service as merchants
from domain.referrals import service as referrals
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TESTER,
    assert_whole,
    attributed,
    balance,
    code,
    conversion,
    event,
    open_shop,
    program,
    refund,
    rows,
    said,
    scalar,
    send,
    send_one_by_one,
    standing,
)


def test_a_new_event_is_applied_and_tells_what_it_made(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    assert said(send(db, conversion("o1"))) == ["applied"]
    with transaction(db) as tx:
        told = inbox.status(tx, acme, "shop", "o1/paid")
    assert told is not None
    assert (told["status"], told["reason"], told["attempts"], told["conflicts"]) == (
        "applied",
        None,
        1,
        0,
    )
    [tracking] = told["made"]["trackings"]
    assert (tracking["referrer_user_id"], tracking["amount_earned"]) == ("ada", 1_000)
    assert tracking["explanation"] == {
        "rule": "percentage",
        "of": 10_000,
        "basis_points": 1_000,
        "version": 1,
    }
    [earning] = told["made"]["earnings"]
    assert (earning["user_id"], earning["kind"], earning["amount"]) == ("ada", "reward", 1_000)
    assert balance(db) == 1_000


def test_an_event_that_never_came_has_no_status(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        assert inbox.status(tx, acme, "shop", "nothing") is None


def test_the_same_event_again_has_no_effect_however_it_is_written(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    original = conversion("o1")
    fields = json.loads(original)
    fields["time"] = "2026-06-01T14:00:00.000000+02:00"
    rewritten = json.dumps(dict(reversed(fields.items())) | {"traceparent": "00-1-1-00"}, indent=2)
    assert said(send(db, original)) == ["applied"]
    assert said(send(db, rewritten, original)) == ["duplicate", "duplicate"]
    assert balance(db) == 1_000
    assert scalar(db, "SELECT attempts FROM inbox_events") == 1


def test_other_content_under_the_same_id_is_a_conflict_kept_once_and_the_first_stands(
    db: Rolled,
) -> None:
    acme = open_shop(db, PERCENTAGE)
    other = conversion("o1", amount=99_999)
    assert said(send(db, conversion("o1"))) == ["applied"]
    for _ in range(2):
        [outcome] = send(db, other)
        assert outcome.status == "conflict"
        assert "refunded" in str(outcome.detail)
    assert balance(db) == 1_000
    [(kept,)] = rows(db, "SELECT data->>'amount' FROM inbox_conflicts")
    assert kept == "99999"
    with transaction(db) as tx:
        assert inbox.status(tx, acme, "shop", "o1/paid")["conflicts"] == 1  # type: ignore[index]


def test_the_same_id_from_another_source_or_merchant_is_another_event(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        other = merchants.add(tx, "zeta", "Zeta", mode="test", actor=TESTER).id
        program(tx, other, PERCENTAGE)
        code(tx, other, "ADA-01")
    texts = [
        event("conversion.recorded", "1", code="ADA-01", referred_user_id="ben", amount=100),
        event(
            "conversion.recorded",
            "1",
            source="pos",
            code="ADA-01",
            referred_user_id="ben",
            amount=100,
        ),
        event(
            "conversion.recorded", "1", to="zeta", code="ADA-01", referred_user_id="ben", amount=100
        ),
    ]
    assert said(send(db, *texts)) == ["applied"] * 3
    assert rows(db, "SELECT merchant_id, balance FROM ledger_accounts WHERE owner = 'ada'") == [
        (scalar(db, "SELECT id FROM merchants WHERE key = 'acme'"), 20),
        (other, 10),
    ]


def test_copies_and_conflicts_inside_one_batch_follow_the_first_of_them(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    same, other = conversion("o1"), conversion("o1", amount=5)
    assert said(send(db, same, other, same, other)) == [
        "applied",
        "conflict:conflict",
        "duplicate",
        "conflict:conflict",
    ]
    assert balance(db) == 1_000
    assert scalar(db, "SELECT count(*) FROM inbox_conflicts") == 1


def test_a_conflict_before_it_in_the_batch_does_not_keep_a_refused_event_from_its_retry(
    db: Rolled,
) -> None:
    acme = open_shop(db, PERCENTAGE)
    refused = conversion("o1", by="LATER-1")
    assert said(send(db, refused)) == ["rejected:code_not_found"]
    with transaction(db) as tx:
        code(tx, acme, "LATER-1", owner="cyd")
    other = conversion("o1", by="LATER-1", amount=5)
    assert said(send(db, other, refused)) == ["conflict:conflict", "applied"]
    assert balance(db, "cyd") == 1_000


def test_an_event_more_than_ten_minutes_ahead_is_refused_until_its_time_has_come(
    db: Rolled,
) -> None:
    open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        clock.simulate(tx, JUNE, sandbox=True)
    ten = timedelta(minutes=10)
    early = conversion("o2", at=JUNE + ten + timedelta(microseconds=1))
    assert said(send(db, conversion("o1", at=JUNE + ten), early)) == [
        "applied",
        "rejected:time_in_future",
    ]
    assert said(send(db, early)) == ["rejected:time_in_future"]
    with transaction(db) as tx:
        clock.simulate(tx, JUNE + ten, sandbox=True)
    assert said(send(db, early)) == ["applied"]
    assert scalar(db, "SELECT attempts FROM inbox_events WHERE event_id = 'o2/paid'") == 3
    assert balance(db) == 2_000


CURABLE = {
    "code_not_found": "INSERT INTO codes (merchant_id, code, program_id, user_id)"
    " SELECT merchant_id, 'LATER-1', id, 'cyd' FROM programs",
}
PURPOSE = {
    "code_inactive": ("codes", "suspended"),
    "program_inactive": ("programs", "paused"),
}


@pytest.mark.parametrize("reason", PURPOSE)
def test_what_was_refused_on_purpose_is_not_paid_by_a_replay_when_the_pause_is_over(
    db: Rolled, reason: str
) -> None:
    table, status = PURPOSE[reason]
    open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        tx.execute(text(f"UPDATE {table} SET status = :status"), {"status": status})
    assert said(send(db, conversion("o1"))) == [f"rejected:{reason}"]
    with transaction(db) as tx:
        tx.execute(text(f"UPDATE {table} SET status = 'active'"))
    assert said(send(db, conversion("o1"))) == ["duplicate"]
    assert rows(db, "SELECT status, reason FROM inbox_events") == [("rejected", reason)]
    assert scalar(db, "SELECT count(*) FROM trackings") == 0
    assert said(send(db, conversion("o2"))) == ["applied"]


@pytest.mark.parametrize("reason", CURABLE)
def test_what_was_refused_for_something_missing_is_tried_again_by_a_replay(
    db: Rolled, reason: str
) -> None:
    open_shop(db, PERCENTAGE)
    sale = conversion("o1", by="LATER-1")
    assert said(send_one_by_one(db, sale, sale)) == [f"rejected:{reason}"] * 2
    with transaction(db) as tx:
        tx.execute(text(CURABLE[reason]))
    assert said(send_one_by_one(db, sale, sale)) == ["applied", "duplicate"]
    assert rows(db, "SELECT status, reason, detail, correlation, attempts FROM inbox_events") == [
        ("applied", None, None, None, 3)
    ]
    assert scalar(db, "SELECT count(*) FROM trackings") == 1


def test_a_decision_stands_whatever_changes_later(db: Rolled) -> None:
    """Each standing refusal of conversions, replayed after its cause is gone."""
    acme = open_shop(db, ONE_TIME, min_amount=1_000, window_days=30, max_uses=1)
    with transaction(db) as tx:
        program(tx, acme, PERCENTAGE, "capped", max_rewards_per_referrer=1)
        code(tx, acme, "CAP-01", key="capped")
        code(tx, acme, "OLD-01", key="capped", expires_at=JUNE)
    refused = {
        conversion("o-self", "ada"): "self_referral",
        conversion("o-low", "cyd", 999): "below_minimum",
        conversion("o-none", "cyd", None): "missing_amount",
        conversion("o-eur", "cyd", currency="eur"): "currency_mismatch",
        conversion("o-again", "ben"): "already_rewarded",
        conversion("o1", "ben", id_="twice"): "duplicate_transaction",
        conversion("o-late", "dan", at=JUNE + 30 * DAY): "outside_window",
        conversion("o-used", "eve"): "code_exhausted",
        conversion("o-cap", "flo", by="CAP-01"): "reward_cap_reached",
        conversion("o-old", "flo", by="OLD-01"): "code_expired",
    }
    before = [conversion("o1"), conversion("o2", "gus", by="CAP-01"), attributed("dan")]
    assert set(said(send(db, *before))) == {"applied"}
    assert said(send(db, *refused)) == [f"rejected:{r}" for r in refused.values()]
    assert set(refused.values()) < STANDING_REASONS
    with transaction(db) as tx:
        tx.execute(text("UPDATE codes SET max_uses = 100, expires_at = NULL, user_id = 'zoe'"))
        tx.execute(text("UPDATE attributions SET rewarded = 0, first_rewarded_at = NULL"))
    money = scalar(db, "SELECT sum(balance) FROM ledger_accounts")
    assert said(send(db, *refused)) == ["duplicate"] * len(refused)
    assert scalar(db, "SELECT sum(balance) FROM ledger_accounts") == money
    assert_whole(db)


def test_a_decision_on_a_hold_stands_too(db: Rolled) -> None:
    """A till that repeats a day must not hold today what was refused then."""
    acme = open_shop(db, ONE_TIME)
    rewards = [
        {"id": "cash", "description": "5 EUR", "points": 3, "cash": 500},
        {"id": "mug", "description": "A mug", "stamps": 3},
    ]
    terms = {"name": "Beans", "currency": "eur", "kind": "hybrid"}
    with transaction(db) as tx:
        loyalty.create_program(tx, acme, "beans", **terms, rewards=rewards)
    begun = [
        event("loyalty.card_created", "c", card="C1", customer_id="ada"),
        event("loyalty.points_earned", "e", card="C1", points=10),
        event("loyalty.points_held", "h", card="C1", points=4),
    ]
    refused = {
        event("loyalty.points_held", "1", card="C1", reward_id="cash"): "reward_not_held",
        event("loyalty.points_held", "2", card="C1", reward_id="mug"): "reward_not_for_points",
        event("loyalty.hold_captured", "3", card="C1", related_event="e"): "not_a_hold",
        event(
            "loyalty.hold_captured", "4", card="C1", related_event="h", points=5
        ): "capture_exceeds_hold",
    }
    assert said(send(db, *begun, *refused)) == ["applied"] * 3 + [
        f"rejected:{reason}" for reason in refused.values()
    ]
    free = [{"id": key, "description": "Free", "points": 1} for key in ("cash", "mug")]
    with transaction(db) as tx:
        loyalty.change_program(tx, acme, "beans", JUNE, rewards=free)
    assert said(send(db, *refused)) == ["duplicate"] * len(refused)
    assert scalar(db, "SELECT sum(held) FROM point_lots") == 4


def test_a_type_that_this_version_does_not_apply_is_kept_for_one_that_does(
    db: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_shop(db, PERCENTAGE)
    dispute = event(
        "conversion.disputed", "d1", transaction_id="o1", dispute_id="d1", outcome="opened"
    )
    monkeypatch.setattr(referrals, "TYPES", referrals.TYPES - {"conversion.disputed"})
    assert said(send_one_by_one(db, conversion("o1"), dispute, dispute)) == [
        "applied",
        "rejected:not_supported_yet",
        "rejected:not_supported_yet",
    ]
    monkeypatch.undo()
    assert said(send(db, dispute)) == ["applied"]
    assert standing(db)["d1"] == "applied"


def test_events_are_counted_by_what_became_of_them(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    send(db, conversion("o1"), conversion("o2"), refund("o9"), "not json")
    with transaction(db) as tx:
        counted = [(r.type, r.status, r.reason, r.events) for r in inbox.counts(tx, acme)]
        assert inbox.counts(tx, acme + 1) == []
        assert [tuple(r) for r in inbox.unreadable_counts(tx)] == [("invalid_json", 1)]
    assert counted == [
        ("conversion.recorded", "applied", None, 2),
        ("conversion.refunded", "waiting", "waits_for_conversion", 1),
    ]


def test_an_empty_batch_is_nothing(db: Rolled) -> None:
    assert send(db) == []
