"""Whether a code can be used now: one statement, for the checkout that asks while somebody types."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.db import Tx
from domain.referrals import store
from domain.referrals.loading import code_from, program_of
from domain.referrals.rules.codes import canonical, not_there
from domain.referrals.rules.conversions import Refusal, code_refusal


@dataclass(frozen=True, slots=True)
class Validation:
    """What can be said of a code. ``refusal``: why a conversion by it would be refused now.

    ``referee_rule`` is what the referred user gets; ``uses_left`` None: any number.
    """

    code: str
    refusal: Refusal | None
    program: str | None = None
    user_id: str | None = None
    uses_left: int | None = None
    expires_at: datetime | None = None
    referee_rule: dict[str, Any] | None = None
    currency: str | None = None


def validate(
    tx: Tx,
    merchant_id: int,
    code: str,
    now: datetime | None = None,
    referred_user_id: str | None = None,
) -> Validation:
    """Whether ``code`` could be used at business time ``now`` (None: as it is), by ``referred_user_id`` if
    that is known.

    Codes of our own form are taken in lower case and with blanks around them. It decides nothing: what a
    conversion gives is decided when it comes.
    """
    named = canonical(code)
    row = store.code_with_program(tx, merchant_id, named)
    if row is None:
        return Validation(named, Refusal("code_not_found", not_there(named)))
    found = code_from(row)
    # Nobody's name is empty: without a referred user, only the code is looked at.
    refusal = code_refusal(
        program_of(row, id=row.program_id), found, referred_user_id or "", now or row.business_now
    )
    left = None if found.max_uses is None else found.max_uses - found.uses
    if refusal is None and left == 0:
        refusal = Refusal("code_exhausted", f"the code {named} was used {found.max_uses} times")
    return Validation(
        named,
        refusal,
        row.key,
        found.user_id,
        left,
        found.expires_at,
        row.referee_rule,
        row.currency,
    )
