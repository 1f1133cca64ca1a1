"""Sending moves an attempt, its payout and the ledger together, and never opens a second key."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout, NotCancelable, NotRetryable
from domain.payouts.gateway import Found
from domain.payouts.rules import GatewayOutcome, Leave, Verdict
from domain.payouts.service import Attempt, Resolution
from tests.domain.payouts import house
from tests.domain.payouts.house import (
    BUSY,
    CLOSED,
    JULY,
    PAPER,
    POOR,
    SILENCE,
    SUCCESS,
    age,
    assert_whole,
    begin,
    earn,
    execute,
    expire_lease,
    one_payout,
    payee,
    record,
    rows,
    scalar,
)

UNAUTHORIZED = GatewayOutcome("response", http_status=401, message="Invalid API key.")
MISUSED_KEY = GatewayOutcome("response", http_status=400, error_type="idempotency_error")


def state(engine: Engine) -> tuple[str, str]:
    """State of the payout and of its newest attempt."""
    found = rows(
        engine,
        "SELECT p.state, a.state FROM payouts p LEFT JOIN payout_attempts a ON a.payout_id = p.id ORDER BY a.n DESC",
    )
    return found[0]


def balances(engine: Engine) -> dict[str, int]:
    """Balance of each ledger account that is not empty."""
    found = rows(
        engine,
        """
        SELECT a.kind, sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END)
        FROM ledger_accounts a JOIN ledger_transfers t ON a.id IN (t.credit_account_id, t.debit_account_id)
        WHERE a.kind <> 'rewards_expense' GROUP BY a.kind
        """,
    )
    return {kind: int(balance) for kind, balance in found if balance}


def asked(engine: Engine) -> list[str]:
    """Actors that were asked for, oldest first, and the outbox emptied."""
    found = [actor for (actor,) in rows(engine, "SELECT actor FROM outbox ORDER BY id")]
    execute(engine, "DELETE FROM outbox")
    return found


def begun(engine: Engine, payout_id: int) -> Attempt | Leave:
    with transaction(engine) as tx:
        return service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)


def resolution(engine: Engine, attempt_id: int, account: str = PAPER.account) -> Resolution | Leave:
    with transaction(engine) as tx:
        return service.begin_resolution(tx, attempt_id, account)


def resolving(engine: Engine, attempt_id: int) -> Resolution:
    found = resolution(engine, attempt_id)
    assert isinstance(found, Resolution), found
    return found


def test_a_payout_that_succeeds_is_paid_under_the_name_that_the_gateway_gave_it(
    engine: Engine,
) -> None:
    payout_id = one_payout(engine)
    assert balances(engine) == {"payouts_reserved": 1_000}
    attempt = begin(engine, payout_id)
    code = scalar(engine, "SELECT code FROM installation")
    assert attempt.key == f"payspool/{code}/{payout_id}/transfer/1"
    assert attempt.params["amount"] == 1_000
    assert state(engine) == ("sending", "sending")
    assert balances(engine) == {"payouts_in_flight": 1_000}

    recorded = record(engine, attempt, SUCCESS)
    assert (recorded.verdict, recorded.payout_state) == (Verdict.SUCCEEDED, "paid")
    assert state(engine) == ("paid", "succeeded")
    assert balances(engine) == {"gateway_clearing": 1_000}
    [(external, processed, failed)] = rows(
        engine, "SELECT external_transaction_id, processed_at, failed_at FROM payouts"
    )
    assert (external, failed) == ("tr_1", None)
    assert processed is not None
    assert_whole(engine)


def test_an_outcome_that_is_recorded_twice_changes_nothing(engine: Engine) -> None:
    attempt = begin(engine, one_payout(engine))
    for _ in range(2):
        assert record(engine, attempt, SUCCESS).payout_state == "paid"
    for late in (POOR, SILENCE, BUSY, UNAUTHORIZED, MISUSED_KEY):
        assert record(engine, attempt, late).payout_state == "paid"
    assert state(engine) == ("paid", "succeeded")
    assert scalar(engine, "SELECT frozen_reason FROM payouts") is None
    assert_whole(engine)


def test_a_lack_of_money_parks_the_payout_and_its_next_try_is_another_attempt(
    engine: Engine,
) -> None:
    payout_id = one_payout(engine)
    asked(engine)
    assert record(engine, begin(engine, payout_id), POOR).payout_state == "failed"
    assert state(engine) == ("failed", "failed")
    assert balances(engine) == {"payouts_reserved": 1_000}
    [(code, message, parked, waits)] = rows(
        engine,
        "SELECT error_code, error_message, parked_reason, next_try_at - now() FROM payouts",
    )
    assert (code, message, parked) == ("balance_insufficient", "Insufficient funds.", code)
    assert timedelta(minutes=4) < waits < timedelta(minutes=6)
    assert begun(engine, payout_id) == Leave("waiting")

    execute(engine, "UPDATE payouts SET next_try_at = now() - interval '1 s'")
    assert begun(engine, payout_id) == Leave("balance_insufficient"), "not before there is money"
    with transaction(engine) as tx:
        [(acme,)] = tx.execute(text("SELECT merchant_id FROM payouts")).all()
        assert service.resume_parked(tx, acme, "usd") == 1
        assert service.sweep_stuck(tx) == 1
    assert asked(engine) == ["payouts.send"]
    second = begin(engine, payout_id)
    assert second.key.endswith(f"/{payout_id}/transfer/2")
    record(engine, second, SUCCESS)
    assert state(engine) == ("paid", "succeeded")
    assert_whole(engine)


def test_a_failure_that_does_not_heal_waits_for_a_person(engine: Engine) -> None:
    payout_id = one_payout(engine)
    record(engine, begin(engine, payout_id), CLOSED)
    assert begun(engine, payout_id) == Leave("failed")
    execute(
        engine, "UPDATE payouts SET look_at = coalesce(look_at, now()) WHERE look_at IS NOT NULL"
    )
    asked(engine)
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 0
        service.retry(tx, payout_id)
    assert asked(engine) == ["payouts.send"]
    assert begin(engine, payout_id).key.endswith("/2")
    assert_whole(engine)


def test_silence_leaves_a_payout_unknown_and_asks_what_became_of_it(engine: Engine) -> None:
    payout_id = one_payout(engine)
    asked(engine)
    attempt = begin(engine, payout_id)
    assert record(engine, attempt, SILENCE).payout_state == "unknown"
    assert state(engine) == ("unknown", "unknown")
    assert balances(engine) == {"payouts_in_flight": 1_000}
    assert asked(engine) == ["payouts.resolve"]
    assert begun(engine, payout_id) == Leave("unknown")
    with transaction(engine) as tx, pytest.raises(NotRetryable, match="unknown"):
        service.retry(tx, payout_id)
    with transaction(engine) as tx, pytest.raises(NotCancelable, match="unknown"):
        service.cancel(tx, payout_id, reason="no")
    assert_whole(engine)


def test_what_was_turned_away_is_sent_again_under_its_key(engine: Engine) -> None:
    payout_id = one_payout(engine)
    first = begin(engine, payout_id)
    asked(engine)
    for outcome in (BUSY, UNAUTHORIZED, GatewayOutcome("not_sent")):
        sent_at = scalar(engine, "SELECT sent_at FROM payout_attempts")
        record(engine, first, outcome)
        assert state(engine) == ("sending", "sending")
        assert asked(engine) == ["payouts.send"]
        assert begun(engine, payout_id) == Leave("waiting")
        execute(engine, "UPDATE payouts SET next_try_at = now()")
        again = begun(engine, payout_id)
        assert isinstance(again, Attempt)
        assert (again.attempt_id, again.key, again.params) == (
            first.attempt_id,
            first.key,
            first.params,
        )
        assert scalar(engine, "SELECT sent_at FROM payout_attempts") > sent_at
        first = again
    assert record(engine, first, SUCCESS).payout_state == "paid"
    assert_whole(engine)


def test_a_refused_key_is_told_to_the_caller_and_the_attempt_waits(engine: Engine) -> None:
    attempt = begin(engine, one_payout(engine))
    recorded = record(engine, attempt, UNAUTHORIZED)
    assert (recorded.verdict, recorded.message) == (Verdict.OPEN_BREAKER, "Invalid API key.")


def test_a_misused_key_stops_the_payout_for_a_person(engine: Engine) -> None:
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    assert record(engine, attempt, MISUSED_KEY).verdict is Verdict.FREEZE
    assert state(engine) == ("unknown", "unknown")
    assert begun(engine, payout_id) == Leave("frozen")
    assert resolution(engine, attempt.attempt_id) == Leave("frozen")
    execute(engine, "UPDATE payouts SET look_at = now()")
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 0
    assert_whole(engine)


def test_a_redelivered_message_never_mints_a_key(engine: Engine) -> None:
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    assert begun(engine, payout_id) == Leave("leased")
    expire_lease(engine, attempt.attempt_id)
    asked(engine)
    assert begun(engine, payout_id) == Leave("unknown")
    assert state(engine) == ("unknown", "unknown")
    assert asked(engine) == ["payouts.resolve"]
    assert begun(engine, payout_id) == Leave("unknown")
    assert scalar(engine, "SELECT count(*) FROM payout_attempts") == 1


def test_a_sender_that_comes_back_late_reads_the_second_column(engine: Engine) -> None:
    payout_id = one_payout(engine)
    late = begin(engine, payout_id)
    expire_lease(engine, late.attempt_id)
    begun(engine, payout_id)
    # On time it would have been a failure; by now someone may have sent the key again.
    assert record(engine, late, POOR).verdict is Verdict.UNKNOWN
    assert state(engine) == ("unknown", "unknown")
    assert record(engine, late, SUCCESS).payout_state == "paid"
    assert_whole(engine)


@pytest.mark.parametrize(
    "text", ["NUL \x00", "half of a pair \ud800", {"no": "text"}, "x" * 10_000]
)
@pytest.mark.parametrize("field", ["message", "code", "request_id", "error_type", "external_id"])
def test_an_answer_is_recorded_whatever_it_says(engine: Engine, field: str, text: Any) -> None:
    attempt = begin(engine, one_payout(engine))
    status = 200 if field == "external_id" else 400
    told: dict[str, Any] = {field: text}
    recorded = record(engine, attempt, GatewayOutcome("response", http_status=status, **told))
    assert recorded.verdict is Verdict.UNKNOWN
    assert state(engine) == ("unknown", "unknown")
    assert_whole(engine)


def test_a_success_that_contradicts_what_is_known_freezes_the_payout(engine: Engine) -> None:
    attempt = begin(engine, one_payout(engine))
    record(engine, attempt, POOR)
    record(engine, attempt, SUCCESS)
    assert "tr_1" in scalar(engine, "SELECT frozen_reason FROM payouts")
    assert state(engine) == ("failed", "failed")


def test_a_payout_that_is_tried_again_by_itself_counts_as_money_that_is_needed(
    engine: Engine,
) -> None:
    attempt = begin(engine, one_payout(engine))
    acme = scalar(engine, "SELECT merchant_id FROM payouts")
    record(engine, attempt, POOR)
    with transaction(engine) as tx:
        assert service.unsent(tx, acme) == {("stripe", "usd"): 1_000}
    execute(engine, "UPDATE payouts SET next_try_at = NULL")
    with transaction(engine) as tx:
        assert service.unsent(tx, acme) == {}, "a person decides about it first"


def test_a_second_transaction_under_one_key_freezes_the_payout(engine: Engine) -> None:
    attempt = begin(engine, one_payout(engine))
    record(engine, attempt, SUCCESS)
    record(engine, attempt, GatewayOutcome("response", http_status=200, external_id="tr_2"))
    assert "tr_2" in scalar(engine, "SELECT frozen_reason FROM payouts")
    assert scalar(engine, "SELECT external_transaction_id FROM payouts") == "tr_1"


# --- exclusions found at the last moment


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE payees SET account = 'acct_new'", "destination_changed"),
        ("UPDATE payees SET account = NULL", "destination_changed"),
        ("UPDATE payees SET method = 'manual'", "destination_changed"),
        ("UPDATE payees SET blocked_reason = 'restricted'", "blocked"),
        (
            "UPDATE earnings SET held_at = now(), hold_reason = 'dispute' WHERE amount > 0",
            "on_hold",
        ),
    ],
)
def test_a_change_found_before_sending_cancels_the_payout_and_gives_its_earnings_back(
    engine: Engine, change: str, reason: str, waiting: bool
) -> None:
    payout_id = one_payout(engine, (700, 300))
    if waiting:
        record(engine, begin(engine, payout_id), BUSY)
        execute(engine, "UPDATE payouts SET next_try_at = now()")
    execute(engine, change)
    assert begun(engine, payout_id) == Leave(reason)
    assert scalar(engine, "SELECT state FROM payouts") == "canceled"
    assert rows(engine, "SELECT reason, amount FROM payout_exclusions") == [(reason, 1_000)]
    assert scalar(engine, "SELECT count(*) FROM earnings WHERE payout_id IS NULL") == 2
    assert balances(engine) == {"payable": 1_000}
    assert begun(engine, payout_id) == Leave("canceled")
    assert_whole(engine)


def test_earnings_that_were_given_back_are_paid_by_the_next_run(engine: Engine) -> None:
    payout_id = one_payout(engine, (700, 300))
    acme = scalar(engine, "SELECT id FROM merchants")
    with transaction(engine) as tx:
        payee(tx, acme, account="acct_new", at=JULY)
    assert begun(engine, payout_id) == Leave("destination_changed")
    assert house.run(engine, acme, "next").by_currency == {"usd": {"payouts": 1, "amount": 1_000}}
    newest = scalar(engine, "SELECT max(id) FROM payouts")
    assert begin(engine, newest).params["destination"] == "acct_new"
    assert_whole(engine)


def test_a_destination_that_changes_after_the_send_began_changes_nothing_of_it(
    engine: Engine,
) -> None:
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    execute(engine, "UPDATE payees SET account = 'acct_new'")
    assert begun(engine, payout_id) == Leave("leased")
    record(engine, attempt, SILENCE)
    replay = resolving(engine, attempt.attempt_id)
    assert replay.attempt.params["destination"] == "acct_ada"
    assert_whole(engine)


def test_a_failed_payout_can_be_canceled_and_then_never_be_sent(engine: Engine) -> None:
    payout_id = one_payout(engine)
    record(engine, begin(engine, payout_id), CLOSED)
    with transaction(engine) as tx:
        service.cancel(tx, payout_id, reason="account closed")
    assert balances(engine) == {"payable": 1_000}
    assert begun(engine, payout_id) == Leave("canceled")
    with transaction(engine) as tx, pytest.raises(NotCancelable):
        service.cancel(tx, payout_id, reason="again")
    assert_whole(engine)


def test_what_is_not_there_is_named(engine: Engine) -> None:
    with transaction(engine) as tx:
        for call in (
            lambda: service.begin_attempt(tx, 7, PAPER),
            lambda: service.begin_resolution(tx, 7, PAPER.account),
            lambda: service.cancel(tx, 7, reason=""),
            lambda: service.retry(tx, 7),
            lambda: service.route(tx, 7),
            lambda: service.route_of_attempt(tx, 7),
        ):
            with pytest.raises(NoSuchPayout, match="7"):
                call()


# --- resolving


def unknown(engine: Engine) -> Attempt:
    attempt = begin(engine, one_payout(engine))
    record(engine, attempt, SILENCE)
    asked(engine)
    return attempt


def test_an_unknown_attempt_is_asked_about_with_the_very_same_request(engine: Engine) -> None:
    attempt = unknown(engine)
    replay = resolving(engine, attempt.attempt_id)
    assert replay.may_replay
    assert (replay.attempt.key, replay.attempt.params, replay.attempt.api_version) == (
        attempt.key,
        attempt.params,
        attempt.api_version,
    )
    assert resolution(engine, attempt.attempt_id) == Leave("leased")
    assert record(engine, replay.attempt, SUCCESS).payout_state == "paid"
    assert resolution(engine, attempt.attempt_id) == Leave("succeeded")
    assert_whole(engine)


def test_a_refusal_settles_an_unknown_only_if_it_is_what_was_answered_first(engine: Engine) -> None:
    attempt = unknown(engine)
    replay = resolving(engine, attempt.attempt_id)
    assert record(engine, replay.attempt, POOR).verdict is Verdict.UNKNOWN
    assert asked(engine) == ["payouts.resolve"]
    replay = resolving(engine, attempt.attempt_id)
    first = GatewayOutcome("response", http_status=400, code="account_invalid", replayed=True)
    assert record(engine, replay.attempt, first).verdict is Verdict.DEFINITE_FAILURE
    assert state(engine) == ("failed", "failed")
    assert balances(engine) == {"payouts_reserved": 1_000}
    assert_whole(engine)


def test_a_vanished_sender_is_found_by_the_sweep_and_resolved(engine: Engine) -> None:
    attempt = begin(engine, one_payout(engine))
    asked(engine)
    execute(engine, "UPDATE payouts SET look_at = now() - interval '1 s'")
    expire_lease(engine, attempt.attempt_id)
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 1
        assert service.sweep_stuck(tx) == 0, "at most once per interval"
    assert rows(engine, "SELECT actor, args FROM outbox") == [
        ("payouts.resolve", {"attempt_id": attempt.attempt_id})
    ]
    replay = resolving(engine, attempt.attempt_id)
    assert record(engine, replay.attempt, SUCCESS).payout_state == "paid"
    assert_whole(engine)


def test_a_message_that_was_lost_is_sent_again_by_the_sweep(engine: Engine) -> None:
    payout_id = one_payout(engine)
    asked(engine)
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 0, "not yet"
    execute(engine, "UPDATE payouts SET look_at = now() - interval '1 s'")
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 1
    assert rows(engine, "SELECT actor, args FROM outbox") == [
        ("payouts.send", {"payout_id": payout_id})
    ]
    assert scalar(engine, "SELECT emit_count FROM payouts") == 1


def test_after_23_hours_a_key_is_never_sent_again(engine: Engine, owner: Engine) -> None:
    attempt = unknown(engine)
    age(owner, attempt.attempt_id, 22.9)
    assert resolving(engine, attempt.attempt_id).may_replay
    expire_lease(engine, attempt.attempt_id)
    age(owner, attempt.attempt_id, 0.2)
    assert not resolving(engine, attempt.attempt_id).may_replay


def found(attempt: Attempt, **changes: object) -> Found:
    values: dict[str, object] = {
        "external_id": "tr_9",
        "amount": 1_000,
        "reversed_amount": 0,
        "currency": "usd",
        "destination": "acct_ada",
        "key": attempt.key,
    }
    return Found(**(values | changes))  # type: ignore[arg-type]


def looked_up(engine: Engine, owner: Engine, *seen: dict[str, object]) -> service.Recorded:
    attempt = unknown(engine)
    age(owner, attempt.attempt_id, 24)
    held = resolving(engine, attempt.attempt_id).attempt
    with transaction(engine) as tx:
        return service.record_found(tx, held, [found(attempt, **s) for s in seen], final=True)


def test_a_transfer_that_is_found_settles_an_unknown(engine: Engine, owner: Engine) -> None:
    assert (
        looked_up(engine, owner, {"key": "another", "external_id": "tr_8"}, {}).payout_state
        == "paid"
    )
    assert scalar(engine, "SELECT external_transaction_id FROM payouts") == "tr_9"
    assert_whole(engine)


def test_what_is_not_found_stays_unknown_for_a_person(engine: Engine, owner: Engine) -> None:
    assert looked_up(engine, owner).payout_state == "unknown"
    assert "person" in scalar(engine, "SELECT parked_reason FROM payouts")
    assert scalar(engine, "SELECT look_at FROM payouts") is None
    assert_whole(engine)


@pytest.mark.parametrize(
    "seen",
    [
        [{"amount": 999}],
        [{"currency": "eur"}],
        [{"destination": "acct_eve"}],
        [{"reversed_amount": 1_000}],
        [{}, {"external_id": "tr_10"}],
    ],
)
def test_what_is_found_but_is_not_the_payment_asked_for_freezes(
    engine: Engine, owner: Engine, seen: list[dict[str, object]]
) -> None:
    assert looked_up(engine, owner, *seen).verdict is Verdict.FREEZE
    assert state(engine) == ("unknown", "unknown")
    assert scalar(engine, "SELECT frozen_reason FROM payouts") is not None


def test_a_look_up_that_was_not_answered_is_repeated(engine: Engine, owner: Engine) -> None:
    attempt = unknown(engine)
    age(owner, attempt.attempt_id, 24)
    held = resolving(engine, attempt.attempt_id).attempt
    with transaction(engine) as tx:
        service.record_found(tx, held, None, final=True)
    assert scalar(engine, "SELECT parked_reason FROM payouts") is None
    execute(engine, "UPDATE payouts SET look_at = now() - interval '1 s' WHERE look_at IS NOT NULL")
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 1
    assert asked(engine) == ["payouts.resolve"]


def test_finding_nothing_proves_nothing_while_the_key_may_still_be_sent(engine: Engine) -> None:
    attempt = unknown(engine)
    held = resolving(engine, attempt.attempt_id).attempt
    record(engine, held, SILENCE)
    with transaction(engine) as tx:
        recorded = service.record_found(tx, held, [], final=False)
    assert recorded.payout_state == "unknown"
    assert scalar(engine, "SELECT parked_reason FROM payouts") is None
    assert resolving(engine, attempt.attempt_id).may_replay


# --- books


def test_a_finished_run_is_settled_and_the_totals_tell_it(engine: Engine) -> None:
    payout_id = one_payout(engine)
    with transaction(engine) as tx:
        assert service.settle_runs(tx) == []
    record(engine, begin(engine, payout_id), SUCCESS)
    with transaction(engine) as tx:
        assert len(service.settle_runs(tx)) == 1
        totals = service.summary(tx, scalar(engine, "SELECT id FROM merchants"))
    assert [(t.state, t.currency, t.payouts, t.amount) for t in totals] == [
        ("paid", "usd", 1, 1_000)
    ]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("UPDATE payouts SET amount = 999", "1000"),
        ("UPDATE earnings SET payout_id = NULL", "0 in it"),
        ("UPDATE payouts SET external_transaction_id = NULL", "names its transaction"),
        ("UPDATE payouts SET state = 'unknown'", "live attempt is succeeded"),
        (
            "INSERT INTO payout_attempts (merchant_id, payout_id, n, idempotency_key, params, params_hash, api_version,"
            " platform_account, state) SELECT merchant_id, id, 2, 'k', '{}', '\\x00', 'v', 'acct', 'sending' FROM payouts",
            "2 transfer attempts",
        ),
    ],
)
def test_each_broken_invariant_is_told(
    engine: Engine, owner: Engine, damage: str, sentence: str
) -> None:
    record(engine, begin(engine, one_payout(engine)), SUCCESS)
    assert_whole(engine)
    with transaction(owner) as tx:
        tx.execute(text("DROP INDEX uq_payout_attempts_live"))
        for table in ("payouts", "payout_attempts", "earnings"):
            tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        tx.execute(text(damage))
        assert any(sentence in told for told in house.broken(tx)), house.broken(tx)


def test_a_payout_that_the_ledger_does_not_know_is_told(engine: Engine, owner: Engine) -> None:
    one_payout(engine)
    with transaction(engine) as tx:
        earn(tx, scalar(engine, "SELECT id FROM merchants"), 5)
    with transaction(owner) as tx:
        tx.execute(text("ALTER TABLE payouts DISABLE TRIGGER USER"))
        tx.execute(text("UPDATE payouts SET currency = 'eur'"))
        told = service.check_invariants(tx)
    assert len([sentence for sentence in told if "payouts_reserved" in sentence]) == 2
    assert len([sentence for sentence in told if "run 1 counts" in sentence]) == 2
