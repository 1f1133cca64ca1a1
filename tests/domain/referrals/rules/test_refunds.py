"""No sequence of refunds makes or loses a cent."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain.referrals.rules.refunds import take_back


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, int, list[int]]:
    """(earned, total, parts that add up to the total or less)."""
    total = draw(st.integers(1, 10**9))
    earned = draw(st.integers(0, 2 * 10**9))
    cuts = sorted(draw(st.sets(st.integers(1, total), min_size=1, max_size=12)))
    return earned, total, [b - a for a, b in zip([0, *cuts], cuts, strict=False)]


@given(histories())
def test_after_each_refund_exactly_the_rounded_share_of_all_of_them_is_taken(
    history: tuple[int, int, list[int]],
) -> None:
    earned, total, parts = history
    refunded = taken = 0
    for part in parts:
        takes = take_back(earned=earned, total=total, refunded=refunded, taken=taken, part=part)
        assert takes >= 0
        refunded, taken = refunded + part, taken + takes
        assert taken == round(Fraction(earned * refunded, total))
    if refunded == total:
        assert taken == earned


@given(histories())
def test_partial_refunds_and_then_the_rest_take_the_whole_reward(
    history: tuple[int, int, list[int]],
) -> None:
    earned, total, parts = history
    refunded = taken = 0
    for part in [*parts, total - sum(parts)]:
        if part:
            taken += take_back(
                earned=earned, total=total, refunded=refunded, taken=taken, part=part
            )
            refunded += part
    assert (refunded, taken) == (total, earned)


@given(st.integers(1, 500), st.integers(0, 500))
def test_a_purchase_given_back_cent_by_cent_takes_its_reward_once(total: int, earned: int) -> None:
    taken = 0
    for refunded in range(total):
        taken += take_back(earned=earned, total=total, refunded=refunded, taken=taken, part=1)
    assert taken == earned
