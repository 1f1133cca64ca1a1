"""Sending under a limit: the whole road of a payout, beside what the gateway's limit lets through.

A run is handed over as in production (outbox, relay, queue, two worker processes that share one bucket in
Redis), to a sandbox that turns away what goes beyond LIMIT transfers a second (a bucket of as many). Exact also means that no
payout's state shows a 429: what is turned away a moment too early is sent again under its key, unseen.
"""

from collections.abc import Iterator
from typing import Final

import httpx
from sqlalchemy import Engine, text

from bench.events import MERCHANT
from bench.figures import Figure, figure
from bench.options import Options
from bench.runs import AS_OF
from bench.sending import CONNECTIONS, KEY, Stripe, faults_of, owe, stripe_sandbox
from bench.site import SECRET_KEY, Site
from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.payouts import service
from domain.payouts.service import RunSpec
from domain.secrets import SecretBox
from queues import keys

LIMIT: Final = 25
"""Transfers a second: Stripe's limit of one endpoint, and what PAYSPOOL_TRANSFERS_PER_SECOND is set to."""
PROCESSES: Final = 2
NAMESLIMIT: Final = "payspool"
COMMANDS: Final = [
    ["payspool", "relay"],
    *[["payspool", "worker", "--queue", "payouts", "--threads", str(CONNECTIONS // PROCESSES)]]
    * PROCESSES,
]


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """Payouts a second from the first to the last that was paid, beside the limit."""
    paid, exactly = [], True
    for number in range(options.rounds):
        options.say(f"sending under a limit, round {number + 1} of {options.rounds}")
        with stripe_sandbox() as stripe, site.database() as database:
            _limit(stripe)
            _account(database.engine, stripe)
            owe(database.engine, stripe, options.limited_payouts)
            settings = {
                "PAYSPOOL_STRIPE_URL": stripe.url,
                "PAYSPOOL_TRANSFERS_PER_SECOND": str(LIMIT),
            }
            with (
                site.redis as client,
                site.processes(COMMANDS, database, settings) as group,
            ):
                group.wait_until(
                    lambda: client.zcard(keys.heartbeats(NAMESLIMIT)) == PROCESSES, "workers serve"
                )
                spec = RunSpec(_merchant(database.engine), "bench", AS_OF)
                service.build_run(database.engine, spec, rate=LIMIT)
                group.wait_until(lambda: _unpaid(database.engine) == 0, "all are paid")
            paid.append(_rate(database.engine))
            faults = [*faults_of(database.engine, stripe), *_marked(database.engine)]
        for fault in faults:
            options.say(f"sending under a limit: {fault}")
        exactly = exactly and not faults
    yield figure(
        "sending.limited",
        "payouts/s",
        paid,
        exact=exactly,
        against="the gateway's limit",
        peers=[float(LIMIT)] * len(paid),
    )


def _limit(stripe: Stripe) -> None:
    rule = {"method": "POST", "path": "/v1/transfers", "fault": "rate_limit", "per_second": LIMIT}
    answer = httpx.put(
        f"{stripe.url}/_sandbox/faults",
        json={"rules": [rule]},
        headers={"Authorization": f"Bearer {KEY}"},
        trust_env=False,
    )
    answer.raise_for_status()


def _account(engine: Engine, stripe: Stripe) -> None:
    with transaction(engine) as tx:
        merchants.set_stripe_account(
            tx,
            merchants.get(tx, MERCHANT),
            api_key=KEY,
            base_url=stripe.url,
            webhook_secret=None,
            box=SecretBox([SECRET_KEY]),
            actor=Actor("command", "bench"),
        )


def _merchant(engine: Engine) -> int:
    with transaction(engine) as tx:
        return merchants.get(tx, MERCHANT).id


def _unpaid(engine: Engine) -> int:
    with transaction(engine) as tx:
        count: int = tx.execute(
            text("SELECT count(*) FROM payouts WHERE state <> 'paid'")
        ).scalar_one()
    return count


def _rate(engine: Engine) -> float:
    with transaction(engine) as tx:
        rate: float = tx.execute(
            text(
                "SELECT (count(*) - 1) / extract(epoch FROM max(sent_at) - min(sent_at))::float8 FROM payout_attempts"
            )
        ).scalar_one()
    return rate


def _marked(engine: Engine) -> list[str]:
    """Payouts that show that the limit turned them away."""
    with transaction(engine) as tx:
        marked = tx.execute(
            text(
                "SELECT count(*) FROM payout_attempts"
                " WHERE http_status = 429 OR error_code = 'rate_limit' OR n > 1"
            )
        ).scalar_one()
    return [f"{marked} attempts show the limit"] if marked else []
