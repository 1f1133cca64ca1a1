"""What operators do with refused and dead events: edit them as new revisions."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.errors import Forbidden, Invalid
from domain.inbox import service as inbox
from domain.inbox.service import Edited
from tests.domain.inbox.repairing import add_code, blocked_then, data_of, edit, retry, trail
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    PERCENTAGE,
    assert_whole,
    balance,
    conversion,
    event,
    open_shop,
    refund,
    rows,
    said,
    scalar,
    send,
    standing,
    together,
)


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
