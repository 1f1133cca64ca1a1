"""What reconciliation finds in a real sandbox's books, and what it makes of it."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts.books import BooksPage, GatewayTransaction
from domain.payouts.errors import NoSuchDifference
from domain.payouts.service import reconciling
from tests.workers.gateways.local_stripe import LocalStripe, Platform
from tests.workers.payouts.office import Office, age_everything
from workers import payouts
from workers.reconciling import reconcile


@pytest.fixture
def office(engine: Engine, platform: Platform) -> Office:
    platform.fund(1_000_000)
    return Office(engine, platform)


def look(office: Office) -> dict[str, Any]:
    """Reconcile everything with the sandbox's books."""
    return reconcile(office, office.merchant_id, clock_may_move=True)


def found(office: Office, state: str = "open") -> list[tuple[Any, ...]]:
    with transaction(office.engine) as tx:
        rows = tx.execute(
            text(
                "SELECT kind, payout_id, ours, theirs FROM payout_differences WHERE state = :state ORDER BY id"
            ),
            {"state": state},
        )
        return [tuple(row) for row in rows]


def test_what_was_not_read_of_a_clock_that_may_move_is_not_called_missing(office: Office) -> None:
    pay(office, 1_000)
    office.platform.stripe.admin("POST", "clock", advance_seconds=10 * 86_400)
    later = datetime.now(UTC) + timedelta(days=1)
    pay(office, 2_000)
    told = reconcile(office, office.merchant_id, to_at=later, clock_may_move=True)
    assert (told["open"], found(office)) == ({}, [])
    assert look(office)["open"] == {}


def pay(office: Office, *amounts: int) -> list[int]:
    office.owe(*amounts)
    made = office.build(f"run {amounts}")
    office.work_off()
    return made


def behind_our_back(owner: Engine, statement: str) -> None:
    """Change payouts or attempts as if a mistake had been made here."""
    with transaction(owner) as tx:
        for table in ("payouts", "payout_attempts"):
            tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        tx.execute(text(statement))
        for table in ("payouts", "payout_attempts"):
            tx.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


def by_hand(office: Office, amount: int, **metadata: str) -> str:
    made: str = office.platform.call(
        "POST",
        "/v1/transfers",
        amount=str(amount),
        currency="usd",
        destination=office.platform.account(),
        **{f"metadata[{name}]": value for name, value in metadata.items()},
    )["id"]
    return made


def test_books_that_agree_have_no_difference_and_sum_what_is_no_payout(office: Office) -> None:
    pay(office, 1_000, 2_000)
    report = look(office)
    assert report["open"] == {}
    assert {row["type"]: row["amount"] for row in report["books"]}["transfer"] == -3_000
    assert sum(row["amount"] for row in report["books"]) == 997_000
    assert found(office) == []


def test_a_transfer_made_by_hand_is_raised_once_and_resolved_by_its_reversal(
    office: Office,
) -> None:
    pay(office, 1_000)
    transfer = by_hand(office, 555)
    for _ in range(3):
        assert look(office)["open"] == {"missing_here": 1}
    assert found(office) == [("missing_here", None, None, "555")]
    office.platform.call("POST", f"/v1/transfers/{transfer}/reversals")
    assert look(office)["no_longer_shown"] == 1
    assert found(office) == []
    assert len(found(office, "resolved")) == 1


def test_one_that_is_not_there_is_found(office: Office, owner: Engine) -> None:
    [payout] = pay(office, 1_000)
    behind_our_back(owner, "UPDATE payout_attempts SET external_id = 'tr_gone'")
    assert look(office)["open"] == {"missing_here": 1, "missing_there": 1}
    assert ("missing_there", payout, "1000", None) in found(office)


def test_another_amount_currency_and_destination_are_found(office: Office, owner: Engine) -> None:
    ids = pay(office, 1_000, 2_000, 3_000)
    behind_our_back(owner, f"UPDATE payouts SET amount = 900 WHERE id = {ids[0]}")
    behind_our_back(owner, f"UPDATE payouts SET currency = 'eur' WHERE id = {ids[1]}")
    behind_our_back(owner, f"UPDATE payouts SET destination = 'acct_other' WHERE id = {ids[2]}")
    look(office)
    assert ("amount", ids[0], "900", "1000") in found(office)
    assert ("currency", ids[1], "eur", "usd") in found(office)
    assert [row[:3] for row in found(office) if row[0] == "destination"] == [
        ("destination", ids[2], "acct_other")
    ]
    # The clearing account says what was sent, no longer what the payouts say.
    assert [row[0] for row in found(office)].count("day_sum") >= 1


def test_what_was_taken_back_at_the_gateway_only_is_a_difference(office: Office) -> None:
    [payout] = pay(office, 1_000)
    [transfer] = office.platform.transfers()
    office.platform.call("POST", f"/v1/transfers/{transfer.id}/reversals", amount="300")
    look(office)
    assert found(office) == [("amount", payout, "1000", "700")]


def test_a_payout_that_was_paid_twice_is_raised_and_stopped(office: Office) -> None:
    [payout] = pay(office, 1_000)
    [first] = office.platform.transfers()
    by_hand(office, 1_000, **{k: first.metadata[k] for k in ("payout", "installation")})
    report = look(office)
    assert report["stopped_payouts"] == [payout]
    assert {"paid_twice", "missing_here"} == {row[0] for row in found(office)}
    with transaction(office.engine) as tx:
        reason = tx.execute(text("SELECT frozen_reason FROM payouts")).scalar_one()
        stopped = tx.execute(
            text("SELECT count(*) FROM audit_entries WHERE action = 'payout.stopped'")
        ).scalar_one()
    assert "more than one transfer" in reason
    assert look(office)["stopped_payouts"] == []
    assert stopped == 1


def test_an_abandoned_attempt_that_has_paid_stops_its_payout(
    office: Office, owner: Engine, local_stripe: LocalStripe
) -> None:
    office.owe(1_000)
    [payout] = office.build()
    office.platform.plan({"fault": "drop_after", "times": 1})
    payouts.send(office, payout)
    age_everything(owner, 25)
    with transaction(office.engine) as tx:
        payouts.service.propose_abandon(
            tx, payout, evidence="not in the dashboard", actor=Actor("person", "ann")
        )
        payouts.service.agree_abandon(tx, payout, actor=Actor("person", "bob"))
    assert look(office)["stopped_payouts"] == [payout]
    assert found(office) == [("paid_after_all", payout, None, "1000")]


def test_what_is_in_flight_is_told_and_no_difference(office: Office) -> None:
    office.owe(1_000)
    [payout] = office.build()
    office.platform.plan({"fault": "drop_after", "times": 1})
    payouts.send(office, payout)
    report = look(office)
    assert report["open"] == {}
    assert report["in_flight"] == [{"currency": "usd", "attempts": 1, "amount": 1_000}]


def test_another_installations_transfers_are_its_own_to_explain(office: Office) -> None:
    pay(office, 1_000)
    by_hand(office, 700, installation="ffffffffffff", payout="1")
    assert look(office)["open"] == {}


def test_a_person_resolves_a_difference_for_as_long_as_it_looks_the_same(office: Office) -> None:
    pay(office, 1_000)
    transfer = by_hand(office, 555)
    look(office)
    with transaction(office.engine) as tx:
        number = tx.execute(text("SELECT id FROM payout_differences")).scalar_one()
        ann = Actor("person", "ann")
        reconciling.resolve_difference(tx, office.merchant_id, number, note="invoice 12", actor=ann)
        with pytest.raises(NoSuchDifference):
            reconciling.resolve_difference(tx, office.merchant_id, number, note="again", actor=ann)
    assert look(office)["open"] == {}
    office.platform.call("POST", f"/v1/transfers/{transfer}/reversals", amount="100")
    assert look(office)["open"] == {"missing_here": 1}
    assert found(office) == [("missing_here", None, None, "455")]


class LongBooks:
    """A platform with many lines, made up as they are asked for; dies after so many pages."""

    account = "acct_long"

    def __init__(self, lines: int, page: int) -> None:
        self.lines, self.page, self.asked, self.left = lines, page, list[str | None](), 10**9

    def books(
        self, *, created_from: datetime, created_before: datetime, after: str | None
    ) -> BooksPage:
        if self.left == 0:
            raise ConnectionError("killed here")
        self.left -= 1
        self.asked.append(after)
        start = 0 if after is None else int(after[4:]) + 1
        end = min(start + self.page, self.lines)
        at = datetime(2026, 6, 1, tzinfo=UTC)
        return BooksPage(
            tuple(
                GatewayTransaction(
                    *(f"txn_{n}", "charge", f"ch_{n}", None, None, None, None, None),
                    *(10, 1, 9, "usd", at - timedelta(seconds=n), at),
                )
                for n in range(start, end)
            ),
            end < self.lines,
        )


class LongOffice(Office):
    """Its gateway keeps long books."""

    long: Any = None

    def gateways(self, merchant_id: int, method: str) -> Any:
        return self.long


def long_office(office: Office, lines: int, page: int) -> LongOffice:
    office.owe(1_000)
    made = LongOffice(office.engine, office.platform, office.merchant_id)
    made.long = LongBooks(lines, page)
    return made


def test_killed_at_any_page_it_goes_on_from_there(office: Office) -> None:
    long = long_office(office, 50, 5)
    for pages in (0, 1, 3, 2):
        long.long.left = pages
        with pytest.raises(ConnectionError):
            reconcile(long, long.merchant_id)
    long.long.left = 100
    report = reconcile(long, long.merchant_id)
    assert report["transactions"] == 50
    assert report["books"] == [
        {"currency": "usd", "type": "charge", "lines": 50, "amount": 500, "fee": 50}
    ]
    assert len(long.long.asked) == 10
    assert len(set(long.long.asked)) == 10


def test_a_page_that_two_have_read_counts_once(office: Office) -> None:
    long = long_office(office, 10, 5)
    window = reconciling.Window()
    with transaction(office.engine) as tx:
        run = reconciling.take_up(tx, office.merchant_id, "stripe", "acct_long", window)
    page = long.long.books(created_from=run.from_at, created_before=run.to_at, after=None)
    for _ in range(2):
        with transaction(office.engine) as tx:
            now = reconciling.keep_page(tx, run, None, page)
    assert now.transactions == 5
    assert reconcile(long, long.merchant_id)["transactions"] == 10


def test_a_hundred_thousand_lines_take_no_more_memory_than_a_page(office: Office) -> None:
    long = long_office(office, 100_000, 1_000)
    long.long.asked = _Forgets()
    tracemalloc.start()
    report = reconcile(long, long.merchant_id)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report["transactions"] == 100_000
    assert peak < 20_000_000


class _Forgets(list[Any]):
    def append(self, _item: Any) -> None:
        pass


class FeeOffice(Office):
    """Its gateway takes a fee of each transfer, as some contracts have it; its books are the sandbox's."""

    fee: int = 7

    def gateways(self, merchant_id: int, method: str) -> Any:
        gateway, fee = super().gateways(merchant_id, method), self.fee

        class WithFee:
            account = gateway.account

            def books(self, **asked: Any) -> BooksPage:
                page = gateway.books(**asked)  # type: ignore[attr-defined]
                lines = (
                    line._replace(fee=fee, net=line.net - fee) if line.type == "transfer" else line
                    for line in page.lines
                )
                return BooksPage(tuple(lines), page.more)

        return WithFee()


def test_a_fee_of_a_transfer_is_a_difference_until_it_is_gone(office: Office) -> None:
    [payout] = pay(office, 1_000)
    with_fee = FeeOffice(office.engine, office.platform, office.merchant_id)
    assert look(with_fee)["open"] == {"fee": 1}
    assert found(office) == [("fee", payout, "0", "7")]
    assert look(office)["open"] == {}, "it was taken back"


def test_a_day_whose_ledger_does_not_say_what_was_paid_is_a_difference(
    office: Office, owner: Engine
) -> None:
    pay(office, 1_000)
    pay(office, 2_000)
    with transaction(owner) as tx:
        tx.execute(text("ALTER TABLE ledger_transfers DISABLE TRIGGER USER"))
        tx.execute(
            text(
                "UPDATE ledger_transfers SET amount = amount - 1 WHERE kind = 'payout_paid' AND amount = 2000"
            )
        )
        tx.execute(text("ALTER TABLE ledger_transfers ENABLE TRIGGER USER"))
    assert look(office)["open"] == {"day_sum": 1}
    assert found(office) == [("day_sum", None, "2999", "3000")]
