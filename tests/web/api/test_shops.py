"""Stores, staff PINs and devices over HTTP: who may, what is told, and what never is."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from domain.access import service as access
from domain.db import transaction
from domain.merchants import service as merchants
from tests.web.conftest import ACTOR
from tests.web.support import Api
from tests.web.till import CARD, Till

SHOPS = "/v1/loyalty"


class Desk:
    """Who manages the shops of a merchant."""

    def __init__(self, api: Api, scopes: list[str], merchant: str = "acme") -> None:
        self.api = api
        with transaction(api.engine) as tx:
            found = merchants.get(tx, merchant)
            self.key = access.create(tx, found, "desk", scopes, actor=ACTOR)

    def get(self, path: str, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.api.http.get(SHOPS + path, params=query, headers=headers)

    def post(self, path: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.api.http.post(SHOPS + path, json=body, headers=headers)


@pytest.fixture
def desk(till: Till) -> Desk:
    made = Desk(till.api, ["shops:read", "shops:write"])
    assert made.post("/stores", key="mitte", name="Mitte").status_code == 200
    return made


def audited(desk: Desk) -> list[tuple[str, str, str]]:
    with transaction(desk.api.engine) as tx:
        rows = tx.execute(
            text(
                "SELECT action, subject_id, actor_id FROM audit_entries"
                " WHERE action ~ '^(store|pin|device)' ORDER BY id"
            )
        )
        return [tuple(row) for row in rows]


def test_a_shop_is_set_up_over_http_and_a_tablet_of_it_earns(till: Till, desk: Desk) -> None:
    desk.post("/pins", store="mitte", key="ann", name="Ann A.", pin="4711")
    added = desk.post("/devices", store="mitte", key="t1", name="Left").json()
    assert (added["token"], added["paired_at"], added["principal"]) == (
        None,
        None,
        "api_key:acme/desk",
    )
    paired = till.api.http.post(f"{SHOPS}/devices/pair", json={"code": added["code"]}).json()
    till.enrol()
    tablet = Till(till.api, paired["token"])
    assert tablet.send(f"/{CARD}/earn", {"points": 5}, id="s1").status_code == 200
    [row] = desk.get("/devices").json()["devices"]
    assert row["paired_at"]
    assert "token" not in row
    assert desk.post("/devices/t1/change", revoke=True).json()["revoked_at"]
    refused = tablet.send(f"/{CARD}/earn", {"points": 5}, id="s2")
    assert refused.json()["error"]["code"] == "device_revoked"


def test_a_token_at_once_is_shown_this_once(till: Till, desk: Desk) -> None:
    added = desk.post("/devices", store="mitte", key="t1", name="Left", pair_by="token")
    token = added.json()["token"]
    till.enrol()
    assert Till(till.api, token).card().status_code == 200
    assert token not in desk.get("/devices").text
    again = desk.post("/devices", store="mitte", key="t1", name="Left", pair_by="token")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")


def test_a_pin_is_in_no_answer_and_in_no_line_of_the_audit_trail(desk: Desk) -> None:
    added = desk.post("/pins", store="mitte", key="ann", name="Ann A.", pin="471147114711")
    changed = desk.post("/pins/ann/change", pin="081508150815")
    listed = desk.get("/pins")
    with transaction(desk.api.engine) as tx:
        kept = str(tx.execute(text("SELECT * FROM audit_entries")).all())
    refused = desk.post("/pins", store="nowhere", key="bob", name="B", pin="081508150815")
    wrong = desk.post("/pins/ann/change", pin="0815081508150815x")
    assert (refused.status_code, wrong.status_code) == (404, 422)
    for told in (added.text, changed.text, listed.text, kept, refused.text, wrong.text):
        assert "4711471" not in told
        assert "0815081" not in told


def test_each_change_is_audited_once_with_the_key_as_its_actor(desk: Desk) -> None:
    desk.post("/pins", store="mitte", key="ann", name="Ann A.", pin="4711")
    for _ in range(2):
        desk.post("/stores/mitte/change", name="Mitte 2", zone="Europe/Berlin", retired=True)
        desk.post("/pins/ann/change", name="Ann B.", disable=True)
    desk.post("/stores/mitte/change", retired=False)
    by = "acme/desk"
    assert audited(desk) == [
        ("store.created", "mitte", by),
        ("pin.created", "ann", by),
        ("store.renamed", "mitte", by),
        ("store.moved", "mitte", by),
        ("store.retired", "mitte", by),
        ("pin.renamed", "ann", by),
        ("pin.disabled", "ann", by),
        ("store.reopened", "mitte", by),
    ]


def test_a_locked_pin_is_unlocked(desk: Desk) -> None:
    desk.post("/pins", store="mitte", key="ann", name="Ann A.", pin="4711")
    with transaction(desk.api.engine) as tx:
        tx.execute(text("UPDATE staff_pins SET failures = 5, locked_until = now() + '1 h'"))
    assert desk.get("/pins").json()["pins"][0]["locked_until"]
    unlocked = desk.post("/pins/ann/change", unlock=True).json()
    assert (unlocked["failures"], unlocked["locked_until"]) == (0, None)


def test_lists_are_paged_by_key_without_loss_or_repeat(desk: Desk) -> None:
    keys = sorted(f"s{n:02}" for n in range(7))
    for key in reversed(keys):
        desk.post("/stores", key=key, name=key)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = desk.get("/stores", limit=3, **cursor).json()
        seen += [store["key"] for store in page["stores"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == sorted(["mitte", *keys])
    assert desk.get("/stores", limit=8).json()["next"] is None
    assert desk.get("/stores", limit=501).status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/stores", {"key": "mitte", "name": "M"}, 409, "already_exists"),
        ("/stores", {"key": "-x", "name": "M"}, 422, "invalid_request"),
        ("/stores", {"key": "x", "name": " "}, 422, "invalid_request"),
        ("/stores", {"key": "x", "name": "M", "zone": "Mars"}, 422, "invalid_request"),
        ("/stores", {"key": "x", "name": "M", "other": 1}, 422, "invalid_request"),
        ("/stores/sued/change", {"name": "S"}, 404, "store_not_found"),
        ("/pins/bob/change", {"name": "B"}, 404, "staff_pin_not_found"),
        (
            "/pins",
            {"store": "mitte", "key": "a", "name": "A", "pin": "123"},
            422,
            "invalid_request",
        ),
        (
            "/pins",
            {"store": "sued", "key": "a", "name": "A", "pin": "1234"},
            404,
            "store_not_found",
        ),
        ("/devices/t9/change", {"revoke": True}, 404, "device_not_found"),
        ("/devices", {"store": "sued", "key": "t", "name": "T"}, 404, "store_not_found"),
    ],
)
def test_what_is_wrong_is_told_by_name_and_nothing_is_done(
    desk: Desk, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    before = audited(desk)
    answer = desk.post(path, **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert audited(desk) == before


def test_of_several_changes_all_or_none_are_made(desk: Desk) -> None:
    answer = desk.post("/stores/mitte/change", name="Other", zone="Mars")
    assert answer.json()["error"]["field"] == "zone"
    assert desk.get("/stores").json()["stores"][0]["name"] == "Mitte"


def test_a_till_may_not_and_neither_may_who_only_looks(till: Till, desk: Desk) -> None:
    looks = Desk(till.api, ["shops:read"])
    assert looks.get("/stores").status_code == 200
    for who in (looks, Desk(till.api, ["loyalty:write", "loyalty:read", "loyalty:admin"])):
        refused = who.post("/stores", key="nord", name="Nord")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")
    assert len(desk.get("/stores").json()["stores"]) == 1
    token = desk.post("/devices", store="mitte", key="t1", name="T", pair_by="token").json()[
        "token"
    ]
    headers = {"Authorization": f"Bearer {token}"}
    assert till.api.http.get(f"{SHOPS}/stores", headers=headers).status_code == 401


def test_another_merchants_shops_are_not_there(till: Till, desk: Desk) -> None:
    other = Desk(till.api, ["shops:read", "shops:write"], "globex")
    assert other.get("/stores").json() == {"stores": [], "next": None}
    assert other.post("/stores/mitte/change", retired=True).status_code == 404


def test_the_header_of_the_pin_and_the_pairing_are_described(till: Till) -> None:
    paths = till.api.http.get("/openapi.json").json()["paths"]
    for act in ("earn", "redeem", "hold", "void"):
        told = paths[f"/v1/loyalty/cards/{{card}}/{act}"]["post"]["parameters"]
        assert {"X-Staff-Pin"} == {one["name"] for one in told if one["in"] == "header"}
    assert "security" not in paths["/v1/loyalty/devices/pair"]["post"]
