"""However webhooks are lost, doubled, late, reordered or signed wrong, polling ends with the gateway's books."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotReversible
from tests.domain.payouts import house
from tests.workers.gateways.local_stripe import Platform
from tests.workers.notices.desk import Desk
from workers import polling

ADA = Actor("command", "ada")
PAYOUTS = 8
LATEST_MS = 300

WEBHOOKS = [
    {"fault": "lose", "probability": 0.3},
    {"fault": "duplicate", "probability": 0.25, "copies": 3, "ms": LATEST_MS},
    {"fault": "reorder", "probability": 0.4, "ms": LATEST_MS},
    {"fault": "wrong_secret", "probability": 0.3, "tries": 2},
    {"fault": "wrong_secret", "probability": 0.2},
    {"fault": "lose", "probability": 0.3, "tries": 1},
    {"fault": "unheard", "probability": 0.5},
]
CALLS = [
    {"method": "POST", "key": "payspool/*", "fault": name, "probability": 0.08, **more}
    for name, more in (
        ("drop_before", {}),
        ("drop_after", {}),
        ("error_500_done", {}),
        ("error_500_not_done", {"stored": False}),
        ("garbage", {}),
    )
]


def happen(desk: Desk, draw: random.Random) -> None:
    """One thing that happens: at Stripe by hand, or because a person of ours asked for it."""
    platform = desk.platform
    transfer = draw.choice(platform.transfers())
    what = draw.choice(["by hand", "by hand, all", "asked", "asked, all", "restrict", "bank"])
    if what.startswith("by hand"):
        part = transfer.net if what.endswith("all") else min(100, transfer.net)
        _tolerated(platform, f"/v1/transfers/{transfer.id}/reversals", amount=str(part))
    elif what.startswith("asked"):
        [payout] = desk.rows(
            f"SELECT id FROM payouts WHERE id = {int(transfer.metadata['payout'])}"
        )
        _ask(desk, payout[0], None if what.endswith("all") else 70)
    elif what == "restrict":
        platform.set_state(transfer.destination, draw.choice(["restricted", "active"]))
    else:
        _fail_at_the_bank(platform, transfer.destination)


def _ask(desk: Desk, payout_id: int, amount: int | None) -> None:
    try:
        with transaction(desk.engine) as tx:
            service.request_reversal(
                tx, desk.merchant_id, payout_id, amount=amount, reason="so", actor=ADA
            )
    except NotReversible:
        return  # as told: nothing was asked for


def _tolerated(platform: Platform, path: str, **form: str) -> None:
    """A call by hand, which Stripe may refuse; it is made once, for no key protects it."""
    answer = platform._http.post(path, data=form)
    assert answer.status_code in (200, 400), answer.text


def _fail_at_the_bank(platform: Platform, account: str) -> None:
    """The connected account pays out to its bank, and days later the bank sends it back."""
    made = platform._http.post(
        "/v1/payouts",
        data={"amount": "10", "currency": "usd"},
        headers={"Stripe-Account": account},
    )
    if made.status_code == 200:
        for status in ("paid", "failed"):
            platform.stripe.admin("POST", f"payouts/{made.json()['id']}", status=status)


def settle(desk: Desk) -> None:
    """What comes by itself: late webhooks, messages, sweeps and polls, until nothing is left."""
    time.sleep(LATEST_MS / 1000 + 0.2)
    for _ in range(3):
        desk.work_off()
        desk.execute("UPDATE gateway_events SET look_at = now() WHERE state = 'received'")
        desk.execute("UPDATE reversal_requests SET look_at = now() WHERE look_at IS NOT NULL")
        desk.sweep()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_money_and_states_end_as_in_the_gateways_books(desk: Desk, seed: int) -> None:
    desk.platform.fund(1_000_000)
    desk.owe(*range(1_000, 1_000 + PAYOUTS))
    desk.listen(connect=True)
    desk.listen(connect=False)
    desk.platform.stripe.admin("PUT", "faults", seed=seed, rules=CALLS, webhooks=WEBHOOKS)
    desk.build()
    desk.work_off()
    assert set(desk.states().values()) == {"paid"}
    draw = random.Random(seed)
    with ThreadPoolExecutor(2) as pool:
        for turn in range(20):
            happen(desk, draw)
            # Webhooks are applied, and events are polled, beside each other and beside what happens.
            steps = [pool.submit(desk.work_off)]
            if turn % 7 == 6:
                steps.append(pool.submit(polling.poll, desk, desk.merchant_id, pages=1))
            for step in steps:
                step.result(60)
    injected: dict[str, int] = desk.platform.stripe.admin("GET", "faults")["injected"]
    assert {"lose", "duplicate", "reorder", "wrong_secret"} <= injected.keys()
    desk.platform.stripe.admin("DELETE", "faults")
    settle(desk)
    found = polling.poll(desk, desk.merchant_id)
    assert found is not None
    assert not found.silent
    settle(desk)
    again = polling.poll(desk, desk.merchant_id)
    assert again is not None
    assert again.stored == 0
    assert desk.rows("SELECT count(*) FROM gateway_events WHERE brought_by = 'poll'") > [(0,)]
    assert desk.rows("SELECT count(*) FROM gateway_events WHERE brought_by = 'webhook'") > [(0,)]
    assert_as_in_the_books(desk)


def assert_as_in_the_books(desk: Desk) -> None:
    """Payouts, their reversals, the ledger and the payees, against what the sandbox wrote down."""
    house.assert_whole(desk.engine)
    desk.assert_paid_once_and_what_came_back()
    for account, blocked in desk.rows("SELECT account, blocked_by FROM payees"):
        check = desk.platform.gateway().check_payee(account)
        assert check is not None
        assert (blocked is None) == check.ready, account
    open_ones = desk.rows(
        "SELECT state, type FROM gateway_events WHERE state IN ('received', 'failed')"
    )
    assert open_ones == []
    assert (
        desk.rows("SELECT state FROM reversal_requests WHERE state NOT IN ('succeeded', 'failed')")
        == []
    )


def test_the_books_say_what_a_lossy_world_would_not(desk: Desk) -> None:
    """The check bites: a reversal that nobody told, and nobody polled, is found to differ."""
    desk.platform.fund(5_000)
    desk.owe(1_000)
    desk.build()
    desk.work_off()
    [transfer] = desk.platform.transfers()
    desk.platform.call("POST", f"/v1/transfers/{transfer.id}/reversals", amount="300")
    with pytest.raises(AssertionError):
        desk.assert_paid_once_and_what_came_back()
    polling.poll(desk, desk.merchant_id)
    desk.work_off()
    desk.assert_paid_once_and_what_came_back()


def test_wrong_secrets_bring_nothing_and_polling_brings_it(desk: Desk) -> None:
    desk.platform.fund(5_000)
    desk.owe(1_000)
    desk.build()
    desk.work_off()
    desk.listen(connect=False)
    desk.spoil(fault="wrong_secret")
    [transfer] = desk.platform.transfers()
    desk.platform.call("POST", f"/v1/transfers/{transfer.id}/reversals", amount="300")
    _wait_for_a_refusal(desk)
    assert desk.rows("SELECT count(*) FROM gateway_events") == [(0,)]
    polling.poll(desk, desk.merchant_id)
    desk.work_off()
    assert desk.rows("SELECT reversed_amount FROM payouts") == [(300,)]


def _wait_for_a_refusal(desk: Desk) -> None:
    end = time.monotonic() + 10
    while True:
        tries: list[dict[str, Any]] = desk.platform.stripe.admin("GET", "deliveries")["tries"]
        if any((one["fault"], one["status"]) == ("wrong_secret", 400) for one in tries):
            return
        assert time.monotonic() < end, tries
        time.sleep(0.05)
