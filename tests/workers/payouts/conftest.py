"""A sandbox for the tests of the payout actors."""

from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import Engine

from domain.payouts.rules.watermark import KEPT_ATTEMPTS
from queues.connection import connect
from queues.marks import Marks
from tests.workers.gateways.local_stripe import LocalStripe, Platform, running
from tests.workers.payouts.office import Office


@pytest.fixture(scope="session")
def local_stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStripe]:
    with running(tmp_path_factory.mktemp("stripe")) as stripe:
        yield stripe


@pytest.fixture
def platform(local_stripe: LocalStripe) -> Iterator[Platform]:
    made = local_stripe.platform()
    yield made
    made.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """The run's Valkey, its file synced at each write as it is outside of tests: nobody waits for it."""
    with connect(redis_url) as made:
        made.config_set("appendfsync", "always")
        yield made
        made.config_set("appendfsync", "everysec")


@pytest.fixture
def marked(engine: Engine, platform: Platform, client: redis.Redis, namespace: str) -> Office:
    """An office that keeps outside of its database what it sends."""
    platform.fund(1_000_000)
    return Office(engine, platform, marks=Marks(client, namespace, KEPT_ATTEMPTS))
