"""Dead letters in SQL: the sink that queues write to first, and the sweep for what passed it by."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine

from domain.db import Tx, transaction
from domain.dead_letters import service
from domain.dead_letters.models import REASON_CHARACTERS_MAX
from domain.dead_letters.service import Known, Letter, PutBack
from domain.payouts import service as payouts
from domain.schedules import service as schedules
from queues.dead import DeadLetter, DeadSet, known_queues
from workers.context import Runtime

REDIS_KEEPS: Final = timedelta(days=7)
"""How long Redis keeps a dead letter whose message is in SQL: its memory is for work."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a sweep did: letters that SQL did not have, and copies that Redis need not keep."""

    mirrored: int
    forgotten: int


class SqlDeadLetters:
    """The `queues.DeadLetterSink` of production. Each letter is a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, letter: DeadLetter) -> None:
        """Keep a letter, and mark the row that its message was about as needing a person: the sweeps
        would ask again, and again it would die.

        Raises what SQLAlchemy raises; the letter is then not kept.
        """
        with transaction(self._engine) as tx:
            service.record(
                tx,
                Letter(
                    queue=letter.queue,
                    redis_message_id=letter.redis_message_id,
                    actor=letter.actor,
                    args=letter.args,
                    raw=letter.raw,
                    reason=letter.reason,
                    trace=letter.trace,
                    attempts=letter.attempts,
                    deaths=letter.deaths,
                    died_at=letter.died,
                ),
            )
            _set_aside(tx, letter)


def put_back(rt: Runtime, tx: Tx) -> PutBack:
    """How `domain.dead_letters.service.retry`, in ``tx``, puts messages on their queues again. The rows that
    they are about are taken up with them."""

    def put(letters: Sequence[Any]) -> list[str | None]:
        messages: dict[str, dict[str, bytes]] = {}
        for row in letters:
            dead = DeadSet(rt.redis, rt.namespace, row.queue)
            raw = row.raw if row.raw is not None else dead.raw(row.redis_message_id)
            if raw is not None:
                messages.setdefault(row.queue, {})[row.redis_message_id] = bytes(raw)
        _take_up(
            tx,
            [
                DeadLetter.of(queue, id_, raw, "retried", attempts=0, deaths=0)
                for queue, of_queue in messages.items()
                for id_, raw in of_queue.items()
            ],
        )
        fresh: dict[tuple[str, str], str] = {}
        for queue, of_queue in messages.items():
            put_back = DeadSet(rt.redis, rt.namespace, queue).put_back(of_queue)
            fresh |= {(queue, id_): new for id_, new in zip(of_queue, put_back, strict=True)}
        return [fresh.get((row.queue, row.redis_message_id)) for row in letters]

    return put


def _set_aside(tx: Tx, letter: DeadLetter) -> None:
    about = _about(letter)
    if isinstance(about, Fire):
        schedules.give_up(tx, about.name, about.fire_at, letter.reason[:REASON_CHARACTERS_MAX])
    elif isinstance(about, Notice):
        payouts.notice_died(tx, about.notice_id)
    elif isinstance(about, Reversal):
        payouts.reversal_died(tx, about.request_id)
    elif about is not None:
        payouts.set_aside(tx, payout_id=about.payout_id, attempt_id=about.attempt_id)


def _take_up(tx: Tx, letters: Sequence[DeadLetter]) -> None:
    # A notice needs nothing: one that failed is applied when its message comes.
    about = [_about(letter) for letter in letters]
    for fire in sorted({one for one in about if isinstance(one, Fire)}):
        schedules.take_up(tx, fire.name, fire.fire_at)
    of_payouts = [one for one in about if isinstance(one, Payout)]
    payouts.take_up(
        tx,
        # As of one: the attempt that a message names says which payout it is about.
        payout_ids={one.payout_id for one in of_payouts if one.payout_id and not one.attempt_id},
        attempt_ids={one.attempt_id for one in of_payouts if one.attempt_id},
    )
    payouts.take_up_reversals(tx, {one.request_id for one in about if isinstance(one, Reversal)})


@dataclass(frozen=True, slots=True, order=True)
class Fire:
    """A message about a fire."""

    name: str
    fire_at: datetime


@dataclass(frozen=True, slots=True)
class Payout:
    """A message about a payout, or about an attempt of one."""

    payout_id: int | None
    attempt_id: int | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about what a gateway told us."""

    notice_id: int


@dataclass(frozen=True, slots=True)
class Reversal:
    """A message about what is asked to be taken back."""

    request_id: int


def _about(letter: DeadLetter) -> Fire | Payout | Notice | Reversal | None:
    """The row that a message was emitted for; None if it has none, or does not say it as we do."""
    args = json.loads(letter.args)["kwargs"] if letter.args else {}
    if not isinstance(args, dict):
        return None
    if letter.actor in (
        "payouts.send",
        "payouts.resolve",
        "payouts.follow",
        "payouts.progress",
    ):
        ids = [args.get("payout_id"), args.get("attempt_id")]
        return Payout(*(one if isinstance(one, int) and 0 < one < 2**63 else None for one in ids))
    if letter.actor == "payouts.reverse":
        request_id = args.get("request_id")
        if isinstance(request_id, int) and 0 < request_id < 2**63:
            return Reversal(request_id)
        return None
    if letter.actor == "webhooks.apply":
        notice_id = args.get("notice_id")
        if isinstance(notice_id, int) and 0 < notice_id < 2**63:
            return Notice(notice_id)
        return None
    if isinstance(args.get("name"), str) and isinstance(args.get("fire_at"), str):
        try:
            return Fire(args["name"].replace("\0", ""), datetime.fromisoformat(args["fire_at"]))
        except ValueError:
            return None
    return None


def mirror(rt: Runtime) -> Mirrored:
    """Bring SQL and the dead sets of Redis together; repeating it changes nothing."""
    sink = SqlDeadLetters(rt.engine)
    mirrored = forgotten = 0
    for queue in known_queues(rt.redis, rt.namespace):
        dead = DeadSet(rt.redis, rt.namespace, queue)
        for page in dead.pages():
            with transaction(rt.engine) as tx:
                known = service.known(tx, queue, list(page))
            strays = {id_: died for id_, died in page.items() if id_ not in known}
            for letter in dead.letters(strays):
                sink.record(letter)
                mirrored += 1
            done = _forgettable(page, known)
            dead.remove(done)
            forgotten += len(done)
    return Mirrored(mirrored, forgotten)


def _forgettable(page: Mapping[str, datetime], known: Mapping[str, Known]) -> list[str]:
    # Ages are the queue server's clock against ours: an hour of difference does not matter here.
    old = datetime.now(UTC) - REDIS_KEEPS
    return [
        id_
        for id_, letter in known.items()
        if not letter.open or (letter.raw_kept and page[id_] < old)
    ]
