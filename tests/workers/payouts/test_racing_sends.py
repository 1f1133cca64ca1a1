"""Many workers on the same payouts at once, with messages that come again: each is paid once, by the
sandbox's books."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotCancelable
from domain.payouts.rules import Leave
from domain.payouts.service import Recorded
from tests.workers.payouts.office import Office
from workers import payouts

WORKERS = 8
PATIENCE = 60.0


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls from the same moment on, each in a thread; their results in order."""
    gate = threading.Barrier(len(calls))

    def begin(call: Callable[[], Any]) -> Any:
        gate.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(PATIENCE) for future in [pool.submit(begin, c) for c in calls]]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_eight_workers_with_redelivered_messages_pay_each_once(marked: Office, seed: int) -> None:
    choice = random.Random(seed)
    marked.owe(*(choice.randrange(500, 5_000) for _ in range(10)))
    ids = [*marked.build("a")]
    marked.owe(*(choice.randrange(500, 5_000) for _ in range(6)))
    ids += marked.build("b")
    marked.platform.plan(
        {"fault": "drop_after", "nth": choice.sample(range(1, 12), 2)},
        {"fault": "rate_limit", "retry_after": 0, "nth": [choice.randrange(12, 16)]},
        seed=seed,
    )
    messages = [("payouts.send", {"payout_id": i}) for i in ids * 3]
    choice.shuffle(messages)

    def work(own: list[tuple[str, dict[str, int]]]) -> None:
        for actor, args in own:
            marked.do(actor, args)

    at_once(*(lambda own=messages[n::WORKERS]: work(own) for n in range(WORKERS)))
    marked.work_off()
    assert set(marked.states().values()) == {"paid"}
    marked.assert_paid_once()
    assert len(marked.platform.transfers()) == len(ids)


def test_of_a_cancel_and_a_send_through_the_gateway_one_wins(marked: Office) -> None:
    marked.owe(*range(1_000, 1_012))
    ids = marked.build()
    marked.messages()

    def cancel(payout_id: int) -> str:
        try:
            with transaction(marked.engine) as tx:
                service.cancel(tx, payout_id, reason="race")
        except NotCancelable:
            return "too late"
        return "canceled"

    for payout_id in ids:
        sent, canceled = at_once(
            lambda i=payout_id: payouts.send(marked, i), lambda i=payout_id: cancel(i)
        )
        if canceled == "canceled":
            assert sent == Leave("canceled")
        else:
            assert isinstance(sent, Recorded)
            assert sent.payout_state == "paid"
    states = list(marked.states().values())
    assert states.count("paid") == len(marked.platform.transfers())
    assert states.count("paid") + states.count("canceled") == len(ids)
    marked.assert_paid_once()
