"""``payspool demo``: start, play, tell, stay."""

import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from domain.access import users
from domain.audit.service import Actor
from domain.db import connect, snapshot, transaction
from domain.money import format_minor
from payspool import logs, runtime
from payspool.cli.session import console
from payspool.demo import books, encore, play, story
from payspool.demo.books import Summary
from payspool.pipeline import Pipeline, Running
from payspool.settings import CHECKOUT, BadSettings, Settings

VISITOR: Final = "visitor"
"""Who looks at the demo's dashboard."""
LINK_GOOD_FOR: Final = timedelta(hours=12)


def run(settings: Settings, *, once: bool) -> int:
    """Play the story; returns 0, or 1 if an invariant fails. Without ``once``, stays up until Ctrl-C."""
    if settings.stripe_url:
        raise BadSettings(
            "The demo uses the sandbox in the box, and simulated time: unset PAYSPOOL_STRIPE_URL."
        )
    if "transfers_per_second" not in settings.model_fields_set:
        # A month passes in a second here, and the sandbox sets no limit: Stripe's pace would only be waited for.
        settings = settings.model_copy(update={"transfers_per_second": 0.0})
    logs.configure("error", settings.log_format, process="demo")
    started = time.monotonic()
    with Pipeline(settings, "demo", lambda step: console.print(f"  {step}")) as pipeline:
        running = pipeline.start()
        story_thread = _Story(running)
        story_thread.start()
        pipeline.supervisor.run(until=lambda: not story_thread.is_alive())
        if story_thread.is_alive():
            console.print("Stopping before the end; the next run goes on from here.")
            return 130
        if story_thread.failed is not None:
            console.print(
                f"[red]The story stopped: {escape(str(story_thread.failed))}[/red]", soft_wrap=True
            )
            console.print(f"Logs: {running.data_dir / 'logs'}", soft_wrap=True)
            return 1
        assert story_thread.summary is not None
        _tell(story_thread, time.monotonic() - started)
        if not once:
            console.print(f"\nDashboard, signs you in once: {_sign_in(running)}", soft_wrap=True)
            for path, what in encore.LOOK_AT:
                console.print(f"  {running.dashboard_url}/{path}  {what}", soft_wrap=True)
            console.print(f"API and its documentation: {running.api_url}/docs")
            console.print(f"Stripe sandbox: {running.settings.stripe_url}/_sandbox")
            console.print(f"Logs: {running.data_dir / 'logs'}", soft_wrap=True)
            console.print("Look around in another terminal: .venv/bin/payspool payouts list cdnow")
            console.print("It stays up until Ctrl-C.")
            pipeline.supervisor.run()
            console.print("Stopping")
        return 1 if story_thread.summary.problems else 0


class _Story(threading.Thread):
    """Plays beside the supervisor, which needs the main thread."""

    def __init__(self, running: Running) -> None:
        super().__init__(name="story", daemon=True)
        self.running = running
        self.failed: Exception | None = None
        self.summary: Summary | None = None
        self.published = 0
        self.resumed = False

    def run(self) -> None:
        try:
            self._play()
        except Exception as error:
            self.failed = error

    def _play(self) -> None:
        settings = self.running.settings
        assert settings.redis_url is not None
        assert self.running.sandbox_data is not None
        rt = runtime.build(settings, pool_size=2, process="demo")
        rows = story.purchases(play.sample())
        founders = story.founders(rows)
        stage = play.set_up(rt, runtime.secret_box(settings), settings.stripe_url, founders)
        self.resumed = stage.resumed
        if stage.resumed:
            console.print(
                "  Found the data of an earlier run: the same events again change nothing"
            )
        with Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("days"),
            TimeElapsedColumn(),
            console=console,
        ) as progress:
            total = play.days_between(story.START, story.END)
            task = progress.add_task(f"{story.START:%Y-%m-%d}", total=total)

            def on(at: datetime, published: int) -> None:
                progress.update(
                    task,
                    completed=play.days_between(story.START, at),
                    description=f"{at:%Y-%m-%d}  {published:,} events",
                )

            self.published = play.play(rt, settings.redis_url, stage, rows, founders, on)
        encore.play(rt, settings.redis_url, runtime.secret_box(settings), settings.stripe_url)
        with snapshot(rt.engine) as tx:
            self.summary = books.read(tx, stage.merchant.id, self.running.sandbox_data)


def _tell(told: _Story, seconds: float) -> None:
    summary = told.summary
    assert summary is not None
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("Events in", f"{told.published:,}", "published by the shop in this run")
    table.add_row("  applied", f"{summary.applied:,}", "of all that were ever received")
    for reason, count in sorted(summary.rejected.items(), key=lambda item: -item[1]):
        table.add_row("  rejected", f"{count:,}", reason)
    if summary.waiting:
        table.add_row("  waiting", f"{summary.waiting:,}", "their predecessor has not arrived")
    for name, amounts in (
        ("Earned", summary.earned),
        ("Reversed", summary.reversed),
        ("Paid", summary.paid),
        ("Carried over", summary.carried_over),
    ):
        for currency, amount in amounts.items():
            table.add_row(name, format_minor(amount, currency), _note(name, summary))
    for program in summary.points:
        table.add_row("Points issued", f"{program.issued:,}", f"program {program.program}")
        table.add_row("  redeemed", f"{program.redeemed:,}", "")
        table.add_row("  expired", f"{program.expired:,}", "")
        table.add_row("  outstanding", f"{program.outstanding:,}", "")
    console.print()
    console.print(table)
    console.print()
    if summary.problems:
        for problem in summary.problems[:20]:
            console.print(f"[red]✗ {escape(problem)}[/red]", soft_wrap=True)
    else:
        console.print("[green]✓[/green] Ledger balanced; every invariant holds.")
        console.print("[green]✓[/green] The sandbox's own books equal ours to the cent.")
    console.print(f"Install {_install_seconds()}, run {seconds:.0f} s.")


def _sign_in(running: Running) -> str:
    """A link into the dashboard for whoever looks at the demo. Its data is made up, and so is its money."""
    assert running.settings.database_url is not None
    engine = connect(running.settings.database_url, pool_size=1, application_name="payspool demo")
    me = Actor("command", "demo")
    try:
        with transaction(engine) as tx:
            if not any(row.name == VISITOR for row in users.listing(tx)):
                users.add(tx, VISITOR, "admin", actor=me)
            token = users.make_link(tx, VISITOR, actor=me, good_for=LINK_GOOD_FOR)
    finally:
        engine.dispose()
    return f"{running.dashboard_url}/link/{token}"


def _note(name: str, summary: Summary) -> str:
    if name == "Paid":
        return f"in {summary.payouts.get('paid', 0):,} payouts"
    if name == "Carried over":
        return "not due, below the minimum, or without an account"
    return "by refunds" if name == "Reversed" else "by referrers"


def _install_seconds() -> str:
    try:
        return f"{int((Path(CHECKOUT) / '.venv' / '.install-seconds').read_text())} s"
    except (OSError, ValueError):
        return "not measured"
