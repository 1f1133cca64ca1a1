"""An independent model of the story in ``examples/README.md``: what everybody is owed, in plain Python.

It shares nothing with the product, neither code nor data structures: one pass over the purchases, event
by event, with every balance recomputed from its entries where that is affordable. Amounts are integers in
US cents, points are whole, times are UTC.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

START = datetime(1997, 1, 1, tzinfo=UTC)
END = datetime(1998, 9, 1, 7, tzinfo=UTC)
FOUNDERS = 40
MINIMUM_CONVERSION = 100
MINIMUM_PAYOUT = 1000
REFUND_AFTER = timedelta(days=20)
HOLD = {0: timedelta(0), 1: timedelta(days=14), 2: timedelta(days=30), 3: timedelta(days=14)}
PAYMENTS = {1: 1, 2: 6}
WINDOW = {1: timedelta(days=90), 2: timedelta(days=365), 3: timedelta(days=365)}
WELCOME_REWARD, RECURRING_RATE, AFFILIATE_RATE, AFFILIATE_CAP = 500, 800, 1000, 600
AMBASSADOR_TIERS = ((150, 1000), (50, 700), (1, 400))
WELCOME_POINTS, REDEMPTION, REDEEM_EVERY, IDLE_DAYS = 50, 100, 3, 180

CONVERSION, REFUND = "conversion.recorded", "conversion.refunded"
CARD, EARN, REDEEM = "loyalty.card_created", "loyalty.points_earned", "loyalty.points_redeemed"


@dataclass
class Purchase:
    row: int
    customer: str
    at: datetime
    amount: int
    referrer: int
    nth: int


@dataclass
class Debit:
    amount: int
    claimed: bool = False


@dataclass
class Reward:
    """What one accepted conversion earned, and what its refunds took back."""

    customer: str
    total: int
    earned: int
    available_at: datetime
    refunded: int = 0
    claimed: bool = False
    debits: list[Debit] = field(default_factory=list)


@dataclass
class Payee:
    user_id: str
    number: int
    rewards: dict[int, Reward] = field(default_factory=dict)
    attributed: dict[str, datetime] = field(default_factory=dict)
    first_reward: dict[str, datetime] = field(default_factory=dict)
    payouts: list[tuple[date, int]] = field(default_factory=list)

    @property
    def earned(self) -> int:
        return sum(reward.earned for reward in self.rewards.values())

    @property
    def reversed(self) -> int:
        return sum(debit.amount for reward in self.rewards.values() for debit in reward.debits)

    @property
    def paid(self) -> int:
        return sum(amount for _, amount in self.payouts)

    @property
    def carried_over(self) -> int:
        """What no run has claimed: counted from the entries, not as a difference of the sums above."""
        entries = [(reward.earned, reward.claimed) for reward in self.rewards.values()]
        for reward in self.rewards.values():
            entries += [(-debit.amount, debit.claimed) for debit in reward.debits]
        return sum(amount for amount, claimed in entries if not claimed)


@dataclass
class Card:
    """``booked_balance`` still holds points that are due and that no sweep or event has booked yet."""

    number: str
    last_activity: date
    issued: int = 0
    redeemed: int = 0
    expired: int = 0
    booked_balance: int = 0

    def spendable(self, at: datetime) -> int:
        last_valid = self.last_activity + timedelta(days=IDLE_DAYS)
        deadline = datetime.combine(last_valid + timedelta(days=1), time(), UTC)
        return 0 if at >= deadline else self.booked_balance

    def book_due_expiry(self, at: datetime) -> None:
        due = self.booked_balance - self.spendable(at)
        self.expired += due
        self.booked_balance -= due

    def move(self, points: int, on: date) -> None:
        self.issued += max(points, 0)
        self.redeemed += max(-points, 0)
        self.booked_balance += points
        self.last_activity = on


@dataclass
class Result:
    """Payees by user id, cards by number, events by type; a refund of nothing counts as applied."""

    payees: dict[str, Payee] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    nothing_to_reverse: int = 0

    @property
    def totals(self) -> dict[str, int]:
        """Sums over everybody: cents for the money, points for the cards, and how many payouts."""
        payees, cards = self.payees.values(), self.cards.values()
        money = ("earned", "reversed", "paid", "carried_over")
        points = ("issued", "redeemed", "expired", "booked_balance")
        return {
            **{name: sum(getattr(payee, name) for payee in payees) for name in money},
            "payouts": sum(len(payee.payouts) for payee in payees),
            **{name: sum(getattr(card, name) for card in cards) for name in points},
            "spendable": sum(card.spendable(END) for card in cards),
        }


def calculate(csv_path: Path) -> Result:
    """Play the whole story over a file of purchases and say what is owed, paid, issued and expired."""
    purchases, result = read_purchases(csv_path), Result()
    for customer in list(dict.fromkeys(purchase.customer for purchase in purchases))[:FOUNDERS]:
        result.payees[customer] = Payee(customer, len(result.payees) + 1)
    founders = list(result.payees.values())
    # Ranks inside one moment: refunds, purchases, then the sweep, which sees all that happened up to it.
    agenda: list[tuple[datetime, int, int, str, Purchase | None]] = []
    for index, purchase in enumerate(purchases):
        agenda.append((purchase.at, 1, index, "purchase", purchase))
        if purchase.row % 60 == 0 and purchase.amount > 0:
            agenda.append((purchase.at + REFUND_AFTER, 0, index, "refund", purchase))
    agenda.extend((at, 2, 0, sweep, None) for at, sweep in sweeps())
    for at, _, _, what, who in sorted(agenda, key=lambda entry: entry[:3]):
        assert at <= END, f"{what} at {at} is after the end of the story"
        if what == "run":
            for payee in founders:
                pay(payee, at)
        elif what == "expiry":
            for card in result.cards.values():
                card.book_due_expiry(at)
        elif what == "refund" and who:
            count(result, REFUND)
            reward = founders[who.referrer - 1].rewards.get(who.row)
            if reward:
                reverse(reward, who.amount if who.row % 120 == 0 else who.amount // 2)
            else:
                result.nothing_to_reverse += 1
        elif who:
            count(result, CONVERSION, convert(founders[who.referrer - 1], who))
            use_card(result, who)
    return result


def count(result: Result, kind: str, refusal: str | None = None) -> None:
    result.sent[kind] += 1
    (result.rejected if refusal else result.applied)[kind] += 1
    if refusal:
        result.reasons[refusal] += 1


def read_purchases(csv_path: Path) -> list[Purchase]:
    """Give each purchase its time (09:00:00 plus its place in the day) and its customer's referrer."""
    numbers: dict[str, int] = {}
    in_day, of_customer = Counter[str](), Counter[str]()
    purchases = []
    with csv_path.open(newline="") as lines:
        for line in csv.DictReader(lines):
            customer, day = line["customer_id"], line["date"]
            number = numbers.setdefault(customer, len(numbers) + 1)
            opening = datetime.combine(date.fromisoformat(day), time(9), UTC)
            of_customer[customer] += 1
            purchases.append(
                Purchase(
                    row=int(line["row"]),
                    customer=customer,
                    at=opening + timedelta(seconds=in_day[day]),
                    amount=int(Decimal(line["amount_usd"]) * 100),
                    referrer=number if number <= FOUNDERS else (number - 41) % FOUNDERS + 1,
                    nth=of_customer[customer],
                )
            )
            in_day[day] += 1
    return purchases


def sweeps() -> Iterator[tuple[datetime, str]]:
    day = START
    while day <= END:
        if day.weekday() == 0:
            yield day + timedelta(hours=3), "expiry"
        if day.day == 1:
            yield day + timedelta(hours=6), "run"
        day += timedelta(days=1)


def half_even(part: int, of: int, amount: int) -> int:
    """``amount`` × ``part`` ÷ ``of``, exact, then to the nearest cent and from a tie to the even one."""
    return round(Fraction(amount * part, of))


def convert(payee: Payee, purchase: Purchase) -> str | None:
    """Book the reward of a conversion, or say why it is refused."""
    customer, at, amount = purchase.customer, purchase.at, purchase.amount
    program = payee.number % 4
    attributed = payee.attributed.setdefault(customer, at)
    so_far = sum(1 for reward in payee.rewards.values() if reward.customer == customer)
    if customer == payee.user_id:
        return "self_referral"
    if amount < MINIMUM_CONVERSION:
        return "below_minimum"
    if so_far == PAYMENTS.get(program):
        return "already_rewarded"
    since = payee.first_reward.get(customer, at) if program == 2 else attributed
    if program in WINDOW and at - since > WINDOW[program]:
        return "outside_window"
    if program == 1:
        earned = WELCOME_REWARD
    elif program == 2:
        earned = half_even(RECURRING_RATE, 10_000, amount)
    elif program == 3:
        earned = min(AFFILIATE_CAP, half_even(AFFILIATE_RATE, 10_000, amount))
    else:
        standing = 1 + sum(1 for reward in payee.rewards.values() if reward.refunded < reward.total)
        rate = next(rate for threshold, rate in AMBASSADOR_TIERS if standing >= threshold)
        earned = half_even(rate, 10_000, amount)
    payee.first_reward.setdefault(customer, at)
    payee.rewards[purchase.row] = Reward(customer, amount, earned, at + HOLD[program])
    return None


def reverse(reward: Reward, amount: int) -> None:
    """Take back so much that all refunds together take their share; a full refund takes the rest."""
    reward.refunded += amount
    taken = sum(debit.amount for debit in reward.debits)
    target = half_even(reward.refunded, reward.total, reward.earned)
    reward.debits.append(Debit(target - taken))


def pay(payee: Payee, at: datetime) -> None:
    """One run for one payee: everything that is due, if it reaches the minimum; else all of it waits."""
    if payee.number % 10 == 0:
        return
    # A debit is due with its reward or, once that is paid, at once: in both cases its reward's time has come.
    due = [reward for reward in payee.rewards.values() if reward.available_at <= at]
    debits = [debit for reward in due for debit in reward.debits if not debit.claimed]
    credits = [reward for reward in due if not reward.claimed]
    amount = sum(reward.earned for reward in credits) - sum(debit.amount for debit in debits)
    if amount >= MINIMUM_PAYOUT:
        payee.payouts.append((at.date(), amount))
        for reward in credits:
            reward.claimed = True
        for debit in debits:
            debit.claimed = True


def use_card(result: Result, purchase: Purchase) -> None:
    number, on = f"CD-{purchase.customer}", purchase.at.date()
    if purchase.nth == 1:
        result.cards[number] = Card(number, on)
        result.cards[number].move(WELCOME_POINTS, on)
        count(result, CARD)
    card = result.cards[number]
    card.book_due_expiry(purchase.at)
    points = purchase.amount // 100
    if points:
        card.move(points, on)
    count(result, EARN, None if points else "below_minimum_purchase")
    if purchase.nth % REDEEM_EVERY == 0:
        enough = card.booked_balance >= REDEMPTION
        if enough:
            card.move(-REDEMPTION, on)
        count(result, REDEEM, None if enough else "insufficient_points")
