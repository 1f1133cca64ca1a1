"""A shop's loyalty cards as a person with a pencil would keep them. Shares no code with the domain.

Takes one event at a time; knows nothing of batches of SQL, locks or allocations. Times are UTC days of a
program in UTC. What waits is kept in a list and tried again when its original was booked.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from tests.oracles.loyalty_pages import Card, Lot, Record, Terms

DAY = timedelta(days=1)


class Book:
    """All cards of a shop."""

    def __init__(self, terms: Terms, cards: tuple[str, ...], start: datetime) -> None:
        self.terms = terms
        self.cards = {name: Card(last=start) for name in cards}
        self.records: dict[str, Record] = {}
        self.kinds: dict[str, str] = dict.fromkeys(cards, "enrol")
        self.refunds: dict[tuple[str, str], dict[str, int]] = {}
        self.orders: dict[str, list[Record]] = {}
        self.waiting: list[dict[str, Any]] = []
        self.said: dict[str, str] = {}
        # (card, what waits for it) of earns, redemptions and stamps that were refused.
        self.refused: set[tuple[str, str]] = set()
        self.lots = 0

    # --- arrival ------------------------------------------------------------------------------------

    def arrive(self, events: list[dict[str, Any]], now: datetime) -> None:
        """A batch: what waits for the same as one of its events, its events in order, then what these wake."""
        fresh = []
        for event in events:
            if event["id"] not in self.kinds:
                self.kinds[event["id"]] = event["kind"]
                fresh.append(event)
        beside = {self.awaited(e) for e in fresh if e["kind"] in ("void", "unstamp", "refund")}
        self.rounds([*self.taken_up(beside), *fresh], now)

    def sweep_waiting(self, now: datetime) -> None:
        """Try everything that waits again."""
        due = {self.awaited(e) for e in self.waiting if self.said[e["id"]] == "waiting"}
        self.rounds(self.taken_up(due), now)

    def taken_up(self, names: set[str]) -> list[dict[str, Any]]:
        due = [e for e in self.waiting if self.awaited(e) in names]
        self.waiting = [e for e in self.waiting if e not in due]
        return sorted(due, key=lambda e: (e["at"], e["id"]))

    def rounds(self, events: list[dict[str, Any]], now: datetime) -> None:
        while events:
            waited: set[str] = set()
            wakes: set[str] = set()
            for event in events:
                said = self.take(event, now)
                if said in ("waiting", "noted"):
                    waited.add(self.awaited(event))
                elif said == "applied" or event["kind"] in ("earn", "redeem", "stamp"):
                    wakes |= {n for n in self.names(event) if n in waited or self.noted(n, event)}
            events = self.taken_up(wakes)

    def noted(self, name: str, event: dict[str, Any]) -> bool:
        """Whether the card of an event says that something waits for it."""
        return any(self.awaited(e) == name and e["card"] == event["card"] for e in self.waiting)

    @staticmethod
    def awaited(event: dict[str, Any]) -> str:
        return f"#{event['of']}" if "of" in event else f"order {event['order']}"

    @staticmethod
    def names(event: dict[str, Any]) -> list[str]:
        return [
            f"#{event['id']}",
            *([f"order {event['order']}"] if event["kind"] == "earn" else []),
        ]

    def take(self, event: dict[str, Any], now: datetime) -> str:
        said = getattr(self, event["kind"])(event, now)
        if said == "waiting":
            self.waiting.append(event)
            if (event["card"], self.awaited(event)) in self.refused:
                self.said[event["id"]] = "applied:nothing_to_reverse"
                return "noted"
        if said.startswith("rejected") and event["kind"] in ("earn", "redeem", "stamp"):
            self.refused |= {(event["card"], name) for name in self.names(event)}
        self.said[event["id"]] = said
        return "applied" if said.startswith("applied") else said

    # --- time ---------------------------------------------------------------------------------------

    def turn(self, card: Card, at: datetime, now: datetime) -> datetime:
        late = now - at > self.terms.backdating * DAY or (
            card.expired is not None and at < card.expired
        )
        counted = now if late else min(at, now)
        self.lapse(card, counted)
        return counted

    def sweep(self, now: datetime) -> None:
        """The nightly sweep of what is due."""
        for card in self.cards.values():
            if card.timer is None or card.timer > now:
                continue
            ended = card.deadline is not None and card.deadline <= now
            self.lapse(card, now)
            ahead = [lot.until for lot in card.lots if lot.left and lot.until]
            ahead += [card.deadline] if card.deadline else []
            card.timer = min(ahead, default=None) if card.balance() > 0 and not ended else None

    @staticmethod
    def wind(card: Card, at: datetime | None) -> None:
        if at is not None:
            card.timer = min(card.timer or at, at)

    def lapse(self, card: Card, at: datetime) -> None:
        ends = card.deadline if card.deadline is not None and card.deadline <= at else None
        while True:
            own = sorted(
                lot.until for lot in card.lots if lot.left and lot.until and lot.until <= at
            )
            if not own or (ends is not None and own[0] >= ends):
                break
            self.expire(card, [lot for lot in card.lots if lot.until == own[0]])
        if ends is not None:
            card.deadline, card.expired = None, ends
            self.expire(card, card.lots)

    def expire(self, card: Card, lots: list[Lot]) -> None:
        gone = sum(lot.left for lot in lots)
        for lot in lots:
            lot.expired += lot.left
            lot.left = 0
        if gone:
            card.rows.append(("points_expired", -gone, card.balance()))

    @staticmethod
    def end_of_day(at: datetime, days: int) -> datetime:
        return datetime.combine(at.date() + (days + 1) * DAY, time(0), at.tzinfo)

    def active(self, card: Card, at: datetime, qualifies: bool) -> None:
        assert card.last is not None
        if card.deadline is None or (qualifies and at > card.last):
            card.last = max(card.last, at)
            card.deadline = self.end_of_day(card.last, self.terms.inactivity)
        if card.balance() > 0:
            self.wind(card, card.deadline)

    # --- points -------------------------------------------------------------------------------------

    def add(self, card: Card, points: int, at: datetime, pending: int, until: datetime) -> Lot:
        self.lots += 1
        lot = Lot(points, at, at + pending * DAY, until, self.lots)
        card.lots.append(lot)
        self.repay(card, lot)
        self.wind(card, lot.until if lot.left else None)
        return lot

    @staticmethod
    def repay(card: Card, lot: Lot) -> None:
        part = min(card.debt, lot.left)
        card.debt -= part
        lot.left -= part

    def remove(self, card: Card, points: int, at: datetime, own: Lot | None) -> int:
        """Take back; returns what could not be taken."""
        pending = [lot for lot in card.lots if lot.spendable > at]
        rest = [lot for lot in card.lots if lot.spendable <= at]
        for pile in (pending, rest):
            for lot in sorted(pile, key=lambda x: (x is not own, *self.order(x))):
                part = min(lot.left, points)
                lot.left -= part
                points -= part
        if self.terms.allow_debt:
            card.debt += points
            return 0
        return points

    @staticmethod
    def order(lot: Lot) -> tuple[datetime, datetime, int]:
        assert lot.until is not None
        return lot.until, lot.since, lot.number

    # --- events -------------------------------------------------------------------------------------

    def earn(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now)
        if not card.active:
            return "rejected:card_inactive"
        points = e["amount"] // 100
        if not points:
            return "rejected:no_points"
        until = self.end_of_day(at, self.terms.life)
        lot = self.add(card, points, at, self.terms.pending, until)
        card.rows.append(("points_earned", points, card.balance()))
        self.active(card, at, True)
        record = Record("earn", e["card"], points, at, lot, purchase=e["amount"])
        self.records[e["id"]] = record
        self.orders.setdefault(e["order"], []).append(record)
        return "applied"

    def redeem(self, e: dict[str, Any], now: datetime) -> str:
        card, points = self.cards[e["card"]], e["points"]
        at = self.turn(card, e["at"], now)
        if not card.active:
            return "rejected:card_inactive"
        if points < self.terms.least:
            return "rejected:below_min_redemption"
        usable = [
            lot
            for lot in sorted(card.lots, key=self.order)
            if lot.left and lot.spendable <= at and (lot.until is None or at < lot.until)
        ]
        if sum(lot.left for lot in usable) < points:
            return "rejected:insufficient_points"
        record = self.records[e["id"]] = Record("redeem", e["card"], points, at)
        missing = points
        for lot in usable:
            part = min(lot.left, missing)
            if part:
                lot.left -= part
                missing -= part
                record.took.append([lot, part])
        card.rows.append(("points_redeemed", -points, card.balance()))
        self.active(card, at, True)
        return "applied"

    def void(self, e: dict[str, Any], now: datetime) -> str:
        kind = self.kinds.get(e["of"])
        if kind is not None and kind not in ("earn", "redeem", "enrol"):
            return "rejected:not_voidable"
        if kind == "enrol":
            return "rejected:not_voidable"
        record = self.records.get(e["of"])
        if record is None:
            return "waiting"
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now)
        if record.card != e["card"]:
            return "rejected:other_card"
        expired = record.lot.expired if record.lot else 0
        left = record.amount - record.undone - expired
        if left <= 0:
            return "rejected:nothing_to_void" if expired else "rejected:already_voided"
        wanted = left if e["points"] is None else e["points"]
        if wanted > left:
            return "rejected:void_exceeds_original"
        record.undone += wanted
        if record.kind == "earn":
            missing = self.remove(card, wanted, at, record.lot)
            card.rows.append(("points_voided", missing - wanted, card.balance()))
        else:
            self.give_back(card, record, wanted, at)
        return "applied"

    def give_back(self, card: Card, record: Record, points: int, at: datetime) -> None:
        lapsed = card.expired is not None and record.at < card.expired
        late, missing, filled = 0, points, []
        for took in reversed(record.took):
            lot, spent = took
            part = min(spent, missing)
            took[1] -= part
            missing -= part
            if lapsed or lot.until <= at:
                late += part
            elif part:
                lot.left += part
                filled.append(lot)
        for lot in filled:
            self.repay(card, lot)
            self.wind(card, lot.until if lot.left else None)
        if late:
            self.add(card, late, at, 0, self.end_of_day(at, self.terms.restore))
        card.rows.append(("points_voided", points, card.balance()))
        self.active(card, at, False)

    def adjust(self, e: dict[str, Any], now: datetime) -> str:
        card, points = self.cards[e["card"]], e["points"]
        at = self.turn(card, e["at"], now)
        if points > 0:
            self.add(card, points, at, 0, self.end_of_day(at, self.terms.life))
            card.rows.append(("points_adjustment", points, card.balance()))
            self.active(card, at, False)
        else:
            missing = self.remove(card, -points, at, None)
            card.rows.append(("points_adjustment", points + missing, card.balance()))
        return "applied"

    def refund(self, e: dict[str, Any], now: datetime) -> str:
        earns = self.orders.get(e["order"], [])
        owners = {record.card for record in earns}
        if e["card"] is None and len(owners) > 1:
            return "rejected:order_ambiguous"
        name = e["card"] or next(iter(owners), None)
        mine = [record for record in earns if record.card == name]
        if not mine:
            return "waiting"
        card = self.cards[name]
        at = self.turn(card, e["at"], now)
        before = self.refunds.setdefault((name, e["order"]), {})
        total = sum(record.purchase or 0 for record in mine)
        if e["refund"] in before:
            return "rejected:duplicate_refund"
        if sum(before.values()) + e["amount"] > total:
            return "rejected:refund_exceeds_transaction"
        before[e["refund"]] = e["amount"]
        refunded, took = sum(before.values()), False
        for record in mine:
            assert record.lot is not None
            points = record.amount * refunded // total - record.undone - record.lot.expired
            points = min(points, self.owed(mine, refunded, total))
            if points > 0:
                record.undone += points
                missing = self.remove(card, points, at, record.lot)
                card.rows.append(("points_voided", missing - points, card.balance()))
                took = True
        return "applied" if took else "applied:nothing_to_reverse"

    @staticmethod
    def owed(order: list[Record], refunded: int, total: int) -> int:
        """What the refunds of an order may still take of all its earns together."""
        left = sum(record.amount for record in order) * refunded // total
        for record in order:
            assert record.lot is not None
            left -= record.undone
            share = record.amount * refunded // total
            if record.undone < share:
                left -= min(record.lot.expired, share - record.undone)
        return left

    def use(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        self.turn(card, e["at"], now)
        if card.active == e["active"]:
            return "rejected:card_active" if e["active"] else "rejected:card_inactive"
        card.active = e["active"]
        kind = "card_reactivated" if e["active"] else "card_deactivated"
        card.rows.append((kind, 0, card.balance()))
        return "applied"

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
