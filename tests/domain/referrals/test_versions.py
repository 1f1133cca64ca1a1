"""Programs change while conversions come: every tracking keeps its version, and counts stay right."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from domain.db import Tx, transaction
from domain.errors import Forbidden
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    JUNE,
    ONE_TIME,
    PATIENCE,
    PERCENTAGE,
    RECURRING,
    TESTER,
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
    wait_until_blocked,
)


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


def change(engine: Engine, merchant_id: int, rule: dict, **terms: object) -> int:
    """Give the program new terms; returns the new version."""
    made = Terms(rule=rule, **({"currency": "usd"} | terms))  # type: ignore[arg-type]
    with transaction(engine) as tx:
        return admin.change_program(tx, merchant_id, "refer", made, actor=TESTER)


def test_a_tracking_keeps_the_version_that_it_was_computed_with(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    send(db, conversion("o1"))
    assert change(db, acme, {"kind": "percentage", "basis_points": 2_000}) == 2
    send(db, conversion("o2"), refund("o1", 5_000))
    found = rows(
        db,
        "SELECT transaction_id, program_version, amount_earned, explanation->'version', reversed_amount"
        " FROM trackings ORDER BY 1",
    )
    assert found == [("o1", 1, 1_000, 1, 500), ("o2", 2, 2_000, 2, 0)]


def test_tiers_of_a_later_version_count_what_came_before_it(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    send(db, *(conversion(f"a{i}", f"u{i}") for i in range(4)), refund("a0"))
    change(db, acme, TIERED)
    send(db, conversion("b0", "v0"), conversion("b1", "v1"))
    change(db, acme, PERCENTAGE)
    send(db, conversion("c0", "w0"), refund("b0"), refund("a1", 1))
    change(db, acme, TIERED)
    send(db, conversion("d0", "x0"))
    found = rows(
        db,
        "SELECT transaction_id, seq, (explanation->'reached')::int, amount_earned FROM trackings"
        " WHERE program_version IN (2, 4) ORDER BY id",
    )
    # Three of four stand; then b1 and c0, while b0 is given back.
    assert found == [("b0", 1, 4, 1_000), ("b1", 2, 5, 1_000), ("d0", 3, 6, 1_000)]
    assert rows(db, "SELECT conversions, volume, last_seq FROM referrer_states") == [(6, 59_999, 3)]


def test_a_cap_of_a_later_version_counts_what_came_before_it(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    send(db, conversion("a0", "u0"), conversion("a1", "u1"))
    change(db, acme, PERCENTAGE, max_rewards_per_referrer=3)
    assert said(send(db, conversion("b0", "u2"), conversion("b1", "u3"))) == [
        "applied",
        "rejected:reward_cap_reached",
    ]


@pytest.mark.parametrize("between", [False, True], ids=["at first", "in between"])
def test_one_time_of_a_later_version_knows_who_was_rewarded_before(
    db: Rolled, between: bool
) -> None:
    acme = open_shop(db, ONE_TIME if between else PERCENTAGE)
    if between:
        send(db, conversion("z0", "cyd"))
        change(db, acme, PERCENTAGE)
    send(db, conversion("a0", "ben"), conversion("a1", "dan", 1))
    change(db, acme, ONE_TIME)
    assert said(send(db, conversion("b0", "ben"), conversion("b1", "dan"))) == [
        "rejected:already_rewarded",
        "applied",
    ], "Dan's conversion of 0.01 earned nothing"
    assert said(send(db, conversion("b2", "dan"))) == ["rejected:already_rewarded"]


def test_recurring_of_a_later_version_counts_the_payments_before_it(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    send(db, conversion("a0"), conversion("a1"))
    change(db, acme, RECURRING)
    assert said(send(db, conversion("b0"), conversion("b1"))) == [
        "applied",
        "rejected:already_rewarded",
    ]
    assert rows(db, "SELECT rewarded, first_rewarded_at, counted_version FROM attributions") == [
        (3, JUNE, 2)
    ]


def test_an_ended_program_stays_ended_and_a_paused_one_refuses_until_it_goes_on(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)

    def become(status: str) -> None:
        with transaction(db) as tx:
            admin.set_program_status(tx, acme, "refer", status, actor=TESTER)

    become("paused")
    assert said(send(db, conversion("o1"))) == ["rejected:program_inactive"]
    become("active")
    assert said(send(db, conversion("o1"))) == ["duplicate"], "refused on purpose"
    assert said(send(db, conversion("o2"))) == ["applied"]
    become("ended")
    assert said(send(db, refund("o2"))) == ["applied"], "what was earned can still be taken back"
    with pytest.raises(Forbidden, match="stays so"):
        become("active")
    with pytest.raises(Forbidden, match="has ended"):
        change(db, acme, TIERED)


def test_a_batch_that_waited_for_a_change_is_computed_with_the_new_terms(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            new = Terms(rule={"kind": "percentage", "basis_points": 2_000}, currency="usd")
            admin.change_program(tx, acme, "refer", new, actor=TESTER)
            waiting = pool.submit(send, engine, conversion("o1"))
            wait_until_blocked(engine)
        assert said(waiting.result(PATIENCE)) == ["applied"]
    assert rows(engine, "SELECT program_version, amount_earned FROM trackings") == [(2, 2_000)]


def test_a_change_waits_for_the_batches_that_use_the_present_terms(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            send_in(tx, conversion("o1"))
            changing = pool.submit(change, engine, acme, TIERED)
            wait_until_blocked(engine)
        assert changing.result(PATIENCE) == 2
    assert said(send(engine, conversion("o2"))) == ["applied"]
    reached = "SELECT (explanation->'reached')::int FROM trackings WHERE transaction_id = 'o2'"
    assert scalar(engine, reached) == 2


def send_in(tx: Tx, *texts: str) -> None:
    send(Rolled(tx), *texts)  # type: ignore[arg-type]


def test_busy_batches_do_not_keep_people_from_changing_programs_and_adding_codes(
    engine: Engine,
) -> None:
    """Batches overlap without a pause: a lock that they share must not be handed on for ever."""
    acme = open_shop(engine, PERCENTAGE)
    stop, numbers = threading.Event(), iter(range(100_000))
    tokens = [threading.Semaphore(1), threading.Semaphore(0)]

    def busy(me: int) -> None:
        # Each holds its transaction until the other has begun one: they always overlap.
        while not stop.is_set():
            tokens[me].acquire(timeout=1)
            with transaction(engine) as tx:
                send_in(tx, conversion(f"o{next(numbers)}"))
                tokens[1 - me].release()
                time.sleep(0.02)

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(busy, me) for me in (0, 1)]
        try:
            started = time.monotonic()
            changing = pool.submit(change, engine, acme, TIERED)
            assert changing.result(5) == 2
            with transaction(engine) as tx:
                assert len(admin.create_codes(tx, acme, "refer", [NewCode("u")], actor=TESTER)) == 1
            assert time.monotonic() - started < 5
        finally:
            stop.set()
        for worker in workers:
            worker.result(PATIENCE)
    assert_whole(engine)


def test_versions_that_change_under_concurrent_batches_leave_every_count_exact(
    engine: Engine,
) -> None:
    acme = open_shop(engine, PERCENTAGE)
    numbers = iter(range(10_000))

    def work() -> None:
        for _ in range(6):
            texts = [conversion(f"o{next(numbers)}", f"u{next(numbers)}") for _ in range(10)]
            assert set(said(send(engine, *texts))) == {"applied"}

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(3)]
        for rule in (TIERED, PERCENTAGE, TIERED, TIERED, PERCENTAGE, TIERED):
            time.sleep(0.02)
            pool.submit(change, engine, acme, rule).result(PATIENCE)
        for worker in workers:
            worker.result(PATIENCE)
    send(engine, conversion("last", "last"))

    found = rows(
        engine,
        "SELECT program_version, seq, (explanation->'reached')::int FROM trackings ORDER BY id",
    )
    by_version: dict[int, list[tuple[int, int]]] = {}
    for version, seq, reached in found:
        by_version.setdefault(version, []).append((seq, reached))
    before, last_seq = 0, 0
    for version in sorted(by_version):
        seen = by_version[version]
        if version in (1, 3, 6):
            assert set(seen) == {(None, None)}
        else:
            expected = [(last_seq + i, before + i) for i in range(1, len(seen) + 1)]
            assert sorted(seen) == expected
            last_seq += len(seen)
        before += len(seen)
    assert before == 181
    assert rows(engine, "SELECT conversions, volume, rewards FROM referrer_states") == [
        (181, 1_810_000, 181)
    ]
    assert_whole(engine)


def test_batches_of_one_program_with_other_codes_do_not_wait_for_one_another(
    engine: Engine,
) -> None:
    acme = open_shop(engine, PERCENTAGE)
    with transaction(engine) as tx:
        code(tx, acme, "BEA-01", owner="bea")
    send(engine, conversion("o1"), conversion("o2", "cyd", by="BEA-01"))
    with transaction(engine) as one, transaction(engine) as other:
        for tx in (one, other):
            tx.execute(text("SET LOCAL lock_timeout = '2s'"))
        send_in(one, conversion("o3", "dan"))
        send_in(other, conversion("o4", "eve", by="BEA-01"))
    assert (balance(engine), balance(engine, "bea")) == (2_000, 2_000)
