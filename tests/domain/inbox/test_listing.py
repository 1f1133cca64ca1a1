"""How people find events: by their id whatever the source, by number, and the newest."""

from sqlalchemy import Engine

from domain.db import transaction
from domain.inbox import listing
from tests.domain.inbox import shop


def test_an_event_is_found_by_its_id_whatever_its_source_and_merchant(engine: Engine) -> None:
    acme = shop.open_shop(engine, shop.PERCENTAGE)
    with transaction(engine) as tx:
        beta = shop.merchant(tx, "beta")
    for merchant, source, id_ in (
        ("acme", "shop", "e-1"),
        ("acme", "till", "e-1"),
        ("acme", "till", "e-2"),
        ("beta", "app", "e-1"),
        ("beta", "zoo", "e-3"),
    ):
        shop.send(engine, shop.event("nothing.known", id_, to=merchant, source=source))
    with transaction(engine) as tx:
        found = [(row.merchant, row.source) for row in listing.named(tx, "e-1")]
        assert sorted(found) == [("acme", "shop"), ("acme", "till"), ("beta", "app")]
        assert [row.source for row in listing.named(tx, "e-3")] == ["zoo"]
        assert [row.source for row in listing.named(tx, "e-1", merchant_id=beta)] == ["app"]
        assert listing.named(tx, "e-9") == []
        [one] = listing.named(tx, "e-2", merchant_id=acme)
        assert listing.by_number(tx, acme, one.inbox_id).id == "e-2"
        assert listing.by_number(tx, beta, one.inbox_id) is None, "another merchant's"


def test_pages_of_what_did_not_apply_leave_no_event_out(engine: Engine) -> None:
    acme = shop.open_shop(engine, shop.PERCENTAGE)
    shop.send_one_by_one(engine, *(shop.event("nothing.known", f"e-{n}") for n in range(8, 13)))
    seen: list[int] = []
    with transaction(engine) as tx:
        while rows := listing.page(
            tx, acme, "rejected", before=seen[-1] if seen else None, limit=2
        ):
            seen += [row["inbox_id"] for row in rows]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5


def test_what_did_not_apply_is_listed_by_type_and_reason(engine: Engine) -> None:
    acme = shop.open_shop(engine, shop.PERCENTAGE)
    shop.send(engine, shop.event("nothing.known", "e-1"), shop.conversion("o1", by="NOBODY"))

    def ids(**wanted: str) -> list[str]:
        with transaction(engine) as tx:
            return [row["id"] for row in listing.page(tx, acme, "rejected", limit=9, **wanted)]

    assert ids() == ["o1/paid", "e-1"]
    assert ids(type_="nothing.known") == ["e-1"]
    assert ids(type_="nothing.known", reason="code_not_found") == []
    assert ids(type_="conversion.recorded", reason="code_not_found") == ["o1/paid"]


def test_the_newest_events_come_page_by_page(engine: Engine) -> None:
    acme = shop.open_shop(engine, shop.PERCENTAGE)
    shop.send(engine, *(shop.event("nothing.known", f"e-{n}") for n in range(5)))
    with transaction(engine) as tx:
        first = listing.newest(tx, acme, limit=2)
        rest = listing.newest(tx, acme, before=first[-1]["inbox_id"], limit=10)
    seen = [row["inbox_id"] for row in (*first, *rest)]
    assert seen == sorted(seen, reverse=True)
    assert {row["id"] for row in (*first, *rest)} == {f"e-{n}" for n in range(5)}


def test_messages_without_an_identity_come_page_by_page(engine: Engine) -> None:
    shop.open_shop(engine, shop.PERCENTAGE)
    shop.send(engine, "not json 1", "not json 2", "not json 3")
    with transaction(engine) as tx:
        first = listing.unreadable(tx, before=None, limit=2)
        rest = listing.unreadable(tx, before=first[-1].id, limit=2)
    assert len(first) == 2
    seen = [row.begins for row in (*first, *rest)]
    assert sorted(seen) == ["not json 1", "not json 2", "not json 3"]
