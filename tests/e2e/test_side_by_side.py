"""Where the whole pipeline runs: from odd paths, beside another one, and without a known locale."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import httpx
import pytest

from tests.e2e.installation import CHECKOUT, Installation, installed, wait_for
from tests.e2e.shop import NOW, Shop, open_shop

pytestmark = [pytest.mark.xdist_group("side_by_side"), pytest.mark.slow]

LEFT_OUT = (".*", "__pycache__", "tests", "bench", "build")
PATH_CHARACTERS = 150


def copy_to(place: Path) -> Path:
    """The checkout at another path, without what is made there."""
    return Path(shutil.copytree(CHECKOUT, place, ignore=shutil.ignore_patterns(*LEFT_OUT)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def publish_over_http(installation: Installation, shop: Shop, order: str) -> int:
    return httpx.post(
        installation.instance()["api_url"] + "/v1/events",
        content=shop.purchase(order).to_json(),
        headers={"Authorization": f"Bearer {shop.api_key}", "Content-Type": "application/json"},
        trust_env=False,
    ).status_code


def applied(installation: Installation) -> set[str]:
    rows = installation.rows("SELECT event_id FROM inbox_events WHERE status = 'applied'")
    return {row.event_id for row in rows}


def test_two_checkouts_that_start_at_once_serve_side_by_side_each_its_own(tmp_path: Path) -> None:
    spaced = copy_to(tmp_path / "my shop's checkout")
    # tmp_path is some 60 characters already.
    deep = tmp_path / "deep"
    long = copy_to(deep / ("l" * (PATH_CHARACTERS - len(str(deep)) - 1)))
    assert len(str(long)) == PATH_CHARACTERS
    wished = {"PAYSPOOL_API_PORT": str(free_port())}
    one = {**wished, "PYTHONPATH": str(spaced / "clients" / "python")}
    two = {**wished, "PYTHONPATH": str(long / "clients" / "python"), "LC_ALL": "xx_YY.UTF-8"}
    with (
        installed(spaced, usual_place=True, **one) as first,
        installed(long, usual_place=True, **two) as second,
    ):
        both = {"first": first, "second": second}
        started = [installation.start("up") for installation in both.values()]
        for up in started:
            up.wait_until_it_says("Ctrl-C stops everything")
        assert first.data != second.data
        assert first.instance()["api_url"] != second.instance()["api_url"]
        for name, installation in both.items():
            assert all(str(CHECKOUT) not in command for command in payspool_commands(installation))
            shop = open_shop(installation, name)
            assert publish_over_http(installation, shop, f"of-{name}") == 202
        for name, installation in both.items():
            wait_for(f"{name} applied its event", lambda i=installation: applied(i), 20)
            assert applied(installation) == {f"of-{name}/paid"}
            assert [m["key"] for m in installation.json("merchants", "list")] == [name]
            assert installation.json("payouts", "run", name)["created"] == 1
        started[0].interrupt()
        assert started[0].end() == 0
        assert first.remains(0) == []
        assert [m["key"] for m in second.json("merchants", "list")] == ["second"]
        started[1].interrupt()
        assert started[1].end() == 0
        assert second.remains(0) == []


def payspool_commands(installation: Installation) -> list[str]:
    """The command lines of what runs from its checkout, without the interpreter's own path."""
    return [c.partition(" ")[2] for c in installation.processes().values() if "-m payspool" in c]


def test_without_a_known_locale_names_of_any_alphabet_go_in_and_come_out(tmp_path: Path) -> None:
    with installed(LC_ALL="xx_YY.UTF-8", LANG="xx_YY.UTF-8") as installation:
        started = installation.up()
        shop = open_shop(installation, "acme", "ada")
        file = tmp_path / "Bestellungen für März.csv"
        file.write_text(
            "id,source,merchant,type,time,code,referred_user_id,transaction_id,amount,currency\n"
            f"o-1,Łódź,acme,conversion.recorded,{NOW.isoformat()},{shop.code('ada')},Zoë 京,o-1,12900,usd\n",
            encoding="utf-8",
        )
        assert "Published 1 event" in installation.ok("events", "import", str(file))
        event = tmp_path / "event.json"
        event.write_text(shop.purchase("ü", user="Ζωή").to_json(), encoding="utf-8")
        installation.ok("events", "publish", str(event))
        wait_for("both are applied", lambda: len(applied(installation)) == 2, 20)
        told = installation.json("events", "status", "acme", "Łódź", "o-1")
        assert (told["status"], told["source"]) == ("applied", "Łódź")
        assert "ü/paid: applied" in installation.ok("events", "status", "acme", "shop", "ü/paid")
        rows = installation.rows("SELECT referred_user_id FROM trackings ORDER BY id")
        assert [row.referred_user_id for row in rows] == ["Zoë 京", "Ζωή"]
        started.interrupt()
        assert started.end() == 0
        assert installation.remains(0) == []
