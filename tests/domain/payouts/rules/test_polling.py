"""How far back a poll looks."""

import doctest
from datetime import timedelta

from domain.payouts.rules import polling
from domain.payouts.rules.polling import KEPT, begins_at, too_old
from tests.domain.payouts.house import JUNE


def test_a_poll_looks_no_further_back_than_events_are_kept() -> None:
    assert (
        begins_at(read_until=JUNE - timedelta(days=99), reading_from=None, now=JUNE) == JUNE - KEPT
    )


def test_one_that_was_not_finished_is_not_passed_over() -> None:
    begun = JUNE - timedelta(days=5)
    assert begins_at(read_until=JUNE, reading_from=begun, now=JUNE) == begun


def test_a_reading_of_all_that_is_kept_has_a_day_to_end() -> None:
    assert not too_old(JUNE - KEPT - timedelta(hours=23), JUNE)
    assert too_old(JUNE - KEPT - timedelta(hours=25), JUNE)


def test_the_examples_are_true() -> None:
    result = doctest.testmod(polling)
    assert result.attempted
    assert not result.failed
