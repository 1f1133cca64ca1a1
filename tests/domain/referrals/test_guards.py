"""What the database itself refuses, whoever asks."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from domain.db import Tx, connect
from domain.inbox import service as inbox
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    PERCENTAGE,
    TESTER,
    attributed,
    code,
    conversion,
    merchant,
    open_shop,
    program,
    refund,
    send,
)

APPEND_ONLY = [
    "ledger_transfers",
    "audit_entries",
    "program_versions",
    "tracking_reversals",
    "inbox_conflicts",
    "inbox_revisions",
    "rejected_messages",
]
NOTHING_DELETED = [
    *APPEND_ONLY,
    "trackings",
    "earnings",
    "merchants",
    "api_keys",
    "gateway_accounts",
    "inbox_events",
    "programs",
    "codes",
    "attributions",
    "referrer_states",
    "ledger_accounts",
]


def fill(tx: Tx) -> None:
    """A row in each of the tables."""
    db = Rolled(tx)
    open_shop(db, PERCENTAGE, max_rewards_per_referrer=100)  # type: ignore[arg-type]
    send(db, conversion("o1"), conversion("o1", amount=5), attributed("cyd"), "not json")  # type: ignore[arg-type]
    send(db, refund("o1", 2_500))  # type: ignore[arg-type]
    send(db, conversion("o2", by="WRONG-1"))  # type: ignore[arg-type]
    number = tx.execute(text("SELECT max(id) FROM inbox_events")).scalar_one()
    inbox.edit(tx, number, '{"referred_user_id": "cyd"}', actor=TESTER, reason="a test")


@pytest.fixture(params=["runtime", "owner"])
def by_role(request: pytest.FixtureRequest, tx: Tx, shared_engine: Engine) -> Iterator[Tx]:
    """A filled database as the runtime role, and as the owner of its tables; rolled back."""
    if request.param == "runtime":
        fill(tx)
        yield tx
        return
    url = make_url(shared_engine.url).set(username="payspool_owner")
    owner = connect(url.render_as_string(hide_password=False))
    with owner.connect() as connection, connection.begin() as outer:
        fill(connection)
        yield connection
        outer.rollback()
    owner.dispose()


@pytest.fixture
def filled(tx: Tx) -> Tx:
    fill(tx)
    return tx


def refused(tx: Tx, statement: str, match: str, kind: type[Exception] = IntegrityError) -> None:
    with pytest.raises(kind, match=match), tx.begin_nested():
        tx.execute(text(statement))


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_an_append_only_row_is_never_changed(by_role: Tx, table: str) -> None:
    assert by_role.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() > 0
    column = "rule" if table == "program_versions" else "id"
    refused(by_role, f"UPDATE {table} SET {column} = {column}", "append-only")


@pytest.mark.parametrize("table", [*APPEND_ONLY, "trackings", "earnings"])
def test_history_is_never_deleted_nor_emptied(by_role: Tx, table: str) -> None:
    refused(
        by_role,
        f"DELETE FROM {table}",
        "append-only|permission denied",
        (IntegrityError, ProgrammingError),  # type: ignore[arg-type]
    )
    refused(
        by_role,
        f"TRUNCATE {table} CASCADE",
        "append-only|permission denied",
        (IntegrityError, ProgrammingError),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("table", NOTHING_DELETED)
def test_the_runtime_role_deletes_nothing_where_money_or_history_lives(tx: Tx, table: str) -> None:
    refused(tx, f"DELETE FROM {table}", "permission denied", ProgrammingError)
    refused(tx, f"TRUNCATE {table}", "permission denied", ProgrammingError)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE trackings ADD COLUMN mine int",
        "ALTER TABLE trackings DISABLE TRIGGER ALL",
        "ALTER TABLE trackings DISABLE TRIGGER keep_tracking",
        "DROP TRIGGER keep_tracking ON trackings",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "DROP TABLE outbox",
        "CREATE INDEX mine ON outbox (queue)",
        "SET session_replication_role = replica",
        "SET ROLE payspool_owner",
        "UPDATE alembic_version SET version_num = 'x'",
        "GRANT ALL ON trackings TO PUBLIC",
    ],
)
def test_the_runtime_role_changes_no_schema_and_no_guard(tx: Tx, statement: str) -> None:
    before = tx.execute(text("SELECT count(*) FROM information_schema.role_table_grants")).scalar()
    try:
        with tx.begin_nested():
            tx.execute(text(statement))
    except ProgrammingError as error:
        assert "permission denied" in str(error) or "must be owner" in str(error)  # noqa: PT017
    else:
        assert statement.startswith("GRANT"), "a GRANT without the right to it only warns"
        after = tx.execute(text("SELECT count(*) FROM information_schema.role_table_grants"))
        assert after.scalar() == before


@pytest.mark.parametrize(
    "change",
    [
        "id = id + 1000",
        "merchant_id = merchant_id + 1",
        "inbox_id = inbox_id + 1",
        "referrer_user_id = 'eve'",
        "referred_user_id = 'eve'",
        "code_id = code_id + 1",
        "program_id = program_id + 1",
        "program_version = 2",
        "transaction_id = 'o2'",
        "transaction_id = NULL",
        "transaction_amount = transaction_amount + 1",
        "amount_earned = amount_earned + 1",
        "referee_amount_earned = 1",
        "currency = 'eur'",
        "converted_at = converted_at + interval '1 second'",
        "seq = 7",
        "seq = NULL",
        "explanation = '{}'",
        "created_at = now()",
        "refunded_amount = refunded_amount - 1",
        "reversed_amount = reversed_amount - 1",
    ],
)
def test_a_tracking_stays_what_it_was_computed_as(by_role: Tx, change: str) -> None:
    refused(by_role, f"UPDATE trackings SET {change}", "only refunded and reversed amounts")


@pytest.mark.parametrize("said", ["fully_refunded", "dispute_lost", "rejected"])
def test_what_took_all_of_a_conversion_stays_said(by_role: Tx, said: str) -> None:
    by_role.execute(text(f"UPDATE trackings SET {said} = true"))
    refused(by_role, f"UPDATE trackings SET {said} = false", "only upwards")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("reversed_amount = amount_earned + 1", "reversed_at_most_earned"),
        ("referee_reversed_amount = referee_amount_earned + 1", "reversed_at_most_earned"),
        ("refunded_amount = transaction_amount + 1", "refunded_at_most_paid"),
    ],
)
def test_no_more_is_reversed_than_was_earned_nor_refunded_than_was_paid(
    by_role: Tx, change: str, constraint: str
) -> None:
    by_role.execute(text("UPDATE trackings SET reversed_amount = amount_earned"))
    refused(by_role, f"UPDATE trackings SET {change}", constraint)


COPY = {
    "trackings": "merchant_id, inbox_id, referrer_user_id, referred_user_id, code_id, program_id,"
    " program_version, transaction_id, transaction_amount, amount_earned, currency, converted_at, explanation",
    "earnings": "merchant_id, user_id, account_id, currency, amount, kind, source_kind, source_id,"
    " reverses_id, available_at",
}


def again(table: str, **changed: str) -> str:
    """An INSERT of a copy of the table's first row, with some columns changed."""
    columns = COPY[table].split(", ")
    values = ", ".join(changed.get(column, column) for column in columns)
    return f"INSERT INTO {table} ({COPY[table]}) SELECT {values} FROM {table} ORDER BY id LIMIT 1"


def test_an_event_and_a_transaction_are_counted_once(filled: Tx) -> None:
    refused(filled, again("trackings", transaction_id="'other'"), "inbox_id")
    other = "(SELECT max(id) FROM inbox_events)"
    refused(filled, again("trackings", inbox_id=other), "transaction_id")
    filled.execute(text(again("trackings", inbox_id=other, transaction_id="'other'")))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"source_id": "1", "amount": "0"}, "amount_not_zero"),
        ({"source_id": "1", "amount": "-5"}, "sign_by_kind"),
        ({"source_id": "1", "kind": "'clawback'", "reverses_id": "id"}, "sign_by_kind"),
        ({"source_id": "1", "kind": "'clawback'", "amount": "-5"}, "clawback_names_its_earning"),
        ({"source_id": "1", "reverses_id": "id"}, "clawback_names_its_earning"),
        ({"source_id": "1", "kind": "'gift'"}, "ck_earnings_kind"),
        ({"amount": "5"}, "source_kind_source_id_kind"),
    ],
)
def test_an_earning_has_the_sign_of_its_kind_and_its_source_gives_it_once(
    filled: Tx, changed: dict[str, str], match: str
) -> None:
    refused(
        filled,
        again("earnings", **({"source_kind": "'test'"} | changed))
        if len(changed) > 1
        else again("earnings", **changed),
        match,
    )


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + 1",
        "user_id = 'eve'",
        "currency = 'eur'",
        "kind = 'adjustment'",
        "source_id = 9",
        "merchant_id = merchant_id + 1",
    ],
)
def test_an_earning_stays_what_it_was_written_as(by_role: Tx, change: str) -> None:
    refused(by_role, f"UPDATE earnings SET {change} WHERE amount > 0", "never change")


def test_a_transfer_crosses_neither_merchants_nor_currencies(filled: Tx) -> None:
    tx = filled
    zeta = merchant(tx, "zeta")
    program(tx, zeta, PERCENTAGE, currency="eur")
    tx.execute(
        text(
            "INSERT INTO ledger_accounts (merchant_id, kind, owner, currency, balance)"
            " SELECT merchant_id, 'payable', 'ada', 'eur', 0 FROM ledger_accounts LIMIT 1"
        )
    )
    tx.execute(
        text(
            "INSERT INTO ledger_accounts (merchant_id, kind, owner, currency, balance)"
            " VALUES (:zeta, 'payable', 'ada', 'usd', 0)"
        ),
        {"zeta": zeta},
    )
    insert = """
        INSERT INTO ledger_transfers (merchant_id, group_id, debit_account_id, credit_account_id, amount,
                                      currency, kind, source_kind, source_id, occurred_at)
        SELECT d.merchant_id, 1, d.id, c.id, {amount}, d.currency, 'test', 'test', 1, now()
        FROM ledger_accounts d, ledger_accounts c
        WHERE d.kind = 'rewards_expense' AND c.owner = 'ada' AND {credit}
    """
    same = "c.merchant_id = d.merchant_id AND c.currency = d.currency"
    other_currency = "c.merchant_id = d.merchant_id AND c.currency = 'eur'"
    other_merchant = f"c.merchant_id = {zeta}"
    refused(tx, insert.format(amount=5, credit=other_currency), "fk_ledger_transfers_credit")
    refused(tx, insert.format(amount=5, credit=other_merchant), "fk_ledger_transfers_credit")
    refused(tx, insert.format(amount=0, credit=same), "amount_positive")
    refused(tx, insert.format(amount=-5, credit=same), "amount_positive")
    tx.execute(text(insert.format(amount=5, credit=same)))


@pytest.mark.parametrize("table", ["trackings", "attributions"])
def test_what_names_a_code_crosses_neither_merchants_nor_programs(filled: Tx, table: str) -> None:
    tx = filled
    zeta = merchant(tx, "zeta")
    program(tx, zeta, PERCENTAGE)
    code(tx, zeta, "ZETA-01")
    columns = {
        "trackings": COPY["trackings"],
        "attributions": "merchant_id, program_id, referred_user_id, code_id, attributed_at",
    }[table]
    theirs = "(SELECT {} FROM codes WHERE code = 'ZETA-01')"
    changes = (
        {"code_id": theirs.format("id")},
        {"program_id": theirs.format("program_id")},
        {"merchant_id": theirs.format("merchant_id")},
    )
    other = {
        "trackings": {
            "inbox_id": "(SELECT max(id) FROM inbox_events)",
            "transaction_id": "'other'",
        },
        "attributions": {"referred_user_id": "'other'"},
    }[table]
    for change in changes:
        values = ", ".join((change | other).get(c, c) for c in columns.split(", "))
        refused(
            tx,
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} ORDER BY id LIMIT 1",
            f"fk_{table}_code",
        )


@pytest.mark.parametrize("column", ["merchant_id", "currency"])
def test_an_earning_is_of_the_merchant_and_in_the_currency_of_its_account(
    filled: Tx, column: str
) -> None:
    value = {"merchant_id": str(merchant(filled, "zeta")), "currency": "'eur'"}[column]
    statement = again("earnings", source_kind="'test'", **{column: value})
    refused(filled, statement, "fk_earnings_account")


def test_a_code_belongs_to_one_owner_of_a_merchant(tx: Tx) -> None:
    acme, zeta = merchant(tx), merchant(tx, "zeta")
    for one in (acme, zeta):
        program(tx, one, PERCENTAGE)
        code(tx, one, "SAME-01")
    refused(
        tx,
        "INSERT INTO codes (merchant_id, code, program_id, user_id)"
        " SELECT merchant_id, code, program_id, 'eve' FROM codes",
        "uq_codes",
    )
    refused(tx, "UPDATE codes SET max_uses = 1, uses = 2", "uses")


def test_a_rejected_event_has_a_reason_and_a_hash_of_32_bytes(filled: Tx) -> None:
    refused(filled, "UPDATE inbox_events SET status = 'rejected', reason = NULL", "reason_given")
    refused(filled, "UPDATE inbox_events SET status = 'lost'", "status")
    refused(filled, "UPDATE inbox_events SET content_hash = 'x'", "content_hash_length")


def test_business_time_is_one_row(tx: Tx) -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    with pytest.raises(IntegrityError, match="one_row"):
        tx.execute(text("INSERT INTO business_clock VALUES (2, :at)"), {"at": at})
