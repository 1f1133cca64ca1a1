"""The oracle itself, against cases small enough to add up by hand (the sums stand in the names)."""

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.oracles.cdnow import END, Card, Result, Reward, calculate, reverse
from tests.oracles.stories import Line, money, play, points

SAMPLE = Path(__file__).parents[2] / "examples" / "cdnow_purchases.csv"


@pytest.fixture(scope="module")
def sample() -> Result:
    return calculate(SAMPLE)


# Rewards and refusals


def test_one_time_pays_5_00_once_and_refuses_the_second_conversion(tmp_path: Path) -> None:
    result = play(tmp_path, ("ann@1", "1997-01-02", "20.00"), ("ann@1", "1997-01-03", "30.00"))
    assert money(result.payees["F01"]) == (500, 0, 0, 500)
    assert result.reasons["already_rewarded"] == 1


def test_the_minimum_is_checked_before_exhaustion_and_exhaustion_before_the_window(
    tmp_path: Path,
) -> None:
    result = play(
        tmp_path,
        ("ann@1", "1997-01-02", "1.00"),
        ("ann@1", "1997-01-03", "0.99"),
        ("ann@1", "1997-12-01", "50.00"),
    )
    # The founders' own 0.00 are refused as self-referrals before their amount is looked at.
    assert result.reasons["self_referral"] == 40
    assert (result.reasons["below_minimum"], result.reasons["already_rewarded"]) == (1, 1)
    assert result.reasons["outside_window"] == 0
    assert money(result.payees["F01"]) == (500, 0, 0, 500)


@pytest.mark.parametrize(("seconds_late", "earned"), [(0, 500), (1, 0)])
def test_a_refused_0_00_starts_the_90_days_1_february_plus_90_is_2_may_to_the_second(
    tmp_path: Path, seconds_late: int, earned: int
) -> None:
    others: list[Line] = [("F40", "1997-05-02", "3.00")] * seconds_late
    result = play(
        tmp_path, ("ann@1", "1997-02-01", "0.00"), *others, ("ann@1", "1997-05-02", "9.00")
    )
    assert result.payees["F01"].earned == earned
    assert result.reasons["outside_window"] == (0 if earned else 1)


def test_affiliate_conversions_end_365_days_after_the_first_one(tmp_path: Path) -> None:
    result = play(
        tmp_path,
        ("ann@3", "1997-02-01", "0.00"),
        ("ann@3", "1998-02-01", "20.00"),
        ("ann@3", "1998-02-02", "20.00"),
    )
    assert result.payees["F03"].earned == 200
    assert result.reasons["outside_window"] == 1


def test_recurring_8_percent_of_six_times_10_00_is_4_80_and_the_seventh_is_refused(
    tmp_path: Path,
) -> None:
    days = [f"1997-02-0{day}" for day in range(1, 8)]
    result = play(tmp_path, *[("ann@2", day, "10.00") for day in days])
    assert result.payees["F02"].earned == 6 * 80
    assert result.reasons["already_rewarded"] == 1


def test_recurring_365_days_count_from_the_first_rewarded_conversion_so_1_june_to_1_june_is_in(
    tmp_path: Path,
) -> None:
    result = play(
        tmp_path,
        ("ann@2", "1997-01-10", "0.00"),
        ("ann@2", "1997-06-01", "10.00"),
        ("ann@2", "1998-06-01", "10.00"),
        ("ann@2", "1998-06-02", "10.00"),
    )
    assert result.payees["F02"].earned == 80 + 80
    assert result.reasons["outside_window"] == 1


@pytest.mark.parametrize(
    ("founder", "amount", "earned"),
    [
        (3, "10.05", 100),  # 100.5, the tie goes to the even cent
        (3, "10.15", 102),  # 101.5
        (3, "10.06", 101),  # 100.6
        (3, "60.04", 600),
        (3, "75.00", 600),  # 750 is over the cap
        (2, "10.06", 80),  # 80.48
        (2, "10.07", 81),  # 80.56
    ],
)
def test_10_percent_of_10_05_is_1_00_and_of_10_15_is_1_02_and_of_75_00_is_capped_at_6_00(
    tmp_path: Path, founder: int, amount: str, earned: int
) -> None:
    result = play(tmp_path, (f"ann@{founder}", "1997-02-01", amount))
    assert result.payees[f"F{founder:02}"].earned == earned


def test_ambassador_49_times_0_40_then_100_times_0_70_then_1_00_for_the_150th(
    tmp_path: Path,
) -> None:
    result = play(tmp_path, *[("ann@4", "1997-02-01", "10.00")] * 150)
    assert result.payees["F04"].earned == 49 * 40 + 100 * 70 + 1 * 100


@pytest.mark.parametrize(("row", "earned"), [(120, 50 * 40 + 70), (60, 49 * 40 + 2 * 70)])
def test_a_full_refund_in_the_very_second_of_the_50th_makes_it_the_49th_and_a_half_one_does_not(
    tmp_path: Path, row: int, earned: int
) -> None:
    first: Line = ("ann@4", "1997-02-01", "10.00", row)
    result = play(
        tmp_path,
        *[("F04", "1997-02-01", "0.00")] * 3,
        first,
        *[("ann@4", "1997-02-02", "10.00")] * 48,
        *[("F04", "1997-02-21", "0.00")] * 6,
        *[("ann@4", "1997-02-21", "10.00")] * 2,
    )
    # Both days have six purchases before ann's: the founder's, and on the first day the fillers 41 to 43.
    assert result.payees["F04"].earned == earned


def test_a_founder_refers_nobody_to_himself_and_the_refund_has_nothing_to_reverse(
    tmp_path: Path,
) -> None:
    result = play(
        tmp_path, ("F04", "1997-02-01", "50.00", 120), ("ann@4", "1997-02-01", "0.00", 240)
    )
    assert money(result.payees["F04"]) == (0, 0, 0, 0)
    assert (result.applied["conversion.refunded"], result.nothing_to_reverse) == (1, 1)


# Refunds and runs


@pytest.mark.parametrize(
    ("amount", "row", "taken"),
    [
        ("80.00", 60, 300),  # 600 × 4000 ÷ 8000: the capped reward, halved
        ("33.33", 60, 166),  # 333 × 1666 ÷ 3333 = 166.45
        ("10.10", 60, 50),  # 101 × 505 ÷ 1010 = 50.5, to even
        ("10.30", 60, 52),  # 103 × 515 ÷ 1030 = 51.5, to even
        ("33.33", 120, 333),
    ],
)
def test_half_of_33_33_takes_1_66_of_3_33_and_all_of_it_takes_3_33(
    tmp_path: Path, amount: str, row: int, taken: int
) -> None:
    result = play(tmp_path, ("ann@3", "1997-02-01", amount, row))
    assert result.payees["F03"].reversed == taken


def test_ten_refunds_of_a_tenth_of_3_33_take_33_or_34_each_and_3_33_in_all() -> None:
    reward = Reward("ann", 3330, 333, datetime(1997, 1, 1, tzinfo=UTC))
    for _ in range(10):
        reverse(reward, 333)
    # Targets 33.3, 66.6, 99.9, 133.2, 166.5 (to the even 166), 199.8, 233.1, 266.4, 299.7, 333.
    assert [debit.amount for debit in reward.debits] == [33, 34, 33, 33, 33, 34, 33, 33, 34, 33]
    assert sum(debit.amount for debit in reward.debits) == 333


def test_5_00_plus_5_00_is_the_minimum_of_10_00_and_is_paid_on_the_first_after_14_days(
    tmp_path: Path,
) -> None:
    result = play(tmp_path, ("ann@1", "1997-01-17", "9.00"), ("bob@1", "1997-01-18", "9.00"))
    # 18 January 09:00 plus 14 days is three hours after the run of 1 February, which finds 5.00 alone.
    assert result.payees["F01"].payouts == [(date(1997, 3, 1), 1000)]


def test_9_99_is_carried_over_and_1_cent_more_makes_the_payout_10_00(tmp_path: Path) -> None:
    result = play(tmp_path, ("ann@3", "1997-02-01", "99.90"), ("bob@3", "1997-02-01", "39.90"))
    assert result.payees["F03"].payouts == []
    assert money(result.payees["F03"]) == (999, 0, 0, 999)
    result = play(tmp_path, ("ann@3", "1997-02-01", "60.00"), ("bob@3", "1997-02-01", "40.00"))
    assert result.payees["F03"].payouts == [(date(1997, 3, 1), 1000)]


def test_no_hold_pays_16_00_of_31_january_on_the_next_morning(tmp_path: Path) -> None:
    result = play(tmp_path, ("ann@4", "1997-01-31", "400.00"))
    assert result.payees["F04"].payouts == [(date(1997, 2, 1), 1600)]


def test_a_debit_of_a_paid_reward_is_due_at_once_12_00_paid_then_6_00_minus_6_00_then_12_00(
    tmp_path: Path,
) -> None:
    result = play(
        tmp_path,
        ("ann@3", "1997-01-16", "100.00", 120),
        ("bob@3", "1997-01-16", "100.00"),
        ("cat@3", "1997-02-07", "100.00"),
        ("dan@3", "1997-03-20", "100.00"),
        ("dan@3", "1997-03-21", "100.00"),
    )
    # March: 6.00 of cat less 6.00 of ann is nothing, so both wait for dan's.
    assert result.payees["F03"].payouts == [(date(1997, 2, 1), 1200), (date(1997, 5, 1), 1200)]
    assert money(result.payees["F03"]) == (3000, 600, 2400, 0)


def test_a_debit_of_an_unpaid_reward_waits_for_it_16_00_paid_then_8_00_minus_8_00(
    tmp_path: Path,
) -> None:
    result = play(
        tmp_path,
        ("bob@2", "1997-01-01", "100.00"),
        ("bob@2", "1997-01-01", "100.00"),
        ("ann@2", "1997-01-05", "100.00", 120),
    )
    # Refunded on 25 January, available on 4 February: the run of 1 February sees neither.
    assert result.payees["F02"].payouts == [(date(1997, 2, 1), 1600)]
    assert money(result.payees["F02"]) == (2400, 800, 1600, 0)


def test_12_00_paid_and_6_00_refunded_later_leaves_minus_6_00_carried_over(tmp_path: Path) -> None:
    result = play(
        tmp_path, ("ann@3", "1997-01-16", "100.00", 120), ("bob@3", "1997-01-16", "100.00")
    )
    assert money(result.payees["F03"]) == (1200, 600, 1200, -600)


def test_a_fully_refunded_first_conversion_gives_no_second_5_00(tmp_path: Path) -> None:
    result = play(tmp_path, ("ann@1", "1997-02-01", "9.00", 120), ("ann@1", "1997-03-01", "9.00"))
    assert money(result.payees["F01"]) == (500, 500, 0, 0)


def test_founder_10_has_no_account_and_carries_16_00_over(tmp_path: Path) -> None:
    result = play(tmp_path, ("ann@10", "1997-02-01", "200.00"))
    assert money(result.payees["F10"]) == (1600, 0, 0, 1600)


# Points


def test_50_welcome_plus_10_for_10_99_and_none_for_0_99_is_60(tmp_path: Path) -> None:
    result = play(tmp_path, ("ann@1", "1998-06-01", "10.99"), ("ann@1", "1998-06-02", "0.99"))
    assert points(result, "ann@1") == (60, 0, 0, 60)
    assert result.rejected["loyalty.points_earned"] == 40 + 1


@pytest.mark.parametrize(
    ("amount", "after"), [("17.00", (101, 100, 0, 1)), ("16.99", (98, 0, 0, 98))]
)
def test_50_plus_3_times_17_less_100_is_1_but_50_plus_3_times_16_is_98_and_too_few(
    tmp_path: Path, amount: str, after: tuple[int, int, int, int]
) -> None:
    result = play(tmp_path, *[("ann@1", "1998-06-01", amount)] * 3)
    assert points(result, "ann@1") == after
    assert result.reasons["insufficient_points"] == (1 if after[1] == 0 else 0)


def test_the_third_and_the_sixth_purchase_redeem_50_plus_300_less_200_is_150(
    tmp_path: Path,
) -> None:
    result = play(tmp_path, *[("ann@1", "1998-06-01", "50.00")] * 6)
    assert points(result, "ann@1") == (350, 200, 0, 150)


@pytest.mark.parametrize(("day", "after"), [("1997-06-30", (1, 20)), ("1997-07-01", (0, 70))])
def test_on_day_180_the_card_holds_50_20_10_and_40_for_the_100_and_on_day_181_only_10_and_40(
    tmp_path: Path, day: str, after: tuple[int, int]
) -> None:
    # 1 July 1997 is a Tuesday: what is due since its midnight is booked by the purchase, by no sweep.
    result = play(
        tmp_path, ("ann@1", "1997-01-01", "20.00"), ("ann@1", day, "10.00"), ("ann@1", day, "40.00")
    )
    redemptions, lapsed_first = after
    assert result.applied["loyalty.points_redeemed"] == redemptions
    # In the end everything lapses: the 20 that the redemption left, or 70 and half a year later 50.
    total = lapsed_first if redemptions else lapsed_first + 50
    assert points(result, "ann@1") == (120, 100 * redemptions, total, 0)


def test_the_181st_midnight_after_1_january_is_1_july_at_00_00_and_it_takes_all_70() -> None:
    card = Card("CD-ann", date(1997, 1, 1), issued=70, booked_balance=70)
    assert card.spendable(datetime(1997, 6, 30, 23, 59, 59, tzinfo=UTC)) == 70
    assert card.spendable(datetime(1997, 7, 1, tzinfo=UTC)) == 0


def test_50_plus_20_lapse_and_a_later_30_start_a_clock_of_their_own(tmp_path: Path) -> None:
    result = play(tmp_path, ("ann@1", "1997-12-01", "20.00"), ("ann@1", "1998-06-02", "30.00"))
    assert points(result, "ann@1") == (100, 0, 70, 30)


def test_a_refused_earn_and_a_refused_redemption_do_not_keep_50_plus_20_alive(
    tmp_path: Path,
) -> None:
    result = play(
        tmp_path,
        ("ann@1", "1997-12-01", "20.00"),
        ("ann@1", "1998-03-01", "0.00"),
        ("ann@1", "1998-03-02", "0.00"),  # the third purchase: 70 are fewer than 100
        ("ann@1", "1998-06-01", "30.00"),
    )
    assert result.reasons["insufficient_points"] == 1
    assert points(result, "ann@1") == (100, 0, 70, 30)


def test_a_redemption_alone_is_activity_so_50_plus_2_times_55_less_100_live_on(
    tmp_path: Path,
) -> None:
    result = play(
        tmp_path, *[("ann@1", "1998-03-02", "55.00")] * 2, ("ann@1", "1998-06-01", "0.00")
    )
    assert points(result, "ann@1") == (160, 100, 0, 60)


@pytest.mark.parametrize(
    ("last", "expired", "booked", "spendable"),
    [
        ("1998-03-03", 70, 0, 0),  # due on Monday 31 August, booked at 03:00 of that day
        ("1998-03-04", 0, 70, 0),  # due on Tuesday 1 September, no sweep before the end
        ("1998-03-05", 0, 70, 70),
    ],
)
def test_at_the_end_50_plus_20_due_since_tuesday_are_booked_but_not_spendable(
    tmp_path: Path, last: str, expired: int, booked: int, spendable: int
) -> None:
    result = play(tmp_path, ("ann@1", last, "20.00"))
    assert points(result, "ann@1") == (70, 0, expired, booked)
    assert result.cards["CD-ann@1"].spendable(END) == spendable


# The whole sample


def test_what_is_earned_less_reversed_less_paid_is_carried_over_for_each_payee(
    sample: Result,
) -> None:
    assert len(sample.payees) == 40
    for payee in sample.payees.values():
        assert money(payee)[0] > 0
        assert all(amount >= 1000 and day.day == 1 for day, amount in payee.payouts)
        assert bool(payee.payouts) == (payee.number % 10 != 0)


def test_what_is_issued_less_redeemed_less_expired_is_the_balance_of_each_card(
    sample: Result,
) -> None:
    assert len(sample.cards) == 2357
    for number, card in sample.cards.items():
        issued, redeemed, expired, balance = points(sample, number.removeprefix("CD-"))
        assert min(issued - 50, redeemed, expired, balance) >= 0
        assert card.spendable(END) in (0, balance)


def test_every_event_is_either_applied_or_rejected_for_a_reason(sample: Result) -> None:
    assert sample.sent == sample.applied + sample.rejected
    assert sample.rejected.total() == sample.reasons.total()


def test_the_sample_has_not_changed_its_totals(sample: Result) -> None:
    assert sample.totals == {
        "earned": 14_619_18,
        "reversed": 178_57,
        "paid": 12_667_36,
        "carried_over": 1_773_25,
        "payouts": 361,
        "issued": 357_294,
        "redeemed": 99_800,
        "expired": 217_312,
        "booked_balance": 40_182,
        "spendable": 40_150,
    }


def test_the_sample_has_not_changed_its_counts(sample: Result) -> None:
    assert sample.sent == {
        "conversion.recorded": 6919,
        "conversion.refunded": 114,
        "loyalty.card_created": 2357,
        "loyalty.points_earned": 6919,
        "loyalty.points_redeemed": 1437,
    }
    assert sample.rejected == Counter(
        {
            "conversion.recorded": 2000,
            "loyalty.points_earned": 8,
            "loyalty.points_redeemed": 439,
        }
    )
    assert sample.reasons == {
        "self_referral": 108,
        "below_minimum": 8,
        "already_rewarded": 1558,
        "outside_window": 326,
        "below_minimum_purchase": 8,
        "insufficient_points": 439,
    }
    assert sample.nothing_to_reverse == 33
