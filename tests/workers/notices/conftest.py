"""A sandbox that signs and sends webhooks to a real API, and a merchant whose worker applies them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from domain.secrets import SecretBox, new_key
from tests.web.support import serve
from tests.workers.gateways.local_stripe import LocalStripe, running
from tests.workers.notices.desk import Desk
from web.app import ApiContext, ApiLimits
from workers.pause_log import AuditedPauses


@pytest.fixture(scope="session")
def local_stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStripe]:
    with running(tmp_path_factory.mktemp("stripe")) as stripe:
        yield stripe


@pytest.fixture
def desk(
    local_stripe: LocalStripe, engine: Engine, redis_url: str, namespace: str
) -> Iterator[Desk]:
    box = SecretBox([new_key()])
    context = ApiContext(
        engine=engine,
        redis_url=redis_url,
        namespace=namespace,
        box=box,
        revision="0002",
        limits=ApiLimits(rate_per_second=100_000),
        queues=("webhooks",),
        pause_log=lambda server, name: AuditedPauses(engine, server, name),
    )
    platform = local_stripe.platform()
    with serve(context) as http:
        yield Desk(engine, platform, url=str(http.base_url), box=box)
    platform.close()
