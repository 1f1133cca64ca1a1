"""Conversions and refunds of the same transactions, from eight workers at once, in any order and more
than once: the same final state as one worker that gets each once, in order."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.inbox.rules import Outcome
from tests.domain.inbox.shop import (
    JUNE,
    PERCENTAGE,
    SECOND,
    assert_whole,
    code,
    conversion,
    merchant,
    program,
    refund,
    rows,
    said,
    send,
    together,
)

WORKERS = 8
TRANSACTIONS = 250
COPIES = 3
"""Each event comes to so many workers; to some of them twice."""

SHOPS = ("ordered", "shuffled")
"""The same twice in one database: what one worker does in order, and what eight make of it."""

STATE: dict[str, str] = {
    "events": """
        SELECT event_id, status, reason FROM inbox_events WHERE merchant_id = :merchant ORDER BY 1
    """,
    "trackings": """
        SELECT transaction_id, referrer_user_id, referred_user_id, transaction_amount, amount_earned,
               referee_amount_earned, refunded_amount, fully_refunded, reversed_amount,
               referee_reversed_amount, converted_at, currency
        FROM trackings WHERE merchant_id = :merchant ORDER BY 1
    """,
    "reversals": """
        SELECT t.transaction_id, r.kind, r.external_id, r.amount, r.occurred_at
        FROM tracking_reversals r JOIN trackings t ON t.id = r.tracking_id
        WHERE t.merchant_id = :merchant ORDER BY 1, 2, 3
    """,
    # What is left of each earning. Its parts are rounded so that their sum is right after each of them,
    # and so depend on which came first.
    "earnings": """
        SELECT t.transaction_id, root.user_id, root.kind, root.currency, root.available_at,
               sum(e.amount) FILTER (WHERE e.voided_at IS NULL) AS net
        FROM earnings root
        JOIN earnings e ON e.id = root.id OR e.reverses_id = root.id
        JOIN trackings t ON t.id = root.source_id
        WHERE root.source_kind = 'tracking' AND root.merchant_id = :merchant
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3
    """,
    "ledger": """
        SELECT a.kind, a.owner, a.currency,
               coalesce((SELECT sum(amount) FROM ledger_transfers WHERE credit_account_id = a.id), 0)
               - coalesce((SELECT sum(amount) FROM ledger_transfers WHERE debit_account_id = a.id), 0)
        FROM ledger_accounts a WHERE a.merchant_id = :merchant ORDER BY 1, 2, 3
    """,
    "payees": """
        SELECT owner, currency, balance FROM ledger_accounts
        WHERE merchant_id = :merchant AND kind = 'payable' ORDER BY 1, 2
    """,
}


def open_shops(engine: Engine) -> dict[str, int]:
    with transaction(engine) as tx:
        made = {key: merchant(tx, key) for key in SHOPS}
        for merchant_id in made.values():
            program(tx, merchant_id, PERCENTAGE, referee_rule={"basis_points": 333})
            for number in range(6):
                code(tx, merchant_id, f"CODE-{number}", owner=f"referrer-{number}")
    return made


def story(chance: random.Random) -> list[str]:
    """Each transaction's conversion and its refunds, which never exceed it, in order of time."""
    texts = []
    for number in range(TRANSACTIONS):
        order, amount, at = f"o{number}", chance.randrange(1, 50_000), JUNE + number * SECOND
        buyer, by = f"u{chance.randrange(40)}", f"CODE-{chance.randrange(6)}"
        texts.append(conversion(order, buyer, amount, by=by, at=at, currency="usd"))
        left = amount
        for part in range(chance.randrange(4)):
            given_back = chance.randrange(1, left + 1)
            left -= given_back
            texts.append(refund(order, given_back, id_=f"r{part}", at=at + (part + 1) * SECOND))
            if left == 0:
                break
    return texts


def of(merchant_key: str, event: str) -> str:
    return json.dumps(json.loads(event) | {"merchant": merchant_key})


def worker(engine: Engine, texts: list[str], chance: random.Random) -> Callable[[], list[Outcome]]:
    """Apply texts as batches of sizes of chance, one after the other."""

    def work() -> list[Outcome]:
        outcomes, at = [], 0
        while at < len(texts):
            size = chance.choice((1, 5, 50, 200))
            outcomes += send(engine, *texts[at : at + size])
            at += size
        return outcomes

    return work


def state(engine: Engine, merchant_id: int) -> dict[str, list[tuple[Any, ...]]]:
    return {what: rows(engine, query, merchant=merchant_id) for what, query in STATE.items()}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_eight_workers_with_shuffled_and_doubled_events_end_where_one_in_order_does(
    engine: Engine, seed: int
) -> None:
    shops = open_shops(engine)
    chance = random.Random(seed)
    told = story(chance)
    for at in range(0, len(told), 100):
        send(engine, *(of("ordered", event) for event in told[at : at + 100]))

    mine: list[list[str]] = [[] for _ in range(WORKERS)]
    for event in told:
        for place in chance.choices(range(WORKERS), k=COPIES):
            mine[place].append(of("shuffled", event))
    for texts in mine:
        chance.shuffle(texts)
    # A deadlock, or a lock that is not given, would be raised here: nobody tries again.
    results = together(
        [worker(engine, texts, random.Random(f"{seed}-{n}")) for n, texts in enumerate(mine)]
    )

    statuses = {status for outcomes in results for status in said(outcomes)}
    assert "waiting:waits_for_conversion" in statuses, "refunds came before their conversions"
    assert "duplicate" in statuses
    ordered, shuffled = (state(engine, shops[key]) for key in SHOPS)
    assert {status for _, status, _ in shuffled["events"]} == {"applied"}, "nothing waits for ever"
    for what in STATE:
        assert len(shuffled[what]) > 0, what
        assert shuffled[what] == ordered[what], what
    assert_whole(engine)
    with engine.connect() as connection:
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        held = text(f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {here}")
        assert connection.execute(held).scalar_one() == 0
