"""What may be sent while money is short, as values."""

from __future__ import annotations

import pytest

from domain.payouts.rules.breaker import Balance
from domain.payouts.rules.shortfall import Allow, End, Keep, Waiting, after_probe

WAITING = Waiting(payouts=3, amount=900, smallest=100, on_their_way=50)


@pytest.mark.parametrize(
    ("balance", "decided"),
    [
        (Balance("silent"), Keep()),
        (Balance("refused"), Keep()),
        (Balance("told", {}), Keep()),
        (Balance("told", {"eur": 5_000}), Keep()),
        (Balance("told", {"usd": -20}), Keep()),
        (Balance("told", {"usd": 149}), Keep()),
        (Balance("told", {"usd": 150}), Allow(100)),
        (Balance("told", {"usd": 949}), Allow(899)),
        (Balance("told", {"usd": 950}), End()),
        (Balance("forbidden"), Allow(100)),
    ],
)
def test_no_more_is_let_through_than_the_balance_is_seen_to_suffice_for(
    balance: Balance, decided: Keep | Allow | End
) -> None:
    assert after_probe(balance, "usd", WAITING) == decided


@pytest.mark.parametrize("answer", ["told", "silent", "forbidden", "refused"])
def test_where_nothing_waits_any_more_it_is_over(answer: str) -> None:
    nothing = Waiting(payouts=0, amount=0, smallest=0, on_their_way=0)
    assert after_probe(Balance(answer), "usd", nothing) == End()  # type: ignore[arg-type]
