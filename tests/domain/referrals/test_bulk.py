"""Very many codes are made at once: all different, all or none; and one look tells whether one is good."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from domain import clock
from domain.db import Tx, transaction
from domain.errors import Invalid, NotFound
from domain.referrals import admin, bulk, validating
from domain.referrals.admin import Terms
from domain.referrals.rules.codes import ALPHABET, canonical, has_good_check, make_codes
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TESTER,
    code,
    conversion,
    merchant,
    open_shop,
    refund,
    rows,
    said,
    scalar,
    send,
    together,
)


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


@pytest.mark.parametrize("length", [1, 5, 8, 15])
def test_every_code_that_is_drawn_has_a_good_check_and_no_look_alikes(length: int) -> None:
    made = make_codes(500, length=length, random=secrets.token_bytes)
    assert all(has_good_check(one) for one in made)
    assert {c for one in made for c in one.removeprefix("REF-")} <= set(ALPHABET)
    assert not set("01OI") & set(ALPHABET)
    assert {len(one) for one in made} == {4 + length + 1}


def test_codes_are_made_in_chunks_for_their_owners(
    db: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 40)
    acme = open_shop(db, PERCENTAGE)
    told: list[tuple[str, str]] = []
    owners = [f"u{i % 25}" for i in range(100)]
    with transaction(db) as tx:
        number = bulk.create(tx, acme, "refer", owners, actor=TESTER, max_uses=3, made=told.extend)
    assert number == 100
    assert [user for user, _ in told] == owners
    stored = dict(rows(db, "SELECT code, user_id FROM codes WHERE max_uses = 3"))
    assert stored == {code: user for user, code in told}
    assert scalar(db, "SELECT count(*) FROM audit_entries WHERE action = 'codes.created'") == 2


def test_codes_that_are_taken_or_drawn_twice_are_drawn_again(
    db: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        code(tx, acme, "REF-222222")
    draws = iter([bytes([0] * 5 + [1] * 5 + [1] * 5), bytes([1] * 5 + [2] * 5), bytes([3] * 5)])
    monkeypatch.setattr(bulk, "LENGTH", 5)
    monkeypatch.setattr(bulk.secrets, "token_bytes", lambda _: next(draws))
    told: list[tuple[str, str]] = []
    with transaction(db) as tx:
        bulk.create(tx, acme, "refer", ["a", "b", "c"], actor=TESTER, made=told.extend)
    assert len({code for _, code in told}) == 3
    assert dict(
        rows(
            db,
            "SELECT code, user_id FROM codes WHERE code LIKE 'REF-%' AND user_id IN ('a', 'b', 'c')",
        )
    ) == {code: user for user, code in told}


@pytest.mark.parametrize(
    ("owners", "why"),
    [(["ada", ""], "user_id"), (list("uvwxyz"), "at most"), (["bea"] * 3, "more than 2")],
)
def test_what_is_wrong_with_one_makes_none(
    db: Rolled, monkeypatch: pytest.MonkeyPatch, owners: list[str], why: str
) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 2)
    monkeypatch.setattr(bulk, "MAX_CODES", 5)
    acme = open_shop(db, PERCENTAGE, codes_per_user=2)
    with pytest.raises(Invalid, match=why), transaction(db) as tx:
        bulk.create(tx, acme, "refer", owners, actor=TESTER)
    assert scalar(db, "SELECT count(*) FROM codes") == 1
    with pytest.raises(NotFound), transaction(db) as tx:
        bulk.create(tx, acme, "nope", ["ada"], actor=TESTER)


def test_who_has_too_many_codes_from_before_the_limit_is_in_nobodys_way(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        code(tx, acme, "ADA-02")
        admin.change_program(
            tx, acme, "refer", Terms(PERCENTAGE, "usd", codes_per_user=1), actor=TESTER
        )
    with transaction(db) as tx:
        assert bulk.create(tx, acme, "refer", ["ben", "cyd"], actor=TESTER) == 2
        assert len(bulk.create_batch(tx, acme, "b", "refer", ["dan"], actor=TESTER).codes) == 1
    for owners in (["ada"], ["eve", "eve"]):
        with (
            pytest.raises(Invalid, match=f"{owners[0]} would have more than 1"),
            db.scratch() as tx,
        ):
            bulk.create(tx, acme, "refer", owners, actor=TESTER)


@pytest.mark.parametrize("at", ["0001-01-01", "9999-12-31 23:00", "2030-01-01"])
def test_a_batch_that_ends_at_no_known_moment_is_refused_by_its_field(db: Rolled, at: str) -> None:
    acme = open_shop(db, PERCENTAGE)
    with pytest.raises(Invalid, match="expires_at: needs an offset"), db.scratch() as tx:
        bulk.create_batch(
            tx, acme, "b", "refer", ["ben"], actor=TESTER, expires_at=datetime.fromisoformat(at)
        )


def test_many_who_make_codes_at_once_never_make_one_twice(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)

    def make() -> list[tuple[str, str]]:
        told: list[tuple[str, str]] = []
        with transaction(engine) as tx:
            bulk.create(tx, acme, "refer", ["u"] * 2_000, actor=TESTER, made=told.extend)
        return told

    codes = [code for told in together([make] * 4) for _, code in told]
    assert len(set(codes)) == 8_000
    assert scalar(engine, "SELECT count(*) FROM codes WHERE user_id = 'u'") == 8_000


def look(db: Any, acme: int, name: str, referred: str | None = None, at: Any = JUNE) -> Any:
    with transaction(db) as tx:
        return validating.validate(tx, acme, name, at, referred)


def test_a_code_is_good_or_is_not_and_why(db: Rolled) -> None:
    acme = open_shop(db, ONE_TIME, referee_rule={"amount": 200}, ends_at=JUNE + 9 * DAY)
    with transaction(db) as tx:
        code(tx, acme, "ONCE-01", max_uses=1, expires_at=JUNE + DAY)
        code(tx, acme, "REF-23456J")
    good = look(db, acme, "ONCE-01")
    assert (good.refusal, good.program, good.user_id, good.uses_left, good.referee_rule) == (
        None,
        "refer",
        "ada",
        1,
        {"amount": 200},
    )
    assert look(db, acme, " ref-23456j ").code == "REF-23456J"
    assert look(db, acme, "ONCE-01", "ada").refusal.reason == "self_referral"
    assert look(db, acme, "ONCE-01", at=JUNE + DAY).refusal.reason == "code_expired"
    assert look(db, acme, "ADA-01", at=JUNE + 9 * DAY).refusal.reason == "program_inactive"
    assert look(db, acme, "REF-23456K").refusal.reason == "code_not_found"
    assert "typing error" in look(db, acme, "REF-23456K").refusal.detail
    send(db, conversion("o1", by="ONCE-01"))
    assert look(db, acme, "ONCE-01").refusal.reason == "code_exhausted"
    with transaction(db) as tx:
        admin.set_program_status(tx, acme, "refer", "paused", actor=TESTER)
        zeta = merchant(tx, "zeta")
    assert look(db, acme, "ADA-01").refusal.reason == "program_inactive"
    assert look(db, zeta, "ADA-01").refusal.reason == "code_not_found"


def test_a_code_of_ones_own_is_found_as_it_is_spelled_though_it_looks_like_one_of_ours(
    db: Rolled,
) -> None:
    acme = open_shop(db, ONE_TIME)
    with transaction(db) as tx:
        code(tx, acme, "ref-23456j")
    assert said(send(db, conversion("o1", by="ref-23456j"))) == ["applied"]
    found = look(db, acme, " ref-23456j ")
    assert (found.refusal, found.code) == (None, "ref-23456j")
    with transaction(db) as tx:
        code(tx, acme, "REF-23456J", "bea")
    assert look(db, acme, "ref-23456j").user_id == "ada"
    assert look(db, acme, "REF-23456J").user_id == "bea"


def test_a_code_whose_owner_is_rewarded_no_more_is_no_good_until_a_refund(db: Rolled) -> None:
    terms = {"referee_rule": {"amount": 200}, "max_rewards_per_referrer": 1}
    acme = open_shop(db, PERCENTAGE, **terms)
    assert look(db, acme, "ADA-01").refusal is None
    send(db, conversion("o1"))
    assert look(db, acme, "ADA-01").refusal.reason == "reward_cap_reached"
    assert said(send(db, conversion("o2", "cyd"))) == ["rejected:reward_cap_reached"]
    send(db, refund("o1"))
    assert look(db, acme, "ADA-01").refusal is None
    assert said(send(db, conversion("o3", "dan"))) == ["applied"]


def test_without_a_time_a_code_is_looked_at_in_business_time(db: Rolled) -> None:
    acme = open_shop(db, ONE_TIME)
    later = JUNE + 9_000 * DAY
    with transaction(db) as tx:
        code(tx, acme, "ONCE-01", expires_at=later)
    assert look(db, acme, "ONCE-01", at=None).refusal is None
    with transaction(db) as tx:
        clock.simulate(tx, later, sandbox=True)
    assert look(db, acme, "ONCE-01", at=None).refusal.reason == "code_expired"


def test_validating_is_one_statement_over_indexes(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
    look(engine, acme, "ADA-01")
    assert len(seen) == 1
    with transaction(engine) as tx:
        tx.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(
            row[0]
            for row in tx.exec_driver_sql(
                "EXPLAIN "
                + seen[0].replace("%(merchant_id)s", str(acme)).replace("%(code)s", "'ADA-01'")
            )
        )
    assert "uq_codes_merchant_id_code" in plan


def test_what_was_typed_is_taken_as_ours_only_if_its_check_fits() -> None:
    assert canonical("ref-23456k") == "ref-23456k"
    assert canonical("summer-26") == "summer-26"
