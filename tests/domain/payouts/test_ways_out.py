"""No state that nobody can leave: what was turned away is given up, what died with its message is taken up."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotCancelable, NotRetryable
from domain.payouts.rules import GatewayOutcome
from tests.domain.payouts import house

REVOKED = GatewayOutcome("response", http_status=401, code="api_key_expired", message="Expired.")


def states(engine: Engine) -> list[tuple[str, str]]:
    return house.rows(
        engine,
        "SELECT p.state, a.state FROM payouts p JOIN payout_attempts a ON a.payout_id = p.id",
    )


def test_a_payout_whose_key_was_revoked_for_good_is_given_up_and_paid_by_the_next_run(
    engine: Engine,
) -> None:
    payout = house.one_payout(engine)
    house.record(engine, house.begin(engine, payout), REVOKED)
    assert states(engine) == [("sending", "sending")]
    with transaction(engine) as tx:
        service.cancel(tx, payout, reason="the account is closed")
    assert states(engine) == [("canceled", "failed")]
    assert house.rows(engine, "SELECT count(*) FROM earnings WHERE payout_id IS NOT NULL") == [(0,)]
    with transaction(engine) as tx:
        assert service.check_invariants(tx) == []
        # The account is closed with nothing open: a key of another one may be given now.
        assert list(service.accounts_in_use(tx, 1, "stripe")) == []


def test_a_payout_under_a_lease_or_of_unknown_outcome_is_not_given_up(engine: Engine) -> None:
    payout = house.one_payout(engine)
    attempt = house.begin(engine, payout)
    with transaction(engine) as tx, pytest.raises(NotCancelable, match="wait for its outcome"):
        service.cancel(tx, payout, reason="?")
    house.record(engine, attempt, house.SILENCE)
    with transaction(engine) as tx, pytest.raises(NotCancelable, match="unknown"):
        service.cancel(tx, payout, reason="?")
    assert states(engine) == [("unknown", "unknown")]


def asked(engine: Engine) -> list[tuple[str]]:
    return house.rows(engine, "SELECT actor FROM outbox ORDER BY id")


@pytest.mark.parametrize(
    ("outcome", "actor"), [(REVOKED, "payouts.send"), (house.SILENCE, "payouts.resolve")]
)
def test_a_payout_whose_message_is_a_dead_letter_is_taken_up_as_it_is(
    engine: Engine, outcome: GatewayOutcome, actor: str
) -> None:
    payout = house.one_payout(engine)
    house.record(engine, house.begin(engine, payout), outcome)
    before = states(engine)
    with transaction(engine) as tx:
        service.set_aside(tx, payout_id=payout)
    house.execute(engine, "DELETE FROM outbox")
    with transaction(engine) as tx:
        service.retry(tx, payout)
    assert states(engine) == before
    assert asked(engine) == [(actor,)]
    with transaction(engine) as tx, pytest.raises(NotRetryable):
        service.retry(tx, payout)
