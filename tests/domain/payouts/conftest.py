"""Fixtures of the tests of payouts."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, make_url

from domain.db import connect


@pytest.fixture
def owner(engine: Engine) -> Iterator[Engine]:
    """Engine on the test's own database as the role that owns the tables: it may drop guards."""
    url = make_url(engine.url).set(username="payspool_owner")
    made = connect(url.render_as_string(hide_password=False))
    yield made
    made.dispose()
