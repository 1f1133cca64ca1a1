"""A database that may have forgotten what it sent sends nothing, whichever way it lost it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis
from dramatiq.errors import ConnectionClosed
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import AttemptForgotten
from domain.payouts.gateway import Deadline
from domain.payouts.rules import Leave
from domain.payouts.rules.watermark import KEPT_ATTEMPTS
from queues.marks import Marks
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.copies import copied, in_place_of_its_original
from tests.workers.payouts.office import Office
from workers import mirroring, payouts, reversing

ANN = Actor("person", "ann")


@pytest.fixture
def office(marked: Office) -> Office:
    return marked


def stops(office: Office) -> list[tuple[Any, ...]]:
    with transaction(office.engine) as tx:
        return [
            tuple(row)
            for row in tx.execute(
                text("SELECT kind, reason FROM payout_stops WHERE lifted_at IS NULL ORDER BY id")
            )
        ]


def kept(office: Office) -> tuple[int, ...]:
    assert office.marks is not None
    mark = office.marks.read()
    assert mark is not None
    return mark.attempts


def test_an_attempt_is_kept_outside_before_its_key_is_used(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.owe(1_000, 2_000)
    first, second = office.build()
    payouts.send(office, first)
    assert kept(office) == (1,)
    gateway = office.gateways(office.merchant_id, "stripe")
    seen: list[tuple[int, ...]] = []
    send = gateway.send

    def looking(*args: Any, **more: Any) -> Any:
        seen.append(kept(office))
        return send(*args, **more)

    monkeypatch.setattr(gateway, "send", looking)
    payouts.send(office, second)
    assert seen == [(1, 2)]
    assert set(office.states().values()) == {"paid"}
    assert stops(office) == []


def older(office: Office, copy: Engine) -> Office:
    return replace(office, engine=copy)


@pytest.mark.parametrize("same_place", [False, True])
def test_an_older_copy_of_the_database_sends_nothing(
    office: Office, admin_url: str, same_place: bool
) -> None:
    office.owe(1_000, 2_000)
    first, second = office.build()
    payouts.send(office, first)
    with copied(office.engine, admin_url) as copy:
        payouts.send(office, second)
        back = older(office, copy)
        if same_place:
            assert office.marks is not None
            office.marks.replace(in_place_of_its_original(copy), kept(office))
        assert payouts.send(back, second) == Leave("stopped")
        [(kind, reason)] = stops(back)
        assert kind == "failover"
        assert ("does not know attempt 2" if same_place else "another one than it was") in reason
        assert "payouts rearm" in reason
        assert back.states()[second] == "approved"
        back.work_off()
        assert len(stops(back)) == 1
        assert len(office.platform.transfers()) == 2


def test_without_what_is_kept_outside_it_would_have_been_paid_again(
    office: Office, admin_url: str, platform: Platform
) -> None:
    """What the stop prevents: the older copy knows of no attempt, and its key is forgotten after a day."""
    office.owe(1_000)
    [payout_id] = office.build()
    with copied(office.engine, admin_url) as copy:
        payouts.send(office, payout_id)
        platform.stripe.admin("POST", "clock", advance_seconds=25 * 3600)
        payouts.send(older(replace(office, marks=None), copy), payout_id)
        assert len(platform.transfers()) == 2


def test_what_may_have_been_paid_is_not_asked_for_again_by_an_older_copy(
    office: Office, admin_url: str
) -> None:
    """Its unknown attempt may have failed meanwhile, and another one have paid."""
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "drop_before", "times": 1})
    payouts.send(office, payout_id)
    with copied(office.engine, admin_url) as copy:
        back = older(office, copy)
        [(actor, args)] = [m for m in back.messages() if m[0] == "payouts.resolve"]
        back.do(actor, args)
        assert stops(back) != []
        assert back.states() == {payout_id: "unknown"}
        assert office.platform.posted() == 1


def test_an_emptied_valkey_learns_from_the_database_and_nothing_stops(
    office: Office, client: redis.Redis, namespace: str
) -> None:
    office.owe(1_000, 2_000)
    first, second = office.build()
    payouts.send(office, first)
    client.delete(*client.keys(f"{namespace}:*"))
    payouts.send(office, second)
    assert kept(office) == (1, 2)
    assert stops(office) == []
    office.assert_paid_once()


def test_a_copy_beside_the_original_sends_nothing_though_its_valkey_is_empty(
    office: Office, admin_url: str, client: redis.Redis, namespace: str
) -> None:
    office.owe(1_000, 2_000)
    first, second = office.build()
    payouts.send(office, first)
    with copied(office.engine, admin_url) as copy:
        staging = older(
            replace(office, marks=Marks(client, f"{namespace}-staging", KEPT_ATTEMPTS)), copy
        )
        assert payouts.send(staging, second) == Leave("stopped")
        assert "another one than it was" in stops(staging)[0][1]
        assert client.keys(f"{namespace}-staging:*") == [], "a stopped database teaches nobody"
    assert len(office.platform.transfers()) == 1


class Away(Marks):
    """A Valkey that goes away at its nth question."""

    left = 0

    def read(self) -> Any:
        self._ask()
        return super().read()

    def keep(self, server: str, attempt: int, account: str = "") -> None:
        self._ask()
        super().keep(server, attempt, account)

    def _ask(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ConnectionClosed(ConnectionError("away"))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("answers", [0, 1])
def test_while_valkey_is_away_nothing_is_sent_and_afterwards_it_is_sent_once(
    office: Office, client: redis.Redis, namespace: str, answers: int
) -> None:
    mirroring.check(office)
    office.owe(1_000)
    [payout_id] = office.build()
    office.messages()
    office.platform.plan()
    away = Away(client, namespace, KEPT_ATTEMPTS)
    away.left = answers
    payouts.send(replace(office, marks=away), payout_id)
    assert office.platform.posted() == 0
    assert office.states() == {payout_id: "sending" if answers else "approved"}
    office.work_off()
    assert office.states() == {payout_id: "paid"}
    assert office.platform.posted() == 1
    with transaction(office.engine) as tx:
        assert tx.execute(text("SELECT count(*) FROM payout_attempts")).scalar_one() == 1


def test_a_server_that_is_emptied_between_the_attempt_and_the_call_lets_nothing_be_sent(
    office: Office, client: redis.Redis, namespace: str
) -> None:
    class Emptied(Marks):
        def keep(self, server: str, attempt: int, account: str = "") -> None:
            client.delete(*client.keys(f"{namespace}:*"))
            super().keep(server, attempt, account)

    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan()
    payouts.send(replace(office, marks=Emptied(client, namespace, KEPT_ATTEMPTS)), payout_id)
    assert (office.platform.posted(), office.states()) == (0, {payout_id: "sending"})
    office.work_off()
    assert (office.platform.posted(), office.states()) == (1, {payout_id: "paid"})


def test_a_failover_in_the_middle_of_a_call_is_told_with_what_was_paid_and_stops_all(
    office: Office, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    with copied(office.engine, admin_url) as copy:
        back = older(office, copy)
        gateway = office.gateways(office.merchant_id, "stripe")
        with office.engine.connect() as connection:
            begun, mark = mirroring.begin(
                office,
                lambda mark: _begin(connection, payout_id, gateway, mark),
            )
        assert not isinstance(begun, Leave)
        monkeypatch.setattr(office, "engine", copy)
        with pytest.raises(AttemptForgotten, match="tr_"):
            payouts._call_and_record(office, gateway, begun, mark, Deadline.begin(600))
        assert len(stops(back)) == 1


def _begin(connection: Any, payout_id: int, gateway: Any, mark: Any) -> Any:
    with connection.begin():
        payout = service.frozen(connection, payout_id)
        return service.begin_first_attempt(connection, payout, gateway, mark)


def test_an_older_copy_of_the_database_takes_nothing_back(marked: Office, admin_url: str) -> None:
    """What was taken back already may be what it forgot."""
    marked.owe(1_000)
    [payout_id] = marked.build()
    marked.work_off()
    with copied(marked.engine, admin_url) as copy:
        back = replace(marked, engine=copy)
        with transaction(copy) as tx:
            asked = service.request_reversal(
                tx, back.merchant_id, payout_id, amount=None, reason="wrong", actor=ANN
            )
        assert reversing.reverse(back, asked.request_id) == Leave("stopped")
        assert [t.net for t in back.platform.transfers()] == [1_000]


def test_while_valkey_is_away_nothing_is_taken_back(
    marked: Office, client: redis.Redis, namespace: str
) -> None:
    marked.owe(1_000)
    [payout_id] = marked.build()
    marked.work_off()
    with transaction(marked.engine) as tx:
        asked = service.request_reversal(
            tx, marked.merchant_id, payout_id, amount=None, reason="wrong", actor=ANN
        )
    away = Away(client, namespace, KEPT_ATTEMPTS)
    away.left = 0
    assert reversing.reverse(replace(marked, marks=away), asked.request_id) == Leave("put_off")
    assert [t.net for t in marked.platform.transfers()] == [1_000]
    marked.work_off()
    assert marked.states() == {payout_id: "reversed"}
