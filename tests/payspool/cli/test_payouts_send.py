"""`payspool payouts send`: what is approved is asked for now, and nothing else is."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.payouts import service
from domain.payouts.service import RunSpec
from tests.domain.payouts import house

Command = Callable[..., Result]


@pytest.fixture
def run_id(engine: Engine) -> int:
    """A run of acme's with three approved payouts whose messages were lost."""
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        for n in range(3):
            house.payee(tx, acme, f"u{n}", f"acct_{n}")
            house.earn(tx, acme, 900 + n, f"u{n}")
    made = service.build_run(engine, RunSpec(acme, "june", house.JUNE))
    assert made.created == 3
    with transaction(engine) as tx:
        tx.execute(text("DELETE FROM outbox"))
    return made.run_id


def asked(engine: Engine) -> list[int]:
    """Payouts whose sends the outbox asks for, now; in order."""
    with transaction(engine) as tx:
        return list(
            tx.execute(
                text(
                    "SELECT CAST(args ->> 'payout_id' AS bigint) FROM outbox"
                    " WHERE actor = 'payouts.send' AND run_at <= now() ORDER BY id"
                )
            ).scalars()
        )


def test_approved_payouts_are_asked_for_now_and_again_if_a_person_asks_again(
    command: Command, engine: Engine, run_id: int
) -> None:
    said = command("payouts", "send", "acme", str(run_id))
    assert (said.exit_code, said.output) == (
        0,
        f"3 payouts of run {run_id}: their sends are asked for.\n",
    )
    assert len(asked(engine)) == 3
    again = json.loads(command("payouts", "send", "acme", str(run_id), "--json").output)
    assert again == {"run": run_id, "state": "sending", "asked": 3}
    entry = "SELECT DISTINCT after ->> 'payouts' FROM audit_entries WHERE action = 'run.send_asked'"
    assert house.scalar(engine, entry) == "3"


def test_what_is_stopped_or_was_given_up_is_left_alone(
    command: Command, engine: Engine, run_id: int
) -> None:
    with transaction(engine) as tx:
        first, second, third = tx.execute(text("SELECT id FROM payouts ORDER BY id")).scalars()
        tx.execute(
            text("UPDATE payouts SET frozen_reason = 'in doubt' WHERE id = :id"), {"id": first}
        )
        service.cancel(tx, second, reason="gone")
        tx.execute(text("DELETE FROM outbox"))
    assert "1 payout of run" in command("payouts", "send", "acme", str(run_id)).output
    assert asked(engine) == [third]


def test_a_run_that_waits_for_approval_or_is_anothers_is_not_sent(
    command: Command, engine: Engine, run_id: int
) -> None:
    with transaction(engine) as tx:
        beta = house.merchant(tx, "beta")
    assert command("payouts", "send", "beta", str(run_id)).exit_code != 0
    assert command("payouts", "send", "acme", str(run_id + 1)).exit_code != 0
    with transaction(engine) as tx:
        house.payee(tx, beta, "eve", "acct_eve")
        house.earn(tx, beta, 700, "eve")
    command("payouts", "policy", "beta", "--approval", "always")
    waits = json.loads(command("payouts", "run", "beta", "--json").output)
    said = command("payouts", "send", "beta", str(waits["run_id"]))
    assert said.exit_code == 0
    assert "pending_approval; none of its payouts waits" in said.output
    assert asked(engine) == []
