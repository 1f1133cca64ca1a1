"""Runs that are asked for over HTTP: foreseen, prepared once, and approved by another party."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from domain.access import service as access
from domain.db import transaction
from domain.payouts import service
from domain.payouts.rules.approving import Limits
from domain.payouts.rules.breaker import Balance
from domain.payouts.store import policies
from domain.secrets import SecretBox
from payspool.runtime import balances
from tests.web.conftest import ACTOR, MakeContext
from tests.web.support import Api, Valkey, serve
from tests.web.treasury import owe, three_payouts
from tests.workers.gateways.local_stripe import running

ASKED = "SELECT args FROM outbox WHERE actor = 'payouts.finish_run' ORDER BY id"


@pytest.fixture
def keys(own_api: Api) -> dict[str, str]:
    """Keys that may prepare, approve, do both, and only look; and one that replaces the first."""
    made = {}
    with transaction(own_api.engine) as tx:
        for name, scopes in (
            ("desk", ["payouts:prepare", "payouts:read"]),
            ("treasury", ["payouts:approve"]),
            ("both", ["payouts:prepare", "payouts:approve"]),
            ("reader", ["payouts:read"]),
        ):
            made[name] = access.create(tx, own_api.merchant, name, scopes, actor=ACTOR)
        made["rolled"] = access.create(
            tx, own_api.merchant, "both", ["payouts:approve"], actor=ACTOR
        )
    return made


def post(api: Api, key: str, path: str, body: Any, **headers: str) -> Any:
    return api.http.post(path, json=body, headers={"Authorization": f"Bearer {key}"} | headers)


def prepared(api: Api, key: str, name: str = "friday", **body: Any) -> Any:
    answer = post(api, key, "/v1/runs", {"name": name} | body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def pending(api: Api, key: str) -> Any:
    """A run that the key's holder prepared, and that waits for somebody else."""
    with transaction(api.engine) as tx:
        policies.put(tx, api.merchant.id, "always", 72)
    owe(api, "u-1", 1000)
    owe(api, "u-2", 2000)
    run_id = prepared(api, key)["run"]["id"]
    assert service.finish_run(api.engine, run_id).state == "pending_approval"
    found = api.rows(
        f"SELECT encode(members_hash, 'hex') AS hash FROM payout_runs WHERE id = {run_id}"
    )
    return run_id, found[0].hash


def test_a_run_is_opened_once_and_a_worker_is_asked_for_it_in_the_same_transaction(
    own_api: Api, keys: dict[str, str]
) -> None:
    owe(own_api, "u-1", 1000)
    body: dict[str, Any] = {"methods": ["stripe"], "minimums": {"eur": 500}}
    first = prepared(own_api, keys["desk"], **body)
    assert (first["repeated"], first["run"]["state"], first["run"]["name"]) == (
        False,
        "building",
        "api/friday",
    )
    assert first["run"]["prepared_by"] == "acme/desk"
    again = post(own_api, keys["desk"], "/v1/runs", body, **{"Idempotency-Key": "friday"}).json()
    assert (again["repeated"], again["run"]) == (True, first["run"])
    run_id = first["run"]["id"]
    assert [row.args for row in own_api.rows(ASKED)] == [{"run_id": run_id}]
    assert service.finish_run(own_api.engine, run_id).created == 1
    told = prepared(own_api, keys["desk"], **body)["run"]
    assert (told["state"], told["created"], told["id"]) == ("sending", 1, run_id)
    audited = own_api.rows("SELECT actor_id FROM audit_entries WHERE action = 'payout_run.started'")
    assert [row.actor_id for row in audited] == ["acme/desk"]


def test_first_requests_at_once_open_one_run(own_api: Api, keys: dict[str, str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: prepared(own_api, keys["desk"]), range(4)))
    assert len({one["run"]["id"] for one in made}) == 1
    assert sorted(one["repeated"] for one in made) == [False, True, True, True]
    assert len(own_api.rows(ASKED)) == 1


def test_a_name_on_other_terms_is_refused(own_api: Api, keys: dict[str, str]) -> None:
    prepared(own_api, keys["desk"])
    for other in (
        {"minimums": {"eur": 1}},
        {"methods": ["manual"]},
        {"as_of": "2026-01-01T00:00:00Z"},
    ):
        answer = post(own_api, keys["desk"], "/v1/runs", {"name": "friday"} | other)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "run_differs"), other
    assert len(own_api.rows("SELECT 1 FROM payout_runs")) == 1


FAR: Final = (datetime.now(UTC) + timedelta(days=400)).isoformat()
REFUSED: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"name": "a", "methods": []}, "methods"),
    ({"name": "a", "methods": ["paypal"]}, "methods.0"),
    ({"name": "a", "minimums": {"eur": -1}}, "minimums.eur"),
    ({"name": "a", "minimums": {"eur": 2**63}}, "minimums.eur"),
    ({"name": "a", "minimums": {"EURO": 1}}, "minimums.EURO.[key]"),
    ({"name": "a", "as_of": "2026-01-01T00:00:00"}, "as_of"),
    ({"name": "a", "as_of": "0001-01-01T00:00:00+14:00"}, "as_of"),
    ({"name": "a", "as_of": FAR}, "as_of"),
    ({"name": "a", "prepared_by": "ann"}, "prepared_by"),
)


def test_a_run_that_cannot_be_asked_for_is_refused_by_field(
    own_api: Api, keys: dict[str, str]
) -> None:
    for body, field in REFUSED:
        answer = post(own_api, keys["desk"], "/v1/runs", body)
        assert (answer.status_code, answer.json()["error"].get("field")) == (422, field), body
    assert own_api.rows("SELECT 1 FROM payout_runs") == []


def test_another_key_approves_what_it_saw_and_a_worker_sends_it(
    own_api: Api, keys: dict[str, str]
) -> None:
    run_id, seen = pending(own_api, keys["desk"])
    path = f"/v1/runs/{run_id}/approve"
    answer = post(own_api, keys["treasury"], path, {"hash": "00" * 32})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_approvable")
    answer = post(own_api, keys["treasury"], path, {"hash": seen})
    assert (answer.status_code, answer.json()["state"]) == (200, "approved")
    assert answer.json()["approved_by"] == "acme/treasury"
    assert [row.args for row in own_api.rows(ASKED)][-1] == {"run_id": run_id}
    assert service.finish_run(own_api.engine, run_id).state == "sending"
    assert post(own_api, keys["treasury"], path, {"hash": seen}).status_code == 409


def test_no_key_approves_what_a_key_of_its_name_prepared(
    own_api: Api, keys: dict[str, str]
) -> None:
    run_id, seen = pending(own_api, keys["both"])
    for name in ("both", "rolled"):
        answer = post(own_api, keys[name], f"/v1/runs/{run_id}/approve", {"hash": seen})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_approvable")
        assert "another person" in answer.json()["error"]["message"]
    assert own_api.rows("SELECT 1 FROM payout_runs WHERE approved_by IS NOT NULL") == []


def test_the_longest_name_of_a_key_is_compared_as_it_is_kept(own_api: Api) -> None:
    with transaction(own_api.engine) as tx:
        scopes = ["payouts:prepare", "payouts:approve"]
        key = access.create(tx, own_api.merchant, "k" * 255, scopes, actor=ACTOR)
    run_id, seen = pending(own_api, key)
    answer = post(own_api, key, f"/v1/runs/{run_id}/approve", {"hash": seen})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_approvable")


def test_a_rejected_run_is_told_and_its_payouts_are_canceled_by_a_worker(
    own_api: Api, keys: dict[str, str]
) -> None:
    run_id, _ = pending(own_api, keys["desk"])
    path = f"/v1/runs/{run_id}/reject"
    assert post(own_api, keys["treasury"], path, {"reason": " "}).status_code == 422
    answer = post(own_api, keys["treasury"], path, {"reason": "paid by hand"})
    assert (answer.status_code, answer.json()["state"]) == (200, "rejected")
    assert answer.json()["rejected_by"] == "acme/treasury"
    service.finish_run(own_api.engine, run_id)
    assert [row.state for row in own_api.rows("SELECT state FROM payouts")] == ["canceled"] * 2
    listed = own_api.http.get(
        "/v1/runs",
        params={"state": "rejected"},
        headers={"Authorization": f"Bearer {keys['desk']}"},
    )
    assert [one["reject_reason"] for one in listed.json()["runs"]] == ["paid by hand"]


def test_each_step_needs_its_scope_and_its_merchant_s_run(
    own_api: Api, keys: dict[str, str]
) -> None:
    run_id, seen = pending(own_api, keys["desk"])
    for key, path, body in (
        ("treasury", "/v1/runs", {"name": "a"}),
        ("reader", "/v1/runs", {"name": "a"}),
        ("treasury", "/v1/runs/preview", {}),
        ("desk", f"/v1/runs/{run_id}/approve", {"hash": seen}),
        ("desk", f"/v1/runs/{run_id}/reject", {"reason": "no"}),
    ):
        answer = post(own_api, keys[key], path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope"), path
    assert post(own_api, keys["reader"], "/v1/runs/preview", {}).status_code == 200
    for path, body in (("approve", {"hash": seen}), ("reject", {"reason": "no"})):
        answer = post(own_api, keys["treasury"], f"/v1/runs/77/{path}", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "run_not_found")


def test_a_preview_tells_of_each_payee_why_and_writes_nothing(
    own_api: Api, keys: dict[str, str]
) -> None:
    three_payouts(own_api)
    with transaction(own_api.engine) as tx:
        policies.put_limits(tx, own_api.merchant.id, "eur", Limits(max_payout=5_000))
    for number, amount in ((5, 700), (6, 800), (7, 10), (8, 6_000)):
        owe(own_api, f"u-{number}", amount)
    before = own_api.rows("SELECT count(*) FROM payout_runs")
    answer = post(own_api, keys["desk"], "/v1/runs/preview", {"minimums": {"eur": 50}, "shown": 1})
    told = answer.json()
    assert (told["created"], told["skipped"], told["complete"]) == (2, 3, True)
    assert told["reasons"] == {"below_minimum": 2, "over_limit": 1}
    assert told["by_currency"] == {"eur": {"payouts": 2, "amount": 1_500}}
    assert [(one["user_id"], one["reason"], one["detail"]) for one in told["payees"]] == [
        ("u-4", "below_minimum", "40 of at least 50"),
        ("u-5", "pay", ""),
        ("u-8", "over_limit", "6000 is above the 5000 of one payout"),
    ]
    # Run 1 has one payout that is approved and not sent: it needs money too.
    [funds] = told["funds"]
    assert (funds["needed"], funds["waiting"], funds["available"]) == (1_500, 3_000, None)
    assert "does not ask" in funds["why"]
    assert own_api.rows("SELECT count(*) FROM payout_runs") == before


def test_a_preview_ends_where_a_request_can_look_no_further_and_says_so(
    own_api: Api, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.payouts.service.claiming.SHARD", 2)
    monkeypatch.setattr("domain.payouts.service.foreseeing.SHARDS_LOOKED_AT", 2)
    for number in range(4):
        owe(own_api, f"u-{number}", 100)
    told = post(own_api, keys["desk"], "/v1/runs/preview", {}).json()
    assert (told["created"], told["complete"]) == (4, True)
    owe(own_api, "u-9", 100)
    told = post(own_api, keys["desk"], "/v1/runs/preview", {}).json()
    assert (told["created"], told["complete"]) == (4, False)


@pytest.fixture
def funded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A platform at a sandbox, with 20.00 EUR."""
    with running(tmp_path_factory.mktemp("stripe")) as stripe:
        platform = stripe.platform()
        platform.fund(2_000, "eur")
        yield platform
        platform.close()


def test_a_preview_compares_what_is_needed_with_the_gateway_s_balance(
    engine: Engine,
    valkey: Valkey,
    box: SecretBox,
    people: dict[str, Any],
    make_context: MakeContext,
    funded: Any,
) -> None:
    ask = balances(lambda _merchant, _method: funded.gateway())
    with serve(make_context(balance=ask)) as http:
        api = Api(http, engine, valkey, **people)
        with transaction(engine) as tx:
            key = access.create(tx, api.merchant, "reader", ["payouts:read"], actor=ACTOR)
        owe(api, "u-1", 2_500)
        owe(api, "u-2", 100, currency="usd")
        told = post(api, key, "/v1/runs/preview", {}).json()
    assert [
        (one["currency"], one["needed"], one["available"], one["shortfall"])
        for one in told["funds"]
    ] == [("eur", 2_500, 2_000, 500), ("usd", 100, 0, 100)]


def test_a_gateway_that_does_not_tell_is_said_not_to(engine: Engine) -> None:
    needed = {("stripe", "eur"): 5, ("manual", "eur"): 7}
    asked: list[str] = []

    def silent(method: str) -> Balance:
        asked.append(method)
        return Balance("silent", why="ReadTimeout")

    found = service.funds(needed, {("stripe", "eur"): 3}, silent)
    assert asked == ["stripe"]
    assert [(one.method, one.available, one.shortfall) for one in found] == [
        ("manual", None, None),
        ("stripe", None, None),
    ]
    assert "paid elsewhere" in (found[0].why or "")
    assert "ReadTimeout" in (found[1].why or "")
