"""Refunds that come before their conversion, or whose conversion was refused, in any order and cut."""

from itertools import permutations

import pytest
from sqlalchemy import text

from domain.db import transaction
from domain.inbox import service as inbox
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TIERED,
    assert_whole,
    balance,
    code,
    conversion,
    open_shop,
    refund,
    rows,
    said,
    scalar,
    send,
    send_one_by_one,
    standing,
)

SEND = pytest.mark.parametrize("deliver", [send, send_one_by_one], ids=["one batch", "one by one"])


@SEND
def test_a_refund_that_comes_first_waits_and_follows_its_conversion(db: Rolled, deliver) -> None:
    open_shop(db, PERCENTAGE)
    deliver(db, refund("o1", 2_500), conversion("o1"))
    assert standing(db) == {"o1/r1": "applied", "o1/paid": "applied"}
    assert balance(db) == 750
    assert scalar(db, "SELECT correlation FROM inbox_events WHERE event_id = 'o1/r1'") is None
    assert_whole(db)


def test_a_waiting_refund_says_what_it_waits_for(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    assert said(send_one_by_one(db, refund("o1"), refund("o1"))) == [
        "waiting:waits_for_conversion",
        "duplicate",
    ]
    assert rows(db, "SELECT status, correlation, attempts FROM inbox_events") == [
        ("waiting", "transaction:o1", 1)
    ]


@SEND
def test_what_waits_is_applied_in_the_order_in_which_it_happened(db: Rolled, deliver) -> None:
    open_shop(db, PERCENTAGE)
    late = refund("o1", 6_000, id_="late", at=JUNE + 2 * DAY)
    early = refund("o1", 6_000, id_="early", at=JUNE + DAY)
    deliver(db, late, early, conversion("o1"))
    assert standing(db) == {
        "o1/early": "applied",
        "o1/late": "rejected:refund_exceeds_transaction",
        "o1/paid": "applied",
    }
    assert balance(db) == 400


@SEND
def test_what_waits_since_the_same_moment_is_applied_in_the_order_of_its_ids(
    db: Rolled, deliver
) -> None:
    open_shop(db, PERCENTAGE)
    deliver(db, refund("o1", 6_000, id_="b"), refund("o1", 7_000, id_="a"), conversion("o1"))
    assert standing(db) == {
        "o1/a": "applied",
        "o1/b": "rejected:refund_exceeds_transaction",
        "o1/paid": "applied",
    }


@SEND
def test_a_refund_waits_across_batches_for_each_of_many_conversions(db: Rolled, deliver) -> None:
    open_shop(db, PERCENTAGE)
    orders = [f"o{i}" for i in range(30)]
    deliver(db, *(refund(o, 1_000) for o in orders))
    deliver(db, *(conversion(o) for o in reversed(orders)))
    assert set(standing(db).values()) == {"applied"}
    assert balance(db) == 30 * 900


@SEND
def test_a_refund_of_a_refused_conversion_has_nothing_to_reverse(db: Rolled, deliver) -> None:
    open_shop(db, PERCENTAGE)
    deliver(db, conversion("o1", "ada"), refund("o1"))
    assert standing(db) == {
        "o1/paid": "rejected:self_referral",
        "o1/r1": "applied:nothing_to_reverse",
    }
    assert balance(db) == 0


@SEND
def test_a_waiting_refund_of_a_conversion_that_is_then_refused_waits_no_longer(
    db: Rolled, deliver
) -> None:
    open_shop(db, PERCENTAGE)
    deliver(db, refund("o1"), conversion("o1", "ada"))
    assert standing(db)["o1/r1"] == "applied:nothing_to_reverse"


@SEND
def test_a_refund_is_rechecked_when_its_refused_conversion_is_accepted_by_a_replay(
    db: Rolled, deliver
) -> None:
    acme = open_shop(db, PERCENTAGE)
    sale = conversion("o1", by="LATER-1")
    deliver(db, sale, refund("o1", 2_500))
    assert standing(db)["o1/r1"] == "applied:nothing_to_reverse"
    with transaction(db) as tx:
        code(tx, acme, "LATER-1", owner="cyd")
    assert said(send(db, sale)) == ["applied"]
    assert standing(db) == {"o1/paid": "applied", "o1/r1": "applied"}
    assert balance(db, "cyd") == 750
    assert_whole(db)


@SEND
def test_a_refund_is_rechecked_when_the_transaction_is_accepted_under_another_event(
    db: Rolled, deliver
) -> None:
    open_shop(db, PERCENTAGE)
    deliver(
        db,
        conversion("o1", by="WRONG-1"),
        refund("o1", 2_500),
        conversion("o1", id_="o1/corrected"),
    )
    assert standing(db) == {
        "o1/paid": "rejected:code_not_found",
        "o1/r1": "applied",
        "o1/corrected": "applied",
    }
    assert balance(db) == 750
    assert_whole(db)


def test_a_noted_refund_is_rechecked_though_another_refused_event_names_its_transaction(
    db: Rolled,
) -> None:
    acme = open_shop(db, PERCENTAGE)
    sale, twin = conversion("o1", by="LATER-1"), conversion("o1", by="NEVER-1", id_="twin")
    send_one_by_one(db, sale, twin, refund("o1"))
    with transaction(db) as tx:
        code(tx, acme, "LATER-1", owner="cyd")
    assert said(send(db, sale)) == ["applied"]
    assert standing(db)["o1/r1"] == "applied"
    assert balance(db, "cyd") == 0
    assert scalar(db, "SELECT fully_refunded FROM trackings") is True


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_two_parts_and_the_rest_take_all_in_any_order(db: Rolled, order) -> None:
    open_shop(db, PERCENTAGE, referee_rule={"amount": 333})
    refunds = [refund("o1", 3_333, id_="a"), refund("o1", 3_333, id_="b"), refund("o1", id_="c")]
    send(db, conversion("o1"))
    for i in order:
        send(db, refunds[i])
    assert (balance(db), balance(db, "ben")) == (0, 0)
    assert scalar(db, "SELECT fully_refunded FROM trackings") is True
    assert_whole(db)


@SEND
def test_one_refund_id_counts_once_whichever_event_brings_it(db: Rolled, deliver) -> None:
    open_shop(db, PERCENTAGE)
    deliver(
        db,
        refund("o1", 1_000, event_id="before"),
        conversion("o1"),
        refund("o1", 1_000, event_id="after"),
        refund("o1", 1_000, event_id="again"),
    )
    assert standing(db) == {
        "before": "applied",
        "o1/paid": "applied",
        "after": "rejected:duplicate_refund",
        "again": "rejected:duplicate_refund",
    }
    assert balance(db) == 900


@SEND
def test_a_refund_cannot_exceed_what_is_left_of_the_transaction(db: Rolled, deliver) -> None:
    open_shop(db, PERCENTAGE)
    deliver(
        db,
        conversion("o1"),
        refund("o1", 9_999, id_="most"),
        refund("o1", 2, id_="too much"),
        refund("o1", 1, id_="rest"),
        refund("o1", 1, id_="more"),
        refund("o1", id_="all"),
    )
    reasons = {i.removeprefix("o1/"): s for i, s in standing(db).items()}
    assert reasons == {
        "paid": "applied",
        "most": "applied",
        "too much": "rejected:refund_exceeds_transaction",
        "rest": "applied",
        "more": "rejected:refund_exceeds_transaction",
        "all": "rejected:refund_exceeds_transaction",
    }
    assert balance(db) == 0


@SEND
def test_a_refund_in_another_currency_is_refused(db: Rolled, deliver) -> None:
    open_shop(db, PERCENTAGE)
    deliver(db, conversion("o1"), refund("o1", 1_000, currency="eur"))
    assert standing(db)["o1/r1"] == "rejected:currency_mismatch"
    assert balance(db) == 1_000


@SEND
def test_a_conversion_without_an_amount_is_reversed_as_a_whole_only(db: Rolled, deliver) -> None:
    open_shop(db, ONE_TIME)
    deliver(
        db, conversion("o1", amount=None), refund("o1", 1_000, id_="part"), refund("o1", id_="all")
    )
    assert standing(db)["o1/part"] == "rejected:full_refund_required"
    assert standing(db)["o1/all"] == "applied"
    assert balance(db) == 0
    assert rows(db, "SELECT refunded_amount, fully_refunded, reversed_amount FROM trackings") == [
        (0, True, 500)
    ]


@SEND
def test_a_transaction_of_nothing_can_be_refunded_in_full(db: Rolled, deliver) -> None:
    open_shop(db, ONE_TIME)
    deliver(db, conversion("o1", amount=0), refund("o1"))
    assert balance(db) == 0
    assert_whole(db)


def test_a_clawback_shares_the_due_time_and_method_of_the_reward_that_it_reverses(
    db: Rolled,
) -> None:
    open_shop(db, PERCENTAGE, hold_days=30, payout_method="stripe", referee_rule={"amount": 200})
    send(db, conversion("o1"))
    send(db, refund("o1", 5_000))
    found = rows(
        db,
        """
        SELECT e.kind, e.user_id, e.amount, e.available_at, e.method, r.kind FROM earnings e
        LEFT JOIN earnings r ON r.id = e.reverses_id ORDER BY e.id
        """,
    )
    due = JUNE + 30 * DAY
    assert found == [
        ("reward", "ada", 1_000, due, "stripe", None),
        ("referee_reward", "ben", 200, due, "stripe", None),
        ("clawback", "ada", -500, due, "stripe", "reward"),
        ("referee_clawback", "ben", -100, due, "stripe", "referee_reward"),
    ]


@SEND
def test_a_full_refund_lowers_the_later_counts_of_its_referrer_only(db: Rolled, deliver) -> None:
    open_shop(db, TIERED)
    deliver(db, *(conversion(f"o{i}", f"u{i}") for i in range(4)), refund("o0"))
    deliver(db, conversion("o4", "u4"), refund("o1", 5_000), conversion("o5", "u5"))
    earned = rows(db, "SELECT transaction_id, amount_earned FROM trackings ORDER BY seq")
    assert earned == [
        ("o0", 400),
        ("o1", 400),
        ("o2", 400),
        ("o3", 1_000),
        ("o4", 1_000),
        ("o5", 1_000),
    ]
    assert rows(db, "SELECT conversions, volume, rewards, last_seq FROM referrer_states") == [
        (5, 45_000, 5, 6)
    ]


@SEND
def test_a_full_refund_makes_room_under_a_cap_but_a_partial_one_does_not(
    db: Rolled, deliver
) -> None:
    open_shop(db, PERCENTAGE, max_rewards_per_referrer=1)
    deliver(
        db,
        conversion("o1", "u1"),
        refund("o1", 9_999, id_="part"),
        conversion("o2", "u2"),
        refund("o1", id_="rest"),
        conversion("o3", "u3"),
    )
    assert standing(db)["o2/paid"] == "rejected:reward_cap_reached"
    assert standing(db)["o3/paid"] == "applied"


def test_the_sweep_takes_up_what_waits_though_its_conversion_is_there(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, refund("o1"), refund("o2"), conversion("o2"))
    send(db, *(refund(f"w{i}") for i in range(5)))
    with transaction(db) as tx:
        # As if the correlation locks had failed: a conversion that no waiting refund was told of.
        tx.execute(text("UPDATE inbox_events SET correlation = 'x' WHERE status = 'waiting'"))
    send(db, conversion("o1"))
    with transaction(db) as tx:
        tx.execute(
            text(
                "UPDATE inbox_events SET correlation = 'transaction:' || (data->>'transaction_id')"
                " WHERE status = 'waiting'"
            )
        )
    assert balance(db) == 1_000
    with transaction(db) as tx:
        assert inbox.recheck_waiting(tx) == (1, None)
        assert inbox.recheck_waiting(tx) == (0, None)
    assert balance(db) == 0
    assert (
        sorted(s for s in standing(db).values() if s.startswith("waiting"))
        == ["waiting:waits_for_conversion"] * 5
    )


def test_the_sweep_goes_on_after_a_full_page(db: Rolled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.inbox.service.applying.RECHECK_BATCH", 3)
    open_shop(db, PERCENTAGE)
    send(db, *(refund(f"w{i}") for i in range(7)))
    after, looked = 0, 0
    while True:
        with transaction(db) as tx:
            settled, following = inbox.recheck_waiting(tx, after)
        looked += 1
        assert settled == 0
        if following is None:
            break
        after = following
    assert looked == 3


def test_a_sweep_writes_only_what_no_longer_waits(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send_one_by_one(db, refund("o1"), refund("o2"), conversion("o3"))
    placed = "SELECT event_id, xmin::text, ctid::text FROM inbox_events WHERE status = 'waiting'"
    before = rows(db, placed)
    with transaction(db) as tx:
        assert inbox.recheck_waiting(tx) == (0, None)
    assert (len(before), rows(db, placed)) == (2, before)
    with transaction(db) as tx:
        # What it says is written though it waits still.
        tx.execute(text("UPDATE inbox_events SET reason = 'so' WHERE status = 'waiting'"))
        assert inbox.recheck_waiting(tx) == (0, None)
    assert standing(db)["o1/r1"] == "waiting:waits_for_conversion"
