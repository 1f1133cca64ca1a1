"""``payspool up``: the pipeline for a user's own events, until Ctrl-C."""

from payspool import logs
from payspool.cli.session import console
from payspool.pipeline import Pipeline
from payspool.settings import Settings

FIRST_FUNDS = 500_000_00
"""What a new sandbox's platform holds in each of a few currencies, so that first payouts succeed."""


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
        if running.sandbox_data is not None:
            console.print(
                f"Stripe sandbox (no money is moved): {running.settings.stripe_url}/_sandbox"
            )
        if settings.embedded:
            console.print(
                f"Queue, for payspool_client: {running.settings.redis_url}", soft_wrap=True
            )
        console.print(f"Logs: {running.data_dir / 'logs'}", soft_wrap=True)
        console.print("Next, in another terminal: .venv/bin/payspool merchants add acme")
        console.print("Ctrl-C stops everything.\n")
        pipeline.supervisor.run()
        console.print("Stopping")
    console.print("Stopped.")
    return 0


def _fund(stripe_url: str) -> None:
    from payspool.sandbox_client import SandboxClient

    with SandboxClient(stripe_url) as sandbox:
        held = sandbox.balance()
        for currency in ("usd", "eur", "gbp"):
            if not held.get(currency):
                sandbox.fund(FIRST_FUNDS, currency)
