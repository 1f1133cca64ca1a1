"""What an event is when it comes: new, a duplicate, a conflict, refused, or tried again."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain import clock
from domain.db import transaction
from domain.inbox import service as inbox
from domain.inbox.rules import STANDING_REASONS, Delivery, parse, storable
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
    read,
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


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"referred_user_id": "ben", "amount": -1}, "negative_amount"),
        ({"referred_user_id": "ben", "amount": "1"}, "wrong_type"),
        ({"amount": 1}, "missing_field"),
        ({"referred_user_id": "b" * 101}, "too_long"),
        ({"referred_user_id": "ben", "currency": "dollars"}, "invalid_currency"),
    ],
)
def test_an_event_that_breaks_the_contract_is_kept_with_its_reason(
    db: Rolled, data: dict[str, Any], reason: str
) -> None:
    open_shop(db, PERCENTAGE)
    bad = event("conversion.recorded", "bad", **data)
    assert said(send(db, bad, conversion("o1"))) == [f"rejected:{reason}", "applied"]
    assert said(send(db, bad)) == [f"rejected:{reason}"]
    [(kept, attempts)] = rows(db, "SELECT data, attempts FROM inbox_events WHERE event_id = 'bad'")
    assert kept == data
    assert attempts == 2, "each replay is another try"


@pytest.mark.parametrize("odd", ["\U000e0001", "\ue000", "é", "\u0085"])
def test_an_unknown_type_of_any_characters_is_refused_without_holding_up_the_batch(
    db: Rolled, odd: str
) -> None:
    open_shop(db, PERCENTAGE)
    outcomes = send(db, event(odd * 255, "odd"), conversion("o1"))
    assert said(outcomes) == ["rejected:unknown_type", "applied"]


def test_an_event_of_an_unknown_or_retired_merchant_is_kept_by_its_message(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    stranger = event("conversion.recorded", "1", to="nobody", referred_user_id="ben")
    deliveries = read(stranger, conversion("o1"))
    for _ in range(2):  # the message comes again: kept once
        with transaction(db) as tx:
            outcomes = inbox.apply(tx, deliveries)
    assert said(outcomes) == ["unreadable:unknown_merchant", "duplicate"]
    [(reason, detail, raw)] = rows(db, "SELECT reason, detail, raw FROM rejected_messages")
    assert (reason, detail) == ("unknown_merchant", "the merchant 'nobody' does not exist")
    assert bytes(raw).decode() == stranger
    with transaction(db) as tx:
        tx.execute(text("UPDATE merchants SET retired_at = now()"))
    assert said(send(db, conversion("o2"))) == ["unreadable:merchant_retired"]


UNREADABLE = [
    "",
    "not json",
    "[]",
    "null",
    '{"specversion": "1.0"',
    '{"merchant": "acme", "source": "shop"}',
    '{"merchant": "acme", "source": "shop", "id": 5}',
    '{"merchant": "ac\\u0000me", "source": "shop", "id": "1"}',
    '{"merchant": "acme", "source": "sh\\ud800op", "id": "1"}',
    '{"merchant": "acme", "source": "shop", "id": "1", "id": "2"}',
    "lone \ud800 surrogate",
    "a \0 NUL",
    "{" * 5_000,
]


@pytest.mark.parametrize("raw", UNREADABLE, ids=lambda raw: repr(raw[:30]))
def test_what_has_no_readable_identity_is_kept_byte_for_byte_and_once(db: Rolled, raw: str) -> None:
    open_shop(db, PERCENTAGE)
    deliveries = read(raw, conversion("o1"), raw)
    for _ in range(2):
        with transaction(db) as tx:
            outcomes = inbox.apply(tx, deliveries)
    assert [o.status for o in outcomes] == ["unreadable", "duplicate", "unreadable"]
    kept = rows(db, "SELECT raw, position FROM rejected_messages ORDER BY position")
    assert [(bytes(r).decode("utf-8", "surrogatepass"), at) for r, at in kept] == [(raw, 0)]


def test_two_unreadable_texts_of_messages_with_one_name_are_both_kept(db: Rolled) -> None:
    """Producers name their messages: one that repeats itself must not hide what the next one said."""
    open_shop(db, PERCENTAGE)
    for raw in ("first", "second", "first"):
        with transaction(db) as tx:
            outcomes = inbox.apply(tx, parse([Delivery("always the same", 0, raw)]))
        assert [o.status for o in outcomes] == ["unreadable"]
    kept = rows(db, "SELECT raw FROM rejected_messages ORDER BY id")
    assert [bytes(raw) for (raw,) in kept] == [b"first", b"second"]


def test_the_same_unreadable_text_in_another_message_stays_one_row(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, "not json")
    send(db, conversion("o1"), "not json")
    assert rows(db, "SELECT position, reason FROM rejected_messages") == [(0, "invalid_json")]


@pytest.mark.parametrize(
    "message_id",
    ["m" * 10_000, "with \0 in it", "with \ud800 in it", ""],
    ids=lambda m: repr(m[:12]),
)
def test_a_message_may_call_itself_anything(db: Rolled, message_id: str) -> None:
    open_shop(db, PERCENTAGE)
    deliveries = parse(
        [Delivery(message_id, 0, "not json"), Delivery(message_id, 1, conversion("o1"))]
    )
    for _ in range(2):
        with transaction(db) as tx:
            outcomes = inbox.apply(tx, deliveries)
    assert [o.status for o in outcomes] == ["unreadable", "duplicate"]
    assert scalar(db, "SELECT count(*) FROM rejected_messages") == 1


def test_long_message_ids_that_begin_alike_are_told_apart(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    for tail in "ab":
        with transaction(db) as tx:
            inbox.apply(tx, parse([Delivery("m" * 300 + tail, 0, f"not json {tail}")]))
    assert scalar(db, "SELECT count(DISTINCT message_id) FROM rejected_messages") == 2


def test_an_identity_that_is_readable_in_a_broken_text_names_its_row(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    broken = (
        '{"specversion": "1.0", "merchant": "acme", "source": "shop", "id": "nul", "time": "never",'
        ' "type": "conversion.recorded", "data": {"referred_user_id": "b\\u0000n"}}'
    )
    assert said(send(db, broken)) == ["rejected:nul_character"]
    [(raw, data, detail)] = rows(db, "SELECT raw, data, detail FROM inbox_events")
    assert (raw, data) == (storable(broken), None)
    assert "NUL" in detail


def test_the_first_content_stands_even_where_it_was_broken(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    broken = conversion("o1").replace('"ben"', '"b\\u0000n"')
    assert said(send(db, broken)) == ["rejected:nul_character"]
    assert said(send(db, conversion("o1"), broken)) == [
        "conflict:conflict",
        "rejected:nul_character",
    ]


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
