"""Builds the one frozen Runtime of a process, and binds the recorded actors to a broker."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial, wraps
from ipaddress import ip_network
from typing import Any, Final

from dramatiq import actor as dramatiq_actor
from dramatiq import set_broker
from sqlalchemy import Engine

from domain import clock
from domain.db import connect, transaction
from domain.errors import DomainError
from domain.merchants import service as merchants
from domain.merchants.rules import STRIPE_URL, is_sandbox
from domain.payouts.gateway import Gateway, TellsBalance
from domain.payouts.rules.breaker import Balance
from domain.payouts.rules.watermark import KEPT_ATTEMPTS
from domain.secrets import SecretBox
from domain.webhooks.addresses import Reach
from payspool.gateway_cache import kept
from payspool.metrics.gateways import MeasuredGateway
from payspool.metrics.messages import MessageTimes
from payspool.settings import BadSettings, Settings
from payspool_client import wire
from queues.batches import BatchLimits
from queues.broker import PayspoolBroker
from queues.bucket import Bucket
from queues.connection import connect as connect_redis
from queues.marks import Marks
from workers.context import Runtime
from workers.dead_letters import SqlDeadLetters
from workers.durations import Durations
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
        gateways=gateways_of(settings, engine, watch),
        sandbox=settings.sandbox,
        pace=Bucket(client, settings.namespace, settings.transfers_per_second),
        marks=Marks(client, settings.namespace, KEPT_ATTEMPTS),
        watch=watch,
        retention=settings.retention,
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
        middleware=[MessageTimes(rt.watch), Durations(rt.engine)],
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


def reach(settings: Settings) -> Reach:
    """How far webhooks go: into one's own network only where the settings say so."""
    named = filter(None, settings.webhook_networks.split(","))
    return Reach(tuple(ip_network(one.strip()) for one in named), loopback=settings.sandbox)


class NoGateway(DomainError):
    """A merchant has no account with the gateway that its payouts need."""

    def __init__(self, merchant_id: int, method: str) -> None:
        self.merchant_id, self.method = merchant_id, method
        super().__init__(
            f"Merchant {merchant_id} has no {method} account; its payouts wait for one."
        )


class RealGatewayBesideSandbox(DomainError):
    """This installation uses the sandbox, whose time may be simulated; a real gateway is not reached."""

    def __init__(self, merchant_id: int, base_url: str, method: str = "stripe") -> None:
        self.merchant_id, self.base_url = merchant_id, base_url
        real = base_url if method == "stripe" else STRIPE_URL
        super().__init__(
            f"Merchant {merchant_id} pays through {base_url}, but this installation uses the sandbox:"
            f" set PAYSPOOL_STRIPE_URL={real} to move real money. Its payouts wait."
        )


class RealGatewayOnSimulatedTime(DomainError):
    """Business time is made up here, so that every hold could be over; no real money moves by it."""

    def __init__(self, merchant_id: int) -> None:
        self.merchant_id = merchant_id
        super().__init__(
            f"Business time is simulated, and merchant {merchant_id} pays real money: its payouts wait"
            " until `payspool clock real`."
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where this installation's gateways are; empty: nowhere."""

    stripe: str
    wise: str

    @classmethod
    def of(cls, settings: Settings) -> "Addresses":
        """The addresses that are set, or the sandbox's."""
        return cls(settings.stripe_url, settings.wise_address)

    def sandbox_of(self, method: str) -> str:
        """Where an account that is at a sandbox finds it: it may have come back at another port."""
        return self.wise if method == "wise" else self.stripe


def _gateway(
    engine: Engine, box: SecretBox, addresses: Addresses, merchant_id: int, method: str
) -> Gateway:
    # Only here: Stripe's library takes 20 MB of each process, and most never reach a gateway.
    from workers.gateways.stripe import stripe_gateway
    from workers.gateways.stripe_account import platform_account
    from workers.gateways.wise import wise_gateway

    with transaction(engine) as tx:
        account = merchants.gateway_account(tx, merchant_id, method, box=box)
        simulated = clock.simulated_at(tx)
    if account is None or method not in ("stripe", "wise"):
        raise NoGateway(merchant_id, method)
    if is_sandbox(addresses.stripe) and not is_sandbox(account.base_url):
        # Business time may be made up here: every hold could be over.
        raise RealGatewayBesideSandbox(merchant_id, account.base_url, method)
    if simulated is not None and not is_sandbox(account.base_url):
        raise RealGatewayOnSimulatedTime(merchant_id)
    # A sandbox may come back at another port; its address is the installation's, not the merchant's.
    base_url = addresses.sandbox_of(method) if is_sandbox(account.base_url) else account.base_url
    pays = account.platform_account
    if method == "wise":
        assert pays is not None, "a Wise account is set with its profile"
        return wise_gateway(account.api_key, base_url, mode=account.mode, account=pays)
    if pays is None:
        pays = platform_account(account.api_key, base_url, mode=account.mode)
        with transaction(engine) as tx:
            merchants.learn_platform_account(
                tx, merchant_id, method, api_key=account.api_key, account=pays, box=box
            )
    return stripe_gateway(account.api_key, base_url, mode=account.mode, account=pays)


def balances(
    gateways: Callable[[int, str], Gateway],
) -> Callable[[int, str], Balance]:
    """What a merchant's gateway has available, asked over the network; without a gateway, why there is none."""

    def balance(merchant_id: int, method: str) -> Balance:
        try:
            gateway = gateways(merchant_id, method)
        except DomainError as error:
            return Balance("silent", why=str(error))
        if not isinstance(gateway, TellsBalance):
            return Balance("silent", why=f"{method} tells no balance")
        return gateway.balance()

    return balance


def gateways_of(
    settings: Settings, engine: Engine, watch: Watch = UNWATCHED
) -> Callable[[int, str], Gateway]:
    """The gateway of a merchant and method, kept for a few seconds; it raises NoGateway."""
    return kept(partial(_measured, engine, secret_box(settings), Addresses.of(settings), watch))


def _measured(
    engine: Engine,
    box: SecretBox,
    addresses: Addresses,
    watch: Watch,
    merchant_id: int,
    method: str,
) -> Gateway:
    return MeasuredGateway(_gateway(engine, box, addresses, merchant_id, method), watch)


def _bound(function: Function, rt: Runtime) -> Callable[..., None]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        function(rt, *args, **kwargs)

    return run
