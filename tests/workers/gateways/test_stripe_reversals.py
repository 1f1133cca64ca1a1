"""Stripe's reversals through the SDK: what each answer is, and what a look-up finds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import stripe

from domain.payouts.gateway import ReversalOrder, TakesBack, TellsEvents
from domain.payouts.rules import GatewayOutcome
from tests.workers.gateways.local_stripe import INSTALLATION, Platform, ample, order
from workers.gateways.stripe import API_VERSION
from workers.gateways.stripe_reversals import _named


@pytest.fixture
def transfer(platform: Platform) -> str:
    """10.00 that were paid."""
    platform.fund(100_000)
    gateway = platform.gateway()
    asked = gateway.params(order(platform.account()))
    made = gateway.send(asked, key="paid", api_version=API_VERSION, deadline=ample())
    assert made.external_id
    return made.external_id


def take_back(platform: Platform, transfer: str, amount: int, n: int = 1) -> GatewayOutcome:
    reversals = platform.gateway().reversals
    key = f"payspool/{INSTALLATION}/1/reverse/{n}"
    asked = reversals.params(ReversalOrder(INSTALLATION, 1, 7, key, transfer, amount, "usd"))
    return reversals.reverse(asked, key=key, api_version=API_VERSION, deadline=ample())


def test_the_gateway_says_what_it_can_do(platform: Platform) -> None:
    assert isinstance(platform.gateway(), TakesBack)
    assert isinstance(platform.gateway(), TellsEvents)


def test_a_part_comes_back_once_under_its_key_and_is_found_by_it(
    platform: Platform, transfer: str
) -> None:
    first, again = (take_back(platform, transfer, 300) for _ in range(2))
    assert (first.external_id, first.replayed) == (again.external_id, False)
    assert again.replayed
    take_back(platform, transfer, 200, n=2)
    found = platform.gateway().reversals.find({"transfer": transfer})
    assert found is not None
    assert {(one.key, one.amount) for one in found} == {
        (f"payspool/{INSTALLATION}/1/reverse/1", 300),
        (f"payspool/{INSTALLATION}/1/reverse/2", 200),
    }


@pytest.mark.parametrize(
    ("before", "amount", "code"),
    [(1_000, 1, "transfer_already_reversed"), (900, 101, "reversal_too_large")],
)
def test_a_refusal_without_a_code_is_named_by_what_it_is_about(
    platform: Platform, transfer: str, before: int, amount: int, code: str
) -> None:
    take_back(platform, transfer, before)
    refused = take_back(platform, transfer, amount, n=2)
    assert (refused.kind, refused.http_status, refused.code) == ("response", 400, code)


def error(status: int, **body: str) -> stripe.StripeError:
    return stripe.InvalidRequestError("no", None, http_status=status, json_body={"error": body})


def test_only_stripes_own_refusal_of_a_request_is_named() -> None:
    kind = "invalid_request_error"
    assert _named(error(400, type=kind)).code == "reversal_refused"
    assert _named(error(400, type=kind, code="balance_insufficient")).code == "balance_insufficient"
    assert _named(error(400, type="idempotency_error")).code is None
    assert _named(error(500, type="api_error")).code is None
    assert _named(error(404, type=kind, code="resource_missing")).code == "resource_missing"


def test_events_are_paged_and_an_event_that_is_gone_is_told(
    platform: Platform, transfer: str
) -> None:
    take_back(platform, transfer, 300)
    events, june = platform.gateway().events, datetime(2026, 6, 1, tzinfo=UTC)
    wanted = {"types": ("transfer.reversed",), "since": june}
    page = events.page(**wanted, account=None, after=None)  # type: ignore[arg-type]
    [one] = page.events
    assert (page.answer, page.more, one.type, one.live) == (
        "told",
        False,
        wanted["types"][0],
        False,
    )
    assert transfer in one.payload
    last = events.page(**wanted, account=None, after=one.event_id)  # type: ignore[arg-type]
    assert (last.answer, last.events) == ("told", ())
    assert events.page(**wanted, account=None, after="evt_gone").answer == "gone"  # type: ignore[arg-type]
    assert events.page(**wanted, account="acct_none", after=None).answer == "refused"  # type: ignore[arg-type]
