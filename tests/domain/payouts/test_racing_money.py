"""Writers, builders, cancelers and bank files at the same time, by seeds: what is owed plus what is in
payouts is what was earned, at every end."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotCancelable, NotExportable
from domain.payouts.rules.recipients import parse_recipient
from domain.payouts.service import claiming
from domain.payouts.service.bank_files import BankFile
from domain.secrets import SecretBox, new_key
from tests.domain.payouts import house
from tests.domain.payouts.house import JULY, JUNE, assert_whole, earn, merchant, payee, rows, scalar
from tests.domain.payouts.test_races import together

ANN = Actor("person", "ann")
BOX = SecretBox([new_key()])

SUMS = """
SELECT (SELECT coalesce(sum(amount), 0) FROM earnings),
       (SELECT coalesce(sum(amount), 0) FROM payouts WHERE state <> 'canceled')
       + (SELECT coalesce(sum(amount), 0) FROM earnings WHERE payout_id IS NULL)
"""
UNLIKE = """
SELECT p.id FROM payouts p WHERE p.state <> 'canceled' AND (p.amount, p.members) <>
       (SELECT coalesce(sum(e.amount), 0), count(*) FROM earnings e WHERE e.payout_id = p.id)
"""


def assert_nothing_lost(engine: Engine) -> None:
    """Earned is paid or owed, each payout is its members, each balance its rows."""
    [(earned, found)] = rows(engine, SUMS)
    assert earned == found
    assert rows(engine, UNLIKE) == []
    assert_whole(engine)


@pytest.mark.parametrize("seed", range(3))
def test_overlapping_runs_by_several_builders_beside_writers(
    engine: Engine, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.payouts.service.claiming.SHARD", 3)
    monkeypatch.setattr("domain.payouts.service.building.SHARD", 3)
    users = [f"u{n}" for n in range(8)]
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in users:
            payee(tx, acme, user, f"acct_{user}")
            earn(tx, acme, 1_000, user)

    def write(own: int) -> Callable[[], None]:
        choice = random.Random(f"{seed} {own}")

        def go() -> None:
            credits: list[tuple[str, int]] = []
            for _ in range(25):
                user = choice.choice(users)
                with transaction(engine) as tx:
                    if credits and choice.random() < 0.4:
                        owner, credit = credits.pop(choice.randrange(len(credits)))
                        earn(tx, acme, -choice.randrange(1, 300), owner, reverses=credit)
                    else:
                        credits.append((user, earn(tx, acme, choice.randrange(300, 900), user)))

        return go

    def build(*names: str) -> Callable[[], None]:
        def go() -> None:
            for name in names:
                house.run(engine, acme, name, minimums={"usd": 200})

        return go

    together(write(1), write(2), build("a", "b", "c"), build("c", "b", "d"), build("a", "d", "e"))
    assert (
        rows(engine, "SELECT run_id, user_id FROM payouts GROUP BY 1, 2 HAVING count(*) > 1") == []
    )
    assert_nothing_lost(engine)
    house.run(engine, acme, "last")
    assert_nothing_lost(engine)
    # What is left is what cannot be paid: nobody who is owed something is passed by for good.
    assert (
        rows(
            engine,
            "SELECT user_id FROM earnings WHERE payout_id IS NULL GROUP BY 1 HAVING sum(amount) > 0",
        )
        == []
    )


@pytest.mark.parametrize("whole", [False, True])
def test_a_clawback_beside_its_claim_is_in_the_same_payout_or_carried(
    engine: Engine, whole: bool
) -> None:
    taken = 1_000 if whole else 400
    for n in range(8):
        with transaction(engine) as tx:
            acme = merchant(tx, f"m{n}")
            payee(tx, acme)
            credit = earn(tx, acme, 1_000)

        def refund(acme: int = acme, credit: int = credit, wait: float = n / 2_000) -> None:
            house.execute(engine, f"SELECT pg_sleep({wait})")
            with transaction(engine) as tx:
                earn(tx, acme, -taken, reverses=credit)

        together(refund, lambda acme=acme: house.run(engine, acme))
        [(of_credit, of_debit)] = rows(
            engine,
            "SELECT c.payout_id, d.payout_id FROM earnings c JOIN earnings d ON d.reverses_id = c.id"
            " WHERE c.id = :id",
            id=credit,
        )
        assert of_debit in (None, of_credit)
        owed = scalar(
            engine,
            "SELECT coalesce(sum(amount), 0) FROM earnings WHERE merchant_id = :m AND payout_id IS NULL",
            m=acme,
        )
        paid = scalar(
            engine, "SELECT coalesce(sum(amount), 0) FROM payouts WHERE merchant_id = :m", m=acme
        )
        assert paid + owed == 1_000 - taken
        # The next run takes what was carried from what is earned then.
        with transaction(engine) as tx:
            earn(tx, acme, 2_000, due=JUNE + timedelta(days=1))
        service.build_run(engine, service.RunSpec(acme, "next", JULY))
        assert (
            scalar(engine, "SELECT sum(amount) FROM payouts WHERE merchant_id = :m", m=acme)
            == 3_000 - taken
        )
    assert_nothing_lost(engine)


def bank_run(engine: Engine, key: str) -> tuple[int, int, list[int]]:
    """A run of three payouts by bank file: merchant, run, payouts."""
    data = '{"type": "iban", "name": "Ann", "iban": "DE89370400440532013000"}'
    with transaction(engine) as tx:
        acme = merchant(tx, key)
        for user in ("ada", "bea", "cyd"):
            service.set_recipient(
                tx, acme, user, parse_recipient(data), at=JUNE, box=BOX, actor=ANN
            )
            earn(tx, acme, 1_005, user)
    made = house.run(engine, acme, methods=("manual",))
    ids = [i for (i,) in rows(engine, "SELECT id FROM payouts WHERE run_id = :r", r=made.run_id)]
    return acme, made.run_id, sorted(ids)


def test_a_bank_file_and_cancels_beside_it_never_both_take_a_payout(engine: Engine) -> None:
    for n in range(6):
        acme, run_id, ids = bank_run(engine, f"m{n}")

        def export(acme: int = acme, run_id: int = run_id) -> BankFile | None:
            try:
                with transaction(engine) as tx:
                    return service.export(tx, acme, run_id, box=BOX, actor=ANN)
            except NotExportable:
                return None

        def cancel(payout_id: int = ids[n % 3]) -> bool:
            try:
                with transaction(engine) as tx:
                    service.cancel(tx, payout_id, reason="race")
            except NotCancelable:
                return False
            return True

        first, second, canceled = together(export, export, cancel)
        files = [made for made in (first, second) if made is not None and made.file_id is not None]
        assert len({made.file_id for made in files}) == 1
        assert len({made.content for made in files}) == 1
        lines = files[0].content.decode().count("1005") + files[0].content.decode().count("10.05")
        assert lines == (2 if canceled else 3)
        states = dict(rows(engine, "SELECT id, state FROM payouts WHERE run_id = :r", r=run_id))
        assert states.pop(ids[n % 3]) == ("canceled" if canceled else "in_transit")
        assert set(states.values()) == {"in_transit"}
    assert scalar(engine, "SELECT max(n) FROM payout_attempts") == 1
    assert_nothing_lost(engine)


def test_an_account_that_another_builder_of_the_run_took_up_is_not_claimed_again(
    engine: Engine,
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 1_000)
    with transaction(engine) as writer:
        account = writer.execute(
            text("SELECT id FROM ledger_accounts WHERE kind = 'payable' FOR NO KEY UPDATE")
        ).scalar_one()
        with pytest.raises(KeyboardInterrupt):
            # Killed before its last pass: the account stays busy.
            service.build_run(engine, service.RunSpec(acme, "run", JUNE), on_progress=_killed)
    run_id = scalar(engine, "SELECT id FROM payout_runs")
    for _ in range(2):
        # Two builders that both have read that it is busy, and something earned in between.
        with transaction(engine) as tx:
            claiming.claim_one(tx, run_id, account, 1.0)
        with transaction(engine) as tx:
            earn(tx, acme, 500)
    assert house.run(engine, acme).by_currency == {"usd": {"payouts": 1, "amount": 1_000}}
    assert_nothing_lost(engine)


def _killed(_looked_at: int) -> None:
    raise KeyboardInterrupt
