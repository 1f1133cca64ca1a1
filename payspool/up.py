"""``payspool up``: the pipeline for a user's own events, until Ctrl-C."""

from payspool import logs
from payspool.cli.session import console
from payspool.pipeline import Pipeline, Running
from payspool.settings import Settings

FIRST_FUNDS = 500_000_00
"""What a new sandbox's platform, and its Wise profile, hold in each of a few currencies, so that first payouts
succeed."""
FUNDED = ("usd", "eur", "gbp")


def run(settings: Settings, port: int | None) -> int:
    """Run until told to stop; returns the exit status."""
    logs.configure("warning", settings.log_format, process="up")
    with Pipeline(
        settings, "up", lambda step: console.print(f"  {step}"), api_port=port
    ) as pipeline:
        running = pipeline.start()
        if running.sandbox_data is not None:
            _fund(running.settings.stripe_url)
        console.print(f"\nPayspool is up. API and its documentation: {running.api_url}/docs")
        _tell_dashboard(running)
        if running.sandbox_data is not None:
            console.print(
                f"Stripe sandbox (no money is moved): {running.settings.stripe_url}/_sandbox"
            )
        if settings.embedded:
            console.print(
                f"Queue, for payspool_client: {running.settings.redis_url}", soft_wrap=True
            )
        if running.metrics_targets is not None:
            console.print(f"Prometheus targets: {running.metrics_targets}", soft_wrap=True)
        console.print(f"Logs: {running.data_dir / 'logs'}", soft_wrap=True)
        console.print("Next, in another terminal: .venv/bin/payspool merchants add acme")
        console.print("Ctrl-C stops everything.\n")
        pipeline.supervisor.run()
        console.print("Stopping")
    console.print("Stopped.")
    return 0


def _tell_dashboard(running: Running) -> None:
    from domain.access import users
    from domain.db import connect, transaction

    assert running.settings.database_url is not None
    engine = connect(running.settings.database_url, pool_size=1, application_name="payspool up")
    with transaction(engine) as tx:
        anybody = users.anybody(tx)
    engine.dispose()
    first = "" if anybody else " (let the first person in: .venv/bin/payspool users add NAME admin)"
    console.print(f"Dashboard: {running.dashboard_url}{first}", soft_wrap=True)


def _fund(stripe_url: str) -> None:
    from payspool.sandbox_client import SandboxClient

    with SandboxClient(stripe_url) as sandbox:
        held = sandbox.balance()
        for currency in FUNDED:
            if not held.get(currency):
                sandbox.fund(FIRST_FUNDS, currency)
        profile, has = sandbox.wise_profile()
        for currency in FUNDED:
            if currency not in has:
                sandbox.fund_wise(profile, FIRST_FUNDS, currency)
