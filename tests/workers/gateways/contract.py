"""What every gateway module has to do, whichever gateway it speaks to.

Subclass ``GatewayContract`` and give it a fixture ``there``: the gateway's other side, really running. The
tests provoke what goes wrong at the call that pays, and count in the other side's own books.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

import pytest

from domain.payouts.gateway import Deadline, Gateway, Order, TellsBalance
from domain.payouts.rules import GatewayOutcome, Verdict, attempt_key, classify
from tests.workers.gateways.local_stripe import INSTALLATION, ample

AMOUNT = 1_000


class OtherSide(Protocol):
    """The gateway itself, as a test needs it."""

    currency: str

    def gateway(self, *, read_seconds: float = 5.0) -> Gateway:
        """The module under test, speaking to it."""

    def nowhere(self) -> Gateway:
        """The module under test, at an address where nobody listens."""

    def fund(self, amount: int) -> None:
        """Put money there to pay from."""

    def payee(self) -> str:
        """A destination that can be paid."""

    def closed(self) -> str:
        """A destination that cannot be paid any more."""

    def fault(self, name: str, **options: Any) -> None:
        """Inject a fault into every call that pays; an earlier plan is over."""

    def silence(self) -> None:
        """Answer nothing at all."""

    def calm(self) -> None:
        """Inject nothing any more."""

    def paid(self) -> list[tuple[int, str, str]]:
        """Amount, currency and destination of everything that was really paid."""


class GatewayContract:
    """The tests; each gateway's own come beside them."""

    @pytest.fixture
    def there(self) -> OtherSide:
        raise NotImplementedError

    def send(
        self, there: OtherSide, asked: Order, deadline: Deadline | None = None
    ) -> GatewayOutcome:
        """Send an order, with parameters that have been in a database."""
        gateway = there.gateway()
        stored = json.loads(json.dumps(gateway.params(asked)))
        return gateway.send(
            stored,
            key=asked.key,
            api_version=gateway.api_version,
            deadline=deadline or ample(),
        )

    def order(self, there: OtherSide, *, n: int = 1, payout_id: int = 1) -> Order:
        key = attempt_key(INSTALLATION, payout_id=payout_id, leg="transfer", n=n)
        return Order(INSTALLATION, payout_id, 7, key, AMOUNT, there.currency, there.payee())

    def test_it_pays_what_was_ordered_and_names_it(self, there: OtherSide) -> None:
        there.fund(10 * AMOUNT)
        asked = self.order(there)
        outcome = self.send(there, asked)
        assert classify(outcome, replaying_unknown=False) is Verdict.SUCCEEDED
        assert outcome.external_id
        assert not outcome.replayed
        assert there.paid() == [(AMOUNT, there.currency, asked.destination)]

    def test_under_one_key_it_pays_once(self, there: OtherSide) -> None:
        there.fund(10 * AMOUNT)
        asked = self.order(there)
        first = self.send(there, asked)
        again = self.send(there, asked)
        assert again.replayed
        assert again.external_id == first.external_id
        assert len(there.paid()) == 1

    @pytest.mark.parametrize(
        ("fault", "options", "verdict"),
        [
            ("drop_before", {}, Verdict.UNKNOWN),
            ("drop_during", {}, Verdict.UNKNOWN),
            ("drop_after", {}, Verdict.UNKNOWN),
            ("error_500_done", {}, Verdict.UNKNOWN),
            ("error_500_not_done", {"stored": False}, Verdict.UNKNOWN),
            ("garbage", {}, Verdict.UNKNOWN),
        ],
    )
    def test_after_a_lost_answer_the_outcome_is_unknown_and_a_replay_pays_once(
        self, there: OtherSide, fault: str, options: dict[str, Any], verdict: Verdict
    ) -> None:
        there.fund(10 * AMOUNT)
        asked = self.order(there)
        there.fault(fault, **options)
        assert classify(self.send(there, asked), replaying_unknown=False) is verdict
        there.calm()
        replayed = self.send(there, asked)
        if fault != "error_500_done" or replayed.http_status != 500:
            # (Stripe remembers a 500; then it is looked up.)
            assert classify(replayed, replaying_unknown=True) is Verdict.SUCCEEDED
        assert len(there.paid()) == 1

    @pytest.mark.parametrize("fault", ["rate_limit", "unauthorized"])
    def test_what_was_turned_away_settles_nothing_and_is_sent_again_under_its_key(
        self, there: OtherSide, fault: str
    ) -> None:
        there.fund(10 * AMOUNT)
        asked = self.order(there)
        there.fault(fault)
        told = classify(self.send(there, asked), replaying_unknown=False)
        assert told in (Verdict.RETRY_SAME_KEY, Verdict.OPEN_BREAKER, Verdict.UNKNOWN)
        assert there.paid() == []
        there.calm()
        assert classify(self.send(there, asked), replaying_unknown=True) is Verdict.SUCCEEDED
        assert len(there.paid()) == 1

    def test_without_money_it_is_refused_for_good_and_a_later_key_pays(
        self, there: OtherSide
    ) -> None:
        asked = self.order(there)
        outcome = self.send(there, asked)
        assert classify(outcome, replaying_unknown=False) is Verdict.DEFINITE_FAILURE
        assert outcome.code == "balance_insufficient"
        there.fund(10 * AMOUNT)
        later = Order(
            INSTALLATION,
            1,
            7,
            attempt_key(INSTALLATION, payout_id=1, leg="transfer", n=2),
            AMOUNT,
            there.currency,
            asked.destination,
        )
        assert classify(self.send(there, later), replaying_unknown=False) is Verdict.SUCCEEDED
        self.send(there, asked)
        assert len(there.paid()) == 1, "the refused key can never pay"

    def test_a_connection_that_was_never_made_carried_nothing(self, there: OtherSide) -> None:
        gateway, asked = there.nowhere(), self.order(there)
        outcome = gateway.send(
            gateway.params(asked), key=asked.key, api_version=gateway.api_version, deadline=ample()
        )
        assert outcome.kind == "not_sent"
        assert classify(outcome, replaying_unknown=False) is Verdict.RETRY_SAME_KEY

    def test_no_try_begins_that_could_outlast_the_lease(self, there: OtherSide) -> None:
        there.fund(10 * AMOUNT)
        outcome = self.send(there, self.order(there), Deadline.begin(5))
        assert outcome.kind == "not_sent"
        assert there.paid() == []

    def test_what_was_paid_is_found_and_nothing_else(self, there: OtherSide) -> None:
        there.fund(10 * AMOUNT)
        asked, other = self.order(there), self.order(there, payout_id=2)
        gateway = there.gateway()
        assert gateway.find(gateway.params(asked)) == []
        made = self.send(there, asked)
        self.send(there, other)
        [found] = gateway.find(gateway.params(asked)) or []
        assert (found.external_id, found.amount, found.currency, found.key) == (
            made.external_id,
            AMOUNT,
            there.currency,
            asked.key,
        )
        assert found.paid
        assert found.destination == asked.destination

    def test_a_look_up_that_is_not_answered_is_not_an_empty_one(self, there: OtherSide) -> None:
        gateway = there.gateway()
        params = gateway.params(self.order(there))
        there.silence()
        assert gateway.find(params) is None

    def test_a_payee_is_ready_or_not_or_nobody_said(self, there: OtherSide) -> None:
        gateway, ready, closed = there.gateway(), there.payee(), there.closed()
        check = gateway.check_payee(ready)
        assert check is not None
        assert check.ready
        refused = gateway.check_payee(closed)
        assert refused is not None
        assert not refused.ready
        assert refused.reason
        there.silence()
        assert gateway.check_payee(ready) is None

    def test_a_gateway_that_tells_its_balance_tells_what_is_there_or_that_it_is_silent(
        self, there: OtherSide
    ) -> None:
        gateway = there.gateway()
        if not isinstance(gateway, TellsBalance):
            pytest.skip("tells no balance")
        there.fund(AMOUNT)
        assert gateway.balance().available[there.currency] == AMOUNT
        there.silence()
        assert gateway.balance().answer == "silent"
