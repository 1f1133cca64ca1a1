"""Any sequence of what can happen to a merchant's referrals and payouts ends as a model of lists says.

The model (``tests/oracles/merchant``) shares no code with the product. Terms, batches of events (shuffled, with
copies of earlier ones, refunds before their purchases), decisions, runs, payouts and what comes back of them.
REFERRALS_SEQUENCES is how many are played, a merchant's steps from its beginning to its end being one, and
each test counts those that it saw the end of; beside them, one for each TOGETHER is played by threads on
connections of their own.

What threads may come to: batches that are applied at once end as if they had been applied one after the
other, in some order (each takes the locks of all that its rules count before it looks, and keeps them); which
order it was is not foreseen, so the model plays each and the database has to show one of them. That is all
that depends on the order: first conversions, tiers, caps, uses, limits of speed, and which of two refunds was
too much. By whose code somebody came, and since when, is remembered without a lock, because a producer that
sends such events in parallel has not said which was first: these come in batches of their own here. Of two
runs at once each payee is paid by either, and the sum is that of one run; of two builders of one run it is one
run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from itertools import count, permutations
from math import ceil
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import together
from tests.domain.referrals.sequences import Sequences, Tenant, differences
from tests.domain.referrals.stage import Stage, build
from tests.oracles.merchant.conversions import Event
from tests.oracles.merchant.payouts import Merchant
from workers.sweeps import broken_invariants

SEQUENCES: Final = int(os.environ.get("REFERRALS_SEQUENCES", "1000"))
SHARDS: Final = 4
"""Tests that they are dealt to, so that several processes play them."""
MERCHANTS: Final = ("acme", "bolt", "cove", "dell")
"""Whose sequences are played side by side, each its own."""
STEPS: Final = 8
TOGETHER: Final = 16
FEW: Final = 6
"""Examples beyond those that are missing, of one go: its first is always the simplest there is."""
PART: Final = 40
"""Examples of one go: they are played until enough was seen, for some are equal, or too short to count."""


def play(
    machine: type[Sequences], wanted: int, each: int, told: Callable[[str, object], None]
) -> None:
    """Play until so many sequences have been seen to their end, ``each`` by an example.

    One that fails is told as it was found: to make it smaller takes longer.
    """
    while (missing := wanted - len(machine.played)) > 0:
        few = settings(
            max_examples=min(FEW + ceil(missing / each), PART),
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=False,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=few)
    told("sequences", len(machine.played))
    assert len(machine.played) >= wanted


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_sequence_ends_as_the_model_says(
    engine: Engine, record_property: Callable[[str, object], None], shard: int
) -> None:
    ids = {key: build(engine, key) for key in MERCHANTS}

    class RolledBack(Sequences):
        """The shops are committed once; what a sequence does to them is rolled back at its end."""

        def open(self) -> list[Stage]:
            self.connection = engine.connect()
            self.outer = self.connection.begin()
            return [Stage(Rolled(self.connection), ids[key], key) for key in MERCHANTS]

        def close(self) -> None:
            try:
                assert broken_invariants(self.connection) == []
            finally:
                self.outer.rollback()
                self.connection.close()

    wanted = ceil(SEQUENCES / SHARDS)
    play(RolledBack, wanted, len(MERCHANTS), record_property)


def test_every_sequence_with_threads_ends_as_the_model_permits(
    engine: Engine, record_property: Callable[[str, object], None]
) -> None:
    names = (f"shop-{n}" for n in count())

    class Threaded(Sequences):
        """Each sequence has a merchant of its own, for what it does is committed."""

        threads = True

        def open(self) -> list[Stage]:
            key = next(names)
            return [Stage(engine, build(engine, key), key)]

        def deliver_at_once(self, tenant: Tenant, rng: Random, size: int) -> None:
            story, model = tenant.story, tenant.model
            parts = [
                story.batch(rng, 1 + size // 3, model, free=False)
                for _ in range(rng.choice((2, 3)))
            ]
            parts[0] += rng.sample(parts[1], 1 + len(parts[1]) // 3)
            rng.shuffle(parts[0])
            together([lambda part=part: tenant.deliver(part) for part in parts])
            tenant.model = permitted(tenant, parts)

        def pay(self, tenant: Tenant, rng: Random) -> None:
            rng.choice((tenant.pay_out, tenant.pay_out_at_once))(rng)

        def close(self) -> None:
            with engine.connect() as connection:
                assert broken_invariants(connection) == []

    wanted = ceil(SEQUENCES / TOGETHER)
    play(Threaded, wanted, 1, record_property)


def permitted(tenant: Tenant, parts: list[list[Event]]) -> Merchant:
    """The merchant after ``parts``, one after the other in the order that the database shows."""
    shown = tenant.stage.picture()
    told: list[str] = []
    for order in permutations(parts):
        model = deepcopy(tenant.model)
        for part in order:
            model.deliver(part)
        said = model.picture()
        if said == shown:
            return model
        told.append("\n".join(differences(shown, said)))
    raise AssertionError("no order of the batches gives this:\n" + "\n\n".join(told))
