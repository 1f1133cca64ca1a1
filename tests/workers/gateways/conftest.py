"""A sandbox for the tests of gateways."""

from collections.abc import Iterator

import pytest

from tests.workers.gateways.local_stripe import LocalStripe, Platform, running
from tests.workers.gateways.local_wise import WiseAccount


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
def wise(local_stripe: LocalStripe) -> Iterator[WiseAccount]:
    made = WiseAccount(local_stripe)
    yield made
    made.close()
