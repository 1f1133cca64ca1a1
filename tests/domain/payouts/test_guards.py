"""What the database itself refuses, whatever the code above it believes."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from domain.db import Tx, transaction
from domain.earnings import service as earnings
from domain.payouts.rules import ATTEMPT, PAYOUT, RUN, Table, can
from tests.domain.payouts import house
from tests.domain.payouts.house import JULY, JUNE, earn, earning, merchant, payee

NEW = {
    "payouts": "INSERT INTO payouts (merchant_id, run_id, payee_id, user_id, account_id, method, destination, currency,"
    " amount, members, members_hash, state) SELECT a.merchant_id, r.id, p.id, p.user_id, a.id, 'stripe', 'acct_ada', 'usd',"
    " 500, 1, '\\x00', :state FROM payees p, payout_runs r, ledger_accounts a WHERE a.kind = 'payable' RETURNING id",
    "payout_attempts": "INSERT INTO payout_attempts (merchant_id, payout_id, n, idempotency_key, params, params_hash,"
    " api_version, platform_account, external_id, abandon_proposed_by, abandon_evidence, abandon_agreed_by, state)"
    " SELECT merchant_id, id, 1, 'key', '{}', '\\x00', 'v', 'acct', 'tr_1', 'ann', 'looked', 'bob', :state"
    " FROM payouts RETURNING id",
    "payout_runs": "INSERT INTO payout_runs (merchant_id, name, as_of, members_hash, frozen_at, approved_by, approved_hash,"
    " rejected_by, reject_reason, state)"
    " SELECT id, 'new', now(), '\\x00', now(), 'ada', '\\x00', 'ben', 'no', :state FROM merchants RETURNING id",
}


@pytest.fixture
def acme(tx: Tx) -> int:
    """A merchant with a payee, an earning and an empty run."""
    made = merchant(tx)
    payee(tx, made)
    earn(tx, made, 500)
    tx.execute(
        text(
            "INSERT INTO payout_runs (merchant_id, name, as_of, members_hash) VALUES (:m, 'r', now(), '\\x00')"
        ),
        {"m": made},
    )
    return made


def path_to(table: Table, state: str) -> list[str]:
    """States from a beginning to ``state``, along the table."""
    paths = [[begin] for begin in table.begins]
    for path in paths:
        if path[-1] == state:
            return path
        paths += [[*path, new] for new in table.moves.get(path[-1], ()) if new not in path]
    raise AssertionError(f"{state} cannot be reached")


@contextmanager
def undone(tx: Tx) -> Iterator[None]:
    """A savepoint that is rolled back."""
    savepoint = tx.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def refused(tx: Tx, statement: str, **values: object) -> bool:
    """Whether the database refuses a statement; it is undone either way."""
    with undone(tx):
        try:
            with tx.begin_nested():
                assert tx.execute(text(statement), values).rowcount == 1
        except IntegrityError:
            return True
        return False


@pytest.mark.parametrize(
    ("table", "name"), [(PAYOUT, "payouts"), (ATTEMPT, "payout_attempts"), (RUN, "payout_runs")]
)
def test_the_database_allows_the_moves_of_the_rules_and_no_other(
    tx: Tx, acme: int, table: Table, name: str
) -> None:
    if name == "payout_attempts":
        payout_id = tx.execute(text(NEW["payouts"]), {"state": "draft"}).scalar_one()
        tx.execute(text("UPDATE payouts SET state = 'approved' WHERE id = :id"), {"id": payout_id})
    for state in table.states:
        assert refused(tx, NEW[name], state=state) == (state not in table.begins), (
            f"begins as {state}"
        )
    for old, new in product(table.states, table.states):
        if old == new:
            continue
        with undone(tx):
            first, *rest = path_to(table, old)
            made = tx.execute(text(NEW[name]), {"state": first}).scalar_one()
            update = f"UPDATE {name} SET state = :state WHERE id = :id"
            for state in rest:
                tx.execute(text(update), {"id": made, "state": state})
            assert refused(tx, update, id=made, state=new) != can(table, old, new), f"{old} → {new}"


FROZEN = {
    "payouts": ["amount = amount + 1", "currency = 'eur'", "destination = 'acct_eve'", "members = 2",
                "members_hash = '\\x01'", "method = 'manual'", "user_id = 'eve'", "account_id = account_id + 1",
                "payee_id = payee_id + 1", "run_id = run_id + 1", "merchant_id = merchant_id + 1",
                "external_transaction_id = 'tr_2'"],
    "payout_attempts": ["idempotency_key = 'other'", "params = '{\"amount\": 1}'", "params_hash = '\\x01'",
                        "api_version = 'w'", "n = 2", "leg = 'bank'", "payout_id = payout_id + 1",
                        "merchant_id = merchant_id + 1", "external_id = 'tr_2'", "sent_at = now()"],
    "payout_runs": ["name = 'other'", "as_of = now()", "minimums = '{\"usd\": 1}'", "methods = '[\"manual\"]'",
                    "members_hash = '\\x01'", "frozen_at = now() + interval '1 day'", "policy = '{\"approval\": \"never\", \"x\": 1}'",
                    "prepared_by = 'eve'", "needs_approval = true", "approved_by = 'eve'",
                    "approved_hash = '\\x01'"],
    "earnings": ["amount = amount + 1", "currency = 'eur'", "user_id = 'eve'", "account_id = account_id + 1",
                 "merchant_id = merchant_id + 1", "kind = 'adjustment'", "source_kind = 'x'", "source_id = 0",
                 "reverses_id = id", "payout_id = NULL", "payout_id = payout_id + 1"],
}  # fmt: skip


@pytest.fixture
def paid(engine: Engine) -> Engine:
    """A database with one paid payout."""
    payout_id = house.one_payout(engine)
    house.record(engine, house.begin(engine, payout_id), house.SUCCESS)
    return engine


def test_what_was_frozen_never_changes(paid: Engine) -> None:
    with transaction(paid) as tx:
        allowed = [
            f"{table}: {change}"
            for table, changes in FROZEN.items()
            for change in changes
            if not refused(tx, f"UPDATE {table} SET {change}")
        ]
    assert allowed == []


def test_nothing_of_money_is_deleted_even_by_the_owner_of_the_tables(
    owner: Engine, paid: Engine
) -> None:
    with transaction(owner) as tx:
        for table in ("payout_attempts", "payouts", "payout_runs", "earnings"):
            assert refused(tx, f"DELETE FROM {table}"), table
            with pytest.raises(IntegrityError, match="append-only"), tx.begin_nested():
                tx.execute(text(f"TRUNCATE {table} CASCADE"))


def test_the_runtime_role_cannot_drop_a_guard(paid: Engine) -> None:
    with transaction(paid) as tx:
        for table in ("payout_attempts", "payouts", "earnings"):
            with pytest.raises(ProgrammingError, match="must be owner"), tx.begin_nested():
                tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))


def test_a_void_is_final_and_a_claimed_earning_cannot_be_voided(paid: Engine) -> None:
    with transaction(paid) as tx:
        assert refused(tx, "UPDATE earnings SET voided_at = now()")
        other = earn(tx, tx.execute(text("SELECT id FROM merchants")).scalar_one(), 5)
        tx.execute(text("UPDATE earnings SET voided_at = now() WHERE id = :id"), {"id": other})
        assert refused(tx, "UPDATE earnings SET voided_at = NULL WHERE id = :id", id=other)


def test_an_earning_is_born_unclaimed(paid: Engine) -> None:
    with transaction(paid) as tx:
        assert refused(
            tx,
            "INSERT INTO earnings (merchant_id, user_id, account_id, currency, amount, kind, source_kind, source_id,"
            " available_at, payout_id) SELECT merchant_id, user_id, account_id, currency, 1, 'reward', 'x', 1, now(),"
            " payout_id FROM earnings",
        )


ATTEMPT_OF_STATE = {
    "approved": True,
    "sending": True,
    "failed": True,
    "unknown": True,
    "draft": False,
    "pending_approval": False,
    "paid": False,
    "canceled": False,
    "reversed": False,
    # Its transfer was made: another transfer would pay twice.
    "in_transit": False,
    "returned": False,
}


def test_an_attempt_begins_only_for_a_payout_that_may_be_sent(tx: Tx, acme: int) -> None:
    assert set(ATTEMPT_OF_STATE) == set(PAYOUT.states)
    for state, allowed in ATTEMPT_OF_STATE.items():
        with undone(tx):
            first, *rest = path_to(PAYOUT, state)
            made = tx.execute(text(NEW["payouts"]), {"state": first}).scalar_one()
            for following in rest:
                tx.execute(
                    text("UPDATE payouts SET state = :s WHERE id = :id"),
                    {"s": following, "id": made},
                )
            assert refused(tx, NEW["payout_attempts"], state="sending") != allowed, state
            tx.execute(text("UPDATE payouts SET frozen_reason = 'looks wrong'"))
            assert refused(tx, NEW["payout_attempts"], state="sending"), f"{state}, stopped"


def test_attempts_are_numbered_without_gaps_and_one_alone_is_live(engine: Engine) -> None:
    payout_id = house.one_payout(engine)
    add = (
        "INSERT INTO payout_attempts (merchant_id, payout_id, n, idempotency_key, params, params_hash, api_version,"
        " platform_account, state) SELECT merchant_id, id, :n, :key, '{}', '\\x00', 'v', 'acct', 'sending' FROM payouts"
    )
    with transaction(engine) as tx:
        assert refused(tx, add, n=2, key="b")
        tx.execute(text(add), {"n": 1, "key": "a"})
        # A second one beside a live one, under a new number and key.
        assert refused(tx, add, n=2, key="b")
        tx.execute(text("UPDATE payout_attempts SET state = 'unknown'"))
        assert refused(tx, add, n=2, key="b")
        tx.execute(text("UPDATE payout_attempts SET state = 'failed'"))
        assert refused(tx, add, n=1, key="b")
        assert refused(tx, add, n=2, key="a")
        assert not refused(tx, add, n=2, key="b")
    assert payout_id


def test_a_payout_with_a_live_attempt_cannot_be_canceled(engine: Engine) -> None:
    payout_id = house.one_payout(engine)
    attempt = house.begin(engine, payout_id)
    with transaction(engine) as tx:
        # The state alone would allow it: failed → canceled.
        tx.execute(text("UPDATE payouts SET state = 'failed'"))
        assert refused(tx, "UPDATE payouts SET state = 'canceled'")
        tx.execute(
            text("UPDATE payout_attempts SET state = 'failed' WHERE id = :id"),
            {"id": attempt.attempt_id},
        )
        assert not refused(tx, "UPDATE payouts SET state = 'canceled'")


def test_earnings_leave_a_reversed_payout_only_in_full_and_confirmed(paid: Engine) -> None:
    leave = "UPDATE earnings SET payout_id = NULL"
    with transaction(paid) as tx:
        tx.execute(text("UPDATE payouts SET state = 'reversed', reversed_amount = amount - 1"))
        assert refused(tx, leave)
        tx.execute(text("UPDATE payouts SET release_confirmed_by = 'ada'"))
        assert refused(tx, leave)
        tx.execute(text("UPDATE payouts SET reversed_amount = amount, release_confirmed_by = NULL"))
        assert refused(tx, leave)
        tx.execute(text("UPDATE payouts SET release_confirmed_by = 'ada'"))
        assert not refused(tx, leave)


def test_the_age_of_a_key_counts_anew_only_while_its_attempt_waits(engine: Engine) -> None:
    attempt = house.begin(engine, house.one_payout(engine))
    renew = "UPDATE payout_attempts SET sent_at = clock_timestamp()"
    with transaction(engine) as tx:
        assert refused(tx, renew), "leased"
    house.record(engine, attempt, house.BUSY)
    with transaction(engine) as tx:
        assert not refused(tx, renew), "turned away"
        assert refused(tx, renew + ", state = 'unknown'")
        tx.execute(text("UPDATE payout_attempts SET state = 'unknown'"))
        assert refused(tx, renew), "unknown"


def test_claiming_many_earnings_calls_no_function_of_ours(engine: Engine, owner: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earnings.record(tx, [earning(acme, 10, due=JUNE) for _ in range(500)])
        earn(tx, acme, 10, due=JULY)
    with transaction(owner) as tx:
        tx.execute(text("CREATE OR REPLACE FUNCTION keep_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                        " RAISE EXCEPTION 'called'; END $$"))  # fmt: skip
    assert house.run(engine, acme).by_currency == {"usd": {"payouts": 1, "amount": 5_000}}
