"""Loyalty events become rows, points and transfers, or a stated refusal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.db import Tx
from domain.errors import AlreadyExists, Invalid
from domain.loyalty import service
from domain.loyalty.rules import Refusal, card_number
from domain.loyalty.service import Done

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def reasons(outcomes: list[Any]) -> list[str | None]:
    return [o.reason if isinstance(o, Refusal) else None for o in outcomes]


def test_a_card_earns_and_redeems_in_one_batch(tx: Tx, shop: Any, history: Any) -> None:
    outcomes = shop.apply(
        tx,
        [
            shop.enrol("C1", "ada"),
            shop.earn("C1", purchase_amount=12_999, order_reference="ord-1"),
            shop.redeem("C1", 100, reward_id="mug", reward_description="A mug"),
        ],
    )
    assert [(o.points, o.balance) for o in outcomes] == [(0, 0), (129, 129), (-100, 29)]
    assert [row[1:5] for row in history(tx, shop)] == [
        (1, "card_created", 0, 0),
        (2, "points_earned", 129, 129),
        (3, "points_redeemed", -100, 29),
    ]
    assert service.check_invariants(tx) == []


def test_the_outcome_names_the_rows_that_were_made(tx: Tx, shop: Any) -> None:
    (done,) = shop.apply(tx, [shop.enrol("C1")])
    ids = tx.execute(text("SELECT id FROM loyalty_transactions ORDER BY seq")).scalars().all()
    assert isinstance(done, Done)
    assert done.transaction_ids == tuple(ids)


def test_a_new_card_gets_the_welcome_bonus_once(tx: Tx, open_shop: Any, history: Any) -> None:
    shop = open_shop(tx, welcome_bonus=50)
    first, again = shop.apply(tx, [shop.enrol("C1", "ada"), shop.enrol("C1", "ada")])
    assert (first.points, first.balance, len(first.transaction_ids)) == (50, 50, 2)
    assert again.reason == "card_exists"
    assert [row[2:5] for row in history(tx, shop)] == [
        ("card_created", 0, 0),
        ("welcome_bonus", 50, 50),
    ]
    assert service.check_invariants(tx) == []


def test_a_purchase_keeps_where_it_happened_and_why_it_earned(tx: Tx, shop: Any) -> None:
    shop.apply(
        tx,
        [
            shop.enrol("C1"),
            shop.earn(
                "C1",
                purchase_amount=1_000,
                order_reference="ord-1",
                store_id="s1",
                staff_pin_id="p1",
                terminal_device_id="d1",
                category_ids=["tea", 'a "quoted" one'],
                ip_address="::1",
                user_agent="till\t7\\n",
                notes="a\nnote",
            ),
        ],
    )
    row = tx.execute(text("SELECT * FROM loyalty_transactions WHERE seq = 2")).one()
    assert (row.store_id, row.staff_pin_id, row.terminal_device_id) == ("s1", "p1", "d1")
    assert (row.purchase_amount_cents, row.purchase_currency) == (1_000, "eur")
    assert (row.category_ids, row.order_reference) == (["tea", 'a "quoted" one'], "ord-1")
    assert (row.ip_address, row.user_agent, row.notes) == ("::1", "till\t7\\n", "a\nnote")
    assert row.explanation == {
        "rule": "purchase",
        "purchase_amount": 1_000,
        "earn_points": 1,
        "earn_per_amount": 100,
        "points": 10,
    }
    assert (row.transaction_at, row.program_version) == (NOON, 1)


def test_a_redemption_keeps_the_reward_as_it_was(tx: Tx, shop: Any) -> None:
    shop.apply(
        tx,
        [
            shop.enrol("C1"),
            shop.earn("C1", 50),
            shop.redeem("C1", 30, reward_id="mug", reward_description="A mug"),
        ],
    )
    row = tx.execute(text("SELECT * FROM loyalty_transactions WHERE seq = 3")).one()
    assert (row.reward_id, row.reward_cost, row.reward_description) == ("mug", 30, "A mug")


def test_what_cannot_be_done_is_refused_with_its_reason(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, minimum_purchase=500, min_redemption=10)
    shop.apply(tx, [shop.enrol("C1", "ada"), shop.enrol("C2", "bob"), shop.earn("C1", 100)])
    tx.execute(text("UPDATE cards SET status = 'inactive' WHERE number = 'C2'"))
    given = shop.redeem("C1", 10)
    given.data = given.data.model_copy(update={"points": 0})
    negative = shop.earn("C1", purchase_amount=1_000)
    negative.data = negative.data.model_copy(update={"purchase_amount": -1})
    empty = shop.earn("C1", 1)
    empty.data = empty.data.model_copy(update={"points": None})
    cases = [
        (shop.earn("nobody", 10), "card_unknown"),
        (shop.earn("C2", 10), "card_inactive"),
        (shop.redeem("C2", 10), "card_inactive"),
        (shop.earn("C1", 10, customer_id="bob"), "customer_mismatch"),
        (shop.earn("C1", purchase_amount=499), "below_minimum_purchase"),
        (shop.earn("C1", purchase_amount=5_000, purchase_currency="usd"), "currency_mismatch"),
        (shop.earn("C1", 2**53 - 1), "balance_limit"),
        (empty, "missing_amount"),
        (negative, "negative_amount"),
        (given, "not_positive"),
        (shop.redeem("C1", 9), "below_min_redemption"),
        (shop.redeem("C1", 101), "insufficient_points"),
        (shop.event("points_redeemed", card="C1", reward_id="mug"), "missing_points"),
        (shop.enrol("C1", "eve"), "card_exists"),
        (shop.enrol("C9", "ada"), "customer_has_card"),
        (shop.enrol("C 9", "eve"), "card_number_invalid"),
        (shop.enrol("9" * 51, "eve"), "card_number_invalid"),
        (shop.enrol("C9", "eve", program="tea"), "program_unknown"),
    ]
    before = tx.execute(text("SELECT count(*) FROM loyalty_transactions")).scalar()
    outcomes = shop.apply(tx, [event for event, _ in cases])
    assert reasons(outcomes) == [reason for _, reason in cases]
    assert tx.execute(text("SELECT count(*) FROM loyalty_transactions")).scalar() == before
    assert service.check_invariants(tx) == []


def test_no_events_are_nothing(tx: Tx) -> None:
    assert service.apply(tx, [], NOON) == service.Applied([], [])


def test_a_refusal_does_not_hold_up_its_neighbours(tx: Tx, shop: Any) -> None:
    outcomes = shop.apply(
        tx, [shop.earn("C1", 5), shop.enrol("C1"), shop.redeem("C1", 1), shop.earn("C1", 5)]
    )
    assert reasons(outcomes) == ["card_unknown", None, "insufficient_points", None]


def test_enrolments_that_depend_on_one_another_are_decided_as_if_one_by_one(
    tx: Tx, shop: Any
) -> None:
    shop.apply(tx, [shop.enrol("A", "ada")])
    chain = [("B", "bob"), ("B", "ada"), ("C", "bob"), ("C", "cid"), ("D", "cid"), ("D", "ada")]
    outcomes = shop.apply(tx, [shop.enrol(card, customer) for card, customer in chain])
    assert reasons(outcomes) == [
        None,
        "card_exists",
        "customer_has_card",
        None,
        "customer_has_card",
        "customer_has_card",
    ]


def test_a_paused_program_neither_gives_nor_takes(tx: Tx, shop: Any) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])
    tx.execute(text("UPDATE loyalty_programs SET status = 'paused'"))
    events = [
        shop.earn("C1", 1),
        shop.redeem("C1", 1),
        shop.enrol("C2", program="beans"),
        shop.enrol("C2"),
    ]
    assert reasons(shop.apply(tx, events)) == [
        "program_inactive",
        "program_inactive",
        "program_inactive",
        "program_unknown",
    ]


def test_a_card_joins_the_only_program_or_the_one_named(tx: Tx, shop: Any) -> None:
    service.create_program(tx, shop.merchant_id, "tea", name="Tea", currency="eur")
    outcomes = shop.apply(tx, [shop.enrol("C1"), shop.enrol("C2", program="tea")])
    assert reasons(outcomes) == ["program_ambiguous", None]
    joined = tx.execute(
        text("SELECT p.key FROM cards c JOIN loyalty_programs p ON p.id = c.program_id")
    ).scalars()
    assert joined.all() == ["tea"]


def test_points_wait_for_the_pending_period(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, pending_days=14, welcome_bonus=5)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])
    early = NOON + 14 * DAY - timedelta(seconds=1)
    due = NOON + 14 * DAY
    events = [
        shop.redeem("C1", 100, early),
        shop.redeem("C1", 5, early),
        shop.redeem("C1", 100, due),
    ]
    outcomes = shop.apply(tx, events, due)
    assert reasons(outcomes) == ["insufficient_points", None, None]
    assert "5 spendable" in outcomes[0].sentence


def test_a_debit_takes_the_oldest_lots_first_and_says_which(tx: Tx, shop: Any) -> None:
    shop.apply(
        tx,
        [
            shop.enrol("C1"),
            shop.earn("C1", 10, NOON - 2 * DAY),
            shop.earn("C1", 20, NOON - 3 * DAY),
            shop.earn("C1", 30, NOON - DAY),
        ],
    )
    shop.apply(tx, [shop.redeem("C1", 25)])
    rows = tx.execute(
        text(
            """
            SELECT l.points, a.points FROM lot_allocations a JOIN point_lots l ON l.id = a.lot_id
            ORDER BY l.occurred_at
            """
        )
    ).all()
    assert [tuple(row) for row in rows] == [(20, 20), (10, 5)]
    assert service.check_invariants(tx) == []


def test_a_redemption_reaches_past_the_first_lots_when_it_must(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, pending_days=3)
    shop.apply(tx, [shop.enrol("C1"), *(shop.earn("C1", 1, NOON - i * DAY) for i in range(30))])
    available = 27  # those of the last three days are pending
    more, all_, none = shop.apply(
        tx, [shop.redeem("C1", 20), shop.redeem("C1", available - 20), shop.redeem("C1", 1)]
    )
    assert (more.balance, all_.balance, none.reason) == (10, 3, "insufficient_points")
    assert service.check_invariants(tx) == []


def test_lots_keep_the_terms_that_they_were_earned_under(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, pending_days=30)
    shop.apply(tx, [shop.enrol("C1"), *(shop.earn("C1", 5, NOON - DAY) for _ in range(8))])
    tx.execute(
        text(
            """
            INSERT INTO loyalty_program_versions (program_id, version, earn_points, earn_per_amount, currency,
                pending_days, backdating_days, qualifying_types)
            SELECT program_id, 2, earn_points, earn_per_amount, currency, 0, backdating_days, qualifying_types
            FROM loyalty_program_versions WHERE program_id = :id
            """
        ),
        {"id": shop.programs[0].id},
    )
    tx.execute(text("UPDATE loyalty_programs SET version = 2"))
    shop.apply(tx, [shop.earn("C1", 10)])
    done, refused = shop.apply(tx, [shop.redeem("C1", 10), shop.redeem("C1", 1)])
    assert (done.balance, refused.reason) == (40, "insufficient_points")


def test_an_event_older_than_the_backdating_limit_counts_from_its_reception(
    tx: Tx, open_shop: Any
) -> None:
    shop = open_shop(tx, backdating_days=7, inactivity_days=30)
    shop.apply(
        tx,
        [
            shop.enrol("C1"),
            shop.earn("C1", 10, NOON - 7 * DAY),
            shop.earn("C1", 20, NOON - 8 * DAY),
        ],
    )
    lots = tx.execute(text("SELECT points, occurred_at FROM point_lots ORDER BY points")).all()
    assert [tuple(row) for row in lots] == [(10, NOON - 7 * DAY), (20, NOON)]
    late = tx.execute(text("SELECT * FROM loyalty_transactions WHERE points_delta = 20")).one()
    assert late.transaction_at == NOON - 8 * DAY
    assert late.explanation["counted_at"] == NOON.isoformat()


def test_each_transfer_of_points_is_in_the_currency_of_its_program(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, welcome_bonus=5)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), shop.redeem("C1", 40)])
    rows = tx.execute(
        text(
            """
            SELECT t.kind, t.amount, t.currency, d.kind, c.kind FROM ledger_transfers t
            JOIN ledger_accounts d ON d.id = t.debit_account_id
            JOIN ledger_accounts c ON c.id = t.credit_account_id ORDER BY t.id
            """
        )
    ).all()
    assert [tuple(row) for row in rows] == [
        ("welcome_bonus", 5, "points:beans", "points_issued", "points_liability"),
        ("points_earned", 100, "points:beans", "points_issued", "points_liability"),
        ("points_redeemed", 40, "points:beans", "points_liability", "points_redeemed"),
    ]


def test_the_summary_adds_up(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, welcome_bonus=5, inactivity_days=10)
    shop.apply(
        tx, [shop.enrol("C1"), shop.earn("C1", 100), shop.redeem("C1", 40), shop.enrol("C2")]
    )
    later = NOON + 5 * DAY
    shop.apply(tx, [shop.earn("C1", 1, later)], later)
    for part in service.plan_expiry(tx, shop.merchant_id, NOON + 12 * DAY, 10):
        service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, NOON + 12 * DAY)
    (row,) = service.summary(tx, shop.merchant_id)
    assert (row.program, row.cards, row.issued, row.redeemed) == ("beans", 2, 111, 40)
    assert (row.expired, row.outstanding) == (5, 66)
    assert row.issued == row.redeemed + row.expired + row.outstanding


def test_merchants_do_not_see_one_another(tx: Tx, open_shop: Any) -> None:
    mine, yours = open_shop(tx), open_shop(tx)
    outcomes = mine.apply(
        tx,
        [
            mine.enrol("C1", "ada"),
            yours.enrol("C1", "ada"),
            mine.earn("C1", 10),
            yours.earn("C1", 20),
            yours.redeem("C1", 15),
        ],
    )
    assert [o.balance for o in outcomes] == [0, 0, 10, 20, 5]
    assert service.summary(tx, mine.merchant_id)[0].outstanding == 10


def test_a_card_without_a_number_gets_one_with_a_check_digit(tx: Tx, shop: Any) -> None:
    event = shop.enrol("C1", "ada")
    event.data = event.data.model_copy(update={"card": None})
    (done,) = shop.apply(tx, [event])
    digits = [int(d) for d in reversed(done.card)]
    assert sum(sum(divmod(d * (1 + i % 2), 10)) for i, d in enumerate(digits)) % 10 == 0
    assert reasons(shop.apply(tx, [shop.earn(done.card, 10)])) == [None]


def test_a_generated_number_that_is_taken_is_passed_over(tx: Tx, shop: Any) -> None:
    used = tx.execute(text("SELECT nextval(pg_get_serial_sequence('cards', 'id'))")).scalar_one()
    shop.apply(tx, [shop.enrol(card_number(used + 2), "eve")])
    event = shop.enrol("C1", "ada")
    event.data = event.data.model_copy(update={"card": None})
    assert reasons(shop.apply(tx, [event])) == [None]


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ({"key": "Beans"}, "key"),
        ({"key": "x" * 101}, "key"),
        ({"name": " "}, "name"),
        ({"currency": "EUR"}, "currency"),
        ({"zone": "Europe/Atlantis"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"zone": "Europe"}, "zone"),
        ({"zone": ""}, "zone"),
        ({"earn_points": -1}, "earn_points"),
        ({"earn_per_amount": 0}, "earn_per_amount"),
        ({"minimum_purchase": -1}, "minimum_purchase"),
        ({"welcome_bonus": -1}, "welcome_bonus"),
        ({"min_redemption": 0}, "min_redemption"),
        ({"pending_days": 4_000}, "pending_days"),
        ({"backdating_days": -1}, "backdating_days"),
        ({"inactivity_days": 0}, "inactivity_days"),
        ({"qualifying_types": ["points_expired"]}, "qualifying_types"),
        ({"qualifying_types": [], "inactivity_days": 9}, "qualifying_types"),
    ],
)
def test_a_program_is_refused_with_the_name_of_the_field(
    tx: Tx, shop: Any, terms: dict[str, Any], named: str
) -> None:
    given = {"key": "tea", "name": "Tea", "currency": "eur", **terms}
    with pytest.raises(Invalid) as refused:
        service.create_program(tx, shop.merchant_id, given.pop("key"), **given)
    assert refused.value.field == named


def test_a_program_key_is_taken_once_for_a_merchant(tx: Tx, shop: Any, open_shop: Any) -> None:
    with pytest.raises(AlreadyExists, match="beans"):
        service.create_program(tx, shop.merchant_id, "beans", name="Again", currency="eur")
    assert open_shop(tx).programs[0].key == "beans"
