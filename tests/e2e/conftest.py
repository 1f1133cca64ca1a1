"""Pipelines that run for a whole module."""

from collections.abc import Iterator

import pytest

from tests.e2e.installation import Installation, installed


@pytest.fixture(scope="module")
def up() -> Iterator[Installation]:
    """`payspool up`, as a process of its own."""
    with installed() as installation:
        started = installation.up()
        yield installation
        started.interrupt()
        assert started.end() == 0, started.said()
        assert installation.remains(0) == []
