"""A shop's loyalty cards as a person with a pencil would keep them. Shares no code with the domain.

Takes one event at a time; knows nothing of batches of SQL, locks or allocations. Times are UTC days of a
program in UTC. What waits is kept in a list and tried again when its original was booked.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from tests.oracles.loyalty_pages import Card, Ended, Held, Lot, Record, Terms

DAY = timedelta(days=1)
FAR = datetime.max.replace(tzinfo=UTC)
ABOUT_ANOTHER = ("void", "unstamp", "refund", "capture", "release")
TRIED_AGAIN = ("rejected:reward_unknown", "rejected:hold_refused")
AWAITED = ("earn", "redeem", "stamp", "hold", "capture")


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
        # Cards of refunds that name none.
        self.found: dict[str, str] = {}
        self.lots = 0
        # The event that proves activity, and its card as it was.
        self.proof: tuple[Any, ...] | None = None

    # --- arrival ------------------------------------------------------------------------------------

    def arrive(self, events: list[dict[str, Any]], now: datetime) -> None:
        """A batch: what waits for the same as one of its events, its events in order, then what these wake."""
        fresh: list[dict[str, Any]] = []
        for event in events:
            again = self.said.get(event["id"]) in TRIED_AGAIN and event not in fresh
            if event["id"] not in self.kinds or again:
                self.kinds[event["id"]] = event["kind"]
                fresh.append(event)
        beside = {self.awaited(e) for e in fresh if e["kind"] in ABOUT_ANOTHER}
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
                elif said == "applied" or event["kind"] in AWAITED:
                    wakes |= {n for n in self.names(event) if n in waited or self.noted(n, event)}
            events = self.taken_up(wakes)

    def noted(self, name: str, event: dict[str, Any]) -> bool:
        """Whether the card of an event says that something waits for it."""
        card = self.found.get(event["id"], event["card"])
        return any(self.awaited(e) == name and e["card"] == card for e in self.waiting)

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
        self.proof = None
        said = getattr(self, event["kind"])(event, now)
        if not said.startswith("applied"):
            self.forget(self.cards[event["card"]], event) if event["card"] else None
        if said == "waiting":
            self.waiting.append(event)
            if (event["card"], self.awaited(event)) in self.refused:
                self.said[event["id"]] = "applied:nothing_to_reverse"
                return "noted"
        if said.startswith("rejected") and event["kind"] in AWAITED:
            self.refused |= {(event["card"], name) for name in self.names(event)}
        # What makes no row wakes nobody.
        self.said[event["id"]] = "applied" if said == "released" else said
        return said

    # --- time ---------------------------------------------------------------------------------------

    def turn(
        self, card: Card, at: datetime, now: datetime, proves: dict[str, Any] | None = None
    ) -> datetime:
        if proves is not None:
            self.disprove(card, at, now, proves)
        late = now - at > self.terms.backdating * DAY or (
            card.expired is not None and at < card.expired
        )
        counted = now if late else min(at, now)
        self.time_out(card, counted)
        self.lapse(card, counted)
        return counted

    def sweep(self, now: datetime, only: tuple[str, ...] | None = None) -> None:
        """The nightly sweep of what is due: of all cards, or of some."""
        for name, card in self.cards.items():
            passed_over = only is not None and name not in only
            if passed_over or card.timer is None or card.timer > now:
                continue
            self.time_out(card, now)
            self.lapse(card, now)
            ahead = [
                x.until for x in card.lots if x.left and x.until and (x.free() or x.until > now)
            ]
            ahead += [card.deadline] if card.deadline and card.full() else []
            ahead += [held.until for held in card.open_holds()]
            card.timer = min(ahead, default=None)

    def sweep_holds(self, now: datetime) -> None:
        """The sweep of holds that are over."""
        for card in self.cards.values():
            if any(held.until <= now for held in card.open_holds()):
                self.time_out(card, now)
                self.lapse(card, now)

    def time_out(self, card: Card, at: datetime) -> None:
        for held in card.open_holds():
            if held.until <= at:
                self.close(held, "timed_out", held.until)

    @staticmethod
    def close(held: Held, status: str, at: datetime) -> None:
        for lot, part in held.parts:
            lot.held -= part
        held.status, held.closed = status, at

    @staticmethod
    def wind(card: Card, at: datetime | None) -> None:
        if at is not None:
            card.timer = min(card.timer or at, at)

    def lapse(self, card: Card, at: datetime) -> None:
        ends = card.deadline if card.deadline is not None and card.deadline <= at else None
        while True:
            own = sorted({self.due(card, lot) for lot in card.lots if lot.free()})
            if not own or own[0] > at or (ends is not None and own[0] >= ends):
                break
            past = [one for one in card.ended if one.at == own[0] == card.expired]
            gone = [lot for lot in card.lots if self.due(card, lot) == own[0]]
            self.expire(card, gone, own[0], *past)
        if ends is not None:
            ended = Ended(ends, card.last, card.expired)
            card.deadline, card.expired = None, ends
            self.expire(card, card.lots, ends, ended)
            card.ended += [ended] if ended.rows else []

    def disprove(self, card: Card, at: datetime, now: datetime, event: dict[str, Any]) -> None:
        """Take back the end of the last period, if activity at a time was in it and kept it going."""
        last = card.ended[-1] if card.ended else None
        if last is None or last.at != card.expired or now - at > self.terms.backdating * DAY:
            return
        assert last.last is not None
        days = self.terms.inactivity
        until = self.end_of_day(at, days) if days else FAR
        if not last.last < at < last.at or until == last.at or (last.before or at) > at:
            return
        if card.deadline is not None and last.again is not None and last.again >= until:
            return
        self.note_as_it_was(card, event)
        card.ended, card.expired = card.ended[:-1], last.before
        if card.deadline is None:
            card.deadline, card.last = until, max(at, card.last or at)
        for row in last.rows:
            back = sorted(row.values(), key=lambda part: self.order(part[0]))
            self.hand_back(
                card, row, [(lot, n) for lot, n in back if n and (lot.until or FAR) > now]
            )
        if card.full():
            self.wind(card, card.deadline)

    def was_in_time(
        self, card: Card, points: int, event: dict[str, Any], now: datetime
    ) -> datetime | None:
        """Give a redemption what it needs of what expired only after it."""
        at = event["at"]
        if now - at > self.terms.backdating * DAY or at > now:
            return None
        missing = points + card.debt - sum(lot.free() for lot in self.usable(card, at))
        there = [
            (self.order(lot), row, lot, n)
            for ended, row in card.gone
            if ended > at
            for lot, n in row.values()
            if n and lot.spendable <= at < (lot.until or FAR)
        ]
        if not 0 < missing <= sum(n for *_, n in there):
            return None
        if self.proof is None:
            self.note_as_it_was(card, event)
        chosen: dict[int, list[tuple[Lot, int]]] = {}
        for _, row, lot, n in sorted(there, key=lambda one: one[0]):
            part = min(n, missing)
            missing -= part
            chosen.setdefault(id(row), []).extend([(lot, part)] if part else [])
        for _, row in card.gone:
            self.hand_back(card, row, chosen.get(id(row), []))
        return at

    def note_as_it_was(self, card: Card, event: dict[str, Any]) -> None:
        rows = [(row, dict(row)) for _, row in card.gone]
        self.proof = (
            event["id"],
            vars(card).copy(),
            [(x, x.left, x.expired) for x in card.lots],
            rows,
        )
        card.rows = [*card.rows]

    def hand_back(
        self, card: Card, row: dict[int, tuple[Lot, int]], back: list[tuple[Lot, int]]
    ) -> None:
        for lot, points in back:
            lot.left += points
            lot.expired -= points
            row[lot.number] = (lot, row[lot.number][1] - points)
        if back:
            points = sum(n for _, n in back)
            card.rows.append(("points_adjustment", points, card.balance()))
        for lot, _ in back:
            self.repay(card, lot)
            self.wind(card, lot.until if lot.free() else None)

    def forget(self, card: Card, event: dict[str, Any]) -> None:
        """An event that was refused proves nothing."""
        if self.proof is not None and self.proof[0] == event["id"]:
            vars(card).update(self.proof[1])
            for lot, left, expired in self.proof[2]:
                lot.left, lot.expired = left, expired
            for row, was in self.proof[3]:
                row.clear()
                row.update(was)

    @staticmethod
    def due(card: Card, lot: Lot) -> datetime:
        """Its own end, or that of a period of inactivity which only a hold let it outlive."""
        outlived = card.expired is not None and lot.since < card.expired
        return min(lot.until or FAR, card.expired if outlived and card.expired else FAR)

    def expire(self, card: Card, lots: list[Lot], at: datetime, ended: Ended | None = None) -> None:
        gone = sum(lot.free() for lot in lots)
        took = {lot.number: (lot, lot.free()) for lot in lots if lot.free()}
        card.gone += [(at, took)] if took else []
        if took and ended is not None:
            ended.rows.append(took)
        for lot in lots:
            lot.expired += lot.free()
            lot.left = lot.held
        if gone:
            card.rows.append(("points_expired", -gone, card.balance()))

    @staticmethod
    def end_of_day(at: datetime, days: int) -> datetime:
        return datetime.combine(at.date() + (days + 1) * DAY, time(0), at.tzinfo)

    def active(self, card: Card, at: datetime, qualifies: bool) -> None:
        assert card.last is not None
        for one in card.ended:
            if at >= one.at:
                one.again = min(one.again or at, at)
        days = self.terms.inactivity
        if (card.deadline is None and days) or (qualifies and at > card.last):
            card.last = max(card.last, at)
            card.deadline = self.end_of_day(card.last, days) if days else None
        if card.full() > 0:
            self.wind(card, card.deadline)

    # --- points -------------------------------------------------------------------------------------

    def alive_until(self, at: datetime) -> datetime | None:
        return self.end_of_day(at, self.terms.life) if self.terms.life else None

    def add(
        self, card: Card, points: int, at: datetime, pending: int, until: datetime | None
    ) -> Lot:
        self.lots += 1
        lot = Lot(points, at, at + pending * DAY, until, self.lots)
        card.lots.append(lot)
        self.repay(card, lot)
        self.wind(card, lot.until if lot.free() else None)
        return lot

    @staticmethod
    def repay(card: Card, lot: Lot) -> None:
        part = min(card.debt, lot.free())
        card.debt -= part
        lot.left -= part

    def remove(self, card: Card, points: int, at: datetime, own: Lot | None) -> int:
        """Take back; returns what could not be taken."""
        pending = [lot for lot in card.lots if lot.spendable > at]
        rest = [lot for lot in card.lots if lot.spendable <= at]
        for pile in (pending, rest):
            for lot in sorted(pile, key=lambda x: (x is not own, *self.order(x))):
                part = min(lot.free(), points)
                lot.left -= part
                points -= part
        if self.terms.allow_debt:
            card.debt += points
            return 0
        return points

    @staticmethod
    def order(lot: Lot) -> tuple[datetime, datetime, int]:
        return lot.until or FAR, lot.since, lot.number

    # --- events -------------------------------------------------------------------------------------

    def earn(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now, e)
        if not card.active:
            return "rejected:card_inactive"
        points = e["amount"] // 100
        if not points:
            return "rejected:no_points"
        until = self.alive_until(at)
        lot = self.add(card, points, at, self.terms.pending, until)
        card.rows.append(("points_earned", points, card.balance()))
        self.active(card, at, True)
        record = Record("earn", e["card"], points, at, lot, purchase=e["amount"])
        self.records[e["id"]] = record
        self.orders.setdefault(e["order"], []).append(record)
        return "applied"

    def redeem(self, e: dict[str, Any], now: datetime) -> str:
        card = self.cards[e["card"]]
        at = self.turn(card, e["at"], now, e)
        if not card.active:
            return "rejected:card_inactive"
        points, cash, refusal = self.price(e)
        refusal = refusal or self.too_few(card, points, at)
        if refusal == "rejected:insufficient_points":
            at = self.was_in_time(card, points, e, now) or at
            refusal = self.too_few(card, points, at)
        if refusal:
            return refusal
        record = self.records[e["id"]] = Record("redeem", e["card"], points, at, cash=cash)
        for lot, part in self.picked(card, points, at):
            lot.left -= part
            record.took.append([lot, part])
        card.rows.append(("points_redeemed", -points, card.balance()))
        card.cash += [cash] if cash else []
        self.active(card, at, True)
        return "applied"

    def price(self, e: dict[str, Any]) -> tuple[int, int, str]:
        """Points and cash of what is redeemed, and why it cannot be."""
        points, reward = e.get("points"), e.get("reward")
        if reward in self.terms.rewards:
            cost, cash = self.terms.rewards[reward]
            return cost, cash, "" if points in (None, cost) else "rejected:reward_cost_changed"
        return points or 0, 0, "" if points else "rejected:reward_unknown"

    def too_few(self, card: Card, points: int, at: datetime) -> str:
        if points < self.terms.least:
            return "rejected:below_min_redemption"
        there = sum(lot.free() for lot in self.usable(card, at)) - card.debt
        return "rejected:insufficient_points" if there < points else ""

    def usable(self, card: Card, at: datetime) -> list[Lot]:
        return [
            lot
            for lot in sorted(card.lots, key=self.order)
            if lot.free() and lot.spendable <= at and (lot.until is None or at < lot.until)
        ]

    def picked(self, card: Card, points: int, at: datetime) -> list[tuple[Lot, int]]:
        parts = []
        for lot in self.usable(card, at):
            part = min(lot.free(), points)
            points -= part
            parts += [(lot, part)] if part else []
        return parts

    def void(self, e: dict[str, Any], now: datetime) -> str:
        kind = self.kinds.get(e["of"])
        if kind is not None and kind not in ("earn", "redeem", "capture"):
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
        before = record.share()
        record.undone += wanted
        card.cash += [before - record.share()] if record.share() > before else []
        if record.kind == "earn":
            missing = self.remove(card, wanted, at, record.lot)
            card.rows.append(("points_voided", missing - wanted, card.balance()))
        else:
            self.give_back(card, record, wanted, at)
        return "applied"

    def give_back(self, card: Card, record: Record, points: int, at: datetime) -> None:
        late, missing, filled = 0, points, []
        for took in reversed(record.took):
            lot, spent = took
            part = min(spent, missing)
            took[1] -= part
            missing -= part
            if self.due(card, lot) <= at or (card.expired is not None and lot.since < card.expired):
                late += part
            elif part:
                lot.left += part
                filled.append(lot)
        for lot in filled:
            self.repay(card, lot)
            self.wind(card, lot.until if lot.free() else None)
        if late:
            self.add(card, late, at, 0, self.end_of_day(at, self.terms.restore))
        card.rows.append(("points_voided", points, card.balance()))
        self.active(card, at, False)

    def adjust(self, e: dict[str, Any], now: datetime) -> str:
        card, points = self.cards[e["card"]], e["points"]
        at = self.turn(card, e["at"], now)
        if points > 0:
            self.add(card, points, at, 0, self.alive_until(at))
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
        card, self.found[e["id"]] = self.cards[name], name
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
