"""The transition tables hang together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.payouts.models import payout_attempts, payout_runs, payouts, reversal_requests
from domain.payouts.rules import ATTEMPT, PAYOUT, RUN, Table, can, mermaid
from domain.payouts.rules.reversing import REVERSAL

TABLES = [PAYOUT, ATTEMPT, RUN, REVERSAL]


@pytest.mark.parametrize("table", TABLES)
def test_every_state_can_be_reached_and_none_leads_back_to_the_beginning(table: Table) -> None:
    reached = set(table.begins)
    for _ in table.states:
        reached |= {new for old in reached for new in table.moves.get(old, ())}
    assert reached == set(table.states)
    assert not {new for news in table.moves.values() for new in news} & {table.begins[0]}


@pytest.mark.parametrize(
    ("table", "stored"),
    [
        (PAYOUT, payouts),
        (ATTEMPT, payout_attempts),
        (RUN, payout_runs),
        (REVERSAL, reversal_requests),
    ],
)
def test_the_states_are_those_that_the_database_allows(table: Table, stored: object) -> None:
    checks = [c for c in stored.constraints if str(c.name).endswith("_state")]  # type: ignore[attr-defined]
    [check] = checks
    text = str(check.sqltext)
    assert set(text.split("'")[1::2]) == set(table.states)


@given(st.sampled_from(TABLES), st.data())
def test_a_walk_never_comes_back_to_paid_money_that_was_given_up(
    table: Table, data: st.DataObject
) -> None:
    state = table.begins[0]
    for _ in range(20):
        news = table.moves.get(state, ())
        if not news:
            break
        new = data.draw(st.sampled_from(news))
        assert can(table, state, new)
        assert state not in ("canceled", "abandoned", "reversed", "settled")
        state = new


def test_the_diagram_shows_each_move_once() -> None:
    lines = mermaid(PAYOUT).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    approved --> sending" in lines
    assert "    canceled --> [*]" in lines
    assert len(lines) == len(set(lines))
    moves = sum(map(len, PAYOUT.moves.values()))
    assert len(lines) == 1 + len(PAYOUT.begins) + moves + 2
