"""People make and change programs and codes; what cannot be meant is refused by name."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import Tx, transaction
from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from domain.referrals.rules.codes import has_good_check
from tests.domain.inbox.shop import (
    JUNE,
    PATIENCE,
    PERCENTAGE,
    TESTER,
    code,
    merchant,
    program,
    scalar,
    wait_until_blocked,
)


@pytest.fixture
def acme(tx: Tx) -> int:
    made = merchant(tx)
    program(tx, made, PERCENTAGE)
    return made


def create(tx: Tx, acme: int, *codes: NewCode) -> list[str]:
    return admin.create_codes(tx, acme, "refer", codes, actor=TESTER)


def test_a_program_is_listed_with_its_present_terms(tx: Tx, acme: int) -> None:
    terms = Terms(rule={"kind": "one_time", "amount": 5}, currency="usd", hold_days=90)
    assert admin.change_program(tx, acme, "refer", terms, actor=TESTER) == 2
    [row] = admin.programs(tx, acme)
    assert (row.key, row.version, row.status, row.currency, row.hold_days, row.rule["kind"]) == (
        "refer",
        2,
        "active",
        "usd",
        90,
        "one_time",
    )
    assert admin.programs(tx, acme + 1) == []


def test_a_program_keeps_its_currency_for_its_tiers_are_amounts(tx: Tx, acme: int) -> None:
    volume = {"kind": "tiered", "by": "volume", "tiers": [{"from": 1, "basis_points": 100}]}
    admin.change_program(tx, acme, "refer", Terms(volume, "usd"), actor=TESTER)
    with pytest.raises(Invalid) as refused:
        admin.change_program(tx, acme, "refer", Terms(volume, "eur"), actor=TESTER)
    assert refused.value.field == "currency"
    [row] = admin.programs(tx, acme)
    assert (row.version, row.currency) == (2, "usd")


def test_terms_that_somebody_else_changed_are_not_written_over(tx: Tx, acme: int) -> None:
    terms = Terms(rule={"kind": "percentage", "basis_points": 100}, currency="eur")
    admin.create_program(tx, acme, "seen", "Seen", terms, actor=TESTER)
    assert admin.change_program(tx, acme, "seen", terms, actor=TESTER, seen=1) == 2
    with pytest.raises(Forbidden, match="is at version 2 now, and you looked at 1"):
        admin.change_program(tx, acme, "seen", terms, actor=TESTER, seen=1)
    assert admin.change_program(tx, acme, "seen", terms, actor=TESTER) == 3


def test_a_programs_key_is_taken_once_within_its_merchant(tx: Tx, acme: int) -> None:
    with pytest.raises(AlreadyExists):
        program(tx, acme, PERCENTAGE)
    assert program(tx, merchant(tx, "zeta"), PERCENTAGE)


def test_what_is_not_there_is_said_to_be_missing(tx: Tx, acme: int) -> None:
    terms = Terms(rule=PERCENTAGE, currency="usd")
    with pytest.raises(NotFound):
        admin.change_program(tx, acme, "nope", terms, actor=TESTER)
    with pytest.raises(NotFound):
        admin.set_program_status(tx, acme, "nope", "paused", actor=TESTER)
    with pytest.raises(NotFound):
        admin.create_codes(tx, acme, "nope", [], actor=TESTER)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"rule": {"kind": "gift"}}, "rule.kind"),
        ({"rule": []}, "rule"),
        ({"rule": None}, "rule"),
        ({"referee_rule": ["amount"]}, "referee_rule"),
        ({"referee_rule": []}, "referee_rule"),
        ({"referee_rule": {"amount": 0}}, "referee_rule.amount"),
        ({"currency": "USD"}, "currency"),
        ({"currency": "dollars"}, "currency"),
        ({"hold_days": -1}, "hold_days"),
        ({"hold_days": 91}, "hold_days"),
        ({"window_days": 0}, "window_days"),
        ({"window_days": 3_651}, "window_days"),
        ({"max_rewards_per_referrer": 0}, "max_rewards_per_referrer"),
        ({"max_rewards_per_referrer": 2**31}, "max_rewards_per_referrer"),
        ({"min_amount": -1}, "min_amount"),
        ({"min_amount": 2**53}, "min_amount"),
        ({"payout_method": "cash"}, "payout_method"),
    ],
)
def test_terms_that_cannot_be_meant_are_refused_by_their_field(
    tx: Tx, acme: int, terms: dict[str, Any], field: str
) -> None:
    made = Terms(**({"rule": PERCENTAGE, "currency": "usd"} | terms))
    with pytest.raises(Invalid) as refused:
        admin.create_program(tx, acme, "other", "Other", made, actor=TESTER)
    assert refused.value.field == field
    with pytest.raises(Invalid):
        admin.change_program(tx, acme, "refer", made, actor=TESTER)


@pytest.mark.parametrize(
    ("key", "name", "field"),
    [
        ("", "Other", "key"),
        ("k" * 101, "Other", "key"),
        (" other", "Other", "key"),
        ("other\n", "Other", "key"),
        ("ot\0her", "Other", "key"),
        ("other", "", "name"),
        ("other", " ", "name"),
        ("other", "n" * 256, "name"),
        ("other", "Ot\nher", "name"),
    ],
)
def test_a_program_has_a_key_and_a_name_that_people_and_events_can_say(
    tx: Tx, acme: int, key: str, name: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        admin.create_program(tx, acme, key, name, Terms(PERCENTAGE, "usd"), actor=TESTER)
    assert refused.value.field == field


def test_a_status_is_one_of_three(tx: Tx, acme: int) -> None:
    with pytest.raises(Invalid, match="status"):
        admin.set_program_status(tx, acme, "refer", "closed", actor=TESTER)


def test_codes_are_made_for_their_owners_in_order(tx: Tx, acme: int) -> None:
    made = create(tx, acme, NewCode("ada"), NewCode("bea", "VANITY-1"), NewCode("cyd", max_uses=3))
    assert made[1] == "VANITY-1"
    assert has_good_check(made[0])
    assert has_good_check(made[2])
    listed = {row.code: row.user_id for row in admin.codes(tx, acme, user_id=None, limit=10)}
    assert [listed[one] for one in made] == ["ada", "bea", "cyd"]
    assert [row.code for row in admin.codes(tx, acme, user_id="bea", limit=10)] == ["VANITY-1"]
    assert len(admin.codes(tx, acme, user_id=None, limit=2)) == 2


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewCode("ada", "SHORT"), "code"),
        (NewCode("ada", "L" * 21), "code"),
        (NewCode("ada", " BLANK-1"), "code"),
        (NewCode("ada", "LINE\nBREAK"), "code"),
        (NewCode("ada", "NUL\0CODE"), "code"),
        (NewCode("ada", email_hash="no hash"), "email_hash"),
        (NewCode(" ada"), "user_id"),
        (NewCode("a\0da"), "user_id"),
        (NewCode("ada", expires_at=datetime(1, 1, 1, tzinfo=UTC)), "expires_at"),
        (NewCode(""), "user_id"),
        (NewCode("u" * 101), "user_id"),
        (NewCode("ada", max_uses=0), "max_uses"),
        (NewCode("ada", max_uses=-1), "max_uses"),
        (NewCode("ada", max_uses=2**31), "max_uses"),
        (NewCode("ada", expires_at=datetime(2026, 6, 1)), "expires_at"),  # noqa: DTZ001
    ],
)
def test_a_code_that_cannot_be_meant_is_refused_by_its_field(
    tx: Tx, acme: int, new: NewCode, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        create(tx, acme, new)
    assert refused.value.field == field


def test_a_taken_code_is_refused_and_none_of_the_call_is_made(tx: Tx, acme: int) -> None:
    code(tx, acme, "TAKEN-1")
    with pytest.raises(AlreadyExists, match="TAKEN-1"), tx.begin_nested():
        create(tx, acme, NewCode("bea", "FREE-01"), NewCode("bea", "TAKEN-1"))
    assert [r.code for r in admin.codes(tx, acme, user_id=None, limit=9)] == ["TAKEN-1"]


def test_one_code_is_not_given_to_two_owners_in_one_call(tx: Tx, acme: int) -> None:
    with pytest.raises(AlreadyExists, match="SAME-01"):
        create(tx, acme, NewCode("ada", "SAME-01"), NewCode("bea", "SAME-01"))


def test_codes_that_are_drawn_twice_are_drawn_again(
    tx: Tx, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32^5 codes: among ten thousand drawn at once, two are equal more often than not."""
    draws = iter(["REF-AAAAA", "REF-AAAAA", "REF-AAAAA", "REF-BBBBB", "REF-AAAAA", "REF-CCCCC"])
    monkeypatch.setattr(admin, "make_code", lambda: next(draws))
    made = create(tx, acme, NewCode("ada"), NewCode("bea"), NewCode("cyd"))
    assert len(set(made)) == 3
    owners = {row.code: row.user_id for row in admin.codes(tx, acme, user_id=None, limit=9)}
    assert [owners[one] for one in made] == ["ada", "bea", "cyd"]


def test_drawing_gives_up_when_nearly_all_codes_are_taken(
    tx: Tx, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    code(tx, acme, "REF-AAAAA")
    monkeypatch.setattr(admin, "make_code", lambda: "REF-AAAAA")
    with pytest.raises(AlreadyExists):
        create(tx, acme, NewCode("bea"))


def test_no_codes_are_no_error(tx: Tx, acme: int) -> None:
    assert create(tx, acme) == []


def test_whatever_people_do_is_audited_with_what_changed(tx: Tx, acme: int) -> None:
    create(tx, acme, NewCode("ada", "CODE-01", expires_at=JUNE + timedelta(days=1)))
    admin.set_program_status(tx, acme, "refer", "paused", actor=TESTER)
    found = tx.execute(
        text("SELECT action, actor_kind, actor_id, before, after FROM audit_entries ORDER BY id")
    ).all()
    assert [row.action for row in found] == [
        "merchant.added",
        "program.created",
        "codes.created",
        "program.status_set",
    ]
    assert {(row.actor_kind, row.actor_id) for row in found} == {("person", "tester")}
    assert (found[-1].before, found[-1].after) == ({"status": "active"}, {"status": "paused"})
    assert found[2].after == {"count": 1, "first": "CODE-01"}


@pytest.mark.parametrize("order", [("CODE-01", "CODE-02"), ("CODE-02", "CODE-01")], ids=str)
def test_people_who_make_the_same_codes_at_once_do_not_deadlock(
    engine: Engine, order: tuple[str, str]
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        program(tx, acme, PERCENTAGE)

    def opposite() -> None:
        with transaction(engine) as tx:
            create(tx, acme, *(NewCode("bea", name) for name in order))

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            create(tx, acme, NewCode("ada", "CODE-01"))
            second = pool.submit(opposite)
            wait_until_blocked(engine)
            create(tx, acme, NewCode("ada", "CODE-02"))
        with pytest.raises(AlreadyExists):
            second.result(PATIENCE)
    assert scalar(engine, "SELECT count(DISTINCT user_id) FROM codes") == 1
