"""A balance that is too small refuses one payout; the others wait unsent, and go on as far as money is there."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.payouts import service
from domain.payouts.rules import Leave
from domain.payouts.service import Recorded
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.office import Office
from workers import payouts

SHORT = Leave("balance_insufficient")


@pytest.fixture
def office(engine: Engine, platform: Platform) -> Office:
    return Office(engine, platform)


def rows(office: Office, statement: str) -> list[Any]:
    with transaction(office.engine) as tx:
        return [tuple(row) for row in tx.execute(text(statement))]


def in_force(office: Office) -> list[Any]:
    return rows(office, "SELECT currency, available FROM payout_shortfalls WHERE ended_at IS NULL")


def send_all(office: Office, ids: list[int]) -> list[Recorded | Leave]:
    return [payouts.send(office, payout_id) for payout_id in ids]


def test_after_one_refusal_the_others_wait_without_an_attempt(office: Office) -> None:
    office.owe(1_000, 2_000, 3_000)
    ids = office.build()
    office.platform.plan()
    refused, *others = send_all(office, ids)
    assert isinstance(refused, Recorded)
    assert others == [SHORT, SHORT]
    assert office.platform.posted() == 1
    assert rows(office, "SELECT payout_id, n FROM payout_attempts") == [(ids[0], 1)]
    assert rows(office, "SELECT DISTINCT parked_reason FROM payouts") == [("balance_insufficient",)]
    office.assert_paid_once()


def test_what_the_balance_suffices_for_goes_on_and_the_rest_is_not_even_tried(
    office: Office,
) -> None:
    office.owe(10_000, 1_000, 2_000, 4_000)
    ids = office.build()
    send_all(office, ids)
    assert office.look_for_money() == 0
    office.platform.fund(3_500)
    office.platform.plan()
    assert office.look_for_money() == 2
    office.execute("DELETE FROM outbox")
    assert payouts.sweep(office) == 2
    office.work_off()
    assert [office.states()[i] for i in ids] == ["failed", "paid", "paid", "approved"]
    assert office.platform.posted() == 2, "nothing was asked for that would have been refused"
    assert in_force(office) == [("usd", 500)]

    office.platform.fund(20_000)
    assert office.look_for_money() == 2
    assert in_force(office) == []
    payouts.sweep(office)
    office.work_off()
    assert set(office.states().values()) == {"paid"}
    assert rows(office, "SELECT max(n) FROM payout_attempts") == [(2,)]
    office.assert_paid_once()


def test_money_that_arrives_lets_all_of_its_currency_try(office: Office) -> None:
    office.owe(1_000, 2_000)
    ids = office.build()
    send_all(office, ids)
    with transaction(office.engine) as tx:
        assert service.resume_parked(tx, office.merchant_id, "eur") == 0
    assert payouts.send(office, ids[1]) == SHORT
    office.platform.fund(3_000)
    with transaction(office.engine) as tx:
        assert service.resume_parked(tx, office.merchant_id, "usd") == 2
    office.execute("DELETE FROM outbox")
    assert payouts.sweep(office) == 2
    office.work_off()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()


def test_where_the_key_may_not_ask_for_the_balance_the_smallest_payout_is_the_question(
    office: Office,
) -> None:
    office.owe(3_000, 1_000, 2_000)
    ids = office.build()
    send_all(office, ids)
    forbidden = {"method": "GET", "path": "/v1/balance", "fault": "forbidden"}
    office.platform.stripe.admin("PUT", "faults", seed=0, rules=[forbidden])
    assert office.look_for_money() == 1
    assert in_force(office) == [("usd", 1_000)]
    office.execute("DELETE FROM outbox")
    payouts.sweep(office)
    [(_, args)] = office.messages()
    assert args == {"payout_id": ids[1]}
    refused = payouts.send(office, ids[1])
    assert isinstance(refused, Recorded)
    assert in_force(office) == [("usd", 0)]


def test_a_person_may_try_one_that_waits_for_money(office: Office) -> None:
    office.owe(1_000, 2_000)
    ids = office.build()
    send_all(office, ids)
    office.platform.fund(1_000)
    with transaction(office.engine) as tx:
        service.retry(tx, ids[0])
    office.work_off()
    assert office.states() == {ids[0]: "paid", ids[1]: "approved"}
    office.assert_paid_once()
