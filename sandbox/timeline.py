"""Time passing in the sandbox: matured funds settle, payouts, top-ups and the local
Wise's transfers take their next steps.

It passes when a request comes, when a test moves the clock, and by itself about once a second.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from sandbox import agenda, ledger
from sandbox.call import Call
from sandbox.clock import Clock
from sandbox.notify import Notifier
from sandbox.resources import balance, payout_states, topups
from sandbox.store import Store
from sandbox.wise import transfers as wise_transfers
from sandbox.wise.call import WiseCall

_log = logging.getLogger("sandbox")

_TICK_SECONDS = 1.0

# Given the object, and the moment at which the step was due: what follows is counted from it.
Step = Callable[[Call, str, int], None]


def _wise_step(call: Call, id: str, due: int) -> None:
    own = WiseCall(store=call.store, notifier=call.notifier, user=0, now=call.now)
    wise_transfers.step(own, int(id), due)


STEPS: Mapping[str, Step] = {
    "payout": payout_states.step,
    "topup": topups.step,
    "wise": _wise_step,
}


class Timeline:
    """Brings the books up to the sandbox's present."""

    def __init__(self, store: Store, notifier: Notifier, clock: Clock) -> None:
        self.store = store
        self.notifier = notifier
        self.clock = clock
        self._task: asyncio.Task[None] | None = None

    def call(self, platform: str) -> Call:
        """Return a call of the sandbox's own, which no request made."""
        return Call(
            store=self.store,
            notifier=self.notifier,
            platform=platform,
            account=platform,
            now=self.clock.now(),
            request_id=None,
            idempotency_key=None,
            base_url="",
        )

    def advance(self) -> None:
        """Do what is due, oldest first, each step in a transaction of its own."""
        now = self.clock.now()
        if ledger.matured(self.store, now):
            with self.store.transaction():
                balance.settle(self.call(""))
        # Bounded: an object has few states, and a step never puts down one that it already took.
        while (due := agenda.first(self.store, now)) is not None:
            with self.store.transaction():
                agenda.drop(self.store, due["id"])
                STEPS[due["kind"]](self.call(""), due["id"], due["due"])

    def start(self) -> None:
        """Let time pass by itself."""
        self._task = asyncio.create_task(self._forever())

    async def stop(self) -> None:
        """Stop it; what is due waits in the books."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self.advance()
            except Exception:
                # A step that cannot be taken must not stop time for all others unseen.
                _log.exception("a step of the clock failed")
