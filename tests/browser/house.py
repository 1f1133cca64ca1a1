"""What the dashboard of these tests shows: two merchants, money in each state, letters and events to work off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import redis
from sqlalchemy import Engine, text

from domain.access import users
from domain.audit.service import Actor
from domain.db import transaction
from domain.loyalty import service as loyalty
from domain.payouts import service as payouts
from domain.payouts.gateway import SeenTransfer
from domain.payouts.service import RunSpec
from domain.payouts.store import policies
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from domain.secrets import SecretBox, new_key
from domain.webhooks import deliveries, delivery_store
from domain.webhooks import service as webhooks
from domain.webhooks.addresses import Reach
from payspool_client import email_hash
from queues.dead import DeadLetter
from tests.domain.inbox import shop
from tests.domain.payouts import house
from workers.dead_letters import SqlDeadLetters

KEY = new_key()
"""What the dashboard of these tests encrypts bank data under."""
PASSWORD = "correct horse battery"
PEOPLE = {"vera": "viewer", "oscar": "operator", "anna": "approver", "adam": "admin"}
EVIL = "<img src=x onerror=\"document.title='owned'\">"
FORMULA = "=HYPERLINK(1)"
TESTER = Actor("command", "tester")
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Seeded:
    """Ids that tests name."""

    acme: int
    beta: int
    run: int
    paid: int
    applied: int
    rejected: int
    delivery: int
    endpoint: int


def seed(engine: Engine, client: redis.Redis, namespace: str) -> Seeded:
    """Fill an empty installation."""
    with transaction(engine) as tx:
        for name, role in PEOPLE.items():
            users.add(tx, name, role, actor=TESTER, password=PASSWORD)
        acme, beta = house.merchant(tx, "acme"), house.merchant(tx, "beta")
        for merchant in (acme, beta):
            house.payee(tx, merchant)
            house.payee(tx, merchant, "ben", account=None)
        house.payee(tx, acme, FORMULA, "acct_formula")
        house.earn(tx, beta, 1_234_56)
        house.earn(tx, beta, 500, "ben")
        policies.put(tx, acme, "always", 72, 0)
        program = Terms(rule={"kind": "percentage", "basis_points": 1000}, currency="usd")
        admin.create_program(tx, acme, "refer", "Refer a friend", program, actor=TESTER)
        admin.create_codes(tx, acme, "refer", [NewCode("ada", "ADA-01")], actor=TESTER)
        admin.create_program(tx, acme, "old", "Refer as before", program, actor=TESTER)
        admin.create_codes(tx, acme, "old", [NewCode("zoe", "ZOE-01")], actor=TESTER)
        loyalty.create_program(tx, acme, "club", name="Club", currency="usd", welcome_bonus=10)
    paid = _paid(engine, beta)
    applied, rejected = _events(engine, acme)
    with transaction(engine) as tx:
        house.earn(tx, acme, 900)
        house.earn(tx, acme, 2_000, FORMULA)
    run = house.run(engine, acme, "june", prepared_by="oscar").run_id
    letters(engine, client, namespace, 4)
    delivery = undelivered(engine, acme)
    with transaction(engine) as tx:
        endpoint = deliveries.get(tx, acme, delivery).endpoint_id
    return Seeded(acme, beta, run, paid, applied, rejected, delivery, endpoint)


def undelivered(
    engine: Engine, merchant_id: int, url: str = "https://shop.example.com/hooks"
) -> int:
    """A webhook to an endpoint of its own that failed for good, and said something evil; its number."""
    with transaction(engine) as tx:
        address = webhooks.look_up(url, "live", Reach(), lambda _host: ["93.184.215.14"])
        endpoint, _ = webhooks.add(
            tx,
            merchant_id,
            address,
            types=["payout.paid"],
            description=EVIL,
            box=SecretBox([KEY]),
            actor=TESTER,
        )
        made = deliveries.test(tx, merchant_id, endpoint, actor=TESTER)
        for status in (None, 500):
            delivery_store.log_attempt(
                tx,
                made,
                outcome="refused" if status else "unreached",
                status=status,
                milliseconds=120,
                error=None if status else "no answer within 10 s",
                response=EVIL if status else None,
                sent_at=JUNE,
            )
        delivery_store.settle(tx, made, 0, "failed", 500, "answered 500")
    return made


def _paid(engine: Engine, merchant_id: int) -> int:
    house.run(engine, merchant_id, "may")
    with transaction(engine) as tx:
        payout_id: int = tx.execute(
            text("SELECT id FROM payouts WHERE merchant_id = :m"), {"m": merchant_id}
        ).scalar_one()
    house.record(engine, house.begin(engine, payout_id), house.SUCCESS)
    with transaction(engine) as tx:
        tx.execute(
            text(
                "INSERT INTO gateway_accounts (merchant_id, mode, method, base_url, api_key_encrypted,"
                " api_key_hint, platform_account)"
                " VALUES (:m, 'test', 'stripe', 'http://127.0.0.1:1', '', '', 'acct_paper')"
            ),
            {"m": merchant_id},
        )
    return payout_id


def _events(engine: Engine, merchant_id: int) -> tuple[int, int]:
    card = {"card": "4006381333931", "customer_id": "u-42", "program": "club"}
    shop.send(
        engine,
        shop.conversion("t-1", EVIL, 12_900, id_="e-1"),
        shop.conversion("t-2", "ben", 12_900, by="NOBODY", id_="e-2"),
        shop.event("loyalty.card_created", "e-3", **card),
    )
    with transaction(engine) as tx:
        rows = tx.execute(
            text("SELECT event_id, id, status, reason FROM inbox_events WHERE merchant_id = :m"),
            {"m": merchant_id},
        ).all()
    found = {row.event_id: row for row in rows}
    states = [found[one].status for one in ("e-1", "e-2", "e-3")]
    assert states == ["applied", "rejected", "applied"], rows
    return found["e-1"].id, found["e-2"].id


def suspect(engine: Engine, order: str) -> int:
    """A conversion of acme whose referred user has the referrer's address; returns the number of its hold."""
    same = email_hash("ada@example.com")
    shop.send(
        engine,
        shop.attributed("ada", "ZOE-01", referred_email_hash=same),
        shop.conversion(order, f"twin-{order}", 12_900, referred_email_hash=same),
    )
    with transaction(engine) as tx:
        made: int = tx.execute(
            text(
                "SELECT h.id FROM tracking_holds h JOIN trackings t ON t.id = h.tracking_id"
                " WHERE t.transaction_id = :order"
            ),
            {"order": order},
        ).scalar_one()
    return made


def comes_back(engine: Engine, merchant_id: int, payout_id: int, amount: int) -> None:
    """Have a part of a paid payout come back."""
    with transaction(engine) as tx:
        key = tx.execute(
            text("SELECT idempotency_key FROM payout_attempts WHERE payout_id = :id"),
            {"id": payout_id},
        ).scalar_one()
        booked = payouts.book_reversals(
            tx, merchant_id, SeenTransfer("tr_1", key, (("trr_1", amount),))
        )
    assert booked is not None


_letters = iter(range(1, 1_000_000))


def letters(engine: Engine, client: redis.Redis, namespace: str, number: int) -> list[int]:
    """Make dead letters, in SQL and in Redis; returns their ids."""
    made = []
    for _ in range(number):
        name = f"r-{next(_letters)}"
        raw = json.dumps({"actor_name": "x.y", "args": [EVIL, name], "kwargs": {}}).encode()
        letter = DeadLetter.of("sweeps", name, raw, f"KeyError: {EVIL}", attempts=3, deaths=0)
        SqlDeadLetters(engine).record(letter)
        client.zadd(f"{namespace}:sweeps.XQ", {name: 1})
        client.hset(f"{namespace}:sweeps.XQ.msgs", name, raw)
        with transaction(engine) as tx:
            made.append(
                tx.execute(
                    text("SELECT id FROM dead_letters WHERE redis_message_id = :name"),
                    {"name": name},
                ).scalar_one()
            )
    return made


def waiting_run(engine: Engine, merchant_id: int, name: str) -> int:
    """A run of acme that oscar prepared and that waits for a person."""
    with transaction(engine) as tx:
        house.earn(tx, merchant_id, 700)
    made = payouts.build_run(engine, RunSpec(merchant_id, name, JUNE, prepared_by="oscar"))
    assert made.state == "pending_approval"
    return made.run_id
