"""What people look up: somebody's conversions from both sides, page by page."""

from typing import Any

from sqlalchemy import Engine

from domain.db import transaction
from domain.referrals import views
from tests.domain.inbox.shop import PERCENTAGE, code, conversion, open_shop, send


def pages(engine: Engine, acme: int, user: str | None, size: int) -> list[str]:
    """The transactions of all pages, each begun where the one before it ended."""
    found: list[str] = []
    before = None
    while True:
        with transaction(engine) as tx:
            rows: list[Any] = views.trackings(tx, acme, user_id=user, before=before, limit=size)
        assert len(rows) <= size
        if not rows:
            return found
        found += [row.transaction_id for row in rows]
        before = (rows[-1].converted_at, rows[-1].id)


def test_somebodys_conversions_are_found_from_both_sides_each_once(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    with transaction(engine) as tx:
        code(tx, acme, "BEN-01", "ben")
    send(
        engine,
        conversion("o1", "ben"),
        conversion("o2", "cleo"),
        conversion("o3", "dan", by="BEN-01"),
        conversion("o4", "ben"),
        conversion("o5", "eve", by="BEN-01"),
    )
    for size in (1, 2, 10):
        assert pages(engine, acme, "ben", size) == ["o5", "o4", "o3", "o1"]
        assert pages(engine, acme, "ada", size) == ["o4", "o2", "o1"]
        assert pages(engine, acme, "nobody", size) == []
        assert len(pages(engine, acme, None, size)) == 5
