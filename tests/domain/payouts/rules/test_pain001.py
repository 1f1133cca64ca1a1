"""Every rule that the module states, read back from the file by another parser than wrote it."""

import doctest
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.payouts.rules import latin, pain001, target
from domain.payouts.rules.bank_files import BankLine, end_to_end_id
from domain.payouts.rules.recipients import Recipient

NS = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}
CODE = "3f2a91c04be7"
SHOP = Recipient("iban", "Søren & Søhne GmbH", "DE89370400440532013000", bic="COBADEFFXXX")
POUNDS = Recipient("iban", "Shop", "GB82WEST12345698765432")
ADA = Recipient("iban", "Zoë Łukasz–Weiß", "FR1420041010050500013M02606")
BOB = Recipient("iban", "Bob", "GB82WEST12345698765432", bic="WESTGB22")
DAY = date(2026, 6, 5)


def line(payout: int, amount: int, currency: str = "eur", to: Recipient = ADA) -> BankLine:
    return BankLine(end_to_end_id(CODE, payout, 1), amount, currency, to)


def written(lines: Sequence[BankLine]) -> ET.Element:
    out = io.BytesIO()
    made = pain001.batches(
        lines, {"eur": SHOP, "gbp": POUNDS}, installation=CODE, file_id=4, on=DAY
    )
    pain001.write(
        out, pain001.message_id(CODE, 4), datetime(2026, 6, 4, 9, 30, 1, 77, tzinfo=UTC), made
    )
    assert out.getvalue().startswith(b'<?xml version="1.0" encoding="utf-8"?>')
    return ET.fromstring(out.getvalue())


def text(of: ET.Element, path: str) -> str:
    found = of.findall("/".join(f"p:{name}" for name in path.split("/")), NS)
    assert len(found) == 1, (path, len(found))
    return found[0].text or ""


MIXED = (line(1, 1_005), line(2, 7, "gbp", BOB), line(3, 99_999_999_999), line(4, 250, "gbp", BOB))


def test_payments_are_grouped_by_currency_with_its_account_and_date() -> None:
    groups = written(MIXED).findall(".//p:PmtInf", NS)
    assert [text(g, "DbtrAcct/Ccy") for g in groups] == ["EUR", "GBP"]
    assert [text(g, "DbtrAcct/Id/IBAN") for g in groups] == [SHOP.account, POUNDS.account]
    assert [text(g, "ReqdExctnDt/Dt") for g in groups] == ["2026-06-05"] * 2
    for group in groups:
        amounts = group.findall("p:CdtTrfTxInf/p:Amt/p:InstdAmt", NS)
        assert {a.get("Ccy") for a in amounts} == {text(group, "DbtrAcct/Ccy")}
        assert text(group, "PmtMtd") == "TRF"
        assert text(group, "BtchBookg") == "false"


def test_names_of_files_batches_and_payments_are_unique_short_and_plain() -> None:
    root = written(MIXED)
    names = [
        element.text or ""
        for tag in ("MsgId", "PmtInfId", "EndToEndId")
        for element in root.iter(f"{{{NS['p']}}}{tag}")
    ]
    assert names[:3] == ["PS-3f2a91c04be7-F4", "PS-3f2a91c04be7-F4-1", "PS-3f2a91c04be7-F4-2"]
    assert len(names) == len(set(names)) == 7
    assert all(re.fullmatch(r"[A-Za-z0-9-]{1,35}", name) for name in names)


def test_counts_and_control_sums_are_those_of_the_payments() -> None:
    root = written(MIXED)
    header = root.find(".//p:GrpHdr", NS)
    assert header is not None
    assert text(header, "CreDtTm") == "2026-06-04T09:30:01Z"
    parts = [header, *root.findall(".//p:PmtInf", NS)]
    for part, inside in zip(parts, [root, *parts[1:]], strict=True):
        amounts = [Decimal(a.text or "") for a in inside.iter(f"{{{NS['p']}}}InstdAmt")]
        assert int(text(part, "NbOfTxs")) == len(amounts)
        assert Decimal(text(part, "CtrlSum")) == sum(amounts)
    assert text(header, "NbOfTxs") == "4"


@given(
    st.lists(
        st.tuples(st.sampled_from(["eur", "gbp"]), st.integers(1, pain001.MAX_EURO)), min_size=1
    )
)
def test_control_sums_are_exact_for_any_amounts(amounts: list[tuple[str, int]]) -> None:
    root = written([line(n, amount, currency) for n, (currency, amount) in enumerate(amounts, 1)])
    assert Decimal(text(root, "CstmrCdtTrfInitn/GrpHdr/CtrlSum")) * 100 == sum(
        a for _, a in amounts
    )


def test_euro_is_a_sepa_transfer_and_other_currencies_name_the_bank() -> None:
    euro, pounds = written(MIXED).findall(".//p:PmtInf", NS)
    assert (text(euro, "PmtTpInf/SvcLvl/Cd"), text(euro, "ChrgBr")) == ("SEPA", "SLEV")
    assert text(euro, "DbtrAgt/FinInstnId/BICFI") == "COBADEFFXXX"
    assert euro.find("p:CdtTrfTxInf/p:CdtrAgt", NS) is None, "the IBAN suffices"
    assert (pounds.find("p:PmtTpInf", NS), text(pounds, "ChrgBr")) == (None, "SHAR")
    assert text(pounds, "DbtrAgt/FinInstnId/Othr/Id") == "NOTPROVIDED"
    bank = pounds.find("p:CdtTrfTxInf", NS)
    assert bank is not None
    assert text(bank, "CdtrAgt/FinInstnId/BICFI") == "WESTGB22"


def test_elements_stand_in_the_order_of_the_schema() -> None:
    orders = {
        "GrpHdr": "MsgId CreDtTm NbOfTxs CtrlSum InitgPty",
        "PmtInf": "PmtInfId PmtMtd BtchBookg NbOfTxs CtrlSum PmtTpInf ReqdExctnDt Dbtr DbtrAcct"
        " DbtrAgt ChrgBr CdtTrfTxInf",
        "CdtTrfTxInf": "PmtId Amt CdtrAgt Cdtr CdtrAcct",
        "DbtrAcct": "Id Ccy",
    }
    for tag, order in orders.items():
        for element in written(MIXED).iter(f"{{{NS['p']}}}{tag}"):
            places = [order.split().index(child.tag.rpartition("}")[2]) for child in element]
            assert places == sorted(places), tag


def test_all_text_is_of_the_sepa_set() -> None:
    root = written(MIXED)
    for element in root.iter():
        said = (element.text or "").strip()
        assert set(said) <= latin.ALLOWED, said
    names = [name.text for name in root.iter(f"{{{NS['p']}}}Nm")]
    assert names[:3] == ["Soren + Sohne GmbH"] * 2 + ["Zoe Lukasz-Weiss"]


@given(st.text(max_size=80))
def test_a_name_is_written_in_the_set_or_refused(name: str) -> None:
    made = latin.to_latin(name)
    assert made is None or (made and set(made) <= latin.ALLOWED)


@pytest.mark.parametrize(
    ("to", "amount", "currency", "why"),
    [
        (ADA, 1, "eur", None),
        (BOB, 1, "gbp", None),
        (Recipient("us_ach", "A", "12345", routing="021000021"), 1, "usd", "needs_csv: its recipient"),
        (Recipient("iban", "A", "AE070331234567890123456"), 1, "eur", "needs_csv: AE is not in SEPA"),
        (ADA, 1, "gbp", "needs_bic: in gbp"),
        (Recipient("iban", "A", BOB.account), 1, "eur", "needs_bic: to GB"),
        (BOB, 1, "eur", None),
        (ADA, pain001.MAX_EURO + 1, "eur", "needs_csv: SEPA moves at most"),
        (Recipient("iban", "Ада", ADA.account), 1, "eur", "name_not_latin"),
        (Recipient("iban", "ß" * 36, ADA.account), 1, "eur", "name_not_latin"),
        (BOB, 1, "chf", "no_debtor_account: none is set in chf"),
    ],
)  # fmt: skip
def test_what_does_not_go_into_the_file_is_named(
    to: Recipient, amount: int, currency: str, why: str | None
) -> None:
    debtor = {"eur": SHOP, "gbp": POUNDS, "usd": SHOP}.get(currency)
    said = pain001.unfit(to, amount, currency, debtor)
    assert said is None if why is None else (said or "").startswith(why), said


def test_an_account_without_an_iban_pays_no_such_file() -> None:
    ach = Recipient("us_ach", "Shop", "12345", routing="021000021")
    assert (pain001.unfit(ADA, 1, "eur", ach) or "").startswith("no_debtor_account")


def test_payments_are_asked_for_on_days_when_target_is_open() -> None:
    assert target.next_working_day(date(2026, 4, 2)) == date(2026, 4, 7), "over Easter"
    assert target.next_working_day(date(2026, 12, 31)) == date(2027, 1, 4)
    assert target.closed(date(2026, 5, 1))
    assert not target.closed(date(2026, 5, 4))


def test_the_examples_in_the_rules_are_true() -> None:
    for module in (pain001, latin, target):
        failed, tried = doctest.testmod(module)
        assert (failed, tried > 0) == (0, True), module
