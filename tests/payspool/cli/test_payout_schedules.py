"""`payspool payouts schedule`: several by name, each with its methods."""

import json
from collections.abc import Callable

from click.testing import Result
from sqlalchemy import Engine

from domain.db import transaction
from tests.domain.payouts import house

Command = Callable[..., Result]


def test_a_merchant_has_several_schedules_each_with_its_methods(
    command: Command, engine: Engine
) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
    for options in (
        ("0 6 * * 1",),
        ("0 6 1 * *", "--name", "monthly", "--method", "manual", "--minimum", "usd=500"),
        ("0 7 1 * *", "--name", "monthly", "--method", "manual", "--method", "wise"),
    ):
        scheduled = command("payouts", "schedule", "acme", *options)
        assert scheduled.exit_code == 0, scheduled.output
    assert house.rows(
        engine, "SELECT name, args FROM schedules WHERE actor = 'payouts.run' ORDER BY name"
    ) == [
        ("payouts.run/acme", {"merchant_id": acme, "minimums": {}, "methods": ["stripe"]}),
        (
            "payouts.run/acme/monthly",
            {"merchant_id": acme, "minimums": {}, "methods": ["manual", "wise"]},
        ),
    ]
    assert len(json.loads(command("schedule", "list", "--json").output)) >= 2


def test_a_method_or_name_that_is_none_is_refused(command: Command, engine: Engine) -> None:
    with transaction(engine) as tx:
        house.merchant(tx)
    for options in (("--method", "paypal"), ("--name", "a/b")):
        assert command("payouts", "schedule", "acme", "0 6 * * 1", *options).exit_code != 0
