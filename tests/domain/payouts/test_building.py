"""A run pays what is due, once, and says what it left out and why."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from domain.db import Tx, transaction
from domain.earnings import service as earnings
from domain.payouts import service
from domain.payouts.rules import members_digest, members_hash
from domain.payouts.service import Preview, RunSpec
from tests.domain.payouts import house
from tests.domain.payouts.house import JULY, JUNE, assert_whole, earn, earning, merchant, payee

RESULT = (
    "SELECT user_id, currency, amount, members, destination, state FROM payouts ORDER BY user_id"
)


def test_a_run_pays_each_payee_what_is_due_and_tells_why_it_skipped_the_others(
    engine: Engine,
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in ("ada", "bob", "cyd", "dan", "eve", "flo"):
            payee(tx, acme, user, f"acct_{user}")
        payee(tx, acme, "gus", None)
        payee(tx, acme, "hal", "iban", method="manual")
        earn(tx, acme, 700, "ada")
        reward = earn(tx, acme, 500, "ada")
        earn(tx, acme, -200, "ada", reverses=reward)
        earn(tx, acme, 99, "bob")
        earn(tx, acme, -50, "cyd")
        earn(tx, acme, 5_000, "dan", hold="velocity")
        earn(tx, acme, 5_000, "eve", due=JULY)
        earn(tx, acme, 5_000, "flo", method="manual")
        earn(tx, acme, 5_000, "gus")
        earn(tx, acme, 5_000, "hal")
        earn(tx, acme, 5_000, "ivy")
    result = house.run(engine, acme, minimums={"usd": 100})

    assert (result.created, result.skipped, result.errors) == (1, 7, [])
    assert result.reasons == {
        "below_minimum": 1,
        "method_not_in_run": 1,
        "negative_balance": 1,
        "on_hold": 1,
        "other_method": 1,
        "payee_not_ready": 2,
    }
    assert result.by_currency == {"usd": {"payouts": 1, "amount": 1_000}}
    assert house.rows(engine, RESULT) == [("ada", "usd", 1_000, 3, "acct_ada", "approved")]
    assert house.rows(engine, "SELECT args FROM outbox") == [
        ({"payout_id": house.scalar(engine, "SELECT id FROM payouts")},)
    ]
    assert result.state == "sending"
    assert_whole(engine)


def test_a_preview_says_what_the_run_then_does_and_writes_nothing(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme, "ada", "acct_ada")
        earn(tx, acme, 700, "ada")
        earn(tx, acme, 300, "ada", currency="eur")
        earn(tx, acme, 10, "bob")
    spec = RunSpec(acme, "run", JUNE, {"eur": 301})
    seen = Preview()
    with transaction(engine) as tx:
        for line in service.preview(tx, spec):
            seen.add(line)
    assert house.scalar(engine, "SELECT count(*) FROM payouts") == 0

    result = service.build_run(engine, spec)
    assert (seen.created, seen.skipped, seen.reasons, seen.by_currency) == (
        result.created,
        result.skipped,
        result.reasons,
        result.by_currency,
    )
    assert seen.reasons == {"below_minimum": 1, "payee_not_ready": 1}


def test_currencies_are_never_added_up(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 700)
        earn(tx, acme, -600, currency="eur")
    result = house.run(engine, acme)
    assert result.by_currency == {"usd": {"payouts": 1, "amount": 700}}
    assert result.reasons == {"negative_balance": 1}


def test_a_repeated_fire_tells_what_the_run_made_and_claims_nothing_new(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 700)
    first = house.run(engine, acme)
    with transaction(engine) as tx:
        earn(tx, acme, 900)
    assert house.run(engine, acme) == first
    assert house.scalar(engine, "SELECT count(*) FROM payouts") == 1


def test_a_merchant_pays_only_its_own(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme, other = merchant(tx), merchant(tx, "other")
        payee(tx, acme)
        payee(tx, other)
        earn(tx, acme, 700)
        earn(tx, other, 900)
    assert house.run(engine, acme).by_currency == {"usd": {"payouts": 1, "amount": 700}}


def test_a_run_without_anything_due_is_settled_at_once(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
    result = house.run(engine, acme)
    assert (result.created, result.skipped, result.state) == (0, 0, "settled")


def test_what_the_database_hashes_is_what_the_rules_hash(engine: Engine) -> None:
    payout_id = house.one_payout(engine, (700, 300, 15))
    members = house.rows(
        engine, "SELECT id, amount FROM earnings WHERE payout_id = :id", id=payout_id
    )
    digest = members_digest([(row[0], row[1]) for row in members])
    expected = members_hash(digest, amount=1_015, currency="usd", destination="acct_ada")
    assert bytes(house.scalar(engine, "SELECT members_hash FROM payouts")) == expected


# Which debits come with which credits: (credit's due, held, voided), debit's own due → what is paid.
@pytest.mark.parametrize(
    ("credit_due", "hold", "voided", "paid"),
    [
        (JUNE, None, False, 10_600),  # both are due
        (JULY, None, False, 10_000),  # the debit waits with its credit
        (JUNE, "velocity", False, 10_000),  # and shares its hold
        (JUNE, None, True, 10_000),  # a voided credit leaves nothing to take back
    ],
)
def test_a_debit_shares_the_claim_of_the_earning_that_it_reverses(
    engine: Engine, credit_due: object, hold: str | None, voided: bool, paid: int
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 10_000)
        credit = earn(tx, acme, 1_000, due=credit_due, hold=hold)
        # The debit itself is due and not held: only its credit counts.
        earn(tx, acme, -400, reverses=credit)
        if voided:
            tx.execute(
                text("UPDATE earnings SET voided_at = :at WHERE id = :id"),
                {"at": JUNE, "id": credit},
            )
    assert house.run(engine, acme).by_currency["usd"]["amount"] == paid


def test_a_debit_of_a_paid_earning_is_due_at_once(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        credit = earn(tx, acme, 1_000)
    house.run(engine, acme, "first")
    with transaction(engine) as tx:
        earn(tx, acme, 600)
        earn(tx, acme, -400, reverses=credit, due=JULY, hold="copied from its reward")
    assert house.run(engine, acme, "second").by_currency["usd"]["amount"] == 200
    assert_whole(engine)


def test_a_debt_is_carried_over_until_later_earnings_pay_it_off(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        credit = earn(tx, acme, 1_000)
    house.run(engine, acme, "1")
    with transaction(engine) as tx:
        earn(tx, acme, -1_000, reverses=credit)
    assert house.run(engine, acme, "2").reasons == {"negative_balance": 1}
    with transaction(engine) as tx:
        earn(tx, acme, 1_000)
    assert house.run(engine, acme, "3").reasons == {"below_minimum": 1}
    with transaction(engine) as tx:
        earn(tx, acme, 50)
    assert house.run(engine, acme, "4").by_currency["usd"] == {"payouts": 1, "amount": 50}
    assert_whole(engine)


def test_an_account_that_stays_locked_is_reported_busy_and_paid_by_the_next_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.payouts.service.building.LAST_PASS_SECONDS", 0.05)
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in ("ada", "bob"):
            payee(tx, acme, user, f"acct_{user}")
            earn(tx, acme, 500, user)
    with transaction(engine) as holder:
        holder.execute(text("SELECT 1 FROM ledger_accounts WHERE owner = 'ada' FOR NO KEY UPDATE"))
        result = house.run(engine, acme, "first")
    assert (result.created, result.skipped) == (1, 0)
    assert result.reasons == {"busy": 1}
    assert len(result.errors) == 1
    assert "ada" in result.errors[0]

    assert house.run(engine, acme, "second").created == 1
    assert house.rows(engine, "SELECT user_id FROM payouts ORDER BY id") == [("bob",), ("ada",)]


def test_an_account_that_is_free_again_is_claimed_by_the_last_pass(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 500)
    holder = engine.connect()
    held = holder.begin()
    holder.execute(text("SELECT 1 FROM ledger_accounts WHERE owner = 'ada' FOR NO KEY UPDATE"))
    service.build_run(
        engine, RunSpec(acme, "run", JUNE), on_progress=lambda _looked_at: held.rollback()
    )
    holder.close()
    assert house.scalar(engine, "SELECT count(*) FROM payouts") == 1
    assert house.scalar(engine, "SELECT count(*) FROM payout_exclusions") == 0


def test_a_run_goes_through_many_shards(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.payouts.service.claiming.SHARD", 3)
    monkeypatch.setattr("domain.payouts.service.building.SHARD", 2)
    with transaction(engine) as tx:
        acme = merchant(tx)
        for n in range(10):
            payee(tx, acme, f"u{n}", f"acct_{n}")
        earnings.record(tx, [earning(acme, 100 + n, f"u{n}") for n in range(10)])
    looked_at: list[int] = []
    result = service.build_run(engine, RunSpec(acme, "run", JUNE), on_progress=looked_at.append)
    assert (result.created, looked_at) == (10, [3, 6, 9, 10])
    assert house.scalar(engine, "SELECT count(*) FROM outbox") == 10
    assert_whole(engine)


def test_the_minimums_and_methods_of_a_run_stay_those_it_was_begun_with(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 500)
    house.run(engine, acme, minimums={"usd": 501})
    again = house.run(engine, acme, minimums={"usd": 1})
    assert (again.created, again.reasons) == (0, {"below_minimum": 1})


def test_an_older_word_about_a_payee_changes_nothing(tx: Tx) -> None:
    acme = merchant(tx)
    payee(tx, acme, account="acct_new", at=JULY)
    changed = service.put_payees(
        tx,
        [
            service.PayeeUpdate(acme, "ada", "stripe", JUNE, "acct_old"),
            service.PayeeUpdate(acme, "bob", "stripe", JULY, "acct_bob", "Bob"),
            service.PayeeUpdate(acme, "bob", "stripe", JUNE, "acct_older"),
            service.PayeeUpdate(acme, "bob", "stripe", JULY + timedelta(days=1), None),
        ],
    )
    assert changed == [False, False, False, True]
    assert tx.execute(text("SELECT user_id, account, name FROM payees ORDER BY user_id")).all() == [
        ("ada", "acct_new", None),
        ("bob", None, None),
    ]


def test_a_second_run_is_asked_for_after_what_the_first_one_asked_for(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in ("ada", "bob", "cyd"):
            payee(tx, acme, user, f"acct_{user}")
            earn(tx, acme, 500, user)
    service.build_run(engine, RunSpec(acme, "first", JUNE), rate=0.1)
    with transaction(engine) as tx:
        earn(tx, acme, 500, "ada")
        earn(tx, acme, 500, "bob")
    first = house.scalar(engine, "SELECT min(id) FROM payouts WHERE user_id = 'ada'")
    house.begin(engine, first)
    service.build_run(engine, RunSpec(acme, "second", JUNE), rate=0.1)
    delays = house.rows(
        engine,
        "SELECT round(extract(epoch FROM run_at - created_at))::int FROM outbox ORDER BY id",
    )
    # Two of the first three wait still: the next ones come after them, not beside them.
    assert delays == [(0,), (10,), (20,), (20,), (30,)]


def test_a_run_whose_builder_is_gone_is_asked_for_and_finished(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 500)
        run_id = service.open_run(tx, RunSpec(acme, "run", JUNE))
    asked = "SELECT args FROM outbox WHERE actor = 'payouts.finish_run'"
    service.tend_runs(engine)
    assert house.rows(engine, asked) == [], "its builder may be alive"
    house.execute(engine, "UPDATE payout_runs SET look_at = clock_timestamp()")
    service.tend_runs(engine)
    service.tend_runs(engine)
    assert house.rows(engine, asked) == [({"run_id": run_id},)]
    assert service.finish_run(engine, run_id).created == 1
    assert service.finish_run(engine, run_id).state == "sending"
    assert_whole(engine)
