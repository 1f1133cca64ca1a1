"""SQL of reports: sums over the rows of history themselves, so that late and backdated ones are in them.

They read the rows of the time that is asked for by (merchant_id, transaction_at), or those of a store by
(store_id, transaction_at). There are no kept sums: nothing on the road of an event pays for reports, and
nothing has to be put right when a row of last month arrives today.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx
from domain.loyalty.rules.reporting import Wanted

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "program": ("p.key AS program",),
    # The names as they were then: who was renamed meanwhile has a row for each.
    "store": ("t.store_id AS store", "t.store_name"),
    "type": ("t.type",),
    "staff": ("t.staff_pin_id AS staff", "t.staff_name"),
    "device": ("t.terminal_device_id AS device",),
}
_FILTERS: Final[Mapping[str, str]] = {
    "program": "p.key = :program",
    "store": "t.store_id = :store",
    "type": "t.type = :type",
    "staff": "t.staff_pin_id = :staff",
    "device": "t.terminal_device_id = :device",
}
_IMPORTED: Final = "t.type LIKE '%_adjustment' AND t.explanation ->> 'rule' = 'imported'"
MEASURES: Final[Mapping[str, str]] = {
    "transactions": "count(*)",
    "points_issued": "sum(t.points_delta) FILTER (WHERE t.type IN ('points_earned', 'welcome_bonus'))",
    "points_imported": f"sum(t.points_delta) FILTER (WHERE {_IMPORTED})",
    "points_adjusted": "sum(t.points_delta) FILTER (WHERE t.type = 'points_adjustment'"
    f" AND t.related_transaction_id IS NULL AND NOT ({_IMPORTED}))",
    "points_taken_back": "sum(-t.points_delta) FILTER (WHERE t.type = 'points_voided' AND t.points_delta < 0)",
    "points_redeemed": "sum(-t.points_delta) FILTER (WHERE t.type = 'points_redeemed')",
    "points_given_back": "sum(t.points_delta) FILTER (WHERE t.type = 'points_voided' AND t.points_delta > 0)",
    "points_expired": "sum(-t.points_delta) FILTER (WHERE t.type = 'points_expired')",
    "points_restored": "sum(t.points_delta) FILTER (WHERE t.type = 'points_adjustment'"
    " AND t.related_transaction_id IS NOT NULL)",
    "points_net": "sum(t.points_delta)",
    "stamps_issued": "sum(t.stamps_delta) FILTER (WHERE t.type = 'stamp_earned')",
    "stamps_imported": f"sum(t.stamps_delta) FILTER (WHERE {_IMPORTED})",
    "stamps_adjusted": "sum(t.stamps_delta) FILTER (WHERE t.type = 'stamp_adjustment'"
    f" AND NOT ({_IMPORTED}))",
    "stamps_voided": "sum(-t.stamps_delta) FILTER (WHERE t.type = 'stamp_voided')",
    "stamps_redeemed": "sum(-t.stamps_delta) FILTER (WHERE t.type = 'stamp_redeemed')",
    "stamps_net": "sum(t.stamps_delta)",
}
"""What a report counts: issued + imported + adjusted − taken_back − redeemed + given_back − expired
+ restored = net, of points; and issued + imported + adjusted − voided − redeemed = net, of stamps."""


def columns(wanted: Wanted) -> list[str]:
    """The names of a report's columns."""
    keys = [part.split(".")[-1].split(" AS ")[-1] for name in wanted.by for part in _COLUMNS[name]]
    return [*(["period"] if wanted.per else []), *keys, *MEASURES]


def report(tx: Tx, merchant_id: int, wanted: Wanted, limit: int) -> list[Any]:
    """Rows of a report in the order of its columns, at most ``limit``."""
    groups = [part for name in wanted.by for part in _COLUMNS[name]]
    if wanted.per is not None:
        groups.insert(0, "date_trunc(:per, t.transaction_at AT TIME ZONE :zone)::date AS period")
    only = {name: getattr(wanted, name) for name in _FILTERS if getattr(wanted, name) is not None}
    # Only then: it is a look for each row.
    names_program = "program" in wanted.by or wanted.program is not None
    sums = [
        f"{how} AS {name}" if name == "transactions" else f"coalesce({how}, 0)::bigint AS {name}"
        for name, how in MEASURES.items()
    ]
    where = [
        "t.merchant_id = :merchant_id",
        "t.transaction_at >= :since",
        "t.transaction_at < :until",
    ]
    where += [_FILTERS[name] for name in only]
    places = ", ".join(str(place) for place in range(1, len(groups) + 1))
    statement = (
        f"SELECT {', '.join([*groups, *sums])} FROM loyalty_transactions t"  # noqa: S608 — parts of this module
        + (" JOIN loyalty_programs p ON p.id = t.program_id" if names_program else "")
        + f" WHERE {' AND '.join(where)}"
        + (f" GROUP BY {places} ORDER BY {places}" if groups else "")
        + " LIMIT :limit"
    )
    values: dict[str, Any] = {
        "merchant_id": merchant_id,
        "since": wanted.since,
        "until": wanted.until,
        "limit": limit,
        **only,
    }
    if wanted.per is not None:
        values |= {"per": wanted.per, "zone": wanted.zone}
    return list(tx.execute(text(statement), values))
