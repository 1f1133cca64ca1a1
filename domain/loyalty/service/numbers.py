"""Use cases of operators on cards: replace a lost one, and see which of many would change."""

from collections.abc import Sequence
from typing import Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Invalid, NotFound
from domain.loyalty import rules
from domain.loyalty.store import cards
from domain.loyalty.store import numbers as store

MADE_AT_MOST: Final = 8
"""Numbers that are tried: a producer may have given some to other cards."""


def replace_card(
    tx: Tx, merchant_id: int, number: str, new: str | None, *, actor: Actor, reason: str
) -> str:
    """Give the customer of a lost card a new number; returns it. Balances and history stay with the card.

    Without ``new`` a number with a check digit is made. The old number is unknown from then on: an event
    that still names it is refused (`card_unknown`), of the queue after an hour, so that what was lost is worth nothing.
    Repeated, it tells the number that was given. Raises NotFound, Invalid and AlreadyExists.
    """
    if not reason.strip():
        raise Invalid("reason", "say why the card is replaced")
    card = store.lock(tx, merchant_id, number)
    if card is None:
        given = store.given_for(tx, merchant_id, number)
        if given is None or new not in (None, given):
            raise NotFound("card", number)
        return given
    if new is not None:
        if not rules.is_card_number(new):
            raise Invalid("number", "use 1 to 50 visible ASCII characters and no blanks")
        if not store.rename(tx, card.id, merchant_id, new):
            raise AlreadyExists("card", new, "Give another number.")
    else:
        new = _free_number(tx, card.id, merchant_id)
    audit.record(
        tx,
        actor,
        "card.replaced",
        merchant_id=merchant_id,
        subject_kind="card",
        subject_id=card.id,
        reason=reason,
        before={"number": number},
        after={"number": new},
    )
    return new


def _free_number(tx: Tx, card_id: int, merchant_id: int) -> str:
    for serial in cards.new_ids(tx, MADE_AT_MOST):
        made = rules.card_number(serial)
        if store.rename(tx, card_id, merchant_id, made):
            return made
    raise Invalid("number", "give the new number: those that were made are taken")


def would_change(
    tx: Tx, merchant_id: int, numbers: Sequence[str], *, active: bool
) -> dict[str, str]:
    """What putting cards into or out of use would do, by number: change, already, merged (it is
    refused), or unknown."""
    known = store.statuses(tx, merchant_id, list(numbers))
    wanted = "active" if active else "inactive"
    return {
        number: "unknown"
        if number not in known
        else "merged"
        if known[number] == "merged"
        else "already"
        if known[number] == wanted
        else "change"
        for number in numbers
    }
