"""Whether a code can be used now: one statement, for the checkout that asks while somebody types."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.db import Tx
from domain.referrals import store
from domain.referrals.loading import code_from, program_of
from domain.referrals.rules.codes import canonical, not_there
from domain.referrals.rules.conversions import Refusal, Standing, cap_refusal, code_refusal


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

    Blanks around it are left out; a code of our own form is taken in lower case too, unless another is spelled
    so. It decides nothing: what a conversion gives is decided when it comes.
    """
    named = code.strip()
    row = store.code_with_program(tx, merchant_id, named)
    if row is None and canonical(named) != named:
        named = canonical(named)
        row = store.code_with_program(tx, merchant_id, named)
    if row is None:
        return Validation(named, Refusal("code_not_found", not_there(named)))
    found = code_from(row)
    program, at = program_of(row, id=row.program_id), now or row.business_now
    # Nobody's name is empty: without a referred user, only the code is looked at.
    refusal = code_refusal(program, found, referred_user_id or "", at) or cap_refusal(
        program, found, Standing(at, referrer_rewards=row.rewards)
    )
    left = None if found.max_uses is None else found.max_uses - found.uses
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
