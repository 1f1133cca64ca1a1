"""What happens to cards by itself, over HTTP: points and tiers that go soon, and tiers that changed, each told once."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain import clock
from domain.db import transaction
from domain.loyalty import service as loyalty
from tests.web.till import CARD, Till


def test_notices_of_what_expires_soon_are_told_once(till: Till) -> None:
    till.enrol()
    deadline = datetime.fromisoformat(till.points()["next_expiry"])
    with transaction(till.api.engine) as tx:
        merchant = till.api.merchant.id
        assert loyalty.announce_expiring(tx, merchant, deadline - timedelta(days=1))[0] == 1
    first = till.notices()
    [notice] = first["notices"]
    assert (notice["card"], notice["points"]) == (CARD, 10)
    assert datetime.fromisoformat(notice["expires_at"]) == deadline
    assert till.notices(after=first["next"]) == {"notices": [], "next": first["next"]}


def test_a_card_has_its_tier_and_each_change_is_told_once(till: Till) -> None:
    gold = [{"key": "gold", "from": 100, "basis_points": 20_000}]
    with transaction(till.api.engine) as tx:
        program = till.api.rows("SELECT key FROM loyalty_programs")[0][0]
        merchant = till.api.merchant.id
        loyalty.change_program(tx, merchant, program, clock.business_now(tx), tiers=gold)
    till.enrol()
    assert till.card().json()["tier"] is None
    till.send(f"/{CARD}/earn", {"points": 100}, id="e-1")
    tier = till.card().json()["tier"]
    assert (tier["key"], tier["points"]) == ("gold", 100)
    first = till.tier_changes(card=CARD)
    [change] = first["changes"]
    assert (change["card"], change["from_tier"], change["to_tier"], change["reason"]) == (
        CARD,
        None,
        "gold",
        "earned",
    )
    assert change["transaction_id"] == till.history()["transactions"][0]["id"]
    assert till.tier_changes(after=first["next"]) == {"changes": [], "next": first["next"]}
    until = datetime.fromisoformat(tier["until"])
    with transaction(till.api.engine) as tx:
        loyalty.announce_falls(tx, merchant, until - timedelta(days=1))
    [soon] = till.tier_notices()["notices"]
    assert (soon["card"], soon["from_tier"], soon["to_tier"]) == (CARD, "gold", None)
    assert (soon["missing"], soon["falls_at"]) == (100, tier["until"])
    assert till.tier_notices(after=soon["id"]) == {"notices": [], "next": soon["id"]}
    with transaction(till.api.engine) as tx:
        assert len(loyalty.settle_tiers(tx, merchant, until).changes) == 1
    assert till.card().json()["tier"] == {"key": None, "points": 0, "until": None}
    [fell] = till.tier_changes(after=first["next"])["changes"]
    assert (fell["reason"], fell["to_tier"]) == ("period", None)
