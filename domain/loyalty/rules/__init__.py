"""The rules of loyalty, from values to values: what a purchase earns, what a card can spend, what expires.

A program gives 1 point for each full 1.00 EUR, and a purchase counts from 5.00 EUR:

>>> from datetime import UTC, datetime
>>> program = Program(id=1, merchant_id=1, key="beans", zone="Europe/Berlin", currency="eur",
...     earn_points=1, earn_per_amount=100, minimum_purchase=500, inactivity_days=365)
>>> points_for_purchase(program, 12_999, "eur")       # 129.99 EUR: the 99 cents earn nothing
129
>>> points_for_purchase(program, 499, "eur").reason
'below_minimum_purchase'

A card earns 129 points on 10 March, and its customer spends 100 of them on 1 April:

>>> card = Card(id=1, merchant_id=1, program=program, number="79927398713", customer_id="ada",
...     last_activity_at=datetime(2026, 3, 10, tzinfo=UTC), lots=[])
>>> at = datetime(2026, 3, 10, 11, 30, tzinfo=UTC)
>>> credit(card, "points_earned", 129, happened_at=at, at=at, explanation={}).balance_after
129
>>> at = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
>>> redeem(card, 100, happened_at=at, at=at, explanation={}).balance_after
29

Nothing happens for a year. The last valid day is 1 April 2027, so the 29 points are gone from the start
of 2 April in Berlin (which is 22:00 on 1 April in UTC), whenever somebody looks:

>>> card.deadline.isoformat()
'2027-04-01T22:00:00+00:00'
>>> late = datetime(2027, 5, 17, tzinfo=UTC)
>>> (expired,) = book_due_expiry(card, late)
>>> expired.points, expired.happened_at.isoformat(), card.balance
(-29, '2027-04-01T22:00:00+00:00', 0)
>>> redeem(card, 10, happened_at=late, at=late, explanation={}).reason
'insufficient_points'
"""

from domain.loyalty.rules.cards import (
    Card,
    Entry,
    credit,
    enrol,
    redeem,
)
from domain.loyalty.rules.corrections import adjust, set_active, take_back, void
from domain.loyalty.rules.earning import limited, multiplier_of, points_for_purchase
from domain.loyalty.rules.expiring import Revival, book_due_expiry, in_time, revive
from domain.loyalty.rules.holds import capture, hold, release, time_out, turn_to
from domain.loyalty.rules.lots import Hold, Lot, consume, spendable
from domain.loyalty.rules.numbers import card_number, is_card_number, luhn_digit
from domain.loyalty.rules.programs import (
    Program,
    Refusal,
    choose_program,
)
from domain.loyalty.rules.tiers import tier_of
from domain.loyalty.rules.times import effective_time, inactivity_deadline
from domain.loyalty.rules.types import QUALIFYING_TYPES, TRANSACTION_TYPES

__all__ = [
    "QUALIFYING_TYPES",
    "TRANSACTION_TYPES",
    "Card",
    "Entry",
    "Hold",
    "Lot",
    "Program",
    "Refusal",
    "Revival",
    "adjust",
    "book_due_expiry",
    "capture",
    "card_number",
    "choose_program",
    "consume",
    "credit",
    "effective_time",
    "enrol",
    "hold",
    "in_time",
    "inactivity_deadline",
    "is_card_number",
    "limited",
    "luhn_digit",
    "multiplier_of",
    "points_for_purchase",
    "redeem",
    "release",
    "revive",
    "set_active",
    "spendable",
    "take_back",
    "tier_of",
    "time_out",
    "turn_to",
    "void",
]
