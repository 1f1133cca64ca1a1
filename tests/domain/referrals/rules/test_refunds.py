"""No sequence of refunds makes or loses a cent."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain.referrals.rules.refunds import take_back, to_take


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


@given(histories(), st.integers(0, 12), st.booleans())
def test_refunds_and_a_lost_dispute_in_any_order_take_what_exact_fractions_say(
    history: tuple[int, int, list[int]], lost_at: int, lost: bool
) -> None:
    """After every step what is taken is the exact share of all refunds, or everything once it is lost."""
    earned, total, parts = history
    steps: list[int | None] = [*parts]
    if lost:
        steps.insert(min(lost_at, len(steps)), None)
    refunded, taken, gone = 0, 0, False
    for part in steps:
        refunded, gone = refunded + (part or 0), gone or part is None
        takes = to_take(
            earned=earned,
            taken=taken,
            total=total,
            refunded=refunded,
            whole=gone or refunded == total,
        )
        assert takes >= 0
        taken += takes
        assert taken == (earned if gone else round(Fraction(earned * refunded, total)))


@given(st.integers(0, 10**9), st.sampled_from([None, 0]))
def test_without_an_amount_only_the_whole_is_taken_back(earned: int, total: int | None) -> None:
    assert to_take(earned=earned, taken=0, total=total, refunded=0, whole=False) == 0
    assert to_take(earned=earned, taken=0, total=total, refunded=0, whole=True) == earned
