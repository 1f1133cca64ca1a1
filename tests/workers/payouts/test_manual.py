"""A worker leaves manual payouts to a bank file: no gateway is asked, and no sweep asks again."""

from dataclasses import dataclass

from sqlalchemy import Engine

from domain.db import transaction
from domain.payouts import service
from domain.payouts.gateway import Gateway
from domain.payouts.rules import Leave
from tests.domain.payouts.house import assert_whole, scalar
from tests.domain.payouts.test_bank_files import export, manual_run
from workers import payouts


@dataclass
class NoGateway:
    """A worker of an installation whose merchants have no gateway account."""

    engine: Engine

    def gateways(self, merchant_id: int, method: str) -> Gateway:
        raise AssertionError("no gateway is asked for a manual payout")

    def open_breaker(self, merchant_id: int, method: str, reason: str) -> None:
        raise AssertionError("nothing can open a breaker")


def test_a_manual_payout_is_left_before_and_after_its_export(engine: Engine) -> None:
    acme, run_id, payout = manual_run(engine)
    worker = NoGateway(engine)
    assert payouts.send(worker, payout) == Leave("manual")
    assert scalar(engine, "SELECT look_at IS NULL FROM payouts")
    export(engine, acme, run_id)
    attempt = scalar(engine, "SELECT id FROM payout_attempts")
    assert payouts.send(worker, payout) == Leave("manual")
    assert payouts.resolve(worker, attempt) == Leave("manual")
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 0
    assert scalar(engine, "SELECT state FROM payouts") == "in_transit"
    assert scalar(engine, "SELECT count(*) FROM payout_attempts") == 1
    assert_whole(engine)
