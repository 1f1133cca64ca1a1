"""`payspool webhooks`: where a merchant's own systems are told of what happens, and how that goes."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from domain.db import transaction
from domain.merchants import service as merchants
from domain.webhooks import deliveries as sending
from domain.webhooks import delivery_store, rules, service, store
from payspool import runtime
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey
from payspool.cli.times import utc
from workers.posting import resolve

app = typer.Typer(help="Signed webhooks to a merchant's own systems.", no_args_is_help=True)

EndpointId = Annotated[int, typer.Argument(metavar="ENDPOINT", help="as `list` shows it")]
TESTED_SECONDS: Final = 15
"""So long `test` waits for what becomes of it: as long as a receiver has, and a little."""

_LISTED: Final = ("id", "url", "types", "state", "pending", "failed", "failing_since")
_SHOWN: Final = (
    "id",
    "url",
    "description",
    "types",
    "state",
    "failures",
    "failing_since",
    "disabled_at",
    "disabled_by",
    "disabled_reason",
    "old_secret_until",
    "created_at",
)
_DELIVERIES: Final = (
    "id",
    "endpoint_id",
    "uid",
    "type",
    "state",
    "tries",
    "status",
    "error",
    "due_at",
    "created_at",
)
_ATTEMPTS: Final = ("sent_at", "outcome", "status", "milliseconds", "error", "response")


@app.command(
    epilog="Example: payspool webhooks add acme https://shop.example.com/hooks --type payout.paid"
)
def add(
    merchant: MerchantKey,
    url: Annotated[str, typer.Argument(metavar="URL")],
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", help=f"repeatable: {', '.join(rules.TYPES)}; all without it"),
    ] = None,
    description: Annotated[str, typer.Option(help="what it is for")] = "",
    as_json: AsJson = False,
) -> None:
    """Add an endpoint. Its secret is shown once, now."""
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
    address = service.look_up(url, found.mode, runtime.reach(settings), resolve)
    with transaction(rt.engine) as tx:
        made, secret = service.add(
            tx,
            found.id,
            address,
            types=type_ or [rules.EVERYTHING],
            description=description,
            box=runtime.secret_box(settings),
            actor=session.me(),
        )
    _show_secret(made, secret, as_json)


@app.command("list", epilog="Example: payspool webhooks list acme")
def list_(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """List a merchant's endpoints with what waits for each and what failed."""
    with session.for_merchant(merchant) as (tx, found):
        rows = store.listing(tx, found.id)
    session.show(
        rows,
        _LISTED,
        as_json=as_json,
        empty=f"No endpoints yet. Add one with `payspool webhooks add {merchant} https://…`.",
    )


@app.command(epilog="Example: payspool webhooks show acme 1")
def show(merchant: MerchantKey, endpoint: EndpointId, as_json: AsJson = False) -> None:
    """Show an endpoint; never its secret."""
    with session.for_merchant(merchant) as (tx, found):
        row = service.get(tx, found.id, endpoint)._mapping
    if as_json:
        session.emit_json({name: row[name] for name in _SHOWN})
        return
    for name in _SHOWN:
        session.say(f"{name}: {'' if row[name] is None else row[name]}")


@app.command(
    epilog="Example: payspool webhooks change acme 1 --type payout.paid --type payout.failed"
)
def change(
    merchant: MerchantKey,
    endpoint: EndpointId,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="repeatable: in the place of those it has")
    ] = None,
    description: Annotated[str | None, typer.Option(help="what it is for")] = None,
) -> None:
    """Change what an endpoint is told of, or what it is for."""
    with session.for_merchant(merchant) as (tx, found):
        service.change(
            tx, found.id, endpoint, types=type_, description=description, actor=session.me()
        )
    session.say(f"Changed endpoint {endpoint}.")


@app.command(epilog="Example: payspool webhooks roll acme 1 --overlap-hours 24")
def roll(
    merchant: MerchantKey,
    endpoint: EndpointId,
    overlap_hours: Annotated[
        int, typer.Option(help="so long everything is signed by the old secret too")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Replace an endpoint's secret. The new one is shown once, now."""
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        secret = service.roll(
            tx,
            found.id,
            endpoint,
            overlap_hours=overlap_hours,
            box=runtime.secret_box(settings),
            actor=session.me(),
        )
    _show_secret(endpoint, secret, as_json)


@app.command(epilog="Example: payspool webhooks disable acme 1 --reason 'moving to another host'")
def disable(
    merchant: MerchantKey,
    endpoint: EndpointId,
    reason: Annotated[str, typer.Option(help="shown wherever it is disabled")],
) -> None:
    """Send an endpoint nothing more. What waits stays; what happens meanwhile is not kept for it."""
    with session.for_merchant(merchant) as (tx, found):
        done = service.disable(tx, found.id, endpoint, reason=reason, actor=session.me())
    session.say(f"{'Disabled' if done else 'Already disabled:'} endpoint {endpoint}.")


@app.command(epilog="Example: payspool webhooks enable acme 1")
def enable(merchant: MerchantKey, endpoint: EndpointId) -> None:
    """Send an endpoint what waits for it, and what happens from now on."""
    with session.for_merchant(merchant) as (tx, found):
        done = service.enable(tx, found.id, endpoint, actor=session.me())
    session.say(f"{'Enabled' if done else 'Already enabled:'} endpoint {endpoint}.")


@app.command(epilog="Example: payspool webhooks remove acme 1")
def remove(merchant: MerchantKey, endpoint: EndpointId) -> None:
    """Remove an endpoint for good; its log stays."""
    with session.for_merchant(merchant) as (tx, found):
        canceled = service.remove(tx, found.id, endpoint, actor=session.me())
    waiting = session.count(canceled, "delivery").replace("deliverys", "deliveries")
    session.say(f"Removed endpoint {endpoint}, and canceled {waiting}.")


@app.command(epilog="Example: payspool webhooks test acme 1")
def test(
    merchant: MerchantKey,
    endpoint: EndpointId,
    as_json: AsJson = False,  # noqa: PT028 - a command
) -> None:
    """Send an endpoint a `webhook.test`, and tell what it answered."""
    with session.working() as rt:
        with transaction(rt.engine) as tx:
            found = merchants.get(tx, merchant)
            made = sending.test(tx, found.id, endpoint, actor=session.me())
        tried: Any = None
        deadline = time.monotonic() + TESTED_SECONDS
        while tried is None and time.monotonic() < deadline:
            time.sleep(0.1)
            with transaction(rt.engine) as tx:
                tried = next(iter(delivery_store.attempts(tx, made)), None)
    if as_json:
        told = None if tried is None else {name: tried._mapping[name] for name in _ATTEMPTS}
        session.emit_json({"delivery": made, "attempt": told})
    elif tried is None:
        session.say(f"Delivery {made} was not tried yet: does `payspool courier` run?")
    else:
        said = tried.error or f"answered {tried.status}"
        session.say(f"Delivery {made}: {tried.outcome} in {tried.milliseconds} ms, {said}.")
    if tried is None or tried.outcome != "delivered":
        raise typer.Exit(1)


@app.command(epilog="Example: payspool webhooks deliveries acme --state failed")
def deliveries(
    merchant: MerchantKey,
    endpoint: Annotated[int | None, typer.Option(help="of this endpoint alone")] = None,
    state: Annotated[
        str | None, typer.Option(help="pending, delivered, failed or canceled")
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="as payout.paid")] = None,
    delivery: Annotated[int | None, typer.Option(help="each attempt at this one")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the log: deliveries, newest first, or the attempts at one."""
    columns: Sequence[str]
    with session.for_merchant(merchant) as (tx, found):
        if delivery is not None:
            sending.get(tx, found.id, delivery)
            rows, columns = delivery_store.attempts(tx, delivery), _ATTEMPTS
        else:
            columns = _DELIVERIES
            rows = delivery_store.listing(
                tx,
                found.id,
                endpoint_id=endpoint,
                state=state,
                type_=type_,
                before=None,
                limit=limit,
            )
    session.show(rows, columns, as_json=as_json, empty="Nothing was sent that is kept.")


@app.command(epilog="Example: payspool webhooks resend acme --endpoint 1 --failed-since 2026-11-20")
def resend(
    merchant: MerchantKey,
    delivery: Annotated[int | None, typer.Argument(metavar="[DELIVERY]")] = None,
    endpoint: Annotated[int | None, typer.Option(help="all that failed at this one")] = None,
    failed_since: Annotated[str | None, typer.Option(help="day or time, UTC")] = None,
) -> None:
    """Send a delivery again, or all that failed at an endpoint since a time, under the ids they had."""
    since = utc("--failed-since", failed_since)
    if delivery is not None and endpoint is None and since is None:
        with session.for_merchant(merchant) as (tx, found):
            done = sending.resend(tx, found.id, delivery, actor=session.me())
        session.say(f"Delivery {delivery} {'is sent again' if done else 'is still on its way'}.")
        return
    if delivery is not None or endpoint is None or since is None:
        raise typer.BadParameter("Name a delivery, or --endpoint together with --failed-since.")
    total = 0
    with session.working() as rt:
        while True:
            with transaction(rt.engine) as tx:
                found = merchants.get(tx, merchant)
                some = sending.resend_failed(tx, found.id, endpoint, since, actor=session.me())
            total += some
            if some < sending.RESENT_AT_ONCE:
                break
    session.say(f"Sent again: {total:,}.")


def _show_secret(endpoint: int, secret: str, as_json: bool) -> None:
    if as_json:
        session.emit_json({"id": endpoint, "secret": secret})
        return
    session.console.print(secret, highlight=False, soft_wrap=True)
    session.errors.print(
        f"Endpoint {endpoint}. Keep the secret now: it is stored encrypted and is not shown again."
    )
