"""Three methods side by side: what is wrong with one holds up no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.payouts import service
from domain.payouts.gateway import Gateway
from domain.payouts.rules import Leave
from domain.payouts.rules.breaker import FAILURES_TO_OPEN
from domain.payouts.service import PayeeUpdate
from tests.workers.gateways.local_stripe import LocalStripe, Platform
from tests.workers.gateways.local_wise import FUNDING, WiseAccount
from tests.workers.payouts.office import JUNE
from tests.workers.payouts.wise_office import WiseOffice
from workers import payouts


class Bazaar(WiseOffice):
    """A merchant that pays by all methods."""

    def gateways(self, merchant_id: int, method: str) -> Gateway:
        assert merchant_id == self.merchant_id
        if method == "stripe":
            made: Gateway = self.platform.gateway()
            return made
        return super().gateways(merchant_id, method)

    def owe_by(self, method: str, destination: str, currency: str, amount: int) -> None:
        with transaction(self.engine) as tx:
            n = tx.execute(text("SELECT coalesce(max(id), 0) FROM earnings")).scalar_one()
            user = f"{method}{n}"
            service.put_payees(tx, [PayeeUpdate(self.merchant_id, user, method, JUNE, destination)])
            new = NewEarning(
                self.merchant_id, user, currency, amount, "reward", "other", n, JUNE, JUNE
            )
            earnings.record(tx, [new])

    def by_method(self) -> dict[str, set[str]]:
        with transaction(self.engine) as tx:
            rows = tx.execute(
                text("SELECT method, array_agg(DISTINCT state) AS states FROM payouts GROUP BY 1")
            ).all()
        return {row.method: set(row.states) for row in rows}


@pytest.fixture
def bazaar(engine: Engine, platform: Platform, local_stripe: LocalStripe) -> Iterator[Bazaar]:
    account = WiseAccount(local_stripe)
    account.fund(1_000_000)
    platform.fund(1_000_000)
    made = Bazaar(engine, platform, wise=account)
    made.owe(*range(1_000, 1_007))
    for _ in range(3):
        made.owe_by("stripe", platform.account(), "usd", 2_000)
    made.owe_by("manual", "rcp_1", "eur", 3_000)
    payouts.build(made, made.merchant_id, "all", JUNE, methods=("stripe", "wise", "manual"))
    yield made
    account.close()


def test_one_run_pays_by_all_methods_at_once(bazaar: Bazaar) -> None:
    bazaar.work_off()
    assert bazaar.by_method() == {
        "stripe": {"paid"}, "wise": {"in_transit"}, "manual": {"approved"},
    }  # fmt: skip
    bazaar.whole()
    assert len(bazaar.wise.paid()) == 7


def test_a_dead_wise_stops_its_own_payouts_alone_and_they_go_on_when_it_is_back(
    bazaar: Bazaar,
) -> None:
    bazaar.wise.plan({"path": "/wise/*", "fault": "drop_before"})
    with transaction(bazaar.engine) as tx:
        ids = tx.execute(text("SELECT id, method FROM payouts ORDER BY method DESC, id")).all()
    results = {row.id: payouts.send(bazaar, row.id) for row in ids}
    by_wise = [results[row.id] for row in ids if row.method == "wise"]
    assert by_wise[FAILURES_TO_OPEN:] == [Leave("stopped")] * 2
    assert bazaar.by_method()["stripe"] == {"paid"}
    with transaction(bazaar.engine) as tx:
        [stop] = tx.execute(
            text("SELECT method FROM payout_stops WHERE kind = 'breaker'")
        ).scalars()
    assert stop == "wise"
    bazaar.wise.plan()
    bazaar.work_off()
    bazaar.look()
    assert bazaar.by_method()["wise"] == {"in_transit"}
    assert len(bazaar.wise.transfers()) == 7
    bazaar.whole()


def test_a_refused_token_opens_the_breaker_of_wise_alone(bazaar: Bazaar) -> None:
    bazaar.wise.plan({"path": "/wise/*", "fault": "unauthorized", "times": 1})
    with transaction(bazaar.engine) as tx:
        wise = (
            tx.execute(text("SELECT id FROM payouts WHERE method = 'wise' ORDER BY id"))
            .scalars()
            .all()
        )
    payouts.send(bazaar, wise[0])
    assert payouts.send(bazaar, wise[1]) == Leave("stopped")
    bazaar.work_off()
    assert bazaar.by_method()["stripe"] == {"paid"}
    assert bazaar.by_method()["wise"] == {"in_transit"}


def test_too_little_at_wise_parks_the_euros_and_stripe_pays_on(bazaar: Bazaar) -> None:
    bazaar.wise.plan({**FUNDING, "fault": "balance_dry", "times": 1})
    bazaar.work_off()
    assert bazaar.by_method() == {
        "stripe": {"paid"}, "wise": {"approved", "failed"}, "manual": {"approved"},
    }  # fmt: skip
    assert len(bazaar.wise.transfers()) == 1, "one refusal is enough"
    bazaar.wise.fund(100_000)
    assert bazaar.look_for_money() == 7
    payouts.sweep(bazaar)
    bazaar.work_off()
    assert bazaar.by_method()["wise"] == {"in_transit"}
    bazaar.whole()
