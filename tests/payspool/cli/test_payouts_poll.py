"""`payspool payouts poll-events` finds what no webhook brought, and is scheduled with the merchant."""

import json

from sqlalchemy import Engine

from tests.domain.payouts import house
from tests.payspool.cli.conftest import Command
from tests.workers.gateways.local_stripe import Platform


def test_events_that_no_webhook_brought_are_found_by_hand_and_by_schedule(
    command: Command, engine: Engine, platform: Platform
) -> None:
    added = command("merchants", "add", "acme", "--stripe-key", "-", input=platform.key)
    assert added.exit_code == 0, added.output
    timing = "SELECT every_seconds FROM schedules WHERE name = 'webhooks.poll/acme'"
    assert house.rows(engine, timing) == [(600,)]
    platform.fund(1_000)
    said = command("payouts", "poll-events", "acme", "--json")
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert (told["accounts"], told["stored"], told["missed"]) == (1, 2, 0)
    again = command("payouts", "poll-events", "acme", "--days", "30")
    assert "0 events that no webhook had brought, 0 of them older" in again.stdout
    assert command("payouts", "poll-events", "acme", "--days", "31").exit_code != 0
    scheduled = command("payouts", "poll-events", "acme", "--every-minutes", "5")
    assert scheduled.exit_code == 0, scheduled.output
    assert house.rows(engine, timing) == [(300,)]


def test_a_gateway_that_gives_nothing_is_told_and_fails_the_command(
    command: Command, platform: Platform
) -> None:
    command("merchants", "add", "acme", "--stripe-key", "-", input=platform.key)
    platform.stripe.admin(
        "PUT", "faults", seed=1, rules=[{"path": "/v1/events", "fault": "error_500_not_done"}]
    )
    said = command("payouts", "poll-events", "acme")
    assert said.exit_code == 1
    assert "Nothing was learned of own" in said.stdout
