"""Movements of points in the ledger."""

from typing import Final

from domain.ledger.rules import Transfer, points_account
from domain.loyalty.rules import Entry

SOURCE_KIND: Final = "loyalty_transaction"
"""What ledger transfers of points name as their source, with the transaction's id."""

_COUNTERPART: Final = {
    "points_earned": "points_issued",
    "welcome_bonus": "points_issued",
    "points_redeemed": "points_redeemed",
    "points_expired": "points_breakage",
    "points_adjustment": "points_issued",
}


def transfer_for(entry: Entry) -> Transfer:
    """The movement of points that ``entry`` is, in the currency ``points:<program>``.

    A void moves back what its original moved.
    """
    program = entry.card.program
    type_ = entry.original.type if entry.original else entry.type
    liability = points_account(program.merchant_id, "points_liability", program.key)
    other = points_account(program.merchant_id, _COUNTERPART[type_], program.key)
    debit, credit = (other, liability) if entry.points > 0 else (liability, other)
    return Transfer(debit, credit, abs(entry.points), entry.type, SOURCE_KIND, entry.id, entry.at)
