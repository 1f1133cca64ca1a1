"""Dead letters on the real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from domain.audit.service import Actor
from domain.db import Tx
from domain.dead_letters import service, store
from domain.dead_letters.models import RAW_BYTES_MAX
from domain.dead_letters.service import BATCH_BYTES, BATCH_LETTERS, Known, Letter
from domain.errors import Forbidden, NotFound

ADA = Actor("command", "ada")


def letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        **{"queue": "payouts", "redis_message_id": "r-1", "actor": "payouts.send"},
        **{"args": '{"args": [7]}', "raw": b"\xff\x00raw", "reason": "RuntimeError: no"},
        **{"trace": "Traceback", "attempts": 3, "deaths": 0, "died_at": None},
    }
    return Letter(**(values | changes))


def only(tx: Tx) -> Any:
    (row,) = store.search(tx, store.Filter(), state=None, before=None, limit=10)
    return row


def audited(tx: Tx) -> list[tuple[str, str, str]]:
    rows = tx.execute(text("SELECT actor_id, action, reason FROM audit_entries ORDER BY id"))
    return [tuple(row) for row in rows]


def kept_raw(tx: Tx) -> bytes | None:
    return tx.execute(text("SELECT raw FROM dead_letters")).scalar_one()


def test_a_letter_is_kept_once_and_takes_what_is_learned_while_it_is_open(tx: Tx) -> None:
    service.record(tx, letter())
    service.record(tx, letter(attempts=4, reason="KeyError: later"))
    row = only(tx)
    assert (row.state, row.attempts, row.reason) == ("open", 4, "KeyError: later")
    assert kept_raw(tx) == b"\xff\x00raw"
    service.discard(tx, [row.id], ADA, "known")
    service.record(tx, letter(reason="again"))
    assert (only(tx).state, only(tx).reason) == ("discarded", "KeyError: later")


def test_the_same_id_on_another_queue_is_another_letter(tx: Tx) -> None:
    service.record(tx, letter())
    service.record(tx, letter(queue="sweeps"))
    assert len(store.search(tx, store.Filter(), state=None, before=None, limit=10)) == 2
    assert len(store.search(tx, store.Filter("sweeps"), state="open", before=None, limit=10)) == 1


def test_whatever_a_message_holds_can_be_kept(tx: Tx) -> None:
    odd = "a\0b\ud800" + "x" * 20_000 + "the end"
    long = letter(actor=odd, args=odd, reason=odd, trace=odd, raw=b"x" * (RAW_BYTES_MAX + 1))
    service.record(tx, long)
    row = only(tx)
    assert row.args.startswith("a\\0b\\ud800x")
    assert (len(row.args), len(row.reason), len(row.trace)) == (10_000, 500, 10_000)
    assert row.trace.endswith("the end")
    assert (row.raw_kept, row.raw_bytes) == (False, RAW_BYTES_MAX + 1)


def test_when_it_died_is_kept_where_it_is_known(tx: Tx) -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    service.record(tx, letter(died_at=at))
    assert only(tx).died_at == at


def test_a_retry_puts_the_message_back_and_tells_under_which_id(tx: Tx) -> None:
    service.record(tx, letter())
    given: list[tuple[str, str, bytes | None]] = []

    def put_back(letters: Sequence[Any]) -> list[str | None]:
        given.extend((row.queue, row.redis_message_id, row.raw) for row in letters)
        return ["r-2"]

    assert service.retry(tx, [only(tx).id], ADA, put_back, "fixed").refused == {}
    assert given == [("payouts", "r-1", b"\xff\x00raw")]
    assert (only(tx).state, only(tx).decided_by, only(tx).retried_as) == ("retried", "ada", "r-2")
    assert audited(tx) == [("ada", "dead_letter.retried", "fixed")]
    assert service.known(tx, "payouts", ["r-1", "r-9"]) == {"r-1": Known(False, True)}


def test_a_letter_is_decided_once(tx: Tx) -> None:
    service.record(tx, letter())
    one = only(tx).id
    [row] = service.discard(tx, [one], ADA, "paid by hand").letters
    assert (row.queue, row.redis_message_id) == ("payouts", "r-1")
    again = service.retry(tx, [one], ADA, lambda letters: ["r-2" for _ in letters])
    assert again.letters == []
    assert isinstance(again.refused[one], Forbidden)
    assert "discarded by ada already" in str(again.refused[one])
    assert isinstance(service.discard(tx, [one + 1], ADA, "?").refused[one + 1], NotFound)
    assert audited(tx) == [("ada", "dead_letter.discarded", "paid by hand")]


def test_a_letter_whose_message_is_lost_stops_no_other(tx: Tx) -> None:
    for name in ("r-1", "lost", "r-3"):
        service.record(tx, letter(redis_message_id=name))
    kept = store.search(tx, store.Filter(), state=None, before=None, limit=9)
    ids = {row.redis_message_id: row.id for row in kept}
    decided = service.retry(
        tx,
        list(ids.values()),
        ADA,
        lambda rows: [
            None if row.redis_message_id == "lost" else f"new {row.redis_message_id}"
            for row in rows
        ],
    )
    assert [row.redis_message_id for row in decided.letters] == ["r-1", "r-3"]
    assert "too large to keep" in str(decided.refused[ids["lost"]])
    states = {
        row.redis_message_id: (row.state, row.retried_as)
        for row in store.search(tx, store.Filter(), state=None, before=None, limit=9)
    }
    assert states == {
        "r-1": ("retried", "new r-1"),
        "lost": ("open", None),
        "r-3": ("retried", "new r-3"),
    }
    assert len(audited(tx)) == 2


@pytest.mark.parametrize(
    ("sizes", "together"),
    [
        ([], []),
        ([1] * BATCH_LETTERS, [BATCH_LETTERS]),
        ([1] * (BATCH_LETTERS + 1), [BATCH_LETTERS, 1]),
        ([BATCH_BYTES - 1, 1, 1], [2, 1]),
        ([BATCH_BYTES + 1, 1, BATCH_BYTES * 2], [1, 1, 1]),
    ],
    ids=["none", "as many as may be", "one more", "as large as may be", "larger ones go alone"],
)
def test_letters_are_decided_on_together_up_to_a_number_and_a_size(
    sizes: list[int], together: list[int]
) -> None:
    rows = [SimpleNamespace(id=at, raw_bytes=size) for at, size in enumerate(sizes)]
    batches = list(service.batches(rows))
    assert [len(batch) for batch in batches] == together
    assert [one for batch in batches for one in batch] == list(range(len(sizes)))


def test_the_runtime_role_may_not_remove_a_letter(tx: Tx) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        tx.execute(text("DELETE FROM dead_letters"))


def test_letters_are_searched_by_queue_actor_and_text_page_by_page(tx: Tx) -> None:
    for number in range(4):
        service.record(
            tx,
            letter(redis_message_id=f"r-{number}", args=f'{{"kwargs": {{"payout_id": {number}}}}}'),
        )
    service.record(
        tx, letter(queue="sweeps", redis_message_id="s-1", actor="x.y", reason="KeyError: 'ada'")
    )

    def found(*, before: int | None = None, limit: int = 10, **wanted: str) -> list[str]:
        rows = store.search(tx, store.Filter(**wanted), state="open", before=before, limit=limit)
        return [row.redis_message_id for row in rows]

    assert found(queue="sweeps") == ["s-1"]
    assert found(actor="payouts.send") == ["r-3", "r-2", "r-1", "r-0"]
    assert found(text='"payout_id": 2') == ["r-2"]
    assert found(text="ada") == ["s-1"]
    assert found(text="%") == [], "what is looked for is text, no pattern"
    assert found(text="r-1") == ["r-1"]
    first = store.search(tx, store.Filter(queue="payouts"), state="open", before=None, limit=3)
    assert found(queue="payouts", before=first[-1].id) == ["r-0"]
    letters, newest = store.count_matching(tx, store.Filter(queue="payouts"), 100)
    assert (letters, newest) == (4, first[0].id)
    below = store.matching(tx, store.Filter(queue="payouts"), before=newest, limit=2)
    assert [row.id for row in below] == [first[1].id, first[2].id]
    service.discard(tx, [first[0].id], ADA, "known")
    assert store.count_matching(tx, store.Filter(queue="payouts"), 100)[0] == 3


def test_a_text_is_looked_for_in_so_many_letters_at_a_time(
    tx: Tx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOOKED_THROUGH", 3)
    for number in range(8):
        reason = "a needle" if number in (0, 6) else "hay"
        service.record(tx, letter(redis_message_id=f"r-{number}", reason=reason))

    def look(before: int | None = None, state: str | None = "open", **wanted: str) -> store.Found:
        found = store.Filter(**wanted)
        return store.look(tx, found, state=state, before=before, limit=2, count_to=5)

    first = look(text="needle")
    assert [row.redis_message_id for row in first.rows] == ["r-6"]
    assert (first.open, first.counted) == (1, False)
    second = look(text="needle", before=first.below)
    assert (second.rows, second.open) == ([], 0)
    third = look(text="needle", before=second.below)
    assert [row.redis_message_id for row in third.rows] == ["r-0"]
    assert third.below is None, "nothing is behind it"
    every = look(text="hay")
    assert ([row.redis_message_id for row in every.rows], every.below) == (["r-7", "r-5"], None)
    service.discard(tx, [every.rows[0].id], ADA, "known")
    assert [row.redis_message_id for row in look(text="hay").rows] == ["r-5", "r-4"]
    assert [row.redis_message_id for row in look(text="hay", state="discarded").rows] == ["r-7"]
    without = look(queue="payouts")
    assert [row.redis_message_id for row in without.rows] == ["r-6", "r-5"]
    assert (without.open, without.counted, without.below) == (5, False, None)
    assert look(queue="nowhere") == store.Found([], 0, counted=True, below=None)
