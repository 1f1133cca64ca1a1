"""Why an amount: sentences that a person can check with a pocket calculator.

>>> rate_sentence({"basis_points": 1000, "cap": 500}, of=12_900, amount=500, currency="eur")
'10 % of 129.00 EUR, at most 5.00 EUR: 5.00 EUR'
>>> rate_sentence({"amount": 500}, of=None, amount=500, currency="eur")
'a fixed 5.00 EUR'
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.money import format_minor


def rate_sentence(rate: Mapping[str, Any], *, of: int | None, amount: int, currency: str) -> str:
    """How a rate gave ``amount`` (minor units) out of a transaction ``of`` so much."""
    if rate.get("amount") is not None:
        return f"a fixed {format_minor(rate['amount'], currency)}"
    points = rate["basis_points"]
    percent = f"{points // 100}" + (f".{points % 100:02}".rstrip("0") if points % 100 else "")
    share = f"{percent} % of {format_minor(of or 0, currency)}"
    if rate.get("cap") is not None:
        share += f", at most {format_minor(rate['cap'], currency)}"
    return f"{share}: {format_minor(amount, currency)}"


def explain(
    tracking: Any,
    terms: Any,
    reversals: Sequence[Any],
    holds: Sequence[Any],
    earnings: Sequence[Any],
) -> list[str]:
    """A tracking in sentences: what counted, by which rule, what was taken back, held and paid."""
    return [
        _counted(tracking, terms),
        *_rule(tracking),
        *_referee(tracking, terms),
        *(_taken(tracking, one) for one in reversals),
        *(_held(one) for one in holds),
        *(_earning(one) for one in earnings),
        _kept(tracking),
    ]


def _money(tracking: Any, amount: int) -> str:
    return format_minor(amount, tracking.currency)


def _counted(t: Any, terms: Any) -> str:
    of = "" if t.transaction_amount is None else f" of {_money(t, t.transaction_amount)}"
    named = f" {t.transaction_id}" if t.transaction_id else ""
    return (
        f"{t.referred_user_id} converted on {_at(t.converted_at)} by the code {t.code} of"
        f" {t.referrer_user_id}: transaction{named}{of} (event {terms.event_id} of {terms.source})."
    )


def _rule(t: Any) -> list[str]:
    because = t.explanation
    version = f"version {t.program_version} of the program {t.program}"
    if because.get("rule") == "imported":
        paid = because.get("paid_before")
        how = f" It was paid before Payspool ({paid}): nothing of it is paid again." if paid else ""
        return [
            f"It was imported: {_money(t, t.amount_earned)}, as the file said ({version}).{how}"
        ]
    if because.get("rule") != "tiered":
        how = rate_sentence(
            because, of=t.transaction_amount, amount=t.amount_earned, currency=t.currency
        )
        return [f"The {because['rule']} rule of {version} gives {how}."]
    in_period = f" in the {because['period']} of the conversion" if "period" in because else ""
    reached = because["reached"]
    what = _money(t, reached) if because["by"] == "volume" else f"{reached:,}"
    begins = (
        f"By {because['by']}, {t.referrer_user_id} had reached {what}{in_period}, this one included"
    )
    if because.get("tier") is None:
        return [f"{begins}: below the first tier of {version}, which gives nothing."]
    how = rate_sentence(
        because, of=t.transaction_amount, amount=t.amount_earned, currency=t.currency
    )
    return [f"{begins}: tier {because['tier']} of {version}, {how}."]


def _referee(t: Any, terms: Any) -> list[str]:
    imported = t.explanation.get("rule") == "imported"
    if not t.referee_amount_earned or terms.referee_rule is None or imported:
        return []
    how = rate_sentence(
        terms.referee_rule,
        of=t.transaction_amount,
        amount=t.referee_amount_earned,
        currency=t.currency,
    )
    return [f"{t.referred_user_id} gets {how}."]


def _taken(t: Any, one: Any) -> str:
    if one.kind == "rejection":
        what = f"Hold {one.external_id} was rejected on {_at(one.occurred_at)}: all that was left"
    elif one.kind == "dispute":
        what = (
            f"The dispute {one.external_id} was lost on {_at(one.occurred_at)}: all that was left"
        )
    else:
        back = _money(t, one.amount)
        what = f"The refund {one.external_id} gave {back} back on {_at(one.occurred_at)}: its share"
    both = (
        f" and {_money(t, one.referee_reversed)} of the other side" if one.referee_reversed else ""
    )
    # A rejection has no event of its own.
    because = "" if one.kind == "rejection" else f" (event {one.event_id} of {one.source})"
    return f"{what}, {_money(t, one.reversed)}{both}, was taken back{because}."


def _held(one: Any) -> str:
    what = f"dispute {one.ref}" if one.kind == "dispute" else one.kind.replace("_", " ")
    begins = f"It is held since {_at(one.held_at)} ({what})"
    if one.outcome is None:
        return f"{begins}; hold {one.id} is open."
    who = f" by {one.closed_by}: {one.close_reason}" if one.closed_by else ""
    return f"It was held from {_at(one.held_at)} ({what}) until it was {one.outcome}{who}."


def _earning(one: Any) -> str:
    amount = format_minor(one.amount, one.currency)
    if one.voided_at is not None:
        where = "void"
    elif one.payout_id is not None:
        where = f"in payout {one.payout_id}, which is {one.payout_state}"
    elif one.held_at is not None or one.held_with_its_credit:
        where = "held"
    else:
        where = f"payable from {_at(one.available_at)}"
    if one.source_kind == "paid_before":
        where = f"for what was paid before Payspool, {where}"
    return f"Earning {one.id}, {one.kind.replace('_', ' ')} of {one.user_id}: {amount}, {where}."


def _kept(t: Any) -> str:
    kept = t.amount_earned - t.reversed_amount
    return (
        f"{t.referrer_user_id} keeps {_money(t, kept)} of {_money(t, t.amount_earned)}: it is"
        f" {t.payout_status}."
    )


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
