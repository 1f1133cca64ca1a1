"""What a user earned and how they are paid, as the books have it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain import clock
from domain.access import service as access
from domain.db import transaction
from domain.payouts import service as payouts
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from tests.web.conftest import ACTOR
from tests.web.support import Api, conversion, event


@pytest.fixture
def desk(own_api: Api) -> str:
    """A key that reads, of a merchant whose u-7 earns 10 % after a hold of a day."""
    terms = Terms(rule={"kind": "percentage", "basis_points": 1000}, currency="eur", hold_days=1)
    with transaction(own_api.engine) as tx:
        admin.create_program(tx, own_api.merchant.id, "friends", "Friends", terms, actor=ACTOR)
        codes = [NewCode("u-7", "REF-7K2M9Q")]
        admin.create_codes(tx, own_api.merchant.id, "friends", codes, actor=ACTOR)
        return access.create(tx, own_api.merchant, "desk", ["earnings:read"], actor=ACTOR)


def ask(api: Api, key: str, path: str) -> Any:
    return api.http.get(path, headers={"Authorization": f"Bearer {key}"})


def eur(api: Api, key: str, user: str = "u-7") -> dict[str, Any]:
    answer = ask(api, key, f"/v1/users/{user}/earnings")
    assert answer.status_code == 200, answer.text
    [found] = answer.json()["currencies"]
    assert found.pop("currency") == "eur"
    return dict(found)


def test_earnings_go_from_pending_to_due_and_into_a_payout(own_api: Api, desk: str) -> None:
    none = ask(own_api, desk, "/v1/users/u-7/earnings")
    assert (none.status_code, none.json()["currencies"]) == (200, [])
    lately = {"time": datetime.now(UTC).isoformat()}
    own_api.post([conversion(1) | lately, conversion(2, amount=1000) | lately])
    own_api.apply_queued()
    seen = {"earnings": 2, "held": 0, "voided": 0, "in_payouts": {}, "owed": 1390}
    assert eur(own_api, desk) == seen | {"pending": 1390, "due": 0}
    with transaction(own_api.engine) as tx:
        now = clock.business_now(tx)
        clock.simulate(tx, now + timedelta(days=2), sandbox=True)
    assert eur(own_api, desk) == seen | {"pending": 0, "due": 1390}
    with transaction(own_api.engine) as tx:
        update = payouts.PayeeUpdate(own_api.merchant.id, "u-7", "stripe", now, "acct_7")
        payouts.put_payees(tx, [update])
        tx.execute(
            text("UPDATE earnings SET held_at = now(), hold_reason = 'look' WHERE amount = 100")
        )
    assert eur(own_api, desk) == seen | {"pending": 0, "due": 1290, "held": 100}
    with transaction(own_api.engine) as tx:
        as_of = clock.business_now(tx)
    payouts.build_run(own_api.engine, payouts.RunSpec(own_api.merchant.id, "manual", as_of))
    paid = eur(own_api, desk)
    assert (paid["owed"], paid["held"], paid["due"]) == (100, 100, 0)
    assert paid["in_payouts"] == {"approved": 1290}


def test_a_payee_is_shown_with_whether_it_could_be_paid_and_without_its_account(
    own_api: Api, desk: str
) -> None:
    missing = ask(own_api, desk, "/v1/payees/u-7")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "payee_not_found")
    data = {"user_id": "shop/7 ü", "method": "stripe"}
    own_api.post([event(1, data=data)])
    own_api.apply_queued()
    found = ask(own_api, desk, "/v1/payees/shop/7%20%C3%BC").json()
    assert (found["user_id"], found["ready"], found["reason"]) == (
        "shop/7 ü",
        False,
        "payee_not_ready",
    )
    own_api.post([event(2, time="2026-11-20T09:31:00Z", data=data | {"account": "acct_secret"})])
    own_api.apply_queued()
    answer = ask(own_api, desk, "/v1/payees/shop/7%20%C3%BC")
    assert answer.json()["ready"] is True
    assert "acct_secret" not in answer.text
    with transaction(own_api.engine) as tx:
        payouts.block_payee(tx, own_api.merchant.id, "shop/7 ü", "under review")
    found = ask(own_api, desk, "/v1/payees/shop/7%20%C3%BC").json()
    assert (found["ready"], found["reason"], found["message"]) == (
        False,
        "blocked",
        "under review",
    )


@pytest.mark.parametrize("path", ["/v1/users/u-7/earnings", "/v1/payees/u-7"])
def test_people_are_shown_to_their_merchants_keys_with_the_scope_only(
    own_api: Api, desk: str, path: str
) -> None:
    own_api.post([event(1, data={"user_id": "u-7", "method": "stripe"}), conversion(2)])
    own_api.apply_queued()
    assert ask(own_api, desk, path).status_code == 200
    assert ask(own_api, own_api.read_key, path).status_code == 403
    with transaction(own_api.engine) as tx:
        globex = access.check(tx, own_api.other_key)
        assert globex is not None
        tx.execute(
            text("UPDATE api_keys SET scopes = '{earnings:read}' WHERE id = :id"), {"id": globex.id}
        )
    other = ask(own_api, own_api.other_key, path)
    assert other.status_code == 404 or other.json()["currencies"] == []


@pytest.mark.parametrize("user", ["%00", "x" * 101])
def test_a_user_that_cannot_be_is_refused_by_its_name(own_api: Api, desk: str, user: str) -> None:
    for path in (f"/v1/users/{user}/earnings", f"/v1/payees/{user}"):
        answer = ask(own_api, desk, path)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "user")
