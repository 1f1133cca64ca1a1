"""Each type of event is told by what it tells of, once, in the transaction that does it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.earnings import service as earnings
from domain.loyalty import service as loyalty
from domain.payouts import service as payouts
from domain.payouts.service import approving
from domain.payouts.store import policies
from domain.referrals import holds
from domain.webhooks import deliveries
from domain.webhooks.rules import TYPES
from tests.domain.inbox import shop as inbox
from tests.domain.inbox.rolled import Rolled
from tests.domain.loyalty import conftest as loyal
from tests.domain.payouts import house
from tests.domain.webhooks.ear import listen, told

BEN = Actor("person", "ben")
DAY = timedelta(days=1)


def names(tx: Tx) -> list[str]:
    return [name for name, _ in told(tx)]


def test_earnings_are_told_and_so_is_what_is_taken_back(tx: Tx) -> None:
    acme = house.merchant(tx)
    listen(tx, acme)
    first = house.earn(tx, acme, 500)
    earnings.record(
        tx, [house.earning(acme, -200, reverses=first), house.earning(acme, 70, "bob", hold="why")]
    )
    assert names(tx) == ["earning.created"] * 3
    amounts = [(data["user_id"], data["amount"], data["reverses"]) for _, data in told(tx)]
    assert amounts == [("ada", 500, None), ("ada", -200, first), ("bob", 70, None)]


def test_a_voided_earning_is_told(tx: Tx) -> None:
    db = Rolled(tx)
    acme = inbox.open_shop(db, inbox.PERCENTAGE)
    listen(tx, acme, "earning.voided")
    inbox.send(db, inbox.conversion("o1"), inbox.refund("o1"))
    tx.execute(text("UPDATE earnings SET voided_at = now() WHERE payout_id IS NULL"))
    assert set(names(tx)) == {"earning.voided"}


def test_a_hold_is_told_and_how_it_ends(tx: Tx) -> None:
    db = Rolled(tx)
    acme = inbox.open_shop(db, inbox.PERCENTAGE)
    listen(tx, acme, "tracking.held", "hold.released", "hold.rejected")
    inbox.send(
        db,
        *(inbox.conversion(f"o{n}", f"u{n}") for n in (1, 2, 3, 4)),
        *(inbox.dispute(f"o{n}") for n in (1, 2)),
    )
    assert names(tx) == ["tracking.held"] * 2
    inbox.send(db, inbox.dispute("o1", "won"), inbox.dispute("o2", "lost"))
    inbox.send(db, inbox.dispute("o3"), inbox.dispute("o3", "lost"))
    ends = [(name, data["transaction_id"], data["outcome"]) for name, data in told(tx)[2:]]
    assert sorted(ends) == [
        ("hold.rejected", "o2", "lost"),
        ("hold.rejected", "o3", "lost"),
        ("hold.released", "o1", "won"),
    ]


def test_what_people_decide_of_a_hold_is_told(tx: Tx) -> None:
    db = Rolled(tx)
    acme = inbox.open_shop(db, inbox.PERCENTAGE)
    listen(tx, acme, "hold.released", "hold.rejected")
    holds.set_policy(tx, acme, "refer", holds.HoldPolicy(code_per_hour=1), actor=BEN)
    inbox.send(db, *(inbox.conversion(f"o{n}", f"u{n}") for n in (1, 2, 3)))
    first, second = holds.listing(tx, acme, limit=10)
    holds.release(tx, acme, first.id, actor=BEN, reason="known")
    holds.reject(tx, acme, second.id, actor=BEN, reason="not known")
    assert [(name, data["outcome"]) for name, data in told(tx)] == [
        ("hold.released", "released"),
        ("hold.rejected", "rejected"),
    ]


open_shop = loyal.open_shop


def test_cards_and_their_points_are_told_by_number_alone(tx: Tx, open_shop: Any) -> None:
    shop: loyal.Shop = open_shop(tx, inactivity_days=30)
    listen(tx, shop.merchant_id)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), shop.enrol("C2")])
    shop.apply(tx, [shop.event("card_deactivated", card="C2", reason="lost")])
    shop.apply(tx, [shop.event("card_reactivated", card="C2", reason="found")])
    deadline = datetime(2026, 7, 2, tzinfo=UTC)
    for _ in range(2):
        loyalty.announce_expiring(tx, shop.merchant_id, deadline - DAY)
        for part in loyalty.plan_expiry(tx, shop.merchant_id, deadline, 100):
            loyalty.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, deadline)
    assert names(tx) == [
        "card.created",
        "card.created",
        "card.deactivated",
        "card.reactivated",
        "points.expiring",
        "points.expired",
    ]
    soon, gone = told(tx)[-2:]
    assert soon[1] == {"card": "C1", "points": 100, "expires_at": "2026-07-02T00:00:00.000000Z"}
    assert (gone[1]["card"], gone[1]["points"], gone[1]["points_balance"]) == ("C1", -100, 0)
    assert "of-C" not in str(told(tx))


def test_a_tier_that_changes_is_told_and_so_is_one_that_is_about_to_fall(
    tx: Tx, open_shop: Any
) -> None:
    gold = [{"key": "gold", "from": 100, "basis_points": 20_000}]
    shop: loyal.Shop = open_shop(tx, tiers=gold, tier_days=30)
    listen(tx, shop.merchant_id, "tier.changed", "tier.falling")
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 150)])
    end = datetime(2026, 7, 2, tzinfo=UTC)
    for _ in range(2):
        loyalty.announce_falls(tx, shop.merchant_id, end - DAY)
    for _ in range(2):
        loyalty.settle_tiers(tx, shop.merchant_id, end)
    assert names(tx) == ["tier.changed", "tier.falling", "tier.changed"]
    rose, soon, fell = (data for _, data in told(tx))
    assert (rose["from_tier"], rose["to_tier"], rose["reason"]) == (None, "gold", "earned")
    assert soon == {
        "card": "C1",
        "program": "beans",
        "from_tier": "gold",
        "to_tier": None,
        "points": 150,
        "missing": 100,
        "falls_at": "2026-07-02T00:00:00.000000Z",
    }
    assert (fell["to_tier"], fell["reason"], fell["points"]) == (None, "period", 0)
    assert fell["changed_at"] == "2026-07-02T00:00:00.000000Z"
    assert "of-C" not in str(told(tx))


def test_two_cards_that_become_one_are_told_once_by_the_number_that_leads_on(
    tx: Tx, open_shop: Any
) -> None:
    shop: loyal.Shop = open_shop(tx)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), shop.enrol("C2")])
    listen(tx, shop.merchant_id, "card.merged")
    for trial in (True, False, False):
        loyalty.merge_cards(
            tx, shop.merchant_id, "C1", "C2", actor=BEN, reason="one person", now=loyal.NOON,
            dry_run=trial,
        )  # fmt: skip
    assert told(tx) == [
        (
            "card.merged",
            {
                "card": "C1",
                "into": "C2",
                "points": 100,
                "stamps": 0,
                "at": "2026-06-01T12:00:00.000000Z",
            },
        )
    ]


def test_a_customer_who_is_forgotten_is_told_of_each_card_and_named_nowhere(
    tx: Tx, open_shop: Any
) -> None:
    shop: loyal.Shop = open_shop(tx)
    shop.apply(tx, [shop.enrol("C1"), shop.enrol("C2"), shop.enrol("C3")])
    loyalty.merge_cards(
        tx, shop.merchant_id, "C1", "C2", actor=BEN, reason="one person", now=loyal.NOON
    )
    listen(tx, shop.merchant_id)
    for customer in ("of-C2", "of-C2", "of-nobody"):
        shop.apply(tx, [shop.event("customer_anonymized", customer_id=customer)])
    at = "2026-06-01T12:00:00.000000Z"
    assert sorted(told(tx), key=str) == [
        ("card.anonymized", {"card": card, "at": at}) for card in ("C1", "C2")
    ]
    sent = tx.execute(text("SELECT id, merchant_id FROM webhook_deliveries")).all()
    assert len(sent) == 2
    for row in sent:
        found = deliveries.get(tx, row.merchant_id, row.id)
        body = json.loads(deliveries.body_of(tx, row.merchant_id, "acme", "test", found))
        assert body["data"]["customer_id"] is None
        assert "of-C" not in str(body)


def test_a_run_is_told_from_waiting_to_its_end(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        policies.put(tx, acme, "always", 72)
        listen(tx, acme)
        for n in (1, 2):
            house.payee(tx, acme, f"u{n}", f"acct_{n}")
            house.earn(tx, acme, 1_000 * n, f"u{n}")
    first = house.run(engine, acme, "first", prepared_by="ann")
    with transaction(engine) as tx:
        approving.reject(tx, first.run_id, actor=BEN, reason="too much")
    approving.cancel_drafts(engine, first.run_id)
    assert_told(engine, "run.waiting", "run.rejected", "payout.canceled", "payout.canceled")


def assert_told(engine: Engine, *wanted: str) -> list[dict[str, Any]]:
    with transaction(engine) as tx:
        found = [one for one in told(tx) if not one[0].startswith("earning.")]
    assert [name for name, _ in found] == list(wanted)
    return [data for _, data in found]


def test_a_payout_is_told_when_it_is_paid_and_when_it_fails(engine: Engine) -> None:
    payout = house.one_payout(engine)
    with transaction(engine) as tx:
        listen(tx, house_merchant(tx), "payout.paid", "payout.failed", "run.settled")
    house.record(engine, house.begin(engine, payout), house.CLOSED)
    [failed] = assert_told(engine, "payout.failed")
    assert (failed["payout"], failed["amount"], failed["error_code"]) == (
        payout,
        1_000,
        "account_invalid",
    )


def house_merchant(tx: Tx) -> int:
    found: int = tx.execute(text("SELECT id FROM merchants WHERE key = 'acme'")).scalar_one()
    return found


def test_a_paid_payout_is_told_once_with_its_run(engine: Engine) -> None:
    payout = house.one_payout(engine)
    with transaction(engine) as tx:
        listen(tx, house_merchant(tx), "payout.paid", "run.settled")
    house.record(engine, house.begin(engine, payout), house.SUCCESS)
    for _ in range(2):
        with transaction(engine) as tx:
            payouts.settle_runs(tx)
    paid = assert_told(engine, "payout.paid", "run.settled")[0]
    assert paid["external_transaction_id"] == "tr_1"


def test_the_types_of_the_documentation_are_those_that_the_database_tells(tx: Tx) -> None:
    sources = tx.execute(
        text("SELECT string_agg(prosrc, ' ') FROM pg_proc WHERE proname LIKE 'announce%'")
    ).scalar_one()
    when = tx.execute(
        text(
            "SELECT string_agg(pg_get_triggerdef(oid), ' ') FROM pg_trigger WHERE tgname LIKE 'announce%'"
        )
    ).scalar_one()
    for name in TYPES:
        _, _, verb = name.partition(".")
        said = (name in sources, name.replace(".", "_") in sources, name in when)
        assert any(said) or f"'{verb}'" in when, name


def test_an_event_never_changes_and_a_removed_endpoint_stays_removed(tx: Tx) -> None:
    acme = house.merchant(tx)
    endpoint = listen(tx, acme)
    house.earn(tx, acme, 500)
    for statement in (
        "UPDATE webhook_events SET data = '{}'",
        f"UPDATE webhook_endpoints SET url = 'https://elsewhere.example' WHERE id = {endpoint}",
    ):
        with pytest.raises(DBAPIError), tx.begin_nested():
            tx.execute(text(statement))
    with pytest.raises(DBAPIError, match="uq_webhook_deliveries"), tx.begin_nested():
        tx.execute(
            text(
                "INSERT INTO webhook_deliveries (merchant_id, endpoint_id, event_id)"
                " SELECT merchant_id, endpoint_id, event_id FROM webhook_deliveries"
            )
        )
    tx.execute(
        text(
            "UPDATE webhook_endpoints SET state = 'removed', disabled_at = now(), disabled_by = 'me',"
            " disabled_reason = 'over'"
        )
    )
    with pytest.raises(DBAPIError, match="stays removed"), tx.begin_nested():
        tx.execute(
            text(
                "UPDATE webhook_endpoints SET state = 'enabled', disabled_at = NULL, disabled_by = NULL,"
                " disabled_reason = NULL"
            )
        )


def test_another_merchants_endpoint_is_told_nothing(tx: Tx) -> None:
    acme, globex = house.merchant(tx), house.merchant(tx, "globex")
    listen(tx, globex)
    house.earn(tx, acme, 500)
    assert told(tx) == []
    listen(tx, acme)
    house.earn(tx, acme, 5)
    with pytest.raises(DBAPIError, match="fk_webhook_deliveries"), tx.begin_nested():
        tx.execute(
            text(
                "INSERT INTO webhook_deliveries (merchant_id, endpoint_id, event_id)"
                f" SELECT v.merchant_id, e.id, v.id FROM webhook_events v, webhook_endpoints e WHERE e.merchant_id = {globex}"
            )
        )
