"""What the database keeps of payouts by Wise, whoever asks it to do otherwise."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Forbidden
from domain.payouts.rules.wise_recipients import parse_wise_recipient
from domain.payouts.service import PayeeUpdate, put_payees, wise_recipients
from domain.secrets import SecretBox, new_key
from tests.domain.payouts.house import JULY, JUNE, merchant, one_payout, scalar

ADA = parse_wise_recipient(
    '{"type": "sort_code", "currency": "gbp", "name": "Ada", "sort_code": "23-14-70",'
    ' "account_number": "28821822"}'
)
ACTOR = Actor("command", "tests")


def keep(engine: Engine, box: SecretBox, at: datetime = JUNE, number: str = "40000001") -> int:
    with transaction(engine) as tx:
        acme = tx.execute(text("SELECT id FROM merchants")).scalar() or merchant(tx)
        wise_recipients.keep(
            tx, acme, "ada", ADA,
            profile="16000002", external_id=number, at=at, box=box, actor=ACTOR,
        )  # fmt: skip
        return int(acme)


def refused(engine: Engine, statement: str, **values: Any) -> None:
    with (
        pytest.raises(DBAPIError, match=r"never changes|a later answer holds|wise_is_named"),
        transaction(engine) as tx,
    ):
        tx.execute(text(statement), values)


def test_the_number_of_a_recipient_never_changes(engine: Engine) -> None:
    keep(engine, SecretBox([new_key()]))
    refused(engine, "UPDATE payee_recipients SET external_id = '40000002'")
    refused(engine, "UPDATE payee_recipients SET platform_account = '1'")


def test_a_recipient_of_wise_has_a_number(engine: Engine) -> None:
    keep(engine, SecretBox([new_key()]))
    refused(
        engine,
        """
        INSERT INTO payee_recipients (merchant_id, payee_id, method, data_encrypted, hint, fingerprint, created_by)
        SELECT merchant_id, payee_id, 'wise', data_encrypted, hint, fingerprint, created_by FROM payee_recipients
        """,
    )


def test_the_time_of_the_answer_that_holds_goes_forwards(engine: Engine) -> None:
    one_payout(engine)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE payouts SET progress_asked_at = :at"), {"at": JULY})
    refused(engine, "UPDATE payouts SET progress_asked_at = :at", at=JUNE)
    refused(engine, "UPDATE payouts SET progress_asked_at = NULL")


def test_a_newer_word_about_a_payee_holds_and_nothing_is_kept(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        put_payees(tx, [PayeeUpdate(acme, "ada", "stripe", JULY, "acct_ada")])
    with pytest.raises(Forbidden):
        keep(engine, SecretBox([new_key()]))
    assert scalar(engine, "SELECT count(*) FROM payee_recipients") == 0
    assert scalar(engine, "SELECT account FROM payees") == "acct_ada"


def test_a_recipient_is_known_for_its_profile_alone(engine: Engine) -> None:
    box = SecretBox([new_key()])
    acme = keep(engine, box)
    keep(engine, box)
    with transaction(engine) as tx:
        assert wise_recipients.known(tx, acme, "ada", "16000002", ADA, box) == "40000001"
        assert wise_recipients.known(tx, acme, "ada", "16000003", ADA, box) is None
        assert wise_recipients.known(tx, acme, "bob", "16000002", ADA, box) is None
    assert scalar(engine, "SELECT count(*) FROM payee_recipients") == 1
