"""What follows from where money stands: nothing goes back, and what cannot be stops."""

from itertools import product
from typing import get_args

import pytest

from domain.payouts.rules import PAYOUT, can
from domain.payouts.rules.progress import ON_ITS_WAY, Becomes, Stage, Stops, follows

STAGES = get_args(Stage)


@pytest.mark.parametrize(("state", "stage"), list(product(PAYOUT.states, STAGES)))
def test_every_state_and_stage_has_a_legal_consequence(state: str, stage: Stage) -> None:
    new = follows(state, stage)
    if isinstance(new, Becomes):
        assert can(PAYOUT, state, new.state)
    if state not in ON_ITS_WAY:
        assert new is None
    if stage in ("unpaid", "moving"):
        assert new is None, "what is not news moves nothing back"


@pytest.mark.parametrize("state", ON_ITS_WAY)
def test_a_consequence_that_is_applied_has_no_other_one(state: str) -> None:
    for stage in STAGES:
        new = follows(state, stage)
        if isinstance(new, Becomes):
            assert follows(new.state, stage) is None


@pytest.mark.parametrize("stage", ["void", "disputed"])
@pytest.mark.parametrize("state", ON_ITS_WAY)
def test_what_cannot_be_stops(state: str, stage: Stage) -> None:
    assert isinstance(follows(state, stage), Stops)


def test_money_that_came_back_and_was_sent_again_stops() -> None:
    assert isinstance(follows("returned", "sent"), Stops)
