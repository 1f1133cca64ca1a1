"""Counts of an hour and of a day are forgotten once nothing can ask for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.inbox import service as inbox
from domain.referrals import holds
from domain.referrals import service as referrals
from domain.referrals.rules.holds import COUNTS_KEPT, HoldPolicy
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    PERCENTAGE,
    conversion,
    open_shop,
    read,
    rows,
    send,
)

MIA = Actor("person", "mia")


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


def test_counts_are_forgotten_when_no_conversion_comes_that_late(db: Any) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        holds.set_policy(tx, acme, None, HoldPolicy(code_per_hour=1, referrer_per_day=5), actor=MIA)
    send(db, conversion("old", at=JUNE), conversion("new", at=JUNE + COUNTS_KEPT))
    now = JUNE + COUNTS_KEPT
    over = (JUNE + DAY).replace(hour=0, minute=0, second=0, microsecond=0) + COUNTS_KEPT
    with transaction(db) as tx:
        assert referrals.forget_counts(tx, over - timedelta(microseconds=1)) == 0
        assert referrals.forget_counts(tx, over) == 2, "the code's and the referrer's"
        assert referrals.forget_counts(tx, over) == 0
    assert rows(db, "SELECT per, conversions FROM velocity_counts ORDER BY 1") == [
        ("code", 1),
        ("referrer", 1),
    ]
    send(db, conversion("new2", "cyd", at=now))
    assert rows(db, "SELECT ref FROM tracking_holds") == [("code/hour",)], (
        "what is kept still counts"
    )


def test_counts_in_use_are_left_and_the_rest_is_forgotten_in_parts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = open_shop(engine, PERCENTAGE)
    with transaction(engine) as tx:
        holds.set_policy(tx, acme, None, HoldPolicy(code_per_hour=1), actor=MIA)
    send(engine, *[conversion(f"o{i}", f"u{i}", at=JUNE + i * DAY) for i in range(5)])
    monkeypatch.setattr("domain.referrals.service.looking_again.COUNTS", 2)
    with engine.begin() as other:
        inbox.apply(other, read(conversion("late", "zed", at=JUNE)))
        now, done = JUNE + 99 * DAY, []
        while True:
            with transaction(engine) as tx:
                done.append(referrals.forget_counts(tx, now))
            if not done[-1]:
                break
        assert done == [2, 2, 0]
    assert rows(engine, "SELECT conversions FROM velocity_counts") == [(2,)]
