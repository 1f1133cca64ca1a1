"""A sandbox for the tests of the payout actors."""

from collections.abc import Iterator

import pytest

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
