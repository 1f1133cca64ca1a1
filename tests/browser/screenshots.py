"""``make screenshots``: the pictures of docs/how-to/dashboard.md, of the same dashboard as these tests."""

from __future__ import annotations

import json
import time
from pathlib import Path

from playwright.sync_api import Page
from sqlalchemy import make_url, text

from domain.db import connect, transaction
from domain.payouts.service import stopping
from tests.browser import house
from tests.browser.conftest import ROOT, Dashboard, Opener
from tests.domain.payouts import house as payouts

IMAGES = ROOT / "docs" / "how-to" / "images"
WIDE = {"width": 1100, "height": 640}


def take(page: Page, name: str, *, folder: Path = IMAGES) -> None:
    """One picture, of what a window of that size shows."""
    folder.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(800)
    page.screenshot(path=folder / f"{name}.png")


def unknown(dashboard: Dashboard) -> int:
    """A payout of beta of whose attempt nobody knows what became of it, for a day."""
    with transaction(dashboard.engine) as tx:
        payouts.payee(tx, dashboard.seeded.beta, "cyd", "acct_cyd")
        payouts.earn(tx, dashboard.seeded.beta, 48_00, "cyd")
    payouts.run(dashboard.engine, dashboard.seeded.beta, "june")
    payout: int = dashboard.scalar("SELECT id FROM payouts WHERE user_id = 'cyd'")
    attempt = payouts.begin(dashboard.engine, payout)
    payouts.record(dashboard.engine, attempt, payouts.SILENCE)
    url = make_url(dashboard.engine.url).set(username="payspool_owner")
    owner = connect(url.render_as_string(hide_password=False))
    payouts.age(owner, attempt.attempt_id, 24)
    owner.dispose()
    return payout


def _waiting(dashboard: Dashboard, number: int) -> None:
    """Messages on a queue that nobody works on, the first of them a few minutes old."""
    queue = f"{dashboard.namespace}:events"
    at = int((time.time() - 260) * 1000)
    message = json.dumps({"actor_name": "events.ingest", "args": [], "message_timestamp": at})
    dashboard.redis.hset(f"{queue}.msgs", "0", message)
    dashboard.redis.rpush(queue, *map(str, range(number)))


def test_pictures(dashboard: Dashboard, tab: Opener) -> None:
    house.suspect(dashboard.engine, "o-1042")
    payout = unknown(dashboard)
    with transaction(dashboard.engine) as tx:
        tx.execute(
            text(
                "INSERT INTO metric_minutes (name, label, at, value)"
                " SELECT 'queue.ready', 'events', date_trunc('minute', now(), 'UTC') - i * interval '1 min',"
                " 40 + (60 - i) * (60 - i) FROM generate_series(1, 60) i"
            )
        )
    _waiting(dashboard, 3_521)
    made = tab("anna", viewport=WIDE)
    for path, name in (
        ("/", "overview"),
        (f"/m/beta/payouts/{payout}", "payout-unknown"),
        ("/queues", "queues"),
        ("/m/acme/holds", "holds"),
        (f"/m/acme/runs/{dashboard.seeded.run}", "run"),
        ("/m/acme/loyalty/4006381333931", "card"),
    ):
        take(made.open(path), name)
    with transaction(dashboard.engine) as tx:
        stopping.stop(
            tx,
            actor=house.TESTER,
            reason="wrong amounts since 14:00",
            merchant_id=None,
            method=None,
        )
    take(made.open("/stops"), "stopped")
