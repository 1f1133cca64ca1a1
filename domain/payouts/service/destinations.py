"""Where people are paid, who shares that, and which changes of it are still to be looked at."""

from collections.abc import Collection, Sequence
from typing import Final

from domain.db import Tx
from domain.payouts.store import destinations as store
from domain.payouts.store.destinations import Look

SHARERS: Final = 200
"""Payees with one destination that are told at once."""

__all__ = ["Look", "destinations", "looked", "not_alone", "sharers", "to_look"]


def destinations(tx: Tx, users: Collection[tuple[int, str]]) -> dict[tuple[int, str], str]:
    """Where each of some (merchant, user) is paid, as a name that only those who are paid there share.

    It is for comparing alone. Who has no destination yet is left out.
    """
    return store.of_users(tx, users)


def sharers(tx: Tx, look: Look, after: int) -> tuple[list[str], int | None]:
    """Other users of the merchant who are paid where a payee is paid now: some of them, and where to go on.

    ``after``: 0 at first, then what was returned. None: that were all.
    """
    found = store.may_share(tx, look.payee_id, after=after, limit=SHARERS)
    if not found:
        return [], None
    me = (look.merchant_id, look.user_id)
    paid_at = store.of_users(tx, {me, *((look.merchant_id, row.user_id) for row in found)})
    mine = paid_at.get(me)
    same = [r.user_id for r in found if paid_at.get((look.merchant_id, r.user_id)) == mine]
    return same if mine is not None else [], found[-1].id


def not_alone(tx: Tx, looks: Sequence[Look]) -> list[Look]:
    """Those of some looks that can find anybody: told by one statement, for many payees come at once."""
    found = store.not_alone(tx, [look.payee_id for look in looks])
    return [look for look in looks if look.payee_id in found]


def to_look(tx: Tx, merchant_id: int | None, *, after: int, limit: int) -> list[Look]:
    """Payees above id ``after`` whose destination changed, of one merchant or of all, to be looked at now.

    Each comes twice. At once; and when every transaction is over that was open at the first look: a
    conversion that was decided by the destination of before is to be seen only then.
    """
    return store.to_look(tx, merchant_id, after=after, limit=limit)


def looked(tx: Tx, looks: Sequence[Look]) -> None:
    """Looks were done, and what they found is committed. Whoever changed again meanwhile stays to be looked at."""
    store.looked(tx, looks)
