"""What the database refuses of the second leg, whatever the code above it believes."""

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from tests.domain.payouts import house
from tests.domain.payouts.test_guards import refused

BANK = (
    "INSERT INTO payout_attempts (merchant_id, payout_id, leg, n, idempotency_key, params, params_hash,"
    " api_version, platform_account, state) SELECT merchant_id, id, 'bank', :n, 'bank' || :n, '{}', '\\x00', 'v',"
    " 'acct', 'sending' FROM payouts"
)
MOVE = "UPDATE payouts SET state = :state"


@pytest.fixture
def transferred(engine: Engine) -> Engine:
    """A payout with a second leg, whose transfer was made."""
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        house.payee(tx, acme)
        house.earn(tx, acme, 1_000)
        tx.execute(
            text(
                "INSERT INTO gateway_accounts (merchant_id, mode, method, base_url, api_key_encrypted, api_key_hint,"
                " bank_leg) VALUES (:id, 'test', 'stripe', 'x', 'x', 'x', true)"
            ),
            {"id": acme},
        )
    house.run(engine, acme)
    house.begin(engine, house.scalar(engine, "SELECT id FROM payouts WHERE bank_leg"))
    with transaction(engine) as tx:
        tx.execute(text("UPDATE payout_attempts SET state = 'succeeded', external_id = 'tr_1'"))
        tx.execute(text(MOVE), {"state": "in_transit"})
    return engine


def test_whether_a_payout_has_a_second_leg_is_frozen(transferred: Engine) -> None:
    with transaction(transferred) as tx:
        assert refused(tx, "UPDATE payouts SET bank_leg = false")


def test_a_bank_attempt_follows_its_own_transfer(transferred: Engine) -> None:
    with transaction(transferred) as tx:
        assert not refused(tx, BANK, n=1)
        tx.execute(text("UPDATE payout_attempts SET state = 'reversed'"))
        assert refused(tx, BANK, n=1), "its transfer came back"


def test_without_a_second_leg_no_bank_attempt_begins(engine: Engine) -> None:
    house.begin(engine, house.one_payout(engine))
    with transaction(engine) as tx:
        tx.execute(text("UPDATE payout_attempts SET state = 'succeeded', external_id = 'tr_1'"))
        assert refused(tx, BANK, n=1)


def test_one_bank_attempt_alone_is_live(transferred: Engine) -> None:
    with transaction(transferred) as tx:
        tx.execute(text(BANK), {"n": 1})
        assert refused(tx, BANK, n=2)
        tx.execute(text("UPDATE payout_attempts SET state = 'unknown' WHERE leg = 'bank'"))
        assert refused(tx, BANK, n=2)
        tx.execute(text("UPDATE payout_attempts SET state = 'failed' WHERE leg = 'bank'"))
        assert not refused(tx, BANK, n=2)


def test_it_is_paid_when_the_bank_was_and_never_failed_or_canceled(transferred: Engine) -> None:
    with transaction(transferred) as tx:
        assert refused(tx, MOVE, state="paid")
        assert refused(tx, MOVE, state="failed")
        tx.execute(text(BANK), {"n": 1})
        assert refused(tx, MOVE, state="paid"), "the bank attempt is not settled"
        tx.execute(
            text(
                "UPDATE payout_attempts SET state = 'succeeded', external_id = 'po_1' WHERE leg = 'bank'"
            )
        )
        assert not refused(tx, MOVE, state="paid")
