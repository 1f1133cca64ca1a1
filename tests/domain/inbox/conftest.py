"""Fixtures of the tests of the inbox."""

import pytest

from domain.db import Tx
from tests.domain.inbox.rolled import Rolled


@pytest.fixture
def db(tx: Tx) -> Rolled:
    """The shared database as an engine of one connection, rolled back at the end of the test."""
    return Rolled(tx)
