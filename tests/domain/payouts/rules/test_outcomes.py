"""The outcome table, row by row and in both columns, and as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.payouts.rules import GatewayOutcome, Verdict, classify
from domain.payouts.rules.outcomes import BUSINESS_CODES

SUCCEEDED, FAILED, AGAIN = Verdict.SUCCEEDED, Verdict.DEFINITE_FAILURE, Verdict.RETRY_SAME_KEY
UNKNOWN, FREEZE, BREAKER = Verdict.UNKNOWN, Verdict.FREEZE, Verdict.OPEN_BREAKER


def answer(status: int, code: str | None = None, **more: object) -> GatewayOutcome:
    return GatewayOutcome("response", http_status=status, code=code, **more)  # type: ignore[arg-type]


TABLE = [
    # outcome, on a first send, replaying an unknown
    (answer(200, external_id="tr_1"), SUCCEEDED, SUCCEEDED),
    (answer(200, external_id="tr_1", replayed=True), SUCCEEDED, SUCCEEDED),
    (answer(200), UNKNOWN, UNKNOWN),
    *((answer(400, code), FAILED, UNKNOWN) for code in sorted(BUSINESS_CODES)),
    *((answer(400, code, replayed=True), FAILED, FAILED) for code in sorted(BUSINESS_CODES)),
    (answer(402, "balance_insufficient"), FAILED, UNKNOWN),
    (answer(403, "account_invalid"), FAILED, UNKNOWN),
    (answer(404, "resource_missing"), FAILED, UNKNOWN),
    (answer(422, "transfer_refused"), FAILED, UNKNOWN),
    (answer(409, error_type="idempotency_error"), FREEZE, FREEZE),
    # A gateway that pays in several calls, after the first of them made something.
    (answer(429, began=True), UNKNOWN, UNKNOWN),
    (answer(401, began=True), UNKNOWN, UNKNOWN),
    (answer(422, "transfer_refused", began=True), UNKNOWN, UNKNOWN),
    (GatewayOutcome("not_sent", began=True), UNKNOWN, UNKNOWN),
    (answer(201, "balance_insufficient", began=True, refused=True), FAILED, FAILED),
    (answer(200, "transfer_canceled", began=True, refused=True), FAILED, FAILED),
    (answer(200, "something_new", began=True, refused=True), UNKNOWN, UNKNOWN),
    (answer(200, external_id="1", began=True, arrived=False), SUCCEEDED, SUCCEEDED),
    (answer(404, "resource_missing", replayed=True), FAILED, FAILED),
    (answer(429), AGAIN, UNKNOWN),
    (answer(429, "rate_limit"), AGAIN, UNKNOWN),
    (answer(429, "lock_timeout"), AGAIN, UNKNOWN),
    (answer(400, "lock_timeout"), AGAIN, UNKNOWN),
    (answer(429, "lock_timeout", replayed=True), AGAIN, UNKNOWN),
    (answer(409, "idempotency_key_in_use"), UNKNOWN, UNKNOWN),
    (answer(400, error_type="idempotency_error"), FREEZE, FREEZE),
    (answer(401), BREAKER, UNKNOWN),
    (answer(401, "api_key_expired"), BREAKER, UNKNOWN),
    (answer(403), BREAKER, UNKNOWN),
    (answer(403, "secret_key_required"), BREAKER, UNKNOWN),
    (GatewayOutcome("not_sent"), AGAIN, UNKNOWN),
    (GatewayOutcome("timeout"), UNKNOWN, UNKNOWN),
    (GatewayOutcome("reset"), UNKNOWN, UNKNOWN),
    (GatewayOutcome("unreadable", http_status=200), UNKNOWN, UNKNOWN),
    (GatewayOutcome("unreadable", http_status=429), UNKNOWN, UNKNOWN),
    *((answer(status), UNKNOWN, UNKNOWN) for status in (500, 502, 503, 504)),
    (answer(500, replayed=True), UNKNOWN, UNKNOWN),
    (answer(500, "lock_timeout"), UNKNOWN, UNKNOWN),
    # What the table does not name.
    (answer(400), UNKNOWN, UNKNOWN),
    (answer(400, "parameter_missing"), UNKNOWN, UNKNOWN),
    (answer(400, "parameter_missing", replayed=True), UNKNOWN, UNKNOWN),
    (answer(402, "card_declined"), UNKNOWN, UNKNOWN),
    (answer(403, "something_new"), UNKNOWN, UNKNOWN),
    (answer(422, "something_new"), UNKNOWN, UNKNOWN),
    (answer(302), UNKNOWN, UNKNOWN),
    (GatewayOutcome("response"), UNKNOWN, UNKNOWN),
]


@pytest.mark.parametrize(("outcome", "first", "replaying"), TABLE)
def test_each_row_of_the_outcome_table(
    outcome: GatewayOutcome, first: Verdict, replaying: Verdict
) -> None:
    assert classify(outcome, replaying_unknown=False) is first
    assert classify(outcome, replaying_unknown=True) is replaying


OUTCOMES = st.builds(
    GatewayOutcome,
    st.sampled_from(["response", "timeout", "reset", "not_sent", "unreadable"]),
    http_status=st.none() | st.integers(100, 599) | st.sampled_from([200, 400, 401, 403, 429]),
    error_type=st.none() | st.sampled_from(["idempotency_error", "api_error"]),
    code=st.none()
    | st.text(max_size=8)
    | st.sampled_from([*sorted(BUSINESS_CODES), "lock_timeout"]),
    external_id=st.none() | st.just("tr_1"),
    replayed=st.booleans(),
    began=st.booleans(),
    refused=st.booleans(),
)


@given(OUTCOMES, st.booleans())
def test_every_outcome_has_a_verdict_and_only_a_named_one_settles_anything(
    outcome: GatewayOutcome, replaying: bool
) -> None:
    verdict = classify(outcome, replaying_unknown=replaying)
    if verdict is SUCCEEDED:
        assert outcome.external_id
        assert outcome.http_status is not None
        assert outcome.http_status // 100 == 2
    if verdict is FAILED:
        assert outcome.code in BUSINESS_CODES
        assert outcome.replayed or outcome.refused or not (replaying or outcome.began)
    if verdict in (AGAIN, BREAKER):
        unknown = replaying or outcome.began
        assert not unknown, "an unknown attempt is never sent as if nothing had been sent"
    if outcome.kind in ("timeout", "reset", "unreadable"):
        assert verdict is UNKNOWN


@given(OUTCOMES)
def test_knowing_less_never_settles_more(outcome: GatewayOutcome) -> None:
    first = classify(outcome, replaying_unknown=False)
    replaying = classify(outcome, replaying_unknown=True)
    assert replaying in (first, UNKNOWN)
