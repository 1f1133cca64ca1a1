"""`payspool payouts policy`: when a person has to approve a run, and what is never paid."""

from collections.abc import Container
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from domain.audit import service as audit
from domain.db import Tx
from domain.errors import Invalid
from domain.merchants.service import Merchant
from domain.money import format_minor, is_currency
from domain.payouts.rules.approving import Limits, Policy
from domain.payouts.store import policies
from payspool.cli import session
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson, MerchantKey

SENTENCES: Final = {
    "auto_payout": "nobody has to up to {} a payout",
    "auto_run": "nobody has to up to {} a run",
    "minimum": "pays at least {} at once",
    "max_payout": "never pays more than {} at once",
    "max_payee_day": "never pays one payee more than {} a day (UTC)",
    "max_day": "never pays more than {} a day (UTC)",
    "max_run": "never pays more than {} a run",
    "adjust_alone": "one person adjusts up to {} a week alone",
}
"""What each limit of a currency means."""


ApprovalHours = Annotated[
    int | None, typer.Option(min=1, max=8760, help="how long a run can be approved")
]
CoolingOffHours = Annotated[
    int | None, typer.Option(min=0, max=8760, help="how long a new or changed destination waits")
]


def _minor(means: str) -> Any:
    return typer.Option(min=0, max=2**63 - 1, help=f"{means}, in minor units of --currency")


@app.command(epilog="Example: payspool payouts policy acme --currency usd --auto-run 500000")
def policy(
    merchant: MerchantKey,
    approval: Annotated[
        str | None, typer.Option(help="never, above_limits or always needs a person")
    ] = None,
    approval_hours: ApprovalHours = None,
    cooling_off_hours: CoolingOffHours = None,
    currency: Annotated[str | None, typer.Option(help="of the limits, as usd")] = None,
    auto_payout: Annotated[int | None, _minor("largest payout that needs nobody")] = None,
    auto_run: Annotated[int | None, _minor("largest sum of a run that needs nobody")] = None,
    minimum: Annotated[int | None, _minor("smallest payout")] = None,
    max_payout: Annotated[int | None, _minor("never a larger payout")] = None,
    max_payee_day: Annotated[int | None, _minor("never more to a payee and day")] = None,
    max_day: Annotated[int | None, _minor("never more in a day")] = None,
    max_run: Annotated[int | None, _minor("never more in a run")] = None,
    adjust_alone: Annotated[
        int | None, _minor("what one person adjusts in 7 days without a second")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="take a limit of --currency away, as max-day; repeatable"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show when a merchant's runs need a person and what they never pay, or set it.

    Limits are per currency. Setting an --auto limit makes runs above it need a person, unless --approval
    says otherwise; the others hold whoever approves: what does not fit waits, with the reason.
    """
    given = {
        "auto_payout": auto_payout,
        "auto_run": auto_run,
        "minimum": minimum,
        "max_payout": max_payout,
        "max_payee_day": max_payee_day,
        "max_day": max_day,
        "max_run": max_run,
        "adjust_alone": adjust_alone,
    }
    changed: dict[str, int | None] = {
        name: amount for name, amount in given.items() if amount is not None
    }
    changed |= dict.fromkeys(_names(without, changed))
    if bool(changed) != (currency is not None) or (currency and not is_currency(currency.lower())):
        raise Invalid(
            "--currency", "goes with a limit, as --auto-run or --max-day, and is one as usd"
        )
    if approval not in (None, "never", "above_limits", "always"):
        raise Invalid("--approval", "is never, above_limits or always")
    with session.for_merchant(merchant) as (tx, found):
        set_any = any(x is not None for x in (approval, approval_hours, cooling_off_hours))
        if changed or set_any:
            policies.lock(tx, found.id)
            before = policies.of(tx, found.id)
            by_limit = auto_payout is not None or auto_run is not None
            code = currency.lower() if currency else None
            wanted = Policy(
                approval or ("above_limits" if by_limit else before.approval),  # type: ignore[arg-type]
                approval_hours or before.approval_hours,
                {code: _changed(before.limits.get(code, Limits()), changed)} if code else {},
                before.cooling_off_hours if cooling_off_hours is None else cooling_off_hours,
            )
            _set(tx, found, before, wanted)
        now = policies.of(tx, found.id)
    if as_json:
        session.emit_json(now.as_json())
    else:
        _tell(now)


def _names(without: list[str] | None, changed: Container[str]) -> list[str]:
    """The limits to be taken away. Raises Invalid for what is none, or is set in the same breath."""
    names = [name.replace("-", "_") for name in without or ()]
    for name in names:
        if name not in SENTENCES or name in changed:
            known = ", ".join(one.replace("_", "-") for one in SENTENCES)
            raise Invalid("--without", f"is one of {known}, and is not set at the same time")
    return names


def _changed(before: Limits, changed: dict[str, Any]) -> Limits:
    limits = replace(before, **changed)
    if limits.max_payout is not None and (limits.minimum or 0) > limits.max_payout:
        raise Invalid("--minimum", "is above the largest payout: nobody could be paid")
    return limits


def _set(tx: Tx, merchant: Merchant, before: Policy, wanted: Policy) -> None:
    """Write a policy, of whose limits only those of the named currencies change."""
    policies.put(tx, merchant.id, wanted.approval, wanted.approval_hours, wanted.cooling_off_hours)
    for currency, limits in wanted.limits.items():
        policies.put_limits(tx, merchant.id, currency, limits)
    audit.record(
        tx,
        session.me(),
        "payout_policy.set",
        merchant_id=merchant.id,
        subject_kind="merchant",
        subject_id=merchant.id,
        before=before.as_json(),
        after=policies.of(tx, merchant.id).as_json(),
    )


def _tell(now: Policy) -> None:
    session.say(f"A person approves: {now.approval}, within {now.approval_hours} hours.")
    if now.cooling_off_hours:
        session.say(f"A new or changed destination waits {now.cooling_off_hours} hours.")
    for code, limits in now.limits.items():
        for name, sentence in SENTENCES.items():
            amount = getattr(limits, name)
            if amount is not None:
                session.say(f"  {sentence.format(format_minor(amount, code))}")
