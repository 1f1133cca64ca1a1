"""What operators do with refused and dead events: retry them, and edit them as new revisions."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.inbox import service as inbox
from domain.inbox.service import Edited, Retried, Selection
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PATIENCE,
    PERCENTAGE,
    TESTER,
    assert_whole,
    balance,
    code,
    conversion,
    event,
    merchant,
    open_shop,
    refund,
    rows,
    said,
    scalar,
    send,
    standing,
    together,
    wait_until_blocked,
)


def number(engine: Any, event_id: str) -> int:
    found: int = scalar(engine, "SELECT id FROM inbox_events WHERE event_id = :id", id=event_id)
    return found


def retry(engine: Any, *event_ids: str) -> list[Retried]:
    numbers = [number(engine, one) for one in event_ids]
    with transaction(engine) as tx:
        return inbox.retry(tx, numbers, actor=TESTER, reason="looked at it")


def edit(engine: Any, event_id: str, *, why: str = "a typing error", **more: Any) -> Edited:
    data = more.pop("data", None) or more.pop("raw")
    given = {name: more.pop(name) for name in ("type", "time") if name in more}
    assert not more
    with transaction(engine) as tx:
        return inbox.edit(
            tx,
            number(engine, event_id),
            data if isinstance(data, str) else json.dumps(data),
            actor=TESTER,
            reason=why,
            **given,
        )


def data_of(text_: str, **change: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text_)["data"] | change
    return {name: value for name, value in found.items() if value is not None}


def add_code(engine: Any, name: str) -> None:
    with transaction(engine) as tx:
        code(tx, scalar(engine, "SELECT id FROM merchants WHERE key = 'acme'"), name)


def trail(engine: Any) -> list[tuple[Any, ...]]:
    return rows(
        engine,
        "SELECT action, actor_id, reason, before, after FROM audit_entries"
        " WHERE subject_kind = 'event' ORDER BY id",
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


def test_an_edited_event_is_applied_and_all_that_it_ever_said_is_kept_and_shown(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    wrong, right = conversion("o1", by="ADA-O1"), conversion("o1", by="ADA-01")
    send(db, wrong)
    done = edit(db, "o1/paid", data=data_of(right))
    assert (done.revision, done.outcome.status) == (2, "applied")
    assert balance(db) == 1_000
    with transaction(db) as tx:
        known = inbox.status(tx, acme, "shop", "o1/paid")
    assert known is not None
    assert known["status"] == "applied"
    assert [(r["revision"], r["by"], r["reason"]) for r in known["revisions"]] == [
        (1, "producer", None),
        (2, "tester", "a typing error"),
    ]
    assert [r["data"] for r in known["revisions"]] == [data_of(wrong), data_of(right)]
    assert [entry[0:3] for entry in trail(db)] == [("event.edited", "tester", "a typing error")]
    assert trail(db)[0][4] == {"status": "applied", "reason": None, "revision": 2}
    assert_whole(db)


def test_a_replay_of_any_revision_is_a_duplicate_and_other_content_a_conflict(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    first, second, third = (conversion("o1", by=name) for name in ("WRONG-1", "WRONG-2", "ADA-01"))
    send(db, first)
    edit(db, "o1/paid", data=data_of(second))
    assert standing(db) == {"o1/paid": "rejected:code_not_found"}
    assert edit(db, "o1/paid", data=data_of(third)).revision == 3
    other = conversion("o1", amount=5)
    assert said(send(db, first, second, third, other)) == [
        "duplicate",
        "duplicate",
        "duplicate",
        "conflict:conflict",
    ]
    assert standing(db) == {"o1/paid": "applied"}
    assert scalar(db, "SELECT count(*) FROM inbox_conflicts") == 1


def test_a_replay_of_an_old_revision_does_not_undo_the_edit(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    first = conversion("o1", by="LATER-1")
    send(db, first)
    edit(db, "o1/paid", data=data_of(first, code="LATER-2"))
    add_code(db, "LATER-1")
    assert said(send(db, first)) == ["duplicate"]
    assert standing(db) == {"o1/paid": "rejected:code_not_found"}


def test_an_edit_may_bring_back_what_was_said_first(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    first = conversion("o1", by="LATER-1")
    send(db, first)
    edit(db, "o1/paid", data=data_of(first, code="LATER-2"))
    add_code(db, "LATER-1")
    assert edit(db, "o1/paid", data=data_of(first)).outcome.status == "applied"
    assert said(send(db, first)) == ["duplicate"]


def test_type_and_time_are_corrected_beside_the_data(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, event("conversion.imagined", "x", x=1))
    right = data_of(conversion("o1"))
    done = edit(db, "x", data=right, type="conversion.recorded", time=JUNE - DAY)
    assert done.outcome.status == "applied"
    assert rows(db, "SELECT type, occurred_at, raw FROM inbox_events") == [
        ("conversion.recorded", JUNE - DAY, None)
    ]
    assert scalar(db, "SELECT converted_at FROM trackings") == JUNE - DAY


def test_what_was_no_json_at_all_but_had_a_name_is_edited_into_an_event(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1").replace('"amount"', '"x": NaN, "amount"'))
    assert standing(db) == {"o1/paid": "rejected:not_finite"}
    assert edit(db, "o1/paid", data=data_of(conversion("o1"))).outcome.status == "applied"
    [(raw, data)] = rows(db, "SELECT raw, data FROM inbox_revisions WHERE revision = 1")
    assert data is None
    assert "NaN" in raw


def test_an_edit_of_an_event_without_a_readable_time_asks_for_one(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, json.dumps(json.loads(conversion("o1")) | {"time": "noon"}))
    with pytest.raises(
        Invalid, match="time: could not be read of what was sent; give it with --time"
    ):
        edit(db, "o1/paid", data=data_of(conversion("o1")))
    assert (
        edit(db, "o1/paid", data=data_of(conversion("o1")), time=JUNE).outcome.status == "applied"
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("{", "data: is not JSON"),
        ("[]", "data: data must be an object"),
        ({"referred_user_id": "ben", "amount": -1}, r"data\.amount: .* must not be negative"),
        ('{"referred_user_id": "a", "referred_user_id": "b"}', "more than once"),
        ('{"referred_user_id": "ben", "x": NaN}', "finite"),
        ({"referred_user_id": "ben", "note": "x" * 66_000}, "64 KiB"),
    ],
    ids=repr,
)
def test_an_edit_is_checked_before_anything_is_written(db: Rolled, data: Any, why: str) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1", by="WRONG-1"))
    with pytest.raises(Invalid, match=why):
        edit(db, "o1/paid", data=data)
    assert scalar(db, "SELECT count(*) FROM inbox_revisions") == 0
    assert scalar(db, "SELECT attempts FROM inbox_events") == 1


def test_an_edit_needs_a_reason_and_something_new(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    wrong = conversion("o1", by="WRONG-1")
    send(db, wrong)
    with pytest.raises(Invalid, match="reason: say in 1 to 500 characters why"):
        edit(db, "o1/paid", data=data_of(wrong, code="ADA-01"), why="  ")
    with pytest.raises(Invalid, match="says what the event says already"):
        edit(db, "o1/paid", data=data_of(wrong))
    with pytest.raises(Invalid, match="time is more than 10 minutes ahead"):
        edit(db, "o1/paid", data=data_of(wrong), time=JUNE + timedelta(days=4_000))


def test_what_is_applied_or_waits_is_not_edited(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1"), refund("o2"))
    with pytest.raises(Forbidden, match=r"send conversion\.refunded or an adjustment"):
        edit(db, "o1/paid", data=data_of(conversion("o1", amount=5)))
    with pytest.raises(Forbidden, match=r"waits for transaction:o2"):
        edit(db, "o2/r1", data={"transaction_id": "o1", "refund_id": "r1", "full": True})


def test_a_conversion_that_moves_to_another_transaction_takes_its_refusal_along(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    wrong = conversion("o1", by="WRONG-1")
    send(db, wrong, refund("o1"), refund("o2"))
    assert standing(db)["o1/r1"] == "applied:nothing_to_reverse"
    edit(db, "o1/paid", data=data_of(wrong, code="ADA-01", transaction_id="o2"))
    assert standing(db) == {
        "o1/paid": "applied",
        "o1/r1": "waiting:waits_for_conversion",
        "o2/r1": "applied",
    }
    assert balance(db) == 0
    assert_whole(db)


def test_a_dead_event_that_could_not_be_read_is_edited(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, refund("o1", 2_500))
    with transaction(db) as tx:
        tx.execute(text('UPDATE inbox_events SET data = data || \'{"currency": "zzz"}\''))
    send(db, conversion("o1"))
    assert standing(db)["o1/r1"] == "dead:no_longer_valid"
    assert retry(db, "o1/r1")[0].reason == "invalid_currency"
    done = edit(db, "o1/r1", data=data_of(refund("o1", 2_500), note="in dollars"))
    assert done.outcome.status == "applied"
    assert balance(db) == 750


def blocked_then(engine: Engine, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """Start ``first`` while another transaction holds the event's row, then ``second`` behind it."""
    with ThreadPoolExecutor(2) as pool:
        with transaction(engine) as tx:
            tx.execute(text("SELECT FROM inbox_events FOR UPDATE"))
            one = pool.submit(first)
            wait_until_blocked(engine, 1)
            two = pool.submit(second)
            wait_until_blocked(engine, 2)
        return one.exception(PATIENCE) or one.result(), two.exception(PATIENCE) or two.result()


def test_an_edit_behind_a_worker_that_applies_the_replay_is_refused(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    first = conversion("o1", by="LATER-1")
    send(engine, first)
    add_code(engine, "LATER-1")
    outcomes, error = blocked_then(
        engine,
        lambda: said(send(engine, first)),
        lambda: edit(engine, "o1/paid", data=data_of(first, code="ADA-01")),
    )
    assert outcomes == ["applied"]
    assert isinstance(error, Forbidden)
    assert scalar(engine, "SELECT count(*) FROM inbox_revisions") == 0
    assert balance(engine) == 1_000
    assert_whole(engine)


def test_a_worker_behind_an_edit_takes_the_replay_for_a_duplicate(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    first = conversion("o1", by="LATER-1")
    send(engine, first)
    add_code(engine, "LATER-1")
    done, outcomes = blocked_then(
        engine,
        lambda: edit(engine, "o1/paid", data=data_of(first, code="ADA-01")),
        lambda: said(send(engine, first)),
    )
    assert done.outcome.status == "applied"
    assert outcomes == ["duplicate"]
    assert balance(engine) == 1_000
    assert scalar(engine, "SELECT count(*) FROM inbox_conflicts") == 0
    assert_whole(engine)


def test_of_two_edits_at_once_one_is_applied_and_the_other_told(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    first = conversion("o1", by="WRONG-1")
    send(engine, first)

    def attempt(amount: int) -> Any:
        try:
            return edit(engine, "o1/paid", data=data_of(first, code="ADA-01", amount=amount))
        except Forbidden as error:
            return error

    results = together([lambda: attempt(1_000), lambda: attempt(2_000)])
    done = [one for one in results if isinstance(one, Edited)]
    assert len(done) == 1
    assert done[0].revision == 2
    assert scalar(engine, "SELECT count(*) FROM trackings") == 1
    assert_whole(engine)


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
