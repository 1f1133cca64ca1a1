"""The story of examples/README.md as events: from rows of a file to what the shop publishes, in order."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from domain.referrals.admin import Terms
from payspool_client import (
    CardCreated,
    ConversionRecorded,
    ConversionRefunded,
    Event,
    EventData,
    PayeeUpdated,
    PointsEarned,
    PointsRedeemed,
)

MERCHANT: Final = "cdnow"
SOURCE: Final = "cdnow-shop"
CURRENCY: Final = "usd"
FOUNDERS: Final = 40
START: Final = datetime(1997, 1, 1, tzinfo=UTC)
END: Final = datetime(1998, 9, 1, 7, tzinfo=UTC)
"""The clock's last moment: after the last hold and the last run."""
REFUND_AFTER: Final = timedelta(days=20)
RUN_CRON: Final = "0 6 1 * *"
EXPIRY_CRON: Final = "0 3 * * 1"
MINIMUMS: Final = {CURRENCY: 1_000}
POINTS_PROGRAM: Final = "music"
REDEEM_POINTS: Final = 100

PROGRAMS: Final[dict[str, Terms]] = {
    "welcome": Terms(
        {"kind": "one_time", "amount": 500}, CURRENCY, hold_days=14, window_days=90, min_amount=100
    ),
    "subscription": Terms(
        {"kind": "recurring", "basis_points": 800, "max_payments": 6, "duration_days": 365},
        CURRENCY,
        hold_days=30,
        min_amount=100,
    ),
    "affiliate": Terms(
        {"kind": "percentage", "basis_points": 1_000, "cap": 600},
        CURRENCY,
        hold_days=14,
        window_days=365,
        min_amount=100,
    ),
    "ambassador": Terms(
        {
            "kind": "tiered",
            "by": "count",
            "tiers": [
                {"from": 1, "basis_points": 400},
                {"from": 50, "basis_points": 700},
                {"from": 150, "basis_points": 1_000},
            ],
        },
        CURRENCY,
        min_amount=100,
    ),
}
_PROGRAM_BY_REMAINDER: Final = {1: "welcome", 2: "subscription", 3: "affiliate", 0: "ambassador"}


@dataclass(frozen=True, slots=True)
class Purchase:
    """A row of the file. ``amount`` in cents; ``nth`` counts the customer's purchases from 1."""

    row: int
    customer: str
    at: datetime
    amount: int
    number: int
    nth: int


@dataclass(frozen=True, slots=True)
class Founder:
    """One of the first customers, who refers others."""

    number: int
    customer: str

    @property
    def code(self) -> str:
        """The founder's referral code."""
        return f"CDNOW-{self.number:02d}"

    @property
    def program(self) -> str:
        """The program of the founder's code."""
        return _PROGRAM_BY_REMAINDER[self.number % 4]

    @property
    def has_account(self) -> bool:
        """Whether the founder ever becomes a payee."""
        return self.number % 10 != 0


def purchases(path: Path) -> list[Purchase]:
    """All rows of the file, as purchases at their moments (UTC)."""
    made: list[Purchase] = []
    numbers: dict[str, int] = {}
    counts: dict[str, int] = {}
    day, ordinal = date.min, 0
    with path.open(newline="", encoding="utf-8") as file:
        for raw in csv.DictReader(file):
            customer, on = raw["customer_id"], date.fromisoformat(raw["date"])
            ordinal = ordinal + 1 if on == day else 0
            day = on
            counts[customer] = counts.get(customer, 0) + 1
            made.append(
                Purchase(
                    row=int(raw["row"]),
                    customer=customer,
                    at=datetime.combine(on, time(9), UTC) + timedelta(seconds=ordinal),
                    amount=int(Decimal(raw["amount_usd"]) * 100),
                    number=numbers.setdefault(customer, len(numbers) + 1),
                    nth=counts[customer],
                )
            )
    return made


def founders(rows: list[Purchase]) -> list[Founder]:
    """The first customers of the file."""
    known = {p.number: p.customer for p in rows if p.number <= FOUNDERS}
    return [Founder(number, known[number]) for number in sorted(known)]


def payees(of: list[Founder], accounts: dict[str, str]) -> Iterator[Event]:
    """How the founders are paid; ``accounts`` maps customers to connected accounts."""
    for founder in of:
        if founder.has_account:
            data = PayeeUpdated(
                user_id=founder.customer, method="stripe", account=accounts[founder.customer]
            )
            yield _event(f"payee-{founder.customer}", START, data)


def events(rows: list[Purchase], of: list[Founder]) -> list[Event]:
    """Everything that the shop publishes, in order of its moments."""
    moments: list[tuple[datetime, int, int, list[Event]]] = []
    for purchase in rows:
        moments.append((purchase.at, 1, purchase.row, list(_of_purchase(purchase, of))))
        if purchase.row % 60 == 0 and purchase.amount > 0:
            at = purchase.at + REFUND_AFTER
            moments.append((at, 0, purchase.row, [_refund(purchase, at)]))
    return [event for *_, made in sorted(moments, key=lambda m: m[:3]) for event in made]


def _of_purchase(purchase: Purchase, of: list[Founder]) -> Iterator[Event]:
    card, row = f"CD-{purchase.customer}", purchase.row
    referrer = purchase.number if purchase.number <= FOUNDERS else (purchase.number - 41) % 40 + 1
    if purchase.nth == 1:
        data: EventData = CardCreated(
            card=card, customer_id=purchase.customer, program=POINTS_PROGRAM
        )
        yield _event(f"card-{purchase.customer}", purchase.at, data)
    yield _event(
        f"purchase-{row}",
        purchase.at,
        ConversionRecorded(
            code=of[referrer - 1].code,
            referred_user_id=purchase.customer,
            transaction_id=f"cdnow-{row}",
            amount=purchase.amount,
            currency=CURRENCY,
        ),
    )
    yield _event(
        f"points-{row}",
        purchase.at,
        PointsEarned(
            card=card,
            purchase_amount=purchase.amount,
            purchase_currency=CURRENCY,
            order_reference=f"cdnow-{row}",
        ),
    )
    if purchase.nth % 3 == 0:
        yield _event(
            f"redeem-{row}",
            purchase.at,
            PointsRedeemed(card=card, points=REDEEM_POINTS, order_reference=f"cdnow-{row}"),
        )


def _refund(purchase: Purchase, at: datetime) -> Event:
    row, transaction, refund = purchase.row, f"cdnow-{purchase.row}", f"refund-{purchase.row}"
    if row % 120 == 0:
        data = ConversionRefunded(transaction_id=transaction, refund_id=refund, full=True)
    else:
        data = ConversionRefunded(
            transaction_id=transaction,
            refund_id=refund,
            amount=max(1, purchase.amount // 2),
            currency=CURRENCY,
        )
    return _event(f"refund-{row}", at, data)


def _event(event_id: str, at: datetime, data: EventData) -> Event:
    return Event.of(data, merchant=MERCHANT, source=SOURCE, id=event_id, time=at)
