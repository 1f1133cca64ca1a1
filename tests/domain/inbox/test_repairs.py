"""What operators do with refused and dead events: retry them, one by one or all that a filter takes."""

import json
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.errors import Forbidden, NotFound
from domain.inbox import service as inbox
from domain.inbox.service import Selection
from tests.domain.inbox.repairing import add_code, data_of, edit, retry, trail
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TESTER,
    assert_whole,
    balance,
    conversion,
    event,
    merchant,
    open_shop,
    refund,
    said,
    scalar,
    send,
    standing,
    together,
)


def test_a_refused_event_is_applied_by_a_retry_once_what_was_missing_is_there(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1", by="NEW-01"), refund("o1", 2_500))
    add_code(db, "NEW-01")
    [result] = retry(db, "o1/paid")
    assert (result.before, result.before_reason) == ("rejected", "code_not_found")
    assert (result.status, result.reason, result.tried) == ("applied", None, True)
    assert standing(db) == {"o1/paid": "applied", "o1/r1": "applied"}
    assert balance(db) == 750
    assert scalar(db, "SELECT attempts FROM inbox_events WHERE event_id = 'o1/paid'") == 2
    assert trail(db) == [
        (
            "event.retried",
            "tester",
            "looked at it",
            {"status": "rejected", "reason": "code_not_found"},
            {"status": "applied", "reason": None},
        )
    ]
    assert_whole(db)
    assert said(send(db, conversion("o1", by="NEW-01"))) == ["duplicate"]


def test_a_retry_that_is_refused_again_says_why_and_counts(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1", by="NEW-01"))
    [result] = retry(db, "o1/paid")
    assert (result.status, result.reason) == ("rejected", "code_not_found")
    assert scalar(db, "SELECT attempts FROM inbox_events") == 2


def test_what_a_replay_leaves_as_it_was_decided_an_operator_may_retry(db: Rolled) -> None:
    open_shop(db, PERCENTAGE, max_uses=1)
    send(db, conversion("o0"), conversion("o1", user="cyd"))
    assert standing(db)["o1/paid"] == "rejected:code_exhausted"
    with transaction(db) as tx:
        tx.execute(text("UPDATE codes SET max_uses = 2"))
    assert said(send(db, conversion("o1", user="cyd"))) == ["duplicate"]
    assert retry(db, "o1/paid")[0].status == "applied"
    assert balance(db) == 2_000


def test_a_retry_leaves_alone_what_is_applied_or_waits(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1"), refund("o2"))
    results = retry(db, "o1/paid", "o2/r1")
    assert [(r.tried, r.status) for r in results] == [(False, "applied"), (False, "waiting")]
    assert balance(db) == 1_000
    assert trail(db) == []


def test_a_retry_of_nothing_that_exists_says_so(db: Rolled) -> None:
    with transaction(db) as tx, pytest.raises(NotFound, match="no event '999999'"):
        inbox.retry(tx, [999_999], actor=TESTER)


@pytest.mark.parametrize(
    "broken",
    ["{", '{"id": 1}', '{"time": "never"}', '{"data": 5}', '{"specversion": "2"}'],
)
def test_what_cannot_be_read_stays_as_it_was_decided(db: Rolled, broken: str) -> None:
    open_shop(db, PERCENTAGE)
    known = json.loads(conversion("o1"))
    raw = (
        json.dumps(known | json.loads(broken))
        if broken != "{"
        else conversion("o1")[:-1] + ',"x":NaN}'
    )
    send(db, raw)
    for id_, before in standing(db).items():
        retry(db, id_)
        assert standing(db)[id_].split(":")[0] in ("rejected", "applied")
        assert before.startswith("rejected")


def test_a_retry_reads_numbers_as_they_were_sent(db: Rolled) -> None:
    """PostgreSQL keeps 1e300 as an integer that no producer could send."""
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1", by="NEW-01", odd=1e300, other=[-1e17, 0.1]))
    add_code(db, "NEW-01")
    assert retry(db, "o1/paid")[0].status == "applied"


def test_an_event_as_large_as_can_be_is_retried(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    small = json.loads(conversion("o1", by="NEW-01", note=""))
    room = 65_536 - len(json.dumps(small, separators=(",", ":")))
    small["data"]["note"] = "é" * (room // 2)
    send(db, json.dumps(small, separators=(",", ":"), ensure_ascii=False))
    assert standing(db) == {"o1/paid": "rejected:code_not_found"}
    add_code(db, "NEW-01")
    assert retry(db, "o1/paid")[0].status == "applied"


def select(engine: Any, **filters: Any) -> list[str]:
    with transaction(engine) as tx:
        return [row.event_id for row in inbox.selected(tx, Selection(**filters))]


def test_a_filter_takes_by_merchant_reason_status_and_time_and_leaves_decisions_alone(
    db: Rolled,
) -> None:
    acme = open_shop(db, ONE_TIME, min_amount=5_000)
    with transaction(db) as tx:
        merchant(tx, "zeta")
    send(db, conversion("o1", by="NEW-01"), conversion("o2", amount=1), conversion("o3"))
    send(db, event("conversion.imagined", "x"), event("conversion.imagined", "z", to="zeta"))
    with transaction(db) as tx:
        tx.execute(
            text(
                "UPDATE inbox_events SET status = 'dead', reason = 'bug', received_at = :at"
                " WHERE event_id = 'z'"
            ),
            {"at": JUNE},
        )
    assert select(db) == ["o1/paid", "x", "z"]
    assert select(db, merchant_id=acme) == ["o1/paid", "x"]
    assert select(db, reason="code_not_found") == ["o1/paid"]
    assert select(db, reason="below_minimum") == ["o2/paid"], "named, it is taken"
    assert select(db, status="dead") == ["z"]
    assert select(db, since=JUNE + DAY) == ["o1/paid", "x"]
    assert select(db, type="conversion.imagined") == ["x", "z"]
    assert select(db, type="conversion.recorded", merchant_id=acme) == ["o1/paid"]
    with transaction(db) as tx:
        assert inbox.count_selected(tx, Selection()) == (3, 1)
        assert inbox.count_selected(tx, Selection(merchant_id=acme)) == (2, 1)
        assert inbox.count_selected(tx, Selection(type="conversion.imagined")) == (2, 0)
        [first] = inbox.selected(tx, Selection(), 0, 1)
        assert [row.event_id for row in inbox.selected(tx, Selection(), first.id)] == ["x", "z"]


def test_retries_edits_and_replays_at_once_count_one_purchase_once(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    first = conversion("o1", by="LATER-1")
    send(engine, first, refund("o1", 2_500))
    add_code(engine, "LATER-1")

    def edits() -> None:
        with suppress(Forbidden):
            edit(engine, "o1/paid", data=data_of(first, code="ADA-01"))

    together(
        [
            edits,
            lambda: send(engine, first),
            lambda: retry(engine, "o1/paid"),
            lambda: send(engine, refund("o1", 2_500)),
        ]
        * 2
    )
    assert standing(engine) == {"o1/paid": "applied", "o1/r1": "applied"}
    assert scalar(engine, "SELECT count(*) FROM trackings") == 1
    assert balance(engine) == 750
    assert_whole(engine)
