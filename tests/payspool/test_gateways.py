"""Which gateway a merchant gets, and when none: real money moves only by real time, and not from a sandbox."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from domain import clock
from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.merchants.rules import STRIPE_URL, WISE_URL
from domain.payouts.errors import NoBooks
from domain.payouts.gateway import TellsBalance, TellsNews, TellsProgress
from domain.secrets import SecretBox, new_key
from payspool import runtime
from payspool.runtime import NoGateway, RealGatewayBesideSandbox, RealGatewayOnSimulatedTime
from payspool.settings import Settings
from tests.domain.payouts.house import merchant
from workers.context import Runtime

KEY = new_key()
NOW = datetime.now(UTC)
ANN = Actor("person", "ann")


def built(engine: Engine, redis_url: str, stripe_url: str) -> Runtime:
    url = engine.url.render_as_string(hide_password=False)
    settings = Settings(
        database_url=url, redis_url=redis_url, secret_keys=KEY, stripe_url=stripe_url
    )
    return runtime.build(settings, pool_size=2, process="test")


@pytest.fixture
def acme(engine: Engine) -> int:
    """A merchant that pays through Stripe itself, its account known."""
    with transaction(engine) as tx:
        merchant(tx)
        found = merchants.get(tx, "acme")
        merchants.set_stripe_account(
            tx,
            found,
            api_key="sk_test_abcdefgh",
            base_url=STRIPE_URL,
            webhook_secret=None,
            box=SecretBox([KEY]),
            actor=ANN,
            platform_account="acct_acme",
        )
    return found.id


def test_real_money_moves_by_real_time_alone(engine: Engine, redis_url: str, acme: int) -> None:
    rt = built(engine, redis_url, STRIPE_URL)
    with transaction(engine) as tx:
        clock.simulate(tx, datetime.now(UTC) - timedelta(days=9), sandbox=True)
    with pytest.raises(RealGatewayOnSimulatedTime, match="payspool clock real"):
        rt.gateways(acme, "stripe")
    with transaction(engine) as tx:
        assert clock.go_real(tx)
    assert rt.gateways(acme, "stripe").account == "acct_acme"
    with pytest.raises(NoGateway):
        rt.gateways(acme, "wise")
    rt.engine.dispose()
    rt.redis.close()


def test_a_sandbox_installation_reaches_no_real_gateway(
    engine: Engine, redis_url: str, acme: int
) -> None:
    rt = built(engine, redis_url, "http://127.0.0.1:1")
    with pytest.raises(RealGatewayBesideSandbox, match="PAYSPOOL_STRIPE_URL"):
        rt.gateways(acme, "stripe")
    rt.engine.dispose()
    rt.redis.close()


def give_wise(engine: Engine, base_url: str, mode: str = "test") -> int:
    """A merchant that pays by Wise at an address, its profile known."""
    with transaction(engine) as tx:
        found = merchants.add(tx, "wisely", "Wisely", mode=mode, actor=ANN)
        merchants.set_wise_account(
            tx,
            found,
            token="wise-token-1",
            base_url=base_url,
            account="16000002/5000001",
            public_key=None,
            box=SecretBox([KEY]),
            actor=ANN,
        )
    return found.id


def test_wise_is_reached_beside_the_sandbox_wherever_that_has_come_back(
    engine: Engine, redis_url: str
) -> None:
    merchant_id = give_wise(engine, "http://127.0.0.1:1/wise")
    rt = built(engine, redis_url, "http://127.0.0.1:2")
    gateway = rt.gateways(merchant_id, "wise")
    assert (gateway.method, gateway.account) == ("wise", "16000002/5000001")
    assert isinstance(gateway, TellsProgress)
    assert isinstance(gateway, TellsBalance)
    assert not isinstance(gateway, TellsNews)
    assert gateway.balance().answer == "silent"
    with pytest.raises(NoBooks):
        gateway.books(created_from=NOW, created_before=NOW, after=None)  # type: ignore[attr-defined]
    rt.engine.dispose()
    rt.redis.close()


def test_a_sandbox_installation_and_simulated_time_reach_no_real_wise(
    engine: Engine, redis_url: str
) -> None:
    merchant_id = give_wise(engine, WISE_URL, "live")
    rt = built(engine, redis_url, "http://127.0.0.1:1")
    with pytest.raises(
        RealGatewayBesideSandbox, match=r"PAYSPOOL_STRIPE_URL=https://api\.stripe\.com"
    ):
        rt.gateways(merchant_id, "wise")
    rt.engine.dispose()
    rt.redis.close()
    rt = built(engine, redis_url, STRIPE_URL)
    with transaction(engine) as tx:
        clock.simulate(tx, NOW - timedelta(days=9), sandbox=True)
    with pytest.raises(RealGatewayOnSimulatedTime):
        rt.gateways(merchant_id, "wise")
    with transaction(engine) as tx:
        assert clock.go_real(tx)
    assert rt.gateways(merchant_id, "wise").account == "16000002/5000001"
    rt.engine.dispose()
    rt.redis.close()
