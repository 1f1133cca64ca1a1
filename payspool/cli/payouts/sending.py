"""`payspool payouts send`: what is approved and waits is sent now."""

from typing import Annotated

import typer

from domain.audit import service as audit
from domain.db import transaction
from domain.errors import NotFound
from domain.merchants import service as merchants
from domain.payouts.service import asking
from domain.payouts.store import looking
from payspool.cli import session
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson, MerchantKey


@app.command(epilog="Example: payspool payouts send acme 12")
def send(
    merchant: MerchantKey,
    run: Annotated[int, typer.Argument(metavar="RUN", help="its number, as `run` told it")],
    as_json: AsJson = False,
) -> None:
    """Have the approved payouts of a run sent now, as after a repair, instead of when the sweep looks.

    A run that waits for approval is not sent by this: `payspool payouts approve`. What is stopped or waits
    for money goes on waiting, and a payout that is on its way is left alone. Again: nothing is sent twice.
    """
    _, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        known = looking.run(tx, found.id, run)
        if known is None:
            raise NotFound("run", str(run), f"`payspool payouts runs {merchant}` lists them.")
    asked, after = 0, 0
    while True:
        with transaction(rt.engine) as tx:
            ids = asking.send_now(tx, found.id, run, after=after)
        asked += len(ids)
        if not ids:
            break
        after = max(ids)
    with transaction(rt.engine) as tx:
        audit.record(
            tx,
            session.me(),
            "run.send_asked",
            merchant_id=found.id,
            subject_kind="payout_run",
            subject_id=run,
            after={"payouts": asked},
        )
    if as_json:
        session.emit_json({"run": run, "state": known.state, "asked": asked})
    elif asked:
        session.say(f"{session.count(asked, 'payout')} of run {run}: their sends are asked for.")
    else:
        session.say(
            f"Run {run} is {known.state}; none of its payouts waits to be sent by a worker."
            f" `payspool payouts show {merchant} {run}` says what became of them."
        )
