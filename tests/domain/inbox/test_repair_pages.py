"""Pages of what operators retry: each costs its own rows, however many are left."""

from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url, text

from domain.db import Tx, transaction
from domain.inbox import service as inbox
from domain.inbox.service import Selection
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import merchant

EVENTS = 50_000
FILL = """
    INSERT INTO inbox_events (merchant_id, source, event_id, type, occurred_at, received_at, content_hash,
                              data, status, reason)
    SELECT :merchant_id, 'shop', n, 'conversion.recorded', now(), now(), sha256('x'), '{}',
           CASE WHEN n % 10 = 0 THEN 'dead' WHEN n % 10 < 7 THEN 'rejected' ELSE 'applied' END,
           CASE WHEN n % 10 = 0 THEN 'bug' WHEN n % 10 < 7 THEN 'code_not_found' END
    FROM generate_series(1, :events) n
"""


@pytest.fixture(params=["without statistics", "with statistics"])
def filled(request: Any, engine: Engine) -> Engine:
    """A shop of which many events were refused, some died, and some were applied.

    In a database of its own: what ANALYZE counts stays in one, also where its transaction is rolled back.
    """
    with transaction(engine) as tx:
        tx.execute(text(FILL), {"merchant_id": merchant(tx), "events": EVENTS})
    if request.param == "with statistics":
        url = make_url(engine.url).set(username="payspool_owner")
        owner = create_engine(url.render_as_string(hide_password=False), poolclass=NullPool)
        with owner.begin() as tx:
            tx.execute(text("ANALYZE inbox_events"))
    return engine


def rows_read(tx: Tx) -> int:
    """Rows of events that this transaction has read so far, by any plan."""
    return int(
        tx.execute(
            text(
                "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
                " WHERE relname = 'inbox_events'"
            )
        ).scalar_one()
    )


@pytest.mark.parametrize(
    "selection",
    [Selection(), Selection(status="rejected"), Selection(reason="code_not_found")],
    ids=["all", "by status", "by a reason that no dead event has"],
)
def test_a_page_reads_its_own_rows_and_not_all_that_are_left(
    filled: Engine, selection: Selection
) -> None:
    with transaction(filled) as tx:
        after, before = 0, rows_read(tx)
        for _ in range(12):
            page = inbox.selected(tx, selection, after)
            assert len(page) == 100
            after = page[-1].id
        assert rows_read(tx) - before < 12 * 1_000


def test_pages_give_every_event_once_in_the_order_of_their_ids(db: Rolled) -> None:
    with transaction(db) as tx:
        tx.execute(text(FILL), {"merchant_id": merchant(tx), "events": 1_000})
        found: list[int] = []
        while page := inbox.selected(tx, Selection(), found[-1] if found else 0):
            found += [row.id for row in page]
        retryable = "SELECT id FROM inbox_events WHERE status IN ('rejected', 'dead') ORDER BY id"
        assert found == list(tx.execute(text(retryable)).scalars())
        assert len(found) == 700


def test_events_that_match_are_found_behind_many_that_do_not(filled: Engine) -> None:
    with transaction(filled) as tx:
        last = "SELECT max(id) FROM inbox_events WHERE status = 'rejected'"
        number = tx.execute(text(last)).scalar_one()
        late = "UPDATE inbox_events SET reason = 'unknown_type' WHERE id = :id"
        tx.execute(text(late), {"id": number})
        before = rows_read(tx)
        assert [row.id for row in inbox.selected(tx, Selection(reason="unknown_type"))] == [number]
        assert inbox.selected(tx, Selection(reason="unknown_type"), number) == []
        assert rows_read(tx) - before < 3 * EVENTS
