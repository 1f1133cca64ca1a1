"""What goes wrong behind the API, as clients hear it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from domain.db import transaction
from tests.domain.inbox.shop import read_only
from tests.web.conftest import MakeContext
from tests.web.support import event, serve
from tests.web.till import Till


def test_a_read_only_database_refuses_nothing_that_only_needs_reading(
    make_context: MakeContext, people: dict[str, Any], engine: Any, admin_url: str
) -> None:
    bearer = {name: {"Authorization": f"Bearer {people[name]}"} for name in ("key", "read_key")}
    with serve(make_context()) as http, read_only(engine, admin_url):
        for number in (1, 2):  # the keys were never used: each first look would record it
            sent = http.post("/v1/events", json=event(number), headers=bearer["key"])
            assert (sent.status_code, sent.json()["accepted"]) == (202, 1)
        dead = http.get("/v1/events?status=dead", headers=bearer["read_key"])
        assert dead.status_code == 200
    with transaction(engine) as tx:
        assert tx.execute(text("SELECT count(last_used_at) FROM api_keys")).scalar_one() == 0


def test_a_read_only_database_is_told_to_a_till_as_one_that_cannot_serve(
    till: Till, admin_url: str
) -> None:
    with read_only(till.api.engine, admin_url):
        refused = till.enrol()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "database_unavailable"
        assert int(refused.headers["Retry-After"]) > 0
    assert till.enrol().status_code == 200, "the read-only connection was let go of"
