"""Dead letters on the real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from domain.audit.service import Actor
from domain.db import Tx
from domain.dead_letters import service, store
from domain.dead_letters.models import RAW_BYTES_MAX
from domain.dead_letters.service import Known, Letter
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
    (row,) = store.listing(tx, queue=None, state=None, limit=10)
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
    service.discard(tx, row.id, ADA, "known")
    service.record(tx, letter(reason="again"))
    assert (only(tx).state, only(tx).reason) == ("discarded", "KeyError: later")


def test_the_same_id_on_another_queue_is_another_letter(tx: Tx) -> None:
    service.record(tx, letter())
    service.record(tx, letter(queue="sweeps"))
    assert len(store.listing(tx, queue=None, state=None, limit=10)) == 2
    assert len(store.listing(tx, queue="sweeps", state="open", limit=10)) == 1


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

    def put_back(queue: str, redis_message_id: str, raw: bytes | None) -> str:
        given.append((queue, redis_message_id, raw))
        return "r-2"

    assert service.retry(tx, only(tx).id, ADA, put_back, "fixed") == "r-2"
    assert given == [("payouts", "r-1", b"\xff\x00raw")]
    assert (only(tx).state, only(tx).decided_by, only(tx).retried_as) == ("retried", "ada", "r-2")
    assert audited(tx) == [("ada", "dead_letter.retried", "fixed")]
    assert service.known(tx, "payouts", ["r-1", "r-9"]) == {"r-1": Known(False, True)}


def test_a_letter_is_decided_once(tx: Tx) -> None:
    service.record(tx, letter())
    assert service.discard(tx, only(tx).id, ADA, "paid by hand") == ("payouts", "r-1")
    with pytest.raises(Forbidden, match="discarded by ada already"):
        service.retry(tx, only(tx).id, ADA, lambda *_: "r-2")
    with pytest.raises(NotFound):
        service.discard(tx, only(tx).id + 1, ADA, "?")
    assert audited(tx) == [("ada", "dead_letter.discarded", "paid by hand")]


def test_the_runtime_role_may_not_remove_a_letter(tx: Tx) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        tx.execute(text("DELETE FROM dead_letters"))
