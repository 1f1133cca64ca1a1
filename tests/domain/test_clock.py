"""Business time may be simulated beside the sandbox, and only forward; the real clock never is."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine

from domain import clock
from domain.db import Tx, transaction
from domain.errors import Forbidden, Invalid
from workers.listening import listen

JUNE = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_business_time_is_the_real_time_until_it_is_simulated(tx: Tx) -> None:
    assert clock.simulated_at(tx) is None
    assert abs(clock.business_now(tx) - clock.real_now(tx)) < 10 * SECOND
    clock.simulate(tx, JUNE, sandbox=True)
    assert clock.business_now(tx) == clock.simulated_at(tx) == JUNE
    assert clock.real_now(tx) - JUNE > timedelta(days=100)


def test_both_clocks_are_utc(tx: Tx) -> None:
    assert clock.business_now(tx).utcoffset() == clock.real_now(tx).utcoffset() == timedelta(0)
    clock.simulate(tx, datetime(2026, 6, 1, 14, tzinfo=timezone(timedelta(hours=2))), sandbox=True)
    assert clock.business_now(tx) == JUNE
    assert clock.business_now(tx).utcoffset() == timedelta(0)


def test_the_real_clock_goes_on_within_a_transaction(tx: Tx) -> None:
    before = clock.real_now(tx)
    assert clock.real_now(tx) > before


def test_nothing_is_simulated_beside_a_real_gateway(tx: Tx) -> None:
    with pytest.raises(Forbidden, match="sandbox"):
        clock.simulate(tx, JUNE, sandbox=False)
    assert clock.simulated_at(tx) is None


def test_simulated_time_stands_or_goes_forward_and_never_back(tx: Tx) -> None:
    for moment in (JUNE, JUNE, JUNE + SECOND):
        clock.simulate(tx, moment, sandbox=True)
    with pytest.raises(Invalid, match="already later"):
        clock.simulate(tx, JUNE + SECOND - timedelta(microseconds=1), sandbox=True)
    assert clock.business_now(tx) == JUNE + SECOND


def test_a_time_without_an_offset_is_refused(tx: Tx) -> None:
    with pytest.raises(Invalid, match="offset"):
        clock.simulate(tx, datetime(2026, 6, 1), sandbox=True)  # noqa: DTZ001


def test_every_process_reads_the_same_time_once_it_is_committed(engine: Engine) -> None:
    with transaction(engine) as tx:
        clock.simulate(tx, JUNE, sandbox=True)
        with transaction(engine) as other:
            assert clock.simulated_at(other) is None
    with transaction(engine) as other:
        assert clock.business_now(other) == JUNE


def test_each_move_wakes_the_scheduler_when_it_commits(engine: Engine) -> None:
    with listen(engine, clock.SCHEDULER_CHANNEL) as wake:
        with transaction(engine) as tx:
            clock.simulate(tx, JUNE, sandbox=True)
            assert list(wake.notifies(timeout=0.1)) == []
        started = time.monotonic()
        assert len(list(wake.notifies(timeout=5, stop_after=1))) == 1
        assert time.monotonic() - started < 0.5


def test_business_time_is_real_again_once_it_is_not_ahead(tx: Tx) -> None:
    assert not clock.go_real(tx)
    clock.simulate(tx, JUNE, sandbox=True)
    assert clock.go_real(tx)
    assert abs(clock.business_now(tx) - clock.real_now(tx)) < 10 * SECOND
    ahead = clock.real_now(tx) + timedelta(days=1)
    clock.simulate(tx, ahead, sandbox=True)
    with pytest.raises(Forbidden, match="still to come"):
        clock.go_real(tx)
    assert clock.business_now(tx) == ahead
