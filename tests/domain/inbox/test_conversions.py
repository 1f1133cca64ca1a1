"""What a conversion leaves behind: rewards on both sides, holds, and nothing in another merchant's books."""

from typing import Any

import pytest

from domain.db import transaction
from domain.referrals import admin
from domain.referrals.admin import Terms
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TESTER,
    TIERED,
    assert_whole,
    balance,
    code,
    conversion,
    merchant,
    open_shop,
    program,
    refund,
    rows,
    said,
    scalar,
    send,
    standing,
)


@pytest.mark.parametrize(
    ("referee", "amount", "gives"),
    [
        ({"amount": 200}, None, 200),
        ({"amount": 200}, 10_000, 200),
        ({"basis_points": 333}, 10_000, 333),
        ({"basis_points": 333, "cap": 50}, 10_000, 50),
        ({"basis_points": 50}, 100, 0),  # 0.5 goes to the even 0
        ({"basis_points": 333}, None, 0),  # of nothing known
    ],
)
def test_a_double_sided_program_rewards_the_referred_user_too(
    db: Rolled, referee: dict[str, int], amount: int | None, gives: int
) -> None:
    open_shop(db, ONE_TIME, referee_rule=referee)
    assert said(send(db, conversion("o1", amount=amount))) == ["applied"]
    assert (balance(db), balance(db, "ben")) == (500, gives)
    kinds = rows(db, "SELECT kind, amount FROM earnings ORDER BY id")
    assert kinds == [("reward", 500), *([("referee_reward", gives)] if gives else [])]
    assert_whole(db)


def test_refunds_take_their_share_from_both_sides_without_losing_a_cent(db: Rolled) -> None:
    open_shop(db, ONE_TIME, referee_rule={"basis_points": 333})
    send(db, conversion("o1", amount=10_000), refund("o1", 5_000, id_="a"))
    assert (balance(db), balance(db, "ben")) == (250, 167), "166.5 was kept, and 166 taken"
    send(db, refund("o1", 2_500, id_="b"))
    assert (balance(db), balance(db, "ben")) == (125, 83)
    send(db, refund("o1", 2_500, id_="c"))
    assert (balance(db), balance(db, "ben")) == (0, 0)
    assert_whole(db)


def test_a_conversion_that_earns_nothing_is_counted_without_an_earning(db: Rolled) -> None:
    open_shop(db, {"kind": "tiered", "by": "count", "tiers": [{"from": 2, "amount": 100}]})
    assert said(send(db, conversion("o1", "u1"), conversion("o2", "u2"))) == ["applied"] * 2
    assert rows(db, "SELECT amount_earned FROM trackings ORDER BY seq") == [(0,), (100,)]
    assert scalar(db, "SELECT count(*) FROM earnings") == 1
    send(db, refund("o1"))
    assert scalar(db, "SELECT count(*) FROM earnings") == 1
    assert_whole(db)


def test_what_is_earned_is_payable_after_the_hold_and_by_the_programs_method(db: Rolled) -> None:
    open_shop(db, PERCENTAGE, hold_days=14, payout_method="wise")
    send(db, conversion("o1"))
    assert rows(db, "SELECT available_at, method, held_at FROM earnings") == [
        (JUNE + 14 * DAY, "wise", None)
    ]


def test_an_absent_currency_is_the_programs_and_every_row_carries_it(db: Rolled) -> None:
    open_shop(db, PERCENTAGE, currency="jpy")
    send(db, conversion("o1"), conversion("o2", currency="JPY"), conversion("o3", currency="usd"))
    assert standing(db)["o3/paid"] == "rejected:currency_mismatch"
    assert balance(db, currency="jpy") == 2_000
    assert rows(db, "SELECT DISTINCT currency FROM ledger_transfers") == [("jpy",)]


def test_merchants_with_the_same_codes_orders_and_users_do_not_meet(db: Rolled) -> None:
    open_shop(db, TIERED)
    with transaction(db) as tx:
        zeta = merchant(tx, "zeta")
        program(tx, zeta, TIERED, max_rewards_per_referrer=2)
        code(tx, zeta, "ADA-01")

    def both(text: str) -> list[str]:
        return [text, text.replace('"acme"', '"zeta"')]

    texts: list[str] = []
    for number in range(4):
        texts += both(conversion(f"o{number}", f"u{number}"))
    texts += both(conversion("o9", "u0", by=None)) + both(refund("o0"))
    outcomes = said(send(db, *texts))
    assert outcomes == [
        *["applied"] * 4,
        *["applied", "rejected:reward_cap_reached"] * 3,
        "applied",
        "applied",
    ]
    found = rows(
        db,
        "SELECT m.key, count(*), max(t.seq) FROM trackings t JOIN merchants m ON m.id = t.merchant_id"
        " GROUP BY 1 ORDER BY 1",
    )
    assert found == [("acme", 5, 5), ("zeta", 2, 2)]
    assert rows(
        db,
        "SELECT m.key, balance FROM ledger_accounts a JOIN merchants m ON m.id = merchant_id"
        " WHERE kind = 'payable' ORDER BY 1",
    ) == [("acme", 2 * 400 + 2 * 1_000), ("zeta", 400)]
    assert_whole(db)


def test_a_refund_of_one_merchant_does_not_reach_the_order_of_another(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        merchant(tx, "zeta")
    send(db, conversion("o1"), refund("o1").replace('"acme"', '"zeta"'))
    assert sorted(standing(db).items()) == [
        ("o1/paid", "applied"),
        ("o1/r1", "waiting:waits_for_conversion"),
    ]
    assert balance(db) == 1_000


def test_a_full_refund_gives_back_no_first_conversion_and_no_use_of_a_code(db: Rolled) -> None:
    open_shop(db, ONE_TIME, max_uses=2)
    assert said(send(db, conversion("o1"))) == ["applied"]
    assert said(send(db, refund("o1"))) == ["applied"]
    assert said(send(db, conversion("o2"))) == ["rejected:already_rewarded"]
    assert said(send(db, conversion("o3", "cyd"))) == ["applied"]
    assert said(send(db, conversion("o4", "dan"))) == ["rejected:code_exhausted"]
    assert balance(db) == 500
    assert_whole(db)


def test_a_full_refund_gives_back_a_reward_of_the_referrers_cap(db: Rolled) -> None:
    open_shop(db, PERCENTAGE, max_rewards_per_referrer=1)
    assert said(send(db, conversion("o1"))) == ["applied"]
    assert said(send(db, conversion("o2", "cyd"))) == ["rejected:reward_cap_reached"]
    assert said(send(db, refund("o1"))) == ["applied"]
    assert said(send(db, conversion("o3", "dan"))) == ["applied"]
    assert_whole(db)


def test_a_mistyped_code_of_our_own_making_is_told_so(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1", by="REF-23456K"), conversion("o2", "cyd", by="SUMMER-26"))
    details = [d for (d,) in rows(db, "SELECT detail FROM inbox_events ORDER BY id")]
    assert ["typing error" in detail for detail in details] == [True, False]


@pytest.mark.parametrize("rule", [{"kind": "one_time"}, {"kind": "recurring", "max_payments": 1}])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "by later terms"])
def test_what_rewards_the_referred_user_alone_is_their_first_conversion(
    db: Rolled, rule: dict[str, Any], later: bool
) -> None:
    share = {"basis_points": 1_000}
    first = PERCENTAGE if later else rule | share
    acme = open_shop(db, first, referee_rule={"amount": 500})
    assert said(send(db, conversion("o1", amount=4))) == ["applied"]
    if later:
        with transaction(db) as tx:
            terms = Terms(rule | share, "usd", {"amount": 500})
            admin.change_program(tx, acme, "refer", terms, actor=TESTER)
    refused = "rejected:already_rewarded"
    assert said(send(db, conversion("o2", amount=4), conversion("o3"))) == [refused] * 2
    assert (balance(db), balance(db, "ben")) == (0, 500), "not 500 for each purchase of 0.04"
