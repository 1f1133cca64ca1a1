"""Who gets in, from where, and what they may do: over HTTP, with a dashboard in a process of its own."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from anyio import CapacityLimiter
from babel import Locale
from sqlalchemy import text
from starlette.responses import PlainTextResponse

from domain.access import sessions, users
from domain.access.roles import ROLES
from domain.audit import service as audit
from domain.db import transaction
from domain.dead_letters import service as dead_letters
from domain.dead_letters.service import Letter
from domain.sheets import FORMULA_STARTS
from payspool.embedded import Endpoints
from queues.pause import AlreadyPaused
from tests.browser import house
from tests.browser.conftest import Dashboard, running, sign_in
from tests.domain.inbox import shop
from tests.domain.payouts import house as payout_house
from web.dashboard.actions import ACTIONS, NotAllowed, perform
from web.dashboard.context import Access, DashboardContext
from web.dashboard.exports import KINDS
from web.dashboard.gate import Gate
from web.dashboard.visit import SignedOut, Visit
from workers.pause_log import AuditedPauses

pytestmark = pytest.mark.xdist_group("browser")

SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport="


def client(dashboard: Dashboard, cookie: str | None = None, **headers: str) -> httpx.Client:
    held = {"payspool_session": cookie} if cookie else {}
    return httpx.Client(base_url=dashboard.url, cookies=held, headers=headers, timeout=30)


@pytest.mark.parametrize(
    "path", ["/", "/audit", "/m/acme/payouts", "/m/acme/runs/1", "/stops", "/search?q=ada"]
)
def test_nobody_sees_a_page_without_signing_in(dashboard: Dashboard, path: str) -> None:
    with client(dashboard, "x" * 43) as http:
        answer = http.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=%2F")


@pytest.mark.parametrize(
    "path", ["/export/audit.csv", "/export/acme/payouts.csv", f"{SOCKET}polling"]
)
def test_nor_a_download_nor_a_socket(dashboard: Dashboard, path: str) -> None:
    with client(dashboard, **{"Sec-Fetch-Site": "same-origin"}) as http:
        assert http.get(path).status_code == 401


def test_the_cookie_is_for_this_site_and_not_for_scripts(dashboard: Dashboard) -> None:
    with client(dashboard, Origin=dashboard.url) as http:
        answer = http.post("/sign-in", data={"name": "vera", "password": house.PASSWORD})
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=lax" in said
    assert "path=/" in said


def test_a_session_that_somebody_else_set_is_never_signed_in(dashboard: Dashboard) -> None:
    planted = "p" * 43
    with client(dashboard, planted, Origin=dashboard.url) as http:
        answer = http.post("/sign-in", data={"name": "vera", "password": house.PASSWORD})
        fresh = answer.cookies["payspool_session"]
    assert fresh != planted
    with client(dashboard, planted) as http:
        assert http.get("/").status_code == 303
    with client(dashboard, fresh, Origin=dashboard.url) as http:
        again = http.post("/sign-in", data={"name": "vera", "password": house.PASSWORD})
    assert again.cookies["payspool_session"] != fresh
    with client(dashboard, fresh) as http:
        assert http.get("/").status_code == 303, "the session before it is over"


def test_signing_out_ends_the_session_on_the_server(dashboard: Dashboard) -> None:
    token = sign_in(dashboard.url, "vera")
    with client(dashboard, token, Origin=dashboard.url) as http:
        assert http.get("/").status_code == 200
        assert http.post("/sign-out").status_code == 303
    with client(dashboard, token) as http:
        assert http.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1"},
        {},
    ],
    ids=str,
)
def test_what_another_site_has_a_browser_send_is_refused(
    dashboard: Dashboard, cookies: dict[str, str], headers: dict[str, str]
) -> None:
    with client(dashboard, cookies["adam"], **headers) as http:
        for path in ("/sign-in", "/sign-out", "/link/x", f"{SOCKET}polling", "/m/acme/payouts"):
            assert http.post(path, data={"name": "adam"}).status_code == 403, path
        assert http.get(f"{SOCKET}polling").status_code == 403
    assert _still_signed_in(dashboard, cookies["adam"])


def _still_signed_in(dashboard: Dashboard, token: str) -> bool:
    with transaction(dashboard.engine) as tx:
        return sessions.user_of(tx, token) is not None


@pytest.mark.parametrize(
    ("origin", "opens"), [("own", True), ("https://evil.example", False), (None, False)]
)
def test_a_websocket_opens_for_pages_of_ours_only(
    dashboard: Dashboard, cookies: dict[str, str], origin: str | None, opens: bool
) -> None:
    assert asyncio.run(_upgrade(dashboard, cookies["vera"], origin)) is opens
    assert asyncio.run(_upgrade(dashboard, "x" * 43, origin)) is False


async def _upgrade(dashboard: Dashboard, token: str, origin: str | None) -> bool:
    host = dashboard.url.removeprefix("http://")
    name, port = host.split(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    lines = [
        f"GET {SOCKET}websocket HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Cookie: payspool_session={token}",
    ]
    if origin is not None:
        lines.append(f"Origin: {dashboard.url if origin == 'own' else origin}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    status = await reader.readline()
    writer.close()
    return b" 101 " in status


def test_guessing_a_password_is_stopped_and_told_like_any_wrong_one(dashboard: Dashboard) -> None:
    with transaction(dashboard.engine) as tx:
        users.add(tx, "gus", "admin", actor=house.TESTER, password=house.PASSWORD)
    with client(dashboard, Origin=dashboard.url) as http:
        answers = [
            http.post("/sign-in", data={"name": "gus", "password": f"guess number {n}"})
            for n in range(6)
        ]
        right = http.post("/sign-in", data={"name": "gus", "password": house.PASSWORD})
        nobody = http.post("/sign-in", data={"name": "nobody", "password": house.PASSWORD})
    assert {one.status_code for one in (*answers, right, nobody)} == {401}
    assert len({one.text for one in (*answers, right, nobody)}) == 1
    failures = dashboard.scalar("SELECT failures FROM users WHERE name = 'gus'")
    assert failures == 5, "while a name waits, no password is looked at"


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil", "javascript:1"]
)
def test_signing_in_leads_to_no_other_site(dashboard: Dashboard, wanted: str) -> None:
    with client(dashboard, Origin=dashboard.url) as http:
        answer = http.post(
            "/sign-in", data={"name": "vera", "password": house.PASSWORD, "next": wanted}
        )
    assert answer.headers["location"] == "/"


def test_pages_are_framed_by_nobody_and_kept_by_no_cache(
    dashboard: Dashboard, cookies: dict[str, str]
) -> None:
    with client(dashboard, cookies["vera"]) as http:
        answer = http.get("/m/acme/payees")
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_cell_of_an_export_is_a_formula(dashboard: Dashboard, cookies: dict[str, str]) -> None:
    with client(dashboard, cookies["vera"]) as http:
        payees = http.get("/export/acme/payees.csv")
        payouts = http.get("/export/acme/payouts.csv?state=canceled")
        assert http.get("/export/nobody/payees.csv").status_code == 404
        assert http.get("/export/acme/users.csv").status_code == 404
        assert http.get("/export/audit.csv?merchant=nobody").status_code == 404
        audit = http.get("/export/audit.csv?actor=tester&text=%00")
    assert payees.headers["content-disposition"] == 'attachment; filename="acme-payees.csv"'
    assert f"'{house.FORMULA}," in payees.text
    assert f"\n{house.FORMULA}" not in payees.text
    assert audit.text.count("user.added") >= 4
    assert all(",canceled," in line for line in payouts.text.splitlines()[1:])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_export_hands_a_formula_on(
    dashboard: Dashboard, cookies: dict[str, str], kind: str
) -> None:
    """Each kind that there is, with a formula of each start in the texts that others write."""
    starts = ["=", "+", "-", "@", "\t", "\r"]
    with transaction(dashboard.engine) as tx:
        merchant = tx.execute(text("SELECT id FROM merchants WHERE key = 'sheets'")).scalar()
        merchant = merchant or payout_house.merchant(tx, "sheets")
    for at, start in enumerate(starts):
        made = f"{start}cmd|{kind}-{at}"
        _wants_a_formula(dashboard, merchant, kind, made)
    address = f"/export/{kind}.csv" if kind in ("audit", "dead") else f"/export/sheets/{kind}.csv"
    query = {"dead": "?queue=sheets", "audit": "?merchant=sheets"}.get(kind, "")
    with client(dashboard, cookies["vera"]) as http:
        answer = http.get(address + query)
    assert answer.status_code == 200
    cells = [cell for row in csv.reader(io.StringIO(answer.text, newline="")) for cell in row]
    for start in starts:
        assert any(cell.startswith(f"'{start}cmd|") for cell in cells), (start, cells)
    assert [cell for cell in cells if cell.startswith(FORMULA_STARTS)] == []


def _wants_a_formula(dashboard: Dashboard, merchant_id: int, kind: str, made: str) -> None:
    if kind == "dead":
        letter = Letter("sheets", made, made, made, b"{}", made, None, 1, 0, None)
        with transaction(dashboard.engine) as tx:
            dead_letters.record(tx, letter)
        return
    if kind == "events":
        shop.send(dashboard.engine, shop.event(made, made.strip(), to="sheets", source=f"{made}."))
        with transaction(dashboard.engine) as tx:
            tx.execute(
                text("UPDATE inbox_events SET type = :made WHERE source = :source"),
                {"made": made, "source": f"{made}."},
            )
        return
    with transaction(dashboard.engine) as tx:
        if kind == "audit":
            audit.record(
                tx,
                house.TESTER,
                "payee.blocked",
                merchant_id=merchant_id,
                subject_kind="payee",
                subject_id=made,
                reason=made,
            )
            return
        payout_house.payee(tx, merchant_id, made, f"acct_{abs(hash(made))}")
        payout_house.earn(tx, merchant_id, 900, made)
    if kind == "payouts":
        payout_house.run(dashboard.engine, merchant_id, f"run {abs(hash(made))}")


def context_of(dashboard: Dashboard) -> DashboardContext:
    """What a dashboard of this test's own process would be built from."""
    return DashboardContext(
        engine=dashboard.engine,
        redis=dashboard.redis,
        namespace=dashboard.namespace,
        queues=("events",),
        log=lambda actor: AuditedPauses(dashboard.engine, actor),
        put_back=lambda _tx: pytest.fail("nothing is put back here"),
    )


def visit(dashboard: Dashboard, token: str | None) -> Visit:
    """A page as the server holds it, of the person of a session."""
    with transaction(dashboard.engine) as tx:
        user = sessions.user_of(tx, token or "")
    assert user is not None
    return Visit(
        context_of(dashboard),
        user,
        token,
        ZoneInfo("UTC"),
        Locale("en"),
        "auto",
        "/",
        {},
        CapacityLimiter(1),
    )


ARGUMENTS: dict[str, dict[str, Any]] = {"queue.pause": {"queue": "events", "reason": "a test"}}


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_each_action_is_refused_to_every_role_below_its_own(
    dashboard: Dashboard, cookies: dict[str, str], name: str
) -> None:
    before = dashboard.scalar("SELECT count(*) FROM audit_entries")
    for who, role in house.PEOPLE.items():
        if ROLES.index(role) >= ROLES.index(ACTIONS[name].role):
            continue
        with pytest.raises(NotAllowed, match=f"needs the role {ACTIONS[name].role}"):
            perform(visit(dashboard, cookies[who]), name)
    assert dashboard.scalar("SELECT count(*) FROM audit_entries") == before
    assert ACTIONS[name].role != "viewer", "who looks changes nothing"


def test_money_is_let_go_by_approvers_only() -> None:
    lets_go = {
        name
        for name in ACTIONS
        if name.split(".")[1].startswith(("approve", "agree", "resume", "release"))
    }
    assert {name for name in lets_go if ACTIONS[name].role == "operator"} == {
        "queue.resume",
        "schedule.resume",
    }
    assert ACTIONS["payouts.resume"].role == "approver"


def test_a_role_is_looked_up_at_each_action(dashboard: Dashboard, cookies: dict[str, str]) -> None:
    as_operator = visit(dashboard, cookies["oscar"])
    said = perform(as_operator, "queue.pause", queue="events", reason="a test")
    assert said.startswith("Paused events")
    with pytest.raises(AlreadyPaused):
        perform(as_operator, "queue.pause", queue="events", reason="again")
    with transaction(dashboard.engine) as tx:
        users.set_role(tx, "oscar", "viewer", actor=house.TESTER)
    try:
        with pytest.raises(NotAllowed):
            perform(as_operator, "queue.resume", queue="events")
    finally:
        with transaction(dashboard.engine) as tx:
            users.set_role(tx, "oscar", "operator", actor=house.TESTER)
    perform(as_operator, "queue.resume", queue="events")


def test_a_session_that_is_over_does_nothing(dashboard: Dashboard) -> None:
    token = sign_in(dashboard.url, "adam")
    held = visit(dashboard, token)
    with transaction(dashboard.engine) as tx:
        sessions.sign_out(tx, token)
    with pytest.raises(SignedOut):
        perform(held, "queue.pause", queue="events", reason="a test")


def test_another_merchants_payout_is_not_touched(
    dashboard: Dashboard, cookies: dict[str, str]
) -> None:
    from domain.payouts.errors import NoSuchPayout

    for name in ("payout.retry", "payout.cancel"):
        with pytest.raises(NoSuchPayout):
            perform(
                visit(dashboard, cookies["adam"]),
                name,
                merchant_id=dashboard.seeded.acme,
                payout_id=dashboard.seeded.paid,
                reason="mine?",
            )


def test_an_operator_alone_sends_nothing_where_no_run_needs_approval(
    dashboard: Dashboard, cookies: dict[str, str]
) -> None:
    start = {
        "merchant_id": dashboard.seeded.beta,
        "name": "manual x",
        "minimums": {},
        "methods": ("stripe",),
    }
    with pytest.raises(NotAllowed, match="approver"):
        perform(visit(dashboard, cookies["oscar"]), "run.start", **start)


def test_behind_a_proxy_its_word_counts_and_nobody_elses(
    dashboard: Dashboard, servers: Endpoints, tmp_path: Path
) -> None:
    settings = {
        "PAYSPOOL_DASHBOARD_URL": "https://pay.example.com",
        "PAYSPOOL_DASHBOARD_SSO_HEADER": "X-Forwarded-User",
    }
    own = {"Host": "pay.example.com", "Origin": "https://pay.example.com"}
    near = settings | {"PAYSPOOL_DASHBOARD_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8"}
    with running(dashboard.engine, servers.redis_url, dashboard.namespace, tmp_path, **near) as url:
        page = f"{url}/m/acme/payees"
        assert httpx.get(page, headers=own | {"X-Forwarded-User": "Vera"}).status_code == 200
        assert httpx.get(page, headers=own | {"X-Forwarded-User": "nobody"}).status_code == 303
        assert httpx.get(page, headers=own).status_code == 303
        assert httpx.get(page, headers={"X-Forwarded-User": "vera"}).status_code == 403, (
            "another host"
        )
        answer = httpx.post(
            f"{url}/sign-in", data={"name": "vera", "password": house.PASSWORD}, headers=own
        )
        assert "secure" in answer.headers["set-cookie"].lower()
        assert answer.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize(("peer", "status"), [("10.1.2.3", 200), ("192.0.2.1", 303), ("::1", 303)])
def test_the_header_is_believed_from_a_trusted_address_only(
    dashboard: Dashboard, peer: str, status: int
) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        assert scope["payspool_user"].name == "vera"
        await PlainTextResponse("in")(scope, receive, send)

    access = Access(sso_header="X-Forwarded-User", proxies=[ip_network("10.0.0.0/8")])
    gate = Gate(page, context=replace(context_of(dashboard), access=access))

    async def ask() -> int:
        transport = httpx.ASGITransport(app=gate, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://board") as http:
            return (await http.get("/audit", headers={"X-Forwarded-User": "vera"})).status_code

    assert asyncio.run(ask()) == status


def test_every_action_is_audited_with_who_did_it(dashboard: Dashboard) -> None:
    with dashboard.engine.connect() as tx:
        rows = tx.execute(
            text(
                "SELECT DISTINCT actor_kind, actor_id FROM audit_entries WHERE action LIKE 'queue.%'"
            )
        ).all()
    assert {tuple(row) for row in rows} <= {("person", "oscar")}
