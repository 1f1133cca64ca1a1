"""`payspool payouts`: preview, run, look."""

import re
from typing import Annotated, Any

import typer

from domain import clock
from domain.audit import service as audit
from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.money import format_minor, is_currency
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout
from domain.payouts.rules import Skip
from domain.payouts.service import Foreseen, Funds, PreviewLine, RunResult, RunSpec
from domain.payouts.service.stopping import METHODS
from domain.payouts.store import listing
from payspool import runtime
from payspool.cli import session
from payspool.cli.identity import PREPARE
from payspool.cli.session import AsJson, MerchantKey
from payspool.installing import payout_schedule
from workers.looking_again import look_before_run

app = typer.Typer(help="Payout runs and payouts.", no_args_is_help=True)

Minimum = Annotated[
    list[str] | None,
    typer.Option(help="smallest payout by currency in minor units, as usd=1000; repeatable"),
]

Method = Annotated[
    list[str] | None, typer.Option(help="pay by stripe (the default) or manual; repeatable")
]

EveryMinutes = Annotated[
    int | None, typer.Option(min=1, max=1440, help="only schedule it, so often")
]


@app.command(epilog="Example: payspool payouts preview acme --minimum usd=1000")
def preview(
    merchant: MerchantKey,
    minimum: Minimum = None,
    method: Method = None,
    as_json: AsJson = False,
) -> None:
    """Show whom a run would pay now, whom not, and why. Writes nothing."""
    total, lines = Foreseen(), []
    _, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        spec = RunSpec(
            found.id, "preview", clock.business_now(tx), _minimums(minimum), _methods(method)
        )
        for line in service.preview(tx, spec):
            total.add(line, shown=0)
            lines.append(_previewed(line, as_json=as_json))
        unsent = service.unsent(tx, found.id)
    session.show(
        lines,
        ["user", "amount", "currency", "decision", "carried", "detail"],
        as_json=as_json,
        empty="Nobody is owed anything.",
    )
    if not as_json:
        session.say(f"{total.totals.created} would be paid, {total.totals.skipped} would not.")
        ask = runtime.balances(rt.gateways)
        for funds in service.funds(total.needed, unsent, lambda way: ask(found.id, way)):
            session.say(_funded(funds))


@app.command(epilog="Example: payspool payouts run acme --minimum usd=1000")
def run(
    merchant: MerchantKey,
    minimum: Minimum = None,
    method: Method = None,
    as_json: AsJson = False,
) -> None:
    """Build a run of what is due now, and send it, or let it wait for a person to approve it."""
    _, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        who = session.operator(tx, found, PREPARE)
        name = f"manual {clock.real_now(tx):%Y-%m-%dT%H:%M:%S.%f}"  # each is a run of its own
        spec = RunSpec(
            found.id,
            name,
            clock.business_now(tx),
            _minimums(minimum),
            _methods(method),
            prepared_by=who.id,
        )
        audit.record(
            tx,
            who,
            "payout_run.started",
            merchant_id=found.id,
            subject_kind="payout_run",
            subject_id=spec.name,
        )
    with session.console.status("Building the run"):
        look_before_run(rt.engine, spec.merchant_id)
        result = service.build_run(rt.engine, spec, rate=rt.pace.rate)
    _tell_run(merchant, result, as_json=as_json)


@app.command("list", epilog="Example: payspool payouts list acme --user ada")
def list_(
    merchant: MerchantKey,
    user: Annotated[str | None, typer.Option(help="only this user's")] = None,
    state: Annotated[str | None, typer.Option(help="only in this state, as unknown")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List payouts, newest first; amounts in minor units."""
    with session.for_merchant(merchant) as (tx, found):
        rows = listing.payouts(tx, found.id, user_id=user, state=state, limit=limit)
    columns = ["id", "user_id", "amount", "currency", "status", "method", "external_transaction_id"]
    more = ["trackings", "processed_at", "failed_at", "created_at"] if as_json else []
    session.show(
        rows,
        [*columns, "error_message", "waits_for", *more],
        as_json=as_json,
        empty=f"No payouts. `payspool payouts preview {merchant}` shows who is owed what.",
    )


PayoutId = Annotated[int, typer.Argument(metavar="PAYOUT", help="its number in `payouts list`")]


@app.command(epilog="Example: payspool payouts retry acme 7")
def retry(merchant: MerchantKey, payout: PayoutId) -> None:
    """Send a failed payout again, under a new attempt, or take up one whose message is a dead letter.

    An unknown one is resolved, never retried.
    """
    with session.for_merchant(merchant) as (tx, found):
        of_merchant(tx, found.id, payout)
        service.retry(tx, payout)
        audit_payout(tx, found.id, "payout.retried", payout, None)
    session.say(f"Payout {payout} is sent again.")


@app.command(epilog="Example: payspool payouts cancel acme 7 --reason 'her account is closed'")
def cancel(
    merchant: MerchantKey,
    payout: PayoutId,
    reason: Annotated[str, typer.Option(help="kept with the payout")],
) -> None:
    """Give a payout up that has not been paid: the next run pays its earnings.

    Not for one that was paid outside of Payspool: the next run would pay it a second time. That is what
    `payspool payouts mark-paid-outside` is for.
    """
    with session.for_merchant(merchant) as (tx, found):
        of_merchant(tx, found.id, payout)
        service.cancel(tx, payout, reason=reason)
        audit_payout(tx, found.id, "payout.canceled", payout, reason)
    session.say(f"Payout {payout} is canceled; its earnings can be claimed by the next run.")


@app.command(
    epilog="Example: payspool payouts abandon acme 7 --evidence 'no transfer in the Stripe dashboard'"
)
def abandon(
    merchant: MerchantKey,
    payout: PayoutId,
    evidence: Annotated[
        str | None, typer.Option(help="what was looked at and seen; proposes it")
    ] = None,
) -> None:
    """Give up an attempt whose outcome cannot be found out: one person proposes, another agrees."""
    with session.for_merchant(merchant) as (tx, found):
        of_merchant(tx, found.id, payout)
        if evidence is not None:
            service.propose_abandon(tx, payout, evidence=evidence, actor=session.me())
        else:
            service.agree_abandon(tx, payout, actor=session.me())
    if evidence is not None:
        session.say(
            f"Proposed. Another person agrees with: payspool payouts abandon {merchant} {payout}"
        )
    else:
        session.say(f"Given up. Now `payspool payouts retry {merchant} {payout}`, or cancel it.")


@app.command(epilog="Example: payspool payouts schedule acme '0 6 1 * *' --minimum usd=1000")
def schedule(
    merchant: MerchantKey,
    cron: Annotated[str, typer.Argument(metavar="CRON", help="minute hour day month weekday")],
    zone: Annotated[str, typer.Option(help="IANA time zone")] = "UTC",
    minimum: Minimum = None,
    method: Annotated[
        list[str] | None, typer.Option(help="pay by this method, as stripe; repeatable")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="beside the merchant's other schedules, as monthly")
    ] = None,
) -> None:
    """Run payouts by the calendar. A schedule of the same name is replaced."""
    methods = list(dict.fromkeys(method or ["stripe"]))
    if not set(methods) <= set(METHODS):
        raise Invalid("--method", f"is one of {', '.join(METHODS)}")
    if name is not None and not re.fullmatch(r"[a-z0-9_-]{1,50}", name):
        raise Invalid("--name", "is 1 to 50 of a-z, 0-9, - and _")
    with session.for_merchant(merchant) as (tx, found):
        scheduled = payout_schedule(
            tx, found, _minimums(minimum), cron, zone, name=name, methods=methods
        )
        after = {"cron": cron, "zone": zone, "minimum": minimum, "methods": methods}
        audit_schedule(tx, found.id, "payout_schedule.set", scheduled, after)
    session.say("Scheduled; `payspool schedule list` shows the next run.")


def of_merchant(tx: Tx, merchant_id: int, payout_id: int) -> None:
    """Raises NoSuchPayout unless the payout is this merchant's."""
    if service.route(tx, payout_id).merchant_id != merchant_id:
        raise NoSuchPayout("payout", payout_id)


def audit_schedule(
    tx: Tx, merchant_id: int, action: str, name: str, after: dict[str, Any] | None = None
) -> None:
    """Record when the person at this command has a merchant's sweep done from now on."""
    audit.record(
        tx,
        session.me(),
        action,
        merchant_id=merchant_id,
        subject_kind="schedule",
        subject_id=name,
        after=after,
    )


def audit_payout(tx: Tx, merchant_id: int, action: str, payout_id: int, reason: str | None) -> None:
    """Record what the person at this command did to a payout."""
    audit.record(
        tx,
        session.me(),
        action,
        merchant_id=merchant_id,
        subject_kind="payout",
        subject_id=payout_id,
        reason=reason,
    )


def _previewed(line: PreviewLine, *, as_json: bool) -> dict[str, Any]:
    """A line of the preview: ``amount`` is what would be paid, or what is owed where nothing is."""

    def shown(minor: int) -> int | str:
        return minor if as_json else format_minor(minor, line.currency)

    decision = line.decision
    told: dict[str, Any] = {"user": line.user_id, "currency": line.currency}
    if isinstance(decision, Skip):
        return told | {
            "amount": shown(line.amount),
            "decision": decision.reason,
            "carried": 0 if as_json else "",
            "detail": decision.detail,
        }
    return told | {
        "amount": shown(decision.amount),
        "decision": "pay",
        "carried": shown(decision.carried) if decision.carried or as_json else "",
        "detail": "",
    }


def _tell_run(merchant: str, result: RunResult, *, as_json: bool) -> None:
    if as_json:
        session.emit_json(
            {"created": result.created, "skipped": result.skipped, "errors": result.errors}
            | {
                "run_id": result.run_id,
                "state": result.state,
                "reasons": result.reasons,
                "by_currency": result.by_currency,
            }
        )
        return
    session.say(
        f"Run {result.run_id}: {session.count(result.created, 'payout')} created,"
        f" {session.count(result.skipped, 'payee')} skipped."
    )
    for currency, made in result.by_currency.items():
        more = (
            f", {format_minor(made['carried'], currency)} carried over" if "carried" in made else ""
        )
        session.say(
            f"  {session.count(made['payouts'], 'payout')}, {format_minor(made['amount'], currency)}{more}"
        )
    for reason, count in result.reasons.items():
        session.say(f"  {count} skipped: {reason}")
    for error in result.errors:
        session.errors.print(error, markup=False, soft_wrap=True)
    if result.state == "pending_approval":
        session.say(
            f"It waits for another person: payspool payouts approve {merchant} {result.run_id}"
        )
        return
    session.say(f"Follow them with `payspool payouts list {merchant}`.")


def _funded(funds: Funds) -> str:
    def shown(minor: int) -> str:
        return format_minor(minor, funds.currency)

    needs = f"By {funds.method} it needs {shown(funds.needed)}"
    if funds.waiting:
        needs += f" beside {shown(funds.waiting)} that payouts wait for already"
    if funds.available is None or funds.shortfall is None:
        return f"{needs}; {(funds.why or '').rstrip('.')}."
    short = f": {shown(funds.shortfall)} is missing" if funds.shortfall else ""
    return f"{needs}; {shown(funds.available)} is available{short}."


def _minimums(given: list[str] | None) -> dict[str, int]:
    made: dict[str, int] = {}
    for one in given or ():
        currency, _, amount = one.lower().partition("=")
        if not is_currency(currency) or not amount.isascii() or not amount.isdigit():
            raise Invalid("--minimum", f"{one!r} is not of the form usd=1000 (minor units)")
        made[currency] = int(amount)
    return made


def _methods(given: list[str] | None) -> tuple[str, ...]:
    for one in given or ():
        if one not in METHODS:
            raise Invalid("--method", f"{one!r} is none of {', '.join(METHODS)}")
    return tuple(dict.fromkeys(given or ("stripe",)))
