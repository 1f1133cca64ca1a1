"""`payspool programs`: referral programs, whose changes make new versions."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from domain.errors import Invalid
from domain.referrals import admin, answers
from domain.referrals.admin import Terms
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey

app = typer.Typer(help="Referral programs.", no_args_is_help=True)
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]

Key = Annotated[str, typer.Argument(metavar="PROGRAM", help="key of the program")]
Rule = Annotated[
    str,
    typer.Option(help="the reward rule as JSON; see docs/reference/rules.md"),
]
Currency = Annotated[str, typer.Option(help="ISO 4217")]
HoldDays = Annotated[int, typer.Option(help="days until a reward may be paid, 0 to 90")]
WindowDays = Annotated[int | None, typer.Option(help="days from attribution to conversion")]
MaxRewards = Annotated[int | None, typer.Option(help="rewards per referrer, at most")]
MinAmount = Annotated[int, typer.Option(help="smallest transaction, minor units")]
Method = Annotated[str | None, typer.Option("--method", help="stripe, wise or manual")]
Starts = Annotated[
    datetime | None,
    typer.Option(formats=TIMES, help="UTC; conversions before it are refused"),
]
Ends = Annotated[
    datetime | None, typer.Option(formats=TIMES, help="UTC; conversions from it on are refused")
]
CodesPerUser = Annotated[int | None, typer.Option(help="codes of one user, at most")]
RefereeRule = Annotated[
    str | None, typer.Option(help='reward of the referred user as JSON, as {"amount": 500}')
]


@app.command(
    epilog="Example: payspool programs create acme friends"
    ' --rule \'{"kind": "percentage", "basis_points": 1000, "cap": 5000}\' --currency eur --hold-days 14'
)
def create(
    merchant: MerchantKey,
    program: Key,
    rule: Rule,
    currency: Currency,
    name: Annotated[str | None, typer.Option(help="shown to people")] = None,
    hold_days: HoldDays = 0,
    window_days: WindowDays = None,
    max_rewards_per_referrer: MaxRewards = None,
    min_amount: MinAmount = 0,
    referee_rule: RefereeRule = None,
    method: Method = None,
    starts: Starts = None,
    ends: Ends = None,
    codes_per_user: CodesPerUser = None,
) -> None:
    """Create a program at version 1."""
    terms = Terms(
        rule=_json(rule, "rule"),
        currency=currency.lower(),
        referee_rule=None if referee_rule is None else _json(referee_rule, "referee_rule"),
        hold_days=hold_days,
        window_days=window_days,
        max_rewards_per_referrer=max_rewards_per_referrer,
        min_amount=min_amount,
        payout_method=method,
        starts_at=_utc(starts),
        ends_at=_utc(ends),
        codes_per_user=codes_per_user,
    )
    with session.for_merchant(merchant) as (tx, found):
        admin.create_program(tx, found.id, program, name or program, terms, actor=session.me())
    session.say(
        f"Created the program {program!r}. Add a code with `payspool codes create {merchant} {program} USER`."
    )


@app.command(
    epilog="Example: payspool programs change acme friends"
    ' --rule \'{"kind": "percentage", "basis_points": 1200}\' --currency usd'
)
def change(
    merchant: MerchantKey,
    program: Key,
    rule: Rule,
    currency: Currency,
    hold_days: HoldDays = 0,
    window_days: WindowDays = None,
    max_rewards_per_referrer: MaxRewards = None,
    min_amount: MinAmount = 0,
    referee_rule: RefereeRule = None,
    method: Method = None,
    starts: Starts = None,
    ends: Ends = None,
    codes_per_user: CodesPerUser = None,
) -> None:
    """Give a program new terms, all of them, as a new version. What was earned stays, and so does the currency."""
    terms = Terms(
        rule=_json(rule, "rule"),
        currency=currency.lower(),
        referee_rule=None if referee_rule is None else _json(referee_rule, "referee_rule"),
        hold_days=hold_days,
        window_days=window_days,
        max_rewards_per_referrer=max_rewards_per_referrer,
        min_amount=min_amount,
        payout_method=method,
        starts_at=_utc(starts),
        ends_at=_utc(ends),
        codes_per_user=codes_per_user,
    )
    with session.for_merchant(merchant) as (tx, found):
        version = admin.change_program(tx, found.id, program, terms, actor=session.me())
    session.say(f"The program {program!r} is at version {version}.")


@app.command(epilog="Example: payspool programs status acme friends paused")
def status(
    merchant: MerchantKey,
    program: Key,
    to: Annotated[str, typer.Argument(metavar="active|paused|ended")],
) -> None:
    """Pause, resume or end a program. An ended one stays ended."""
    with session.for_merchant(merchant) as (tx, found):
        admin.set_program_status(tx, found.id, program, to, actor=session.me())
    session.say(f"The program {program!r} is {to}.")


def _command_for(verb: str, status: str, does: str) -> None:
    @app.command(verb, epilog=f"Example: payspool programs {verb} acme friends", help=does)
    def set_status(merchant: MerchantKey, program: Key) -> None:
        with session.for_merchant(merchant) as (tx, found):
            admin.set_program_status(tx, found.id, program, status, actor=session.me())
        session.say(f"The program {program!r} is {status}.")


_command_for("pause", "paused", "Refuse conversions until the program is resumed.")
_command_for("resume", "active", "Let a paused program count conversions again.")
_command_for("end", "ended", "End a program for good. What was earned stays.")


@app.command(epilog="Example: payspool programs copy acme friends friends-2027")
def copy(
    merchant: MerchantKey,
    program: Key,
    to: Annotated[str, typer.Argument(metavar="NEW", help="key of the new program")],
    name: Annotated[str | None, typer.Option(help="shown to people")] = None,
) -> None:
    """Create a program with the present terms of another. Codes stay with that one."""
    with session.for_merchant(merchant) as (tx, found):
        admin.copy_program(tx, found.id, program, to, name, actor=session.me())
    session.say(f"Created the program {to!r} with the terms of {program!r}.")


@app.command(epilog="Example: payspool programs stats acme friends --since 2026-11-01")
def stats(
    merchant: MerchantKey,
    program: Key,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC")] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC, not included")
    ] = None,
    by_day: Annotated[bool, typer.Option("--by-day", help="a line for each day")] = False,
    as_json: AsJson = False,
) -> None:
    """What a program did: conversions and their volume, what they earned, and what was taken back."""
    with session.for_merchant(merchant) as (tx, found):
        told = answers.statistics(
            tx,
            found.id,
            program,
            since=since.date() if since else None,
            until=until.date() if until else None,
        )
    plain = [dict(row._mapping) for row in told.days] if by_day else [dict(told.total)]
    rows: list[dict[str, Any]] = [row | {"currency": told.currency} for row in plain]
    session.show(rows, [*rows[0]] if rows else [], as_json=as_json, empty="Nothing happened then.")


@app.command("list", epilog="Example: payspool programs list acme")
def list_(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """List a merchant's programs with their present terms."""
    with session.for_merchant(merchant) as (tx, found):
        rows = admin.programs(tx, found.id)
    session.show(
        rows,
        ["key", "status", "version", "rule", "currency", "hold_days", "window_days", "min_amount"],
        as_json=as_json,
        empty=f"No programs yet. `payspool programs create {merchant} --help` shows an example.",
    )


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)


def _json(raw: str, field: str) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise Invalid(field, f"is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Invalid(field, "is a JSON object")
    return value
