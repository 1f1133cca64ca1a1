"""`payspool payouts reverse` asks for what it says, and nothing on a dry run."""

import json

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.errors import Invalid
from domain.payouts.errors import NotReversible
from payspool import runtime
from payspool.cli import session
from tests.domain.payouts import house
from tests.payspool.cli.conftest import Command
from tests.workers.gateways.local_stripe import Platform
from workers import payout_actors, payouts


@pytest.fixture
def payout(engine: Engine) -> str:
    """A paid payout of 10.00."""
    payout_id = house.one_payout(engine, (1_000,))
    house.record(engine, house.begin(engine, payout_id), house.SUCCESS)
    return str(payout_id)


def count(engine: Engine) -> int:
    with transaction(engine) as tx:
        made: int = tx.exec_driver_sql("SELECT count(*) FROM reversal_requests").scalar_one()
        return made


def test_a_dry_run_says_what_would_come_back_and_asks_for_nothing(
    command: Command, engine: Engine, payout: str
) -> None:
    arguments = ("reverse", "acme", payout, "--amount", "300", "--reason", "twice", "--dry-run")
    said = command("payouts", *arguments)
    assert said.exit_code == 0, said.output
    assert "would take back 3.00 USD of payout" in said.stdout
    assert "7.00 USD of it stays paid. Nothing was asked for." in said.stdout
    told = json.loads(command("payouts", *arguments, "--json").stdout)
    assert (told["amount"], told["left"], told["request"]) == (300, 700, None)
    assert count(engine) == 0


def test_a_reversal_is_asked_for_once_and_explained(
    command: Command, engine: Engine, payout: str
) -> None:
    asked = command("payouts", "reverse", "acme", payout, "--reason", "twice", "--json")
    assert asked.exit_code == 0, asked.output
    told = json.loads(asked.stdout)
    assert (told["amount"], told["left"], told["request"]) == (1_000, 0, 1)
    again = command("payouts", "reverse", "acme", payout, "--reason", "twice")
    assert again.exit_code == 1
    assert isinstance(again.exception, NotReversible)
    assert count(engine) == 1
    shown = command("payouts", "explain", "acme", payout)
    assert "asked for 10.00 USD of it to be taken back (twice)" in shown.stdout
    [one] = json.loads(command("payouts", "explain", "acme", payout, "--json").stdout)["reversals"]
    assert (one["n"], one["state"]) == (1, "created")
    with transaction(engine) as tx:
        [outbox] = tx.exec_driver_sql(
            "SELECT queue, actor FROM outbox WHERE actor = 'payouts.reverse'"
        )
    assert tuple(outbox) == ("payouts", "payouts.reverse")


def test_giving_up_needs_evidence_or_an_agreement_and_an_unknown_reversal(
    command: Command, payout: str
) -> None:
    both = command("payouts", "give-up-reversal", "acme", payout, "--evidence", "none", "--agree")
    assert isinstance(both.exception, Invalid)
    none = command("payouts", "give-up-reversal", "acme", payout, "--evidence", "not there")
    assert none.exit_code == 1
    assert isinstance(none.exception, NotReversible)


def test_a_worker_as_it_runs_takes_back_what_the_command_asked_for(
    command: Command, engine: Engine, platform: Platform
) -> None:
    platform.fund(5_000)
    added = command("merchants", "add", "acme", "--stripe-key", "-", input=platform.key)
    assert added.exit_code == 0, added.output
    with transaction(engine) as tx:
        acme = tx.exec_driver_sql("SELECT id FROM merchants").scalar_one()
        house.payee(tx, acme, account=platform.account())
        house.earn(tx, acme, 1_000)
    rt = runtime.build(session.current(), pool_size=2, process="worker")
    try:
        payouts.build(rt, acme, "run", house.JUNE)
        payout_id = house.scalar(engine, "SELECT id FROM payouts")
        payout_actors.send(rt, payout_id)
        asked = command("payouts", "reverse", "acme", str(payout_id), "--reason", "twice")
        assert asked.exit_code == 0, asked.output
        payout_actors.reverse(rt, house.scalar(engine, "SELECT id FROM reversal_requests"))
    finally:
        rt.engine.dispose()
        rt.redis.close()
    assert [transfer.net for transfer in platform.transfers()] == [0]
    assert house.scalar(engine, "SELECT state FROM payouts") == "reversed"
