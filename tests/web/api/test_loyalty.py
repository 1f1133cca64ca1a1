"""A till that needs its answer now: applied once, whatever way and however often the event comes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from domain import clock
from domain.access import service as access
from domain.db import transaction
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse
from domain.loyalty import service as loyalty
from domain.merchants import service as merchants
from tests.web.conftest import ACTOR
from tests.web.till import CARD, NOW, Till


def told(answer: httpx.Response) -> dict[str, Any]:
    """What was answered, without the id of the request."""
    body: dict[str, Any] = answer.json()
    if "error" in body:
        body["error"].pop("request_id")
    return body


def test_a_customer_enrols_earns_and_redeems_and_each_time_hears_the_balance(till: Till) -> None:
    enrolled = till.enrol()
    assert enrolled.status_code == 200
    assert enrolled.json()["event"] == {
        "source": "till-7",
        "id": f"enrol-{CARD}",
        "type": "loyalty.card_created",
        "status": "applied",
    }
    rows = [(t["type"], t["points"], t["balance"]) for t in enrolled.json()["transactions"]]
    assert rows == [("card_created", 0, 0), ("welcome_bonus", 10, 10)]
    earned = till.send(f"/{CARD}/earn", {"purchase_amount": 12_990}, id="sale-1")
    assert (earned.json()["balance"], earned.json()["card"]) == (139, CARD)
    redeemed = till.send(f"/{CARD}/redeem", {"points": 100, "reward_id": "mug"}, id="mug-1")
    [row] = redeemed.json()["transactions"]
    assert (row["type"], row["points"], row["balance"]) == ("points_redeemed", -100, 39)
    assert datetime.fromisoformat(row["at"]) == NOW
    assert till.points()["balance"] == 39
    assert till.books_agree()


def test_a_redemption_in_two_phases_is_answered_at_once_and_repeated_alike(till: Till) -> None:
    now = datetime.now(UTC).replace(microsecond=0)  # a hold ends, however long other tests took
    till.enrol()
    till.send(f"/{CARD}/earn", {"points": 100}, id="sale-2", time=now)
    asked = {"points": 60, "reward_id": "mug"}
    held = till.send(f"/{CARD}/hold", asked, id="hold-1", time=now)
    assert held.status_code == 200
    ends = (now + timedelta(minutes=15)).isoformat().replace("+00:00", "Z")
    assert held.json()["hold"] == {
        "points": 60,
        "expires_at": ends,
        "reward_id": "mug",
        "reward_description": None,
    }
    assert {"spendable": 50, "held": 60}.items() <= till.points().items()
    refused = till.send(f"/{CARD}/redeem", {"points": 51}, id="mug-2", time=now)
    assert refused.json()["error"]["code"] == "insufficient_points"
    captured = till.send(
        f"/{CARD}/capture", {"related_event": "hold-1", "points": 50}, id="take-1", time=now
    )
    [row] = captured.json()["transactions"]
    assert (row["type"], row["points"], row["balance"]) == ("points_redeemed", -50, 60)
    again = till.send(f"/{CARD}/hold", asked, id="hold-1", time=now)
    assert (again.headers["Idempotent-Replayed"], again.json()) == ("true", held.json())
    late = till.send(f"/{CARD}/release", {"related_event": "hold-1"}, id="let-1", time=now)
    assert (late.status_code, late.json()["error"]["code"]) == (422, "hold_captured")
    till.send(f"/{CARD}/hold", {"points": 60}, id="hold-2", time=now)
    released = till.send(f"/{CARD}/release", {"related_event": "hold-2"}, id="let-2", time=now)
    assert released.json()["hold"]["points"] == 60
    assert till.points()["spendable"] == 60
    assert (
        till.send(f"/{CARD}/release", {"related_event": "h"}, id="let-3", time=now).status_code
        == 202
    )
    early = till.send(f"/{CARD}/capture", {"related_event": "hold-3"}, id="take-3", time=now)
    assert (early.status_code, till.points()["balance"]) == (202, 60)
    till.send(f"/{CARD}/hold", {"points": 25}, id="hold-3", time=now)
    assert (till.points()["balance"], till.points()["held"]) == (35, 0), "it followed its hold"
    assert till.books_agree()


def test_the_history_is_read_in_pages_with_why_each_row_is_as_it_is(till: Till) -> None:
    till.enrol()
    till.send(f"/{CARD}/earn", {"purchase_amount": 1_290, "store_id": "s1"}, id="sale-3")
    first = till.history(limit=2)
    assert [(r["seq"], r["type"], r["points"], r["store_id"]) for r in first["transactions"]] == [
        (3, "points_earned", 12, "s1"),
        (2, "welcome_bonus", 10, None),
    ]
    assert first["transactions"][0]["explanation"]["purchase_amount"] == 1_290
    last = till.history(before=first["next"])
    assert ([r["type"] for r in last["transactions"]], last["next"]) == (["card_created"], None)
    points = till.points()
    assert points["by_deadline"] == [{"at": points["next_expiry"], "points": 22}]
    assert [r["seq"] for r in till.history(store="s1")["transactions"]] == [3]
    assert [r["seq"] for r in till.history(type="card_created")["transactions"]] == [1]
    assert till.history(**{"from": "2200-01-01"})["transactions"] == []
    assert till.history(order_reference="none")["transactions"] == []
    assert till.history(type="earned")["error"]["field"] == "type"
    assert till.history("none", store="s1")["error"]["code"] == "card_not_found"


def test_a_row_tells_who_stood_behind_it_and_with_what(till: Till) -> None:
    till.enrol()
    sale = {"purchase_amount": 1_290, "category_ids": ["coffee"], "notes": "a gift"}
    till.send(f"/{CARD}/earn", sale, id="sale-5")
    earned = till.history()["transactions"][0]
    assert (earned["purchase_amount"], earned["purchase_currency"]) == (1_290, "eur")
    assert (earned["category_ids"], earned["notes"]) == (["coffee"], "a gift")
    assert (earned["principal_kind"], earned["terminal_device_id"]) == ("api_key", None)
    assert earned["ip_address"] == "127.0.0.1"
    assert earned["user_agent"].startswith("python-httpx/")
    assert earned["program_version"] == 1


def test_a_row_lists_those_that_correct_it(till: Till) -> None:
    till.enrol()
    till.send(f"/{CARD}/earn", {"points": 20}, id="sale-4")
    for points in (5, 15):
        void = {"related_event": "sale-4", "points": points}
        assert till.send(f"/{CARD}/void", void, id=f"void-{points}").status_code == 200
    late, early, earned = till.history()["transactions"][:3]
    assert earned["corrected_by"] == [early["id"], late["id"]]
    assert (early["related"], late["related"]) == (earned["id"], earned["id"])


def test_a_report_is_divided_by_what_is_asked_for(till: Till) -> None:
    till.enrol()
    till.send(f"/{CARD}/earn", {"purchase_amount": 1_290, "store_id": "s1"}, id="sale-3")
    days = {"from": "2020-01-01", "to": "2029-12-31"}
    told = till.report(**days, by=["store", "type"], type="points_earned").json()
    (row,) = told["rows"]
    assert (row["store"], row["type"], row["points_issued"]) == ("s1", "points_earned", 12)
    assert "period" not in row
    assert told["programs"][0]["outstanding"] == 22
    (row,) = till.report(**days).json()["rows"]
    assert (row["transactions"], row["points_net"], "store" in row) == (3, 22, False)
    wrong = [
        (days | {"per": "year"}, 422, "per"),
        (days | {"by": "colour"}, 422, "by"),
        (days | {"zone": "Mars"}, 422, "zone"),
        (days | {"program": "none"}, 404, "program"),
        ({"from": "2020-01-01"}, 422, "to"),
    ]
    for query, status, field in wrong:
        answer = till.report(**query)
        assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)


def test_a_report_of_more_rows_than_the_api_waits_for_says_so_and_the_till_goes_on(
    till: Till, admin_url: str
) -> None:
    till.enrol()
    for n in range(10):
        at = NOW - timedelta(days=n)
        till.send(f"/{CARD}/earn", {"points": 5}, id=f"sale-{n}", time=at)
    url = make_url(admin_url).set(database=till.api.engine.url.database)
    with create_engine(url, poolclass=NullPool).begin() as owner:
        # Each row that is read takes its time, as many do.
        owner.execute(text("ALTER TABLE loyalty_transactions ENABLE ROW LEVEL SECURITY"))
        slow = "pg_sleep(0.4) IS NOT NULL"
        owner.execute(
            text(f"CREATE POLICY slow ON loyalty_transactions USING ({slow}) WITH CHECK (true)")
        )
    today = f"{NOW:%Y-%m-%d}"
    few = till.report(**{"from": today, "to": today}, type="points_earned")
    assert (few.status_code, few.json()["rows"][0]["points_issued"]) == (200, 5)
    month = {"from": f"{NOW - timedelta(days=20):%Y-%m-%d}", "to": today}
    many = till.report(**month, type="points_earned")
    assert (many.status_code, many.json()["error"]["code"]) == (422, "report_too_large")
    assert many.json()["error"]["field"] == "to"
    assert "Retry-After" not in many.headers, "the same again takes as long"
    assert till.points()["balance"] == 60


def test_a_repeated_request_counts_once_and_hears_the_same(till: Till) -> None:
    def twice(request: Callable[[], httpx.Response]) -> None:
        first, second = request(), request()
        assert "Idempotent-Replayed" not in first.headers
        assert second.headers["Idempotent-Replayed"] == "true"
        assert (first.status_code, told(first)) == (second.status_code, told(second))

    twice(till.enrol)
    twice(lambda: till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1"))
    twice(lambda: till.send(f"/{CARD}/redeem", {"points": 100}, id="mug-1"))
    assert till.send(f"/{CARD}/earn", {"points": 500}, id="sale-2").status_code == 200
    # What was refused stays refused, though now there would be enough; and the first replies stand.
    twice_later = till.send(f"/{CARD}/redeem", {"points": 100}, id="mug-1")
    assert (twice_later.status_code, twice_later.json()["error"]["code"]) == (
        422,
        "insufficient_points",
    )
    assert till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1").json()["balance"] == 15
    assert till.points()["balance"] == 515


def test_the_same_id_with_other_content_is_a_conflict_and_is_kept(till: Till) -> None:
    till.enrol()
    assert till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1").status_code == 200
    others = [
        till.send(f"/{CARD}/earn", {"points": 6}, id="sale-1"),
        till.send(f"/{CARD}/redeem", {"points": 5}, id="sale-1"),
        till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1", time=NOW - timedelta(seconds=1)),
    ]
    for answer in others:
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
        assert "other content" in answer.json()["error"]["message"]
        assert answer.json()["event"]["status"] == "conflict"
    assert till.points()["balance"] == 15
    assert till.api.rows("SELECT count(*) FROM inbox_conflicts") == [(3,)]


def test_a_refusal_has_its_reason_and_sentence_and_is_on_record(till: Till) -> None:
    unknown = till.send("/0000/earn", {"points": 5}, id="sale-0")
    assert unknown.status_code == 422
    assert told(unknown)["error"] == {
        "code": "card_unknown",
        "message": "there is no card 0000",
    }
    assert unknown.json()["event"]["status"] == "rejected"
    till.enrol()
    assert till.enrol(CARD + "2", id="again").json()["error"]["code"] == "customer_has_card"
    few = till.send(f"/{CARD}/redeem", {"points": 4}, id="mug-1")
    assert few.json()["error"]["code"] == "below_min_redemption"
    ahead = till.send(f"/{CARD}/earn", {"points": 5}, id="e-9", time=NOW + timedelta(days=1))
    assert ahead.json()["error"]["code"] == "time_in_future"
    rejected = till.api.rows(
        "SELECT event_id, reason FROM inbox_events WHERE status = 'rejected' ORDER BY id"
    )
    assert rejected == [
        ("sale-0", "card_unknown"),
        ("again", "customer_has_card"),
        ("mug-1", "below_min_redemption"),
        ("e-9", "time_in_future"),
    ]


def test_what_was_missing_is_tried_again_by_the_same_request(till: Till) -> None:
    assert till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1").status_code == 422
    till.enrol()
    answer = till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1")
    assert (answer.status_code, answer.json()["balance"]) == (200, 15)


BROKEN: dict[str, tuple[str | bytes, int, str, str | None]] = {
    "empty": ("", 400, "invalid_json", None),
    "not JSON": ("{", 400, "invalid_json", None),
    "an array": ("[]", 422, "not_an_object", None),
    "bytes": (b'{"id": "\xff"}', 422, "invalid_unicode", None),
    "twice": ('{"id": "1", "id": "1"}', 422, "duplicate_key", "id"),
    "deep": ('{"a":' * 40 + "1" + "}" * 40, 422, "too_deep", None),
    "too deep": ('{"a":' * 9000 + "1" + "}" * 9000, 422, "too_deep", None),
    "no id": ('{"source": "t", "time": "2026-01-01T00:00:00Z"}', 422, "missing_field", "id"),
    "no points": (
        '{"id": "1", "source": "t", "time": "2026-01-01T00:00:00Z", "data": {}}',
        422,
        "missing_field",
        "data.points",
    ),
    "data of text": (
        '{"id": "1", "source": "t", "time": "2026-01-01T00:00:00Z", "data": "x"}',
        422,
        "wrong_type",
        "data",
    ),
    "another card": ('{"data": {"card": "5"}}', 422, "mismatch", "data.card"),
    "another type": ('{"type": "payee.updated"}', 422, "mismatch", "type"),
    "another merchant": ('{"merchant": "globex"}', 403, "forbidden_merchant", "merchant"),
    "NUL": ('{"id": "\\u0000"}', 422, "nul_character", "id"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_contract_is_told_by_its_field_and_not_kept(till: Till, name: str) -> None:
    body, status, code, field = BROKEN[name]
    answer = till.post(f"/{CARD}/earn", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert field is None or answer.json()["error"]["field"] == field
    assert "event" not in answer.json()
    assert till.api.rows("SELECT count(*) FROM inbox_events") == [(0,)]


def test_a_body_over_the_limit_or_of_another_kind_is_refused(till: Till) -> None:
    large = till.post(f"/{CARD}/earn", " " * 65_537)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    for kind in ("text/plain", "application/x-ndjson"):
        other = till.post(f"/{CARD}/earn", "{}", Content_Type=kind)
        assert (other.status_code, other.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_only_a_key_with_the_scope_moves_points_and_of_its_own_merchant_only(till: Till) -> None:
    till.enrol()
    with transaction(till.api.engine) as tx:
        globex = merchants.get(tx, "globex")
        other = access.create(tx, globex, "till", ["loyalty:write", "loyalty:read"], actor=ACTOR)
        reader = access.create(tx, till.api.merchant, "r", ["loyalty:read"], actor=ACTOR)
    elsewhere = Till(till.api, other)
    assert elsewhere.card().status_code == 404
    answer = elsewhere.send(f"/{CARD}/earn", {"points": 5}, id="sale-1")
    assert answer.json()["error"]["code"] == "card_unknown"
    desk = Till(till.api, reader)
    assert desk.card().status_code == 200
    assert desk.send(f"/{CARD}/earn", {"points": 5}, id="sale-2").status_code == 403
    assert till.points()["balance"] == 10


def test_a_merchant_that_retired_meanwhile_takes_nothing(till: Till) -> None:
    till.enrol()
    with transaction(till.api.engine) as tx:
        tx.execute(text("UPDATE merchants SET retired_at = now() WHERE key = 'acme'"))
    answer = till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1")
    assert answer.status_code in (401, 403)
    assert answer.json()["error"]["code"] in ("invalid_key", "merchant_retired")


def test_an_event_that_comes_over_the_queue_and_at_once_counts_once(till: Till) -> None:
    """Ten events, each sent by three tills at once while workers apply the same ones in batches."""
    till.enrol()
    ids = [f"sale-{n}" for n in range(10)]
    whole = [
        {
            "specversion": "1.0",
            "type": "loyalty.points_earned",
            "merchant": "acme",
            "source": "till-7",
            "id": id_,
            "time": NOW.isoformat(),
            "data": {"points": 7, "card": CARD},
        }
        for id_ in ids
    ]

    def worker(events: list[dict[str, Any]]) -> list[str]:
        deliveries = [Delivery("m", n, json.dumps(one)) for n, one in enumerate(events)]
        with transaction(till.api.engine) as tx:
            return [outcome.status for outcome in inbox.apply(tx, parse(deliveries))]

    def till_says(id_: str) -> httpx.Response:
        return till.send(f"/{CARD}/earn", {"points": 7}, id=id_)

    with ThreadPoolExecutor(16) as pool:
        by_worker = [pool.submit(worker, batch) for batch in (whole, whole[::-1], whole[3:8])]
        replies = [pool.submit(till_says, id_) for id_ in ids * 3]
        outcomes = [status for one in by_worker for status in one.result(30)]
        answers = [one.result(30) for one in replies]
    assert {answer.status_code for answer in answers} == {200}
    for n, id_ in enumerate(ids):
        same = answers[n :: len(ids)]
        assert len({json.dumps(one.json(), sort_keys=True) for one in same}) == 1, id_
    first = sum("Idempotent-Replayed" not in answer.headers for answer in answers)
    assert first + outcomes.count("applied") == len(ids), "each was new to exactly one"
    assert set(outcomes) <= {"applied", "duplicate"}
    assert till.points()["balance"] == 10 + 7 * len(ids)
    assert till.books_agree()


def test_two_tills_cannot_spend_the_same_points(till: Till) -> None:
    till.enrol()
    till.send(f"/{CARD}/earn", {"points": 90}, id="sale-1")
    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(
                lambda n: till.send(f"/{CARD}/redeem", {"points": 30}, id=f"mug-{n}"), range(8)
            )
        )
    assert sorted(reply.status_code for reply in replies) == [200] * 3 + [422] * 5
    assert till.points()["balance"] == 10
    assert till.books_agree()


def test_a_card_that_others_hold_too_long_is_told_as_busy_in_bounded_time(till: Till) -> None:
    till.enrol()
    with transaction(till.api.engine) as tx:
        tx.execute(text("SELECT 1 FROM cards FOR UPDATE"))
        began = time.monotonic()
        answer = till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1")
        assert time.monotonic() - began < 4
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert int(answer.headers["Retry-After"]) > 0
    assert till.send(f"/{CARD}/earn", {"points": 5}, id="sale-1").json()["balance"] == 15


def test_a_card_shows_what_can_be_spent_now(till: Till) -> None:
    till.enrol()
    answer = till.card()
    assert answer.status_code == 200
    card = answer.json()
    assert (card["card"], card["customer_id"], card["program"]) == (CARD, "u-42", "points")
    assert card["status"] == "active"
    points = card["points"]
    assert (points["balance"], points["spendable"], points["pending"]) == (10, 10, 0)
    missing = till.card("0000")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "card_not_found")
    for bad in ("%00", "x" * 51, "%20", "%FF"):
        assert till.card(bad).status_code == 422, bad


def test_points_that_expired_are_not_shown_though_no_sweep_has_booked_it(till: Till) -> None:
    till.enrol()
    before = till.points()
    deadline = datetime.fromisoformat(before["next_expiry"])
    assert NOW + timedelta(days=30) < deadline < NOW + timedelta(days=32)
    with transaction(till.api.engine) as tx:
        clock.simulate(tx, deadline - timedelta(seconds=1), sandbox=True)
    assert till.points() == before
    with transaction(till.api.engine) as tx:
        clock.simulate(tx, deadline, sandbox=True)
    gone: dict[str, Any] = {
        "balance": 0,
        "spendable": 0,
        "pending": 0,
        "held": 0,
        "debt": 0,
        "next_expiry": None,
    }
    gone["by_deadline"] = []
    assert till.points() == gone
    assert till.api.rows("SELECT points_balance FROM cards") == [(10,)], "no sweep ran"
    late = till.send(f"/{CARD}/redeem", {"points": 10}, id="mug-1", time=deadline)
    assert late.json()["error"]["code"] == "insufficient_points"
    assert till.points() == gone
    assert till.api.rows("SELECT points_balance FROM cards") == [(0,)]


def test_pending_points_are_in_the_balance_and_cannot_be_spent_yet(till: Till) -> None:
    with transaction(till.api.engine) as tx:
        loyalty.create_program(
            tx,
            till.api.merchant.id,
            "slow",
            name="Slow",
            currency="eur",
            pending_days=3,
        )
    data = {"card": "S-1", "customer_id": "u-1", "program": "slow"}
    assert till.send("", data, id="enrol").status_code == 200
    assert till.send("/S-1/earn", {"points": 40}, id="sale").json()["balance"] == 40
    points = till.points("S-1")
    assert (points["balance"], points["spendable"], points["pending"]) == (40, 0, 40)
    with transaction(till.api.engine) as tx:
        clock.simulate(tx, NOW + timedelta(days=3), sandbox=True)
    points = till.points("S-1")
    assert (points["balance"], points["spendable"], points["pending"]) == (40, 40, 0)
