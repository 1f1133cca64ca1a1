"""Builds the one frozen Runtime of a process, and binds the recorded actors to a broker."""

from collections.abc import Callable, Collection
from functools import partial, wraps
from typing import Any, Final

from dramatiq import actor as dramatiq_actor
from dramatiq import set_broker
from sqlalchemy import Engine

from domain import clock
from domain.db import connect, transaction
from domain.errors import DomainError
from domain.merchants import service as merchants
from domain.merchants.rules import is_sandbox
from domain.payouts.gateway import Gateway
from domain.secrets import SecretBox
from payspool.gateway_cache import kept
from payspool.metrics.gateways import MeasuredGateway
from payspool.metrics.messages import MessageTimes
from payspool.settings import BadSettings, Settings
from payspool_client import wire
from queues.batches import BatchLimits
from queues.broker import PayspoolBroker
from queues.bucket import Bucket
from queues.connection import connect as connect_redis
from workers.context import Runtime
from workers.dead_letters import SqlDeadLetters
from workers.gateways.stripe import stripe_gateway
from workers.gateways.stripe_account import platform_account
from workers.registry import ACTORS, Function
from workers.watching import UNWATCHED, Watch

QUEUES: Final = ("events", "payouts", "sweeps", "webhooks")
"""Queues that actors work on."""


def build(settings: Settings, *, pool_size: int, process: str, watch: Watch = UNWATCHED) -> Runtime:
    """Make a Runtime, whose work ``watch`` is told of. Connects to nothing yet.

    Raises BadSettings without addresses or keys.
    """
    if settings.database_url is None or settings.redis_url is None:
        raise BadSettings(
            "No servers are known: start them with `payspool up`,"
            " or set PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL."
        )
    engine = connect(
        settings.database_url, pool_size=pool_size, application_name=f"payspool {process}"
    )
    client = connect_redis(settings.redis_url)
    return Runtime(
        engine=engine,
        redis=client,
        namespace=settings.namespace,
        gateways=kept(partial(_measured, engine, secret_box(settings), settings.stripe_url, watch)),
        sandbox=settings.sandbox,
        pace=Bucket(client, settings.namespace, settings.transfers_per_second),
        watch=watch,
    )


def secret_box(settings: Settings) -> SecretBox:
    """The box for secrets at rest. Raises BadSettings if no key is configured."""
    if not settings.fernet_keys:
        raise BadSettings(
            "PAYSPOOL_SECRET_KEYS is empty, so stored gateway keys cannot be read."
            " Make one with `payspool keys secret` and keep it safe."
        )
    return SecretBox(settings.fernet_keys)


def build_broker(settings: Settings, rt: Runtime, queues: Collection[str]) -> PayspoolBroker:
    """A broker with every actor of ``queues`` bound to ``rt``."""
    import workers.actors  # noqa: F401 - fills the registry

    assert settings.redis_url is not None
    broker = PayspoolBroker(
        settings.redis_url,
        namespace=settings.namespace,
        batches={wire.QUEUE: BatchLimits()},
        middleware=[MessageTimes(rt.watch)],
        dead_letters=SqlDeadLetters(rt.engine),
    )
    set_broker(broker)
    for spec in ACTORS.values():
        if spec.queue in queues:
            declare = dramatiq_actor(
                actor_name=spec.name, queue_name=spec.queue, broker=broker, **spec.options
            )
            declare(_bound(spec.function, rt))
    return broker


class NoGateway(DomainError):
    """A merchant has no account with the gateway that its payouts need."""

    def __init__(self, merchant_id: int, method: str) -> None:
        self.merchant_id, self.method = merchant_id, method
        super().__init__(
            f"Merchant {merchant_id} has no {method} account; its payouts wait for one."
        )


class RealGatewayBesideSandbox(DomainError):
    """This installation uses the sandbox, whose time may be simulated; a real gateway is not reached."""

    def __init__(self, merchant_id: int, base_url: str) -> None:
        self.merchant_id, self.base_url = merchant_id, base_url
        super().__init__(
            f"Merchant {merchant_id} pays through {base_url}, but this installation uses the sandbox:"
            f" set PAYSPOOL_STRIPE_URL={base_url} to move real money. Its payouts wait."
        )


class RealGatewayOnSimulatedTime(DomainError):
    """Business time is made up here, so that every hold could be over; no real money moves by it."""

    def __init__(self, merchant_id: int) -> None:
        self.merchant_id = merchant_id
        super().__init__(
            f"Business time is simulated, and merchant {merchant_id} pays real money: its payouts wait"
            " until `payspool clock real`."
        )


def _gateway(
    engine: Engine, box: SecretBox, sandbox_url: str, merchant_id: int, method: str
) -> Gateway:
    with transaction(engine) as tx:
        account = merchants.gateway_account(tx, merchant_id, method, box=box)
        simulated = clock.simulated_at(tx)
    if account is None or method != "stripe":
        raise NoGateway(merchant_id, method)
    if is_sandbox(sandbox_url) and not is_sandbox(account.base_url):
        # Business time may be made up here: every hold could be over.
        raise RealGatewayBesideSandbox(merchant_id, account.base_url)
    if simulated is not None and not is_sandbox(account.base_url):
        raise RealGatewayOnSimulatedTime(merchant_id)
    # A sandbox may come back at another port; its address is the installation's, not the merchant's.
    base_url = sandbox_url if is_sandbox(account.base_url) else account.base_url
    pays = account.platform_account
    if pays is None:
        pays = platform_account(account.api_key, base_url, mode=account.mode)
        with transaction(engine) as tx:
            merchants.learn_platform_account(
                tx, merchant_id, method, api_key=account.api_key, account=pays, box=box
            )
    return stripe_gateway(account.api_key, base_url, mode=account.mode, account=pays)


def _measured(
    engine: Engine, box: SecretBox, sandbox_url: str, watch: Watch, merchant_id: int, method: str
) -> Gateway:
    return MeasuredGateway(_gateway(engine, box, sandbox_url, merchant_id, method), watch)


def _bound(function: Function, rt: Runtime) -> Callable[..., None]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        function(rt, *args, **kwargs)

    return run
