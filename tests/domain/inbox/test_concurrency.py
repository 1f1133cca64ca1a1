"""What holds when many workers apply batches at the same moment."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.db import Tx, transaction
from domain.inbox import service as inbox
from domain.referrals import attribution_store
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PATIENCE,
    PERCENTAGE,
    SECOND,
    TIERED,
    assert_whole,
    attributed,
    balance,
    code,
    conversion,
    open_shop,
    program,
    refund,
    rows,
    said,
    scalar,
    send,
    standing,
    together,
    wait_until_blocked,
)

SEEDS = pytest.mark.parametrize("seed", range(3))


def sender(engine: Engine, *texts: str) -> Callable[[], list[str]]:
    return lambda: said(send(engine, *texts))


def in_pieces(engine: Engine, texts: list[str], size: int) -> Callable[[], list[str]]:
    """Send texts as several batches, one after the other."""

    def work() -> list[str]:
        return [
            one
            for at in range(0, len(texts), size)
            for one in said(send(engine, *texts[at : at + size]))
        ]

    return work


def test_one_event_from_many_connections_is_applied_once(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    results = together([sender(engine, conversion("o1")) for _ in range(6)])
    assert sorted(result[0] for result in results) == ["applied"] + ["duplicate"] * 5
    assert balance(engine) == 1_000
    assert_whole(engine)


def test_who_waited_for_an_event_that_was_rolled_back_applies_it(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    with ThreadPoolExecutor(1) as pool:
        with engine.connect() as connection:
            doomed = connection.begin()
            assert said(send(Rolled(connection), conversion("o1"))) == ["applied"]  # type: ignore[arg-type]
            waiting = pool.submit(send, engine, conversion("o1"))
            wait_until_blocked(engine)
            doomed.rollback()
        assert said(waiting.result(PATIENCE)) == ["applied"]
    assert scalar(engine, "SELECT count(*) FROM trackings") == 1


@SEEDS
def test_batches_with_the_same_events_in_any_order_never_deadlock(
    engine: Engine, seed: int
) -> None:
    acme = open_shop(engine, ONE_TIME, max_rewards_per_referrer=50)
    with transaction(engine) as tx:
        for key, rule, owner in (
            ("share", PERCENTAGE, "bea"),
            ("tiers", TIERED, "cyd"),
            ("other", PERCENTAGE, "dan"),
        ):
            program(tx, acme, rule, key, referee_rule={"amount": 5})
            code(tx, acme, f"{key.upper()}-1", owner, key, max_uses=30 if key == "other" else None)
    codes = ["ADA-01", "SHARE-1", "TIERS-1", "OTHER-1"]
    order = random.Random(seed)
    texts = []
    for i in range(40):
        user, by = f"u{order.randrange(25)}", order.choice(codes)
        texts.append(conversion(f"o{i}", user, by=order.choice([by, None])))
        texts.append(attributed(user, by, at=JUNE - order.randrange(9) * DAY, id_=f"a{i}"))
        texts.append(
            refund(
                f"o{order.randrange(40)}",
                order.choice([None, 10, 20]),
                event_id=f"r{i}",
                id_=f"r{i}",
            )
        )
        texts.append(conversion(f"o{i}", user, 7, by=by))  # other content: a conflict
    shuffled = [order.sample(texts, len(texts)) for _ in range(4)]
    sizes = [len(texts), len(texts), 40, 11]
    together([in_pieces(engine, mine, size) for mine, size in zip(shuffled, sizes, strict=True)])
    assert scalar(engine, "SELECT count(*) FROM inbox_events") == 120
    assert scalar(engine, "SELECT count(*) FROM inbox_events WHERE status = 'dead'") == 0
    assert_whole(engine)
    # A refund waits only while its conversion has not been seen at all.
    assert [s for s in standing(engine).values() if s.startswith("waiting")] == []


def test_refunds_and_their_conversions_from_two_connections_always_meet(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    orders = [f"o{i}" for i in range(60)]
    together(
        [
            in_pieces(engine, [conversion(o) for o in orders], 3),
            in_pieces(engine, [refund(o, 2_500, id_="a") for o in orders], 4),
            in_pieces(engine, [refund(o, id_="b") for o in reversed(orders)], 5),
        ]
    )
    assert {s for s in standing(engine).values() if not s.startswith("applied")} <= {
        "rejected:refund_exceeds_transaction"
    }, "a part that came after the whole"
    assert balance(engine) == 0
    assert scalar(engine, "SELECT bool_and(fully_refunded) FROM trackings") is True
    assert_whole(engine)


def test_a_refund_that_looked_too_early_is_found_by_the_conversion_it_locked_out(
    engine: Engine,
) -> None:
    open_shop(engine, PERCENTAGE)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            assert said(send(Rolled(tx), refund("o1"))) == ["waiting:waits_for_conversion"]  # type: ignore[arg-type]
            arriving = pool.submit(send, engine, conversion("o1"))
            wait_until_blocked(engine)
        assert said(arriving.result(PATIENCE)) == ["applied"]
    assert standing(engine)["o1/r1"] == "applied"
    assert balance(engine) == 0


def test_a_limited_code_is_never_used_more_often(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE, max_uses=23)
    work = [
        in_pieces(engine, [conversion(f"o{w}-{i}", f"u{w}-{i}") for i in range(12)], 1 + w)
        for w in range(6)
    ]
    outcomes = [one for result in together(work) for one in result]
    assert outcomes.count("applied") == 23
    assert outcomes.count("rejected:code_exhausted") == 6 * 12 - 23
    assert scalar(engine, "SELECT uses FROM codes") == 23
    assert scalar(engine, "SELECT count(*) FROM trackings") == 23
    assert_whole(engine)


def test_tiers_by_count_are_exact(engine: Engine) -> None:
    open_shop(engine, TIERED)
    work = [
        in_pieces(engine, [conversion(f"o{w}-{i}", f"u{w}-{i}") for i in range(12)], 1 + w)
        for w in range(5)
    ]
    together(work)
    found = rows(
        engine,
        "SELECT seq, (explanation->'reached')::int, amount_earned FROM trackings ORDER BY seq",
    )
    assert found == [(n, n, 400 if n < 4 else 1_000) for n in range(1, 61)]
    assert balance(engine) == 3 * 400 + 57 * 1_000
    assert_whole(engine)


def test_tiers_by_volume_are_exact(engine: Engine) -> None:
    tiers = [{"from": 0, "basis_points": 100}, {"from": 100_000, "basis_points": 500}]
    open_shop(engine, {"kind": "tiered", "by": "volume", "tiers": tiers})
    work = [
        in_pieces(
            engine, [conversion(f"o{w}-{i}", f"u{w}-{i}", 1_000 * (w + 1)) for i in range(10)], 3
        )
        for w in range(5)
    ]
    together(work)
    volume = 0
    for amount, earned, reached in rows(
        engine,
        "SELECT transaction_amount, amount_earned, (explanation->'reached')::int FROM trackings ORDER BY seq",
    ):
        volume += amount
        assert reached == volume
        assert earned == amount * (5 if volume >= 100_000 else 1) // 100
    assert volume == 150_000
    assert_whole(engine)


def test_a_cap_of_a_referrer_holds(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE, max_rewards_per_referrer=9)
    outcomes = together(
        [
            in_pieces(engine, [conversion(f"o{w}-{i}", f"u{w}-{i}") for i in range(8)], 2)
            for w in range(5)
        ]
    )
    flat = [one for result in outcomes for one in result]
    assert (flat.count("applied"), flat.count("rejected:reward_cap_reached")) == (9, 31)
    assert balance(engine) == 9_000


def test_one_time_rewards_each_user_once_and_recurring_as_often_as_it_may(engine: Engine) -> None:
    acme = open_shop(engine, ONE_TIME)
    with transaction(engine) as tx:
        program(tx, acme, {"kind": "recurring", "amount": 100, "max_payments": 3}, "again")
        code(tx, acme, "AGAIN-1", "bea", "again")

    def work(worker: int) -> Callable[[], Any]:
        texts = [
            conversion(f"{by}-{worker}-{i}", f"u{i % 6}", by=by)
            for i in range(12)
            for by in ("ADA-01", "AGAIN-1")
        ]
        random.Random(worker).shuffle(texts)
        return in_pieces(engine, texts, 5)

    together([work(worker) for worker in range(5)])
    counted = "SELECT referred_user_id, count(*) FROM trackings WHERE referrer_user_id = :user GROUP BY 1 ORDER BY 1"
    assert rows(engine, counted, user="ada") == [(f"u{i}", 1) for i in range(6)]
    assert rows(engine, counted, user="bea") == [(f"u{i}", 3) for i in range(6)]
    assert (balance(engine), balance(engine, "bea")) == (6 * 500, 6 * 300)
    assert_whole(engine)


def test_a_refused_event_that_many_replay_at_once_is_applied_once(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    texts = [conversion(f"o{i}", by="LATER-1") for i in range(10)]
    assert set(said(send(engine, *texts))) == {"rejected:code_not_found"}
    with transaction(engine) as tx:
        code(tx, acme, "LATER-1", owner="cyd")
    results = together(
        [sender(engine, *texts), sender(engine, *reversed(texts)), sender(engine, *texts)]
    )
    flat = [one for result in results for one in result]
    assert (flat.count("applied"), flat.count("duplicate")) == (10, 20)
    assert balance(engine, "cyd") == 10_000
    assert scalar(engine, "SELECT count(*) FROM inbox_events WHERE attempts = 2") == 10


def test_conflicts_that_come_in_opposite_orders_do_not_deadlock(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    send(engine, conversion("o1"), conversion("o2"))
    one, other = (conversion(order, amount=1) for order in ("o1", "o2"))
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            send(Rolled(tx), one)  # type: ignore[arg-type]
            opposite = pool.submit(send, engine, other, one)
            wait_until_blocked(engine)
            send(Rolled(tx), other)  # type: ignore[arg-type]
        assert said(opposite.result(PATIENCE)) == ["conflict:conflict"] * 2
    assert scalar(engine, "SELECT count(*) FROM inbox_conflicts") == 2


def test_the_earliest_of_attributions_told_at_the_same_time_opens_the_window(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read the old time; the earlier one commits first."""
    open_shop(engine, PERCENTAGE)
    send(engine, attributed(at=JUNE))
    both_read, committed = Barrier(2, timeout=PATIENCE), Event()
    move = attribution_store.move_attributions

    def move_in_turn(tx: Tx, moved: Any) -> None:
        both_read.wait()
        if moved[0][1] == JUNE - DAY:
            assert committed.wait(PATIENCE)
        move(tx, moved)

    monkeypatch.setattr(attribution_store, "move_attributions", move_in_turn)
    with ThreadPoolExecutor(2) as pool:
        later = pool.submit(send, engine, attributed(at=JUNE - DAY, id_="earlier"))
        pool.submit(send, engine, attributed(at=JUNE - 5 * DAY, id_="earliest")).result(PATIENCE)
        committed.set()
        assert said(later.result(PATIENCE)) == ["applied"]
    assert scalar(engine, "SELECT attributed_at FROM attributions") == JUNE - 5 * DAY


def test_windows_that_open_earlier_in_opposite_orders_do_not_deadlock(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    users = [f"u{i}" for i in range(60)]
    send(engine, *(attributed(user) for user in users))
    for turn in range(1, 4):
        told = [
            attributed(user, at=JUNE - turn * DAY, id_=f"{user}-{turn}-{i}")
            for i, user in enumerate(users)
        ]
        again = [
            attributed(user, at=JUNE - turn * DAY - SECOND, id_=f"{user}-{turn}-again")
            for user in reversed(users)
        ]
        together([sender(engine, *told), sender(engine, *again)])
    moved = rows(engine, "SELECT DISTINCT attributed_at FROM attributions")
    assert moved == [(JUNE - 3 * DAY - SECOND,)]


def test_the_sweep_beside_busy_workers_settles_nothing_twice(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    orders = [f"o{i}" for i in range(40)]
    send(engine, *(refund(o, 2_500) for o in orders))

    def sweep() -> list[str]:
        for _ in range(10):
            with transaction(engine) as tx:
                inbox.recheck_waiting(tx)
        return []

    together([in_pieces(engine, [conversion(o) for o in orders], 4), sweep, sweep])
    assert set(standing(engine).values()) == {"applied"}
    assert balance(engine) == 40 * 750
    assert_whole(engine)


@SEEDS
def test_uses_caps_and_tiers_are_exact_among_eight_workers_in_any_interleaving(
    engine: Engine, seed: int
) -> None:
    """Ada's tiers count each month anew, her code has a limit, and her rewards a cap: all at once."""
    dice = random.Random(seed)
    uses, cap = dice.randrange(20, 40), dice.randrange(30, 50)
    monthly = {**TIERED, "period": "month"}
    acme = open_shop(engine, monthly, max_uses=uses, max_rewards_per_referrer=cap)
    with transaction(engine) as tx:
        code(tx, acme, "ADA-02")
    texts = [
        conversion(
            f"o{i}", f"u{i}", by=dice.choice(["ADA-01", "ADA-02"]), at=JUNE - 31 * (i % 2) * DAY
        )
        for i in range(96)
    ]
    texts += dice.sample(texts, 24)
    dice.shuffle(texts)
    together([in_pieces(engine, texts[w::8], 1 + w % 4) for w in range(8)])
    limited = scalar(engine, "SELECT uses FROM codes WHERE code = 'ADA-01'")
    assert limited <= uses
    counted = "SELECT count(*) FROM trackings t JOIN codes c ON c.id = code_id"
    assert scalar(engine, f"{counted} WHERE code = 'ADA-01'") == limited
    assert scalar(engine, counted) == cap
    reached: dict[int, int] = {}
    for month, nth, earned in rows(
        engine,
        "SELECT extract(month FROM converted_at)::int, (explanation->'reached')::int, amount_earned"
        " FROM trackings ORDER BY seq",
    ):
        reached[month] = reached.get(month, 0) + 1
        assert (nth, earned) == (reached[month], 400 if nth < 4 else 1_000)
    reasons = dict(
        rows(
            engine, "SELECT reason, count(*) FROM inbox_events WHERE reason IS NOT NULL GROUP BY 1"
        )
    )
    assert sum(reasons.values()) == 96 - cap
    assert set(reasons) <= {"code_exhausted", "reward_cap_reached"}
    if "code_exhausted" in reasons:
        assert limited == uses
    assert_whole(engine)
