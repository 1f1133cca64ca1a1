"""SQL of periods of inactivity that took points, for events that may prove that they had not ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.loyalty.rules import Card, Lot
from domain.loyalty.rules.cards import Gone, Lapse
from domain.loyalty.rules.expiring import IN_TIME, LATE_ACTIVITY

# Of the card and of those that were merged into it. Used again: by what customers do, or by a credit.
_EXPIRIES = text(
    """
    SELECT w.card_id AS holder, t.card_id, t.id, t.transaction_at AS ended,
           CAST(t.explanation ->> 'last_activity_at' AS timestamptz) AS last_activity_at,
           CAST(t.explanation ->> 'since' AS timestamptz) AS since,
           t.explanation ->> 'policy' = 'inactivity' AS inactivity,
           (-t.points_delta - coalesce((
               SELECT sum(r.points_delta) FROM loyalty_transactions r WHERE r.related_transaction_id = t.id
           ), 0))::bigint AS points,
           (SELECT min(coalesce(CAST(u.explanation ->> 'counted_at' AS timestamptz), u.transaction_at))
            FROM cards m JOIN loyalty_transactions u ON u.card_id = m.id
            WHERE (m.id = w.card_id OR m.merged_into_id = w.card_id)
              AND (u.type IN ('points_earned', 'welcome_bonus', 'points_redeemed', 'stamp_earned', 'stamp_redeemed')
                   OR (u.type IN ('points_voided', 'points_adjustment') AND u.points_delta > 0))
              AND coalesce(u.explanation ->> 'rule', '') <> ALL (CAST(:given_back AS text[]))
              AND coalesce(CAST(u.explanation ->> 'counted_at' AS timestamptz), u.transaction_at)
                  >= t.transaction_at) AS resumed_at
    FROM unnest(CAST(:cards AS bigint[]), CAST(:since AS timestamptz[])) AS w (card_id, since)
    JOIN cards c ON c.id = w.card_id OR c.merged_into_id = w.card_id
    JOIN loyalty_transactions t ON t.card_id = c.id
    WHERE t.type = 'points_expired' AND t.transaction_at > w.since
    ORDER BY t.transaction_at, t.id
    """
)

_PARTS = text(
    """
    SELECT a.debit_transaction_id AS expiry, l.id, l.points, l.remaining, l.held, l.occurred_at, l.available_at,
           l.expires_at, (a.points - coalesce((
               SELECT sum(r.points) FROM lot_restorations r
               WHERE r.debit_transaction_id = a.debit_transaction_id AND r.lot_id = a.lot_id), 0))::bigint AS part
    FROM lot_allocations a JOIN point_lots l ON l.id = a.lot_id
    WHERE a.debit_transaction_id = ANY(:expiries)
    ORDER BY a.debit_transaction_id, l.expires_at, l.occurred_at, l.id
    """
)


def load(tx: Tx, wanted: Mapping[int, tuple[Card, datetime]]) -> None:
    """Give locked cards, whose lots are loaded, what expired after a time, and the periods of inactivity that took it.

    Lots that were emptied join the card's.
    """
    rows = tx.execute(
        _EXPIRIES,
        {
            "cards": list(wanted),
            "since": [since for _, since in wanted.values()],
            "given_back": [LATE_ACTIVITY, IN_TIME],
        },
    ).all()
    if not rows:
        return
    found: dict[tuple[int, datetime], Lapse] = {}
    gone: dict[int, tuple[Card, Gone]] = {}
    for row in rows:
        card, _ = wanted[row.holder]
        key = (row.card_id, row.ended)
        if row.last_activity_at is not None:
            lapse = Lapse(
                row.card_id, row.ended, row.last_activity_at, row.since, [], row.resumed_at
            )
            found[key] = lapse
            card.lapses.append(lapse)
        one = Gone(row.id, row.card_id, row.ended, row.points, [])
        card.gone.append(one)
        gone[row.id] = (card, one)
        if row.inactivity and key in found:
            found[key].expiries.append(one)
    _load_parts(tx, gone)


def _load_parts(tx: Tx, gone: Mapping[int, tuple[Card, Gone]]) -> None:
    cards = {card.id: card for card, _ in gone.values()}
    lots = {card.id: {lot.id: lot for lot in card.lots or ()} for card in cards.values()}
    rows: list[Any] = list(tx.execute(_PARTS, {"expiries": list(gone)}))
    for row in rows:
        card, one = gone[row.expiry]
        mine = lots[card.id]
        if row.id not in mine:
            mine[row.id] = Lot(
                row.points,
                row.remaining,
                row.occurred_at,
                row.available_at,
                row.expires_at,
                row.held,
                row.id,
            )
        if row.part:
            one.parts.append((mine[row.id], row.part))
    for card_id, mine in lots.items():
        # In stored order, which decides among equals.
        cards[card_id].lots = sorted(mine.values(), key=lambda lot: lot.id)
