"""The plain book of loyalty cards, with what tills do besides: points set aside, stamps, cards out of use.

Shares no code with the domain.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from tests.oracles.loyalty_model import Book
from tests.oracles.loyalty_pages import Held, Record


class Tills(Book):
    """All cards of a shop whose tills set points aside and stamp cards."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.held: dict[str, Held] = {}

    def everything(self) -> Any:
        """All that the book knows, for comparison."""
        return [
            [asdict(card) for card in self.cards.values()],
            {name: asdict(record) for name, record in sorted(self.records.items())},
            {
                order: [(r.card, r.amount, str(r.at)) for r in earns]
                for order, earns in sorted(self.orders.items())
            },
            sorted(self.refunds.items()),
            sorted(e["id"] for e in self.waiting),
            sorted(self.refused),
            sorted(self.said.items()),
        ]

    def hold(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now)
        if not card.active:
            return "rejected:card_inactive"
        points, cash, refusal = self.price(e)
        refusal = refusal or ("rejected:reward_not_held" if cash else "")
        refusal = refusal or self.too_few(card, points, at)
        if refusal:
            return refusal
        parts = self.picked(card, points, at)
        for lot, part in parts:
            lot.held += part
        until = at + timedelta(hours=self.terms.hold_hours)
        held = self.held[e["id"]] = Held(e["id"], e["card"], points, until, parts)
        card.holds.append(held)
        self.wind(card, until)
        return "applied"

    def capture(self, e: dict[str, Any], now: datetime) -> str:
        held = self.placed(e, "rejected:hold_refused")
        if isinstance(held, str):
            return held
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now, e)
        if not card.active:
            return "rejected:card_inactive"
        refusal = self.closed(held, e["card"])
        points = held.points if e["points"] is None else e["points"]
        if refusal or points > held.points:
            return refusal or "rejected:capture_exceeds_hold"
        self.close(held, "captured", at)
        record = self.records[e["id"]] = Record("redeem", e["card"], points, at)
        for lot, held_part in held.parts:
            part = min(held_part, points - sum(took[1] for took in record.took))
            lot.left -= part
            record.took += [[lot, part]] if part else []
        card.rows.append(("points_redeemed", -points, card.balance()))
        self.active(card, at, True)
        self.lapse(card, at)
        return "applied"

    def release(self, e: dict[str, Any], now: datetime) -> str:
        held = self.placed(e, "waiting")
        if isinstance(held, str):
            return held
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now)
        refusal = self.closed(held, e["card"])
        if refusal:
            return refusal
        self.close(held, "released", at)
        self.lapse(card, at)
        return "released"

    def placed(self, e: dict[str, Any], refused: str) -> Held | str:
        if self.kinds.get(e["of"]) not in (None, "hold"):
            return "rejected:not_a_hold"
        if e["of"] in self.held:
            return self.held[e["of"]]
        return refused if (e["card"], self.awaited(e)) in self.refused else "waiting"

    @staticmethod
    def closed(held: Held, card: str) -> str:
        if held.card != card:
            return "rejected:other_card"
        return "" if held.status == "open" else f"rejected:hold_{held.status}"

    def stamp(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now)
        if not card.active:
            return "rejected:card_inactive"
        card.stamps += e["stamps"]
        self.records[e["id"]] = Record("stamp", e["card"], e["stamps"], e["at"])
        card.rows.append(("stamp_earned", 0, card.balance()))
        self.active(card, at, False)
        return "applied"

    def full(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now)
        if not card.active:
            return "rejected:card_inactive"
        if card.stamps < 3:
            return "rejected:insufficient_stamps"
        card.stamps -= 3
        card.rows.append(("stamp_redeemed", 0, card.balance()))
        self.active(card, at, False)
        return "applied"

    def unstamp(self, e: dict[str, Any], now: datetime) -> str:
        kind = self.kinds.get(e["of"])
        if kind is not None and kind != "stamp":
            return "rejected:not_voidable"
        record = self.records.get(e["of"])
        if record is None:
            return "waiting"
        card = self.cards[e["card"]]
        self.turn(card, e["at"], now)
        if record.card != e["card"]:
            return "rejected:other_card"
        left = record.amount - record.undone
        if not left:
            return "rejected:already_voided"
        if left > card.stamps:
            return "rejected:insufficient_stamps"
        record.undone += left
        card.stamps -= left
        card.rows.append(("stamp_voided", 0, card.balance()))
        return "applied"

    def restamp(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        self.turn(card, e["at"], now)
        if card.stamps + e["stamps"] < 0:
            return "rejected:insufficient_stamps"
        card.stamps += e["stamps"]
        card.rows.append(("stamp_adjustment", 0, card.balance()))
        return "applied"

    def use(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        self.turn(card, e["at"], now)
        if card.active == e["active"]:
            return "rejected:card_active" if e["active"] else "rejected:card_inactive"
        card.active = e["active"]
        kind = "card_reactivated" if e["active"] else "card_deactivated"
        card.rows.append((kind, 0, card.balance()))
        return "applied"
