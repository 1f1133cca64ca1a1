"""A customer is anonymized: nothing that is kept tells of them any more, and no amount has changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import transaction
from domain.dead_letters import service as dead_letters
from domain.dead_letters.service import Letter
from domain.loyalty import service as loyalty
from domain.webhooks import deliveries, delivery_store
from tests.domain.inbox.shop import event, merchant, rows, said, scalar, send
from tests.domain.webhooks.ear import listen

CUSTOMER = "ada-lovelace"
PERSONAL = {
    "customer_id": CUSTOMER,
    "ip_address": "192.0.2.7",
    "user_agent": "Ada's phone",
    "notes": "likes tea",
    "email": "ada@example.test",
}
TABLES = (
    "cards",
    "loyalty_transactions",
    "inbox_events",
    "inbox_revisions",
    "inbox_conflicts",
    "dead_letters",
    "outbox",
    "audit_entries",
    "webhook_events",
    "webhook_attempts",
)


def loyal(type_: str, id_: str, **data: Any) -> str:
    return event(f"loyalty.{type_}", id_, **data)


ENROL = loyal("card_created", "enrol", card="C1", **PERSONAL)
EARN = loyal("points_earned", "earn", card="C1", points=100, **PERSONAL)
ANONYMIZE = loyal("customer_anonymized", "forget", customer_id=CUSTOMER)


@pytest.fixture
def db(engine: Engine) -> Engine:
    """A shop that knows Ada, in all places where it may keep what it knows."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        listen(tx, acme)
        loyalty.create_program(
            tx, acme, "points", name="Points", currency="eur", backdating_days=3650
        )
        audit.record(
            tx, Actor("command", "me"), "card.changed", merchant_id=acme, subject_kind="card",
            subject_id="C1", before={"customer_id": CUSTOMER, "status": "active"}, after={"status": "inactive"},
        )  # fmt: skip
        message = json.dumps(
            {"args": [[loyal("points_earned", "x", card="C1", points=1, **PERSONAL)]]}
        )
        raw = message.encode()
        letter = Letter("events", "1-1", "ingest", message, raw, "bug", None, 1, 0, None)
        dead_letters.record(tx, letter)
    outcomes = send(
        engine,
        ENROL,
        EARN,
        loyal("points_held", "hold", card="C1", points=10, **PERSONAL),
        loyal("hold_released", "let", card="C1", related_event="hold", **PERSONAL),
        loyal("points_redeemed", "much", card="C1", points=1_000, **PERSONAL),
        loyal("points_voided", "early", card="C1", related_event="later", **PERSONAL),
        loyal("card_created", "again", card="C2", **PERSONAL),
        loyal("points_earned", "earn", card="C1", points=7, **PERSONAL),
    )
    with transaction(engine) as tx:
        # A receiver that says back what it was told.
        [delivery] = tx.execute(text("SELECT id FROM webhook_deliveries")).scalars()
        answer = {"status": 200, "milliseconds": 5, "error": None, "sent_at": datetime.now(UTC)}
        echo = f"enrolled {CUSTOMER}"
        delivery_store.log_attempt(tx, delivery, outcome="delivered", response=echo, **answer)
    assert said(outcomes)[4:] == [
        "rejected:insufficient_points",
        "waiting:waits_for_original",
        "rejected:customer_has_card",
        "conflict:conflict",
    ]
    return engine


def traces(engine: Engine) -> list[str]:
    """Tables that still tell of Ada."""
    found = []
    for table in TABLES:
        words = "|".join([CUSTOMER, "192.0.2.7", "Ada's phone", "likes tea", "ada@example.test"])
        hits = scalar(
            engine,
            f"SELECT count(*) FROM {table} t WHERE t::text ~ :words"
            + (" OR convert_from(t.raw, 'UTF8') ~ :words" if table == "dead_letters" else ""),
            words=words,
        )
        if hits:
            found.append(table)
    return found


def test_nothing_tells_of_the_customer_and_no_amount_has_changed(db: Engine) -> None:
    kept = "SELECT type, seq, points_delta, points_balance_after, transaction_at FROM loyalty_transactions"
    hashes = "SELECT event_id, status, content_hash FROM inbox_events WHERE event_id <> 'forget' ORDER BY id"
    before = rows(db, kept), rows(db, hashes)
    assert set(TABLES) - set(traces(db)) <= {"outbox", "inbox_revisions", "webhook_events"}
    assert said(send(db, ANONYMIZE)) == ["applied"]
    assert traces(db) == []
    assert (rows(db, kept), rows(db, hashes)) == before
    with transaction(db) as tx:
        assert loyalty.check_invariants(tx) == []


def test_copies_of_old_events_stay_duplicates_and_the_card_goes_on(db: Engine) -> None:
    send(db, ANONYMIZE)
    again = send(
        db,
        ENROL,
        EARN,
        ANONYMIZE,
        loyal("points_redeemed", "mug", card="C1", points=30),
        loyal("points_earned", "named", card="C1", points=5, customer_id=CUSTOMER),
        loyal("card_created", "anew", card="C9", customer_id=CUSTOMER),
    )
    assert said(again) == [*["duplicate"] * 3, "applied", "rejected:customer_mismatch", "applied"]


def test_in_one_batch_it_counts_in_its_order(engine: Engine) -> None:
    with transaction(engine) as tx:
        loyalty.create_program(
            tx, merchant(tx), "p", name="P", currency="eur", backdating_days=3650
        )
    again = loyal("card_created", "anew", card="C9", customer_id=CUSTOMER)
    outcomes = send(engine, ENROL, EARN, ANONYMIZE, again)
    assert said(outcomes) == ["applied"] * 4
    assert rows(engine, "SELECT number, customer_id = :c FROM cards ORDER BY id", c=CUSTOMER) == [
        ("C1", False),
        ("C9", True),
    ]


def test_a_customer_without_a_card_is_forgotten_where_they_were_refused(engine: Engine) -> None:
    with transaction(engine) as tx:
        merchant(tx)
    assert said(send(engine, ENROL)) == ["rejected:program_unknown"]
    assert said(send(engine, ANONYMIZE)) == ["applied:no_card"]
    assert traces(engine) == []


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE loyalty_transactions SET notes = NULL",
        "UPDATE loyalty_transactions SET points_delta = 1",
        "UPDATE inbox_conflicts SET data = data || '{\"points\": 9}'",
        "UPDATE inbox_conflicts SET content_hash = sha256('x')",
        'UPDATE audit_entries SET after = \'{"status": "active"}\'',
        "UPDATE audit_entries SET action = 'other'",
        "DELETE FROM audit_entries",
        "UPDATE cards SET customer_id = 'somebody else'",
        "UPDATE cards SET anonymized_at = now()",
    ],
)
def test_the_database_allows_nothing_else(db: Engine, forbidden: str) -> None:
    with pytest.raises(DBAPIError), transaction(db) as tx:
        tx.execute(text(forbidden))


def test_who_was_forgotten_is_not_found_again(db: Engine) -> None:
    send(db, ANONYMIZE)
    for forbidden in (
        f"UPDATE cards SET customer_id = '{CUSTOMER}', anonymized_at = NULL",
        "UPDATE loyalty_transactions SET notes = 'likes tea'",
    ):
        with pytest.raises(DBAPIError), transaction(db) as tx:
            tx.execute(text(forbidden))


def test_a_webhook_that_waits_names_nobody_any_more_and_another_says_so(db: Engine) -> None:
    def bodies() -> list[Any]:
        with transaction(db) as tx:
            rows = delivery_store.listing(
                tx, None, endpoint_id=None, state=None, type_=None, before=None, limit=10
            )
            sent = [
                deliveries.body_of(tx, row.merchant_id, row.merchant, row.mode, row)
                for row in rows[::-1]
            ]
        return [json.loads(one)["data"] for one in sent]

    [before] = bodies()
    assert (before["card"], before["customer_id"]) == ("C1", CUSTOMER)
    send(db, ANONYMIZE)
    waits, forgotten = bodies()
    assert waits == before | {"customer_id": None}
    assert (forgotten["card"], forgotten["customer_id"]) == ("C1", None)
