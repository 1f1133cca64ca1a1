"""What five programs earn on the sample of real purchases: exact fractions, everything recounted from lists.

Founder f (1 to 50, in the order of first purchase) has the code ``FOUNDER-ff`` in program f mod 5; customer
n > 50 came by founder (n − 51) mod 50 + 1. Every purchase is a conversion. Row divisible by 60: refunded 20
days later, all of it if divisible by 120, else half. Row divisible by 77: disputed 5 days later, and after
4 days more lost if divisible by 154, else won.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

FOUNDERS = 50
DAY = timedelta(days=1)


@dataclass
class Happening:
    """A purchase, a refund of a part, or a dispute that opens or is decided."""

    at: datetime
    what: str
    row: int
    customer: str
    number: int
    founder: int
    amount: int


@dataclass
class Earned:
    """What a purchase earned its founder and its customer, and what was taken back."""

    of: Happening
    reward: int
    referee: int
    refunded: int = 0
    lost: bool = False

    @property
    def stands(self) -> bool:
        return not self.lost and self.refunded < self.of.amount

    def kept(self, amount: int) -> int:
        if self.lost:
            return 0
        return amount - round(Fraction(amount * self.refunded, self.of.amount))


@dataclass
class Shop:
    """All that was earned, by row; and the refusals, by reason."""

    earned: dict[int, Earned] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    came: dict[str, datetime] = field(default_factory=dict)


def happenings(sample: Path) -> list[Happening]:
    """Everything that happens, in order; refunds and disputes before the purchases of their second."""

    def all_of_them() -> Iterator[Happening]:
        numbers: dict[str, int] = {}
        in_day: dict[str, int] = {}
        with sample.open(newline="") as lines:
            for line in csv.DictReader(lines):
                row, customer, day = int(line["row"]), line["customer_id"], line["date"]
                number = numbers.setdefault(customer, len(numbers) + 1)
                founder = number if number <= FOUNDERS else (number - 51) % FOUNDERS + 1
                amount = int(Decimal(line["amount_usd"]) * 100)
                opens = datetime.combine(date.fromisoformat(day), time(9), UTC)
                at = opens + timedelta(seconds=in_day.get(day, 0))
                in_day[day] = in_day.get(day, 0) + 1
                yield Happening(at, "bought", row, customer, number, founder, amount)
                if row % 60 == 0 and amount > 1:
                    back = amount if row % 120 == 0 else amount // 2
                    yield Happening(at + 20 * DAY, "refunded", row, customer, number, founder, back)
                if row % 77 == 0:
                    yield Happening(at + 5 * DAY, "opened", row, customer, number, founder, 0)
                    end = "lost" if row % 154 == 0 else "won"
                    yield Happening(at + 9 * DAY, end, row, customer, number, founder, 0)

    return sorted(all_of_them(), key=lambda one: (one.at, one.what == "bought", one.row))


def calculate(sample: Path) -> Shop:
    """Play all of it."""
    shop = Shop()
    for one in happenings(sample):
        if one.what == "bought":
            why = buy(shop, one)
            if why:
                shop.refused[why] = shop.refused.get(why, 0) + 1
        elif one.row in shop.earned:
            if one.what == "refunded":
                shop.earned[one.row].refunded += one.amount
            elif one.what == "lost":
                shop.earned[one.row].lost = True
    return shop


def buy(shop: Shop, one: Happening) -> str | None:
    """Book what a purchase earns, or say why not."""
    program, amount = one.founder % 5, one.amount
    mine = [e for e in shop.earned.values() if e.of.founder == one.founder]
    theirs = [e for e in mine if e.of.customer == one.customer and e.reward]
    if one.number == one.founder:
        return "self_referral"
    came = shop.came.setdefault(one.customer, one.at)
    if amount < 100:
        return "below_minimum"
    if program == 1 and theirs:
        return "already_rewarded"
    if program == 2 and len(theirs) == 6:
        return "already_rewarded"
    if program == 2 and theirs and one.at >= theirs[0].of.at + 365 * DAY:
        return "outside_window"
    if program == 3 and one.at >= came + 180 * DAY:
        return "outside_window"
    referee = 0
    if program == 1:
        reward, referee = 500, 200
    elif program == 2:
        reward = exactly(amount, 800)
    elif program == 3:
        reward, referee = min(600, exactly(amount, 1000)), min(150, exactly(amount, 333))
    elif program == 4:  # by count, anew each month
        month = (one.at.year, one.at.month)
        nth = 1 + sum(e.stands for e in mine if (e.of.at.year, e.of.at.month) == month)
        reward = exactly(amount, 400 if nth < 4 else 700)
    else:  # by volume, for ever
        volume = amount + sum(0 if e.lost else e.of.amount - e.refunded for e in mine)
        reward = exactly(amount, 300 if volume < 100_000 else 500 if volume < 300_000 else 800)
    shop.earned[one.row] = Earned(one, reward, referee)
    return None


def exactly(amount: int, points: int) -> int:
    """Basis points of an amount, from a tie to the even cent."""
    return round(Fraction(amount * points, 10_000))
