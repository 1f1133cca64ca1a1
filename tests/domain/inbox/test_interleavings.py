"""Whatever the order and the company in which a transaction's events arrive, nothing is left waiting."""

import random
from itertools import permutations

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.inbox import service as inbox
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    PERCENTAGE,
    assert_whole,
    balance,
    conversion,
    event,
    open_shop,
    refund,
    rows,
    send,
    standing,
    together,
)


def disputed(order: str, outcome: str, days: int) -> str:
    return event(
        "conversion.disputed",
        f"{order}/{outcome}",
        JUNE + days * DAY,
        transaction_id=order,
        dispute_id="d1",
        outcome=outcome,
    )


def story(order: str) -> list[str]:
    """Bought for 100.00, 25.00 and 30.00 given back, disputed and won: 4.50 of the reward remain."""
    return [
        conversion(order, f"user of {order}"),
        refund(order, 2_500, id_="a", at=JUNE + DAY),
        refund(order, 3_000, id_="b", at=JUNE + 2 * DAY),
        disputed(order, "opened", 3),
        disputed(order, "won", 4),
    ]


REMAINS = 450


def left_waiting(engine: object) -> list[tuple[object, ...]]:
    return rows(engine, "SELECT event_id FROM inbox_events WHERE status = 'waiting'")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_order_of_a_transaction_in_batches_ends_alike(db: Rolled, size: int) -> None:
    open_shop(db, PERCENTAGE)
    orders = list(permutations(range(5)))
    for number, order in enumerate(orders):
        texts = [story(f"o{number}")[i] for i in order]
        for at in range(0, 5, size):
            send(db, *texts[at : at + size])
    assert left_waiting(db) == []
    assert balance(db) == REMAINS * len(orders)
    ends = {(id_.split("/")[1], state) for id_, state in standing(db).items()}
    assert {one for one in ends if one[0] in ("paid", "a", "b")} == {
        ("paid", "applied"),
        ("a", "applied"),
        ("b", "applied"),
    }
    assert_whole(db)


@pytest.mark.parametrize("seed", range(4))
def test_workers_that_share_a_transactions_events_leave_none_waiting(
    engine: Engine, seed: int
) -> None:
    dice = random.Random(seed)
    open_shop(engine, PERCENTAGE)
    orders = [f"o{i}" for i in range(12)]
    texts = [text for order in orders for text in story(order)]
    texts += dice.sample(texts, 10)  # some come twice
    dice.shuffle(texts)
    shares = [texts[i::4] for i in range(4)]
    cuts = [dice.randint(1, 6) for _ in shares]

    def work(share: list[str], size: int) -> None:
        for at in range(0, len(share), size):
            send(engine, *share[at : at + size])

    together([lambda s=s, c=c: work(s, c) for s, c in zip(shares, cuts, strict=True)])
    assert left_waiting(engine) == []
    with transaction(engine) as tx:
        assert inbox.recheck_waiting(tx) == (0, None)
    assert balance(engine) == REMAINS * len(orders)
    assert_whole(engine)
