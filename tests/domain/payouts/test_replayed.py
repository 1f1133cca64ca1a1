"""A key that the gateway knows before we have sent it is somebody else's."""

from sqlalchemy import Engine

from domain.payouts.rules import GatewayOutcome, Verdict
from tests.domain.payouts.house import assert_whole, begin, one_payout, record, scalar

REMEMBERED = GatewayOutcome("response", http_status=200, external_id="tr_theirs", replayed=True)


def test_a_success_that_was_answered_before_the_first_send_freezes_and_pays_nothing(
    engine: Engine,
) -> None:
    payout_id = one_payout(engine)
    recorded = record(engine, begin(engine, payout_id), REMEMBERED)
    assert recorded.verdict is Verdict.SUCCEEDED
    assert scalar(engine, "SELECT state FROM payouts") == "unknown"
    assert "before it was sent" in scalar(engine, "SELECT frozen_reason FROM payouts")
    assert scalar(engine, "SELECT external_transaction_id FROM payouts") is None
    assert_whole(engine)
