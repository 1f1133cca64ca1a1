"""What the fault campaigns share: a sandbox, and a platform of their own in it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, make_url

from domain.db import connect
from tests.workers.gateways.local_stripe import LocalStripe, Platform, running


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
def owner(engine: Engine) -> Iterator[Engine]:
    """Engine as the role that owns the tables: it may make attempts look old."""
    url = make_url(engine.url).set(username="payspool_owner")
    made = connect(url.render_as_string(hide_password=False))
    yield made
    made.dispose()
