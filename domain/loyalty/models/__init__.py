"""Tables of loyalty: programs and their versions, cards, their history, lots and allocations.

Every change of a card is one immutable ``loyalty_transactions`` row with a sequence number of its
card. Triggers in the migration refuse a row whose predecessor is missing or whose balance does not
follow from it, a card whose balances are not those of its last row, and rows that cross cards.

Between these tables there are no foreign keys, on purpose. Nothing in them is ever deleted, so that a
reference has to be checked only when it is written, and the triggers do that for all rows of a statement
at once, together with what a foreign key cannot say (same card, same merchant). Foreign keys would check
row by row, lock the one row of the program's version from every worker, and cost a third of a sweep.
"""

from domain.loyalty.models import (
    cards,
    holds,
    imports,
    lots,
    merges,
    notices,
    programs,
    restores,
    tiers,
)
from domain.loyalty.models import shops as shops
from domain.loyalty.models import velocity as velocity

__all__ = [
    "cards",
    "holds",
    "imports",
    "lots",
    "merges",
    "notices",
    "programs",
    "restores",
    "tiers",
]
