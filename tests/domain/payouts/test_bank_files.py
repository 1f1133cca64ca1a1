"""Manual payouts: a recipient, a bank file, and a person's word; each paid once in the books."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NotCancelable, NotExportable, NotMarkable
from domain.payouts.rules import Leave
from domain.payouts.rules.recipients import parse_recipient
from domain.payouts.service import Attempt
from domain.payouts.service.bank_files import BankFile
from domain.payouts.service.recipients import reseal
from domain.secrets import SecretBox, new_key
from tests.domain.payouts.house import (
    JUNE,
    PAPER,
    assert_whole,
    earn,
    execute,
    merchant,
    rows,
    run,
    scalar,
)

ANN = Actor("command", "ann")
KEY = new_key()
BOX = SecretBox([KEY])
IBAN = "DE89370400440532013000"


def bank(iban: str = IBAN, **more: object) -> str:
    return json.dumps({"type": "iban", "name": "=Ann & Søn", "iban": iban} | more)


def manual_run(engine: Engine, data: str | None = None) -> tuple[int, int, int]:
    """A merchant without any gateway account and an approved manual payout: merchant, run, payout."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        given = parse_recipient(data or bank())
        service.set_recipient(tx, acme, "ada", given, at=JUNE, box=BOX, actor=ANN)
        earn(tx, acme, 1_005)
    made = run(engine, acme, methods=("manual",))
    return acme, made.run_id, scalar(engine, "SELECT id FROM payouts")


def export(engine: Engine, acme: int, run_id: int) -> BankFile:
    with transaction(engine) as tx:
        return service.export(tx, acme, run_id, box=BOX, actor=ANN)


def state(engine: Engine) -> tuple[str, str]:
    [found] = rows(
        engine,
        "SELECT p.state, a.state FROM payouts p JOIN payout_attempts a ON a.payout_id = p.id"
        " ORDER BY a.n DESC LIMIT 1",
    )
    return found[0], found[1]


def test_a_bank_file_is_the_same_when_it_is_asked_for_again(engine: Engine) -> None:
    acme, run_id, payout = manual_run(engine)
    first, second = export(engine, acme, run_id), export(engine, acme, run_id)
    assert (first.content, first.again, second.again) == (second.content, False, True)
    assert second.created_by == "ann"
    assert f"10.05,USD,'=Ann & Søn,{IBAN}".encode() in first.content
    assert first.totals == {"usd": {"payouts": 1, "amount": 1_005}}
    assert state(engine) == ("in_transit", "sending")
    assert scalar(engine, "SELECT look_at IS NULL FROM payouts WHERE id = :id", id=payout)
    assert_whole(engine)


def test_two_exports_at_once_mint_one_attempt(engine: Engine) -> None:
    acme, run_id, _ = manual_run(engine)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: export(engine, acme, run_id), range(2)))
    assert made[0].content == made[1].content
    assert scalar(engine, "SELECT count(*) FROM payout_attempts") == 1
    assert_whole(engine)


def test_a_payout_is_marked_paid_once_and_only_under_one_reference(engine: Engine) -> None:
    acme, run_id, payout = manual_run(engine)
    export(engine, acme, run_id)

    def mark(_: int) -> bool:
        with transaction(engine) as tx:
            return service.mark_paid(tx, payout, reference="BANK-1")

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(mark, range(2))) == [False, True]
    with pytest.raises(NotMarkable), transaction(engine) as tx:
        service.mark_paid(tx, payout, reference="BANK-2")
    assert state(engine) == ("paid", "succeeded")
    assert_whole(engine)


def test_what_the_bank_refused_is_exported_again_as_the_next_attempt(engine: Engine) -> None:
    acme, run_id, payout = manual_run(engine)
    first = export(engine, acme, run_id)
    with transaction(engine) as tx:
        service.mark_failed(tx, payout, reason="account closed")
    assert_whole(engine)
    with transaction(engine) as tx:
        service.retry(tx, payout)
    with transaction(engine) as tx:
        service.leave_for_bank_file(tx, payout)
    second = export(engine, acme, run_id)
    assert not second.again
    assert first.content != second.content
    assert state(engine) == ("in_transit", "sending")
    assert_whole(engine)


def test_an_exported_payout_is_not_canceled(engine: Engine) -> None:
    acme, run_id, payout = manual_run(engine)
    export(engine, acme, run_id)
    with pytest.raises(NotCancelable), transaction(engine) as tx:
        service.cancel(tx, payout, reason="no")
    assert_whole(engine)


@pytest.mark.parametrize("begin", [service.begin_attempt, None], ids=["careful", "straight"])
@pytest.mark.parametrize("exported", [False, True])
def test_no_road_of_a_gateway_begins_or_resumes_what_a_bank_file_pays(
    engine: Engine, begin: Callable[..., Attempt | Leave] | None, exported: bool
) -> None:
    acme, run_id, payout = manual_run(engine)
    if exported:
        export(engine, acme, run_id)
    before = rows(engine, "SELECT state, tries, look_at FROM payouts")
    with transaction(engine) as tx:
        left = (
            service.begin_first_attempt(tx, service.frozen(tx, payout), PAPER)
            if begin is None
            else begin(tx, payout, PAPER)
        )
    assert left == Leave("manual")
    assert rows(engine, "SELECT state, tries, look_at FROM payouts") == before
    attempts = rows(engine, "SELECT lease_until, platform_account FROM payout_attempts")
    assert attempts == ([(None, "manual")] if exported else [])
    assert_whole(engine)


def test_a_changed_destination_is_canceled_and_shown(engine: Engine) -> None:
    acme, run_id, payout = manual_run(engine)
    with transaction(engine) as tx:
        other = parse_recipient(bank("GB82WEST12345698765432"))
        service.set_recipient(tx, acme, "ada", other, at=JUNE, box=BOX, actor=ANN)
    made = export(engine, acme, run_id)
    assert made.file_id is None
    assert made.excluded == [(payout, "destination_changed: was rcp_1, is rcp_2")]
    assert scalar(engine, "SELECT state FROM payouts") == "canceled"
    assert_whole(engine)


def test_a_hold_that_was_set_after_the_approval_is_kept(engine: Engine) -> None:
    acme, run_id, payout = manual_run(engine)
    execute(engine, "UPDATE earnings SET held_at = now(), hold_reason = 'fraud'")
    assert export(engine, acme, run_id).excluded[0][0] == payout
    assert_whole(engine)


def test_a_currency_that_the_recipient_does_not_take_is_named(engine: Engine) -> None:
    acme, run_id, _ = manual_run(engine, bank(currencies=["eur"]))
    assert export(engine, acme, run_id).excluded[0][1].startswith("currency_not_carried")
    assert_whole(engine)


def test_nothing_is_exported_while_sending_is_stopped(engine: Engine) -> None:
    acme, run_id, _ = manual_run(engine)
    execute(
        engine,
        "INSERT INTO payout_stops (kind, reason, stopped_by) VALUES ('kill_switch', 'audit', 'ann')",
    )
    with pytest.raises(NotExportable, match="audit"):
        export(engine, acme, run_id)
    assert scalar(engine, "SELECT state FROM payouts") == "approved"


def test_bank_data_is_never_stored_in_clear_and_outlives_its_key(engine: Engine) -> None:
    acme, run_id, _ = manual_run(engine)
    first = export(engine, acme, run_id)
    stored = rows(engine, "SELECT r::text, f::text FROM payee_recipients r, bank_files f")
    stored += rows(engine, "SELECT a::text FROM audit_entries a")
    stored += rows(engine, "SELECT a::text FROM payout_attempts a")
    assert IBAN not in str(stored)
    assert IBAN.encode().hex() not in str(stored)
    newest = new_key()
    with transaction(engine) as tx:
        assert reseal(tx, box=SecretBox([newest, KEY]), actor=ANN) == 2
    with transaction(engine) as tx:
        again = service.export(tx, acme, run_id, box=SecretBox([newest]), actor=ANN)
    assert again.content == first.content


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (bank("DE88370400440532013000"), "iban: its check digits"),
        (bank("DE8937040044053201300"), "iban: has 21"),
        (bank(bic="X"), "bic"),
        (bank(surprise=1), "surprise"),
        ("[", "recipient"),
        ('{"type": "us_ach", "name": "A", "routing_number": "021000022", "account_number": "12345"}',
         "routing_number: its check digit"),
    ],
)  # fmt: skip
def test_wrong_bank_data_is_refused_by_the_name_of_its_field(raw: str, field: str) -> None:
    with pytest.raises(Invalid, match=field):
        parse_recipient(raw)


# The examples of the IBAN registry of the countries that joined it last.
LATE = (
    "BI4210000100010000332045181",
    "DJ2100010000000154000100186",
    "FK88SC123456789012",
    "HN88CABF00000000000250005469",
    "MN121234123456789123",
    "NI45BAPR00000013000003558124",
    "OM810180000001299123456",
    "RU0304452522540817810538091310419",
    "SD2129010501234001",
    "SO211000001001000100141",
    "YE15CBYE0001018861234567891234",
)


@pytest.mark.parametrize("iban", LATE)
def test_every_country_of_the_registry_has_its_length(iban: str) -> None:
    assert parse_recipient(bank(iban)).account == iban
    with pytest.raises(Invalid, match=f"has {len(iban) + 1} characters"):
        parse_recipient(bank(iban + "0"))


REFUSED_TODAY = json.dumps({"type": "iban", "name": "Bea", "iban": "ZZ00370400440532013000"})
"""What an older release may have stored, and today's rules refuse."""


def store_refused(engine: Engine, user: str) -> None:
    execute(
        engine,
        "UPDATE payee_recipients SET data_encrypted = :data WHERE payee_id ="
        " (SELECT id FROM payees WHERE user_id = :user)",
        data=BOX.encrypt(REFUSED_TODAY),
        user=user,
    )


def test_what_is_stored_is_resealed_though_the_rules_of_today_refuse_it(engine: Engine) -> None:
    manual_run(engine)
    store_refused(engine, "ada")
    newest = new_key()
    with transaction(engine) as tx:
        assert reseal(tx, box=SecretBox([newest, KEY]), actor=ANN) == 1
    [(data, fingerprint)] = rows(engine, "SELECT data_encrypted, fingerprint FROM payee_recipients")
    box = SecretBox([newest])
    assert box.decrypt(data, "recipient") == REFUSED_TODAY
    assert bytes(fingerprint) == box.fingerprint("iban::ZZ00370400440532013000")


def test_one_recipient_that_does_not_hold_any_more_keeps_nobody_elses_money_back(
    engine: Engine,
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in ("ada", "bea"):
            given = parse_recipient(bank())
            service.set_recipient(tx, acme, user, given, at=JUNE, box=BOX, actor=ANN)
            earn(tx, acme, 1_005, user)
    made = run(engine, acme, methods=("manual",))
    store_refused(engine, "bea")
    exported = export(engine, acme, made.run_id)
    assert exported.totals == {"usd": {"payouts": 1, "amount": 1_005}}
    [(refused, why)] = exported.excluded
    assert "recipient_refused: its bank data does not hold any more (iban: ZZ is no country" in why
    assert scalar(engine, "SELECT state FROM payouts WHERE id = :id", id=refused) == "canceled"
    assert rows(engine, "SELECT user_id, reason FROM payout_exclusions") == [
        ("bea", "recipient_refused")
    ]
    assert_whole(engine)


def test_bank_data_that_did_not_change_keeps_its_reference_while_a_key_is_rolled(
    engine: Engine,
) -> None:
    acme, run_id, _ = manual_run(engine)
    account = scalar(engine, "SELECT account FROM payees")
    rolled = SecretBox([new_key(), KEY])
    with transaction(engine) as tx:
        given = parse_recipient(bank())
        again = service.set_recipient(tx, acme, "ada", given, at=JUNE, box=rolled, actor=ANN)
    assert again == account
    with transaction(engine) as tx:
        made = service.export(tx, acme, run_id, box=rolled, actor=ANN)
    assert (made.excluded, made.totals["usd"]["payouts"]) == ([], 1)
