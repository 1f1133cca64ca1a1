"""Bank files as ISO 20022 credit transfers: pain.001.001.09, the version of the EPC's guidelines since 2023.

What the file keeps to (test_pain001.py reads it back with another parser and checks each):

1. One `PmtInf` for each currency: it names one debtor account, that of its currency, and one date.
2. `MsgId`, `PmtInfId` and `EndToEndId` are unique, at most 35 characters of a-z, A-Z, 0-9 and `-`.
3. `NbOfTxs` and `CtrlSum` of each `PmtInf` and of the header are those of the payments below them. The
   header's is a check figure across currencies, as the standard says, and no sum of money.
4. An amount is positive, with the decimals of its currency; in euro it is at most 999,999,999.99.
5. Text is of the SEPA Latin set, names have 1 to 70 characters; other scripts are refused, not guessed.
6. Euro: `SvcLvl` SEPA, `ChrgBr` SLEV, to IBANs of countries of the SEPA scheme; inside the EEA the IBAN
   suffices, and a BIC is given if it is known; outside of it a BIC is needed. Other currencies: to the
   same countries, with a BIC, `ChrgBr` SHAR.
7. `ReqdExctnDt` is a day on which TARGET is open.
8. `BtchBookg` is false: a statement names each payment. A bank without that agreement may book a batch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO, Final
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from domain.money import minor_digits
from domain.payouts.rules.bank_files import MAX_ID, BankLine, decimal
from domain.payouts.rules.latin import to_latin
from domain.payouts.rules.recipients import MAX_NAME, Recipient

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"

MAX_EURO: Final = 99_999_999_999
"""Largest SEPA credit transfer, in cents (EPC implementation guidelines)."""

SEPA_COUNTRIES: Final = frozenset(
    [
        "AD",
        "AL",
        "AT",
        "BE",
        "BG",
        "CH",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GB",
        "GI",
        "GR",
        "HR",
        "HU",
        "IE",
        "IS",
        "IT",
        "LI",
        "LT",
        "LU",
        "LV",
        "MC",
        "MD",
        "ME",
        "MK",
        "MT",
        "NL",
        "NO",
        "PL",
        "PT",
        "RO",
        "RS",
        "SE",
        "SI",
        "SK",
        "SM",
        "VA",
    ]
)
"""Countries of IBANs that the SEPA scheme reaches (EPC409-09); some territories use another's IBANs."""

_OUTSIDE_EEA: Final = frozenset(
    ["AD", "AL", "CH", "GB", "GI", "MC", "MD", "ME", "MK", "RS", "SM", "VA"]
)
"""Of them, those that are reached only with a BIC."""

_DIGITS: Final = 4
"""Most decimals that a currency has: control sums across currencies are kept so."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Payments of one currency from one account; ``batch_id`` is its `PmtInfId`."""

    batch_id: str
    debtor: Recipient
    currency: str
    on: date
    lines: Sequence[BankLine]


def message_id(installation: str, file_id: int) -> str:
    """What a bank calls a file by; its batches add their number.

    >>> message_id("3f2a91c04be7", 4), batch_id("3f2a91c04be7", 4, 1)
    ('PS-3f2a91c04be7-F4', 'PS-3f2a91c04be7-F4-1')
    """
    made = f"PS-{installation}-F{file_id}"
    assert len(made) <= MAX_ID, made
    return made


def batch_id(installation: str, file_id: int, number: int) -> str:
    """What a bank calls one batch of a file by."""
    made = f"{message_id(installation, file_id)}-{number}"
    assert len(made) <= MAX_ID, made
    return made


def unfit(to: Recipient, amount: int, currency: str, debtor: Recipient | None) -> str | None:
    """Why a payment (``amount`` in minor units) does not go into such a file, or None if it does."""
    if to.type != "iban":
        return "needs_csv: its recipient has no IBAN"
    if to.account[:2] not in SEPA_COUNTRIES:
        return f"needs_csv: {to.account[:2]} is not in SEPA"
    if not to.bic and currency != "eur":
        return f"needs_bic: in {currency} the recipient's BIC is needed"
    if not to.bic and to.account[:2] in _OUTSIDE_EEA:
        return f"needs_bic: to {to.account[:2]} the recipient's BIC is needed"
    if currency == "eur" and amount > MAX_EURO:
        return "needs_csv: SEPA moves at most 999,999,999.99 at once"
    if _name(to) is None:
        return f"name_not_latin: give the holder's name in Latin letters, at most {MAX_NAME}"
    if debtor is None:
        return f"no_debtor_account: none is set in {currency} (`payspool merchants bank set`)"
    return debtor_problem(debtor)


def debtor_problem(debtor: Recipient) -> str | None:
    """Why an account of ours cannot be the debtor's of such a file, or None if it can."""
    if debtor.type != "iban":
        return "no_debtor_account: the account that is set has no IBAN"
    if debtor.account[:2] not in SEPA_COUNTRIES:
        return f"no_debtor_account: {debtor.account[:2]} is not in SEPA"
    if _name(debtor) is None:
        return f"no_debtor_account: its name is not in Latin letters, at most {MAX_NAME}"
    return None


def batches(
    lines: Iterable[BankLine],
    debtors: Mapping[str, Recipient],
    *,
    installation: str,
    file_id: int,
    on: date,
) -> list[Batch]:
    """The lines by currency, in the order of its code; batches are numbered from 1."""
    by_currency: dict[str, list[BankLine]] = {}
    for line in lines:
        by_currency.setdefault(line.currency, []).append(line)
    return [
        Batch(batch_id(installation, file_id, n), debtors[currency], currency, on, sent)
        for n, (currency, sent) in enumerate(sorted(by_currency.items()), 1)
    ]


def write(out: BinaryIO, message: str, created: datetime, made: Sequence[Batch]) -> None:
    """Write the file (UTF-8), a payment at a time; ``created`` is UTC."""
    xml = _Xml(out)
    everything = [line for batch in made for line in batch.lines]
    with xml.within("Document", xmlns=NAMESPACE), xml.within("CstmrCdtTrfInitn"):
        with xml.within("GrpHdr"):
            xml.leaf("MsgId", message)
            xml.leaf("CreDtTm", f"{created:%Y-%m-%dT%H:%M:%SZ}")
            _control(xml, everything)
            with xml.within("InitgPty"):
                xml.leaf("Nm", _name(made[0].debtor) or "")
        for batch in made:
            _batch(xml, batch)
    xml.end()


def _batch(xml: "_Xml", batch: Batch) -> None:
    sepa = batch.currency == "eur"
    with xml.within("PmtInf"):
        xml.leaf("PmtInfId", batch.batch_id)
        xml.leaf("PmtMtd", "TRF")
        xml.leaf("BtchBookg", "false")
        _control(xml, batch.lines)
        if sepa:
            with xml.within("PmtTpInf"), xml.within("SvcLvl"):
                xml.leaf("Cd", "SEPA")
        with xml.within("ReqdExctnDt"):
            xml.leaf("Dt", batch.on.isoformat())
        with xml.within("Dbtr"):
            xml.leaf("Nm", _name(batch.debtor) or "")
        with xml.within("DbtrAcct"):
            with xml.within("Id"):
                xml.leaf("IBAN", batch.debtor.account)
            xml.leaf("Ccy", batch.currency.upper())
        with xml.within("DbtrAgt"), xml.within("FinInstnId"):
            if batch.debtor.bic:
                xml.leaf("BICFI", batch.debtor.bic)
            else:
                with xml.within("Othr"):
                    xml.leaf("Id", "NOTPROVIDED")
        xml.leaf("ChrgBr", "SLEV" if sepa else "SHAR")
        for line in batch.lines:
            _payment(xml, line)


def _payment(xml: "_Xml", line: BankLine) -> None:
    with xml.within("CdtTrfTxInf"):
        with xml.within("PmtId"):
            xml.leaf("EndToEndId", line.end_to_end_id)
        with xml.within("Amt"):
            xml.leaf("InstdAmt", decimal(line.amount, line.currency), Ccy=line.currency.upper())
        if line.recipient.bic:
            with xml.within("CdtrAgt"), xml.within("FinInstnId"):
                xml.leaf("BICFI", line.recipient.bic)
        with xml.within("Cdtr"):
            xml.leaf("Nm", _name(line.recipient) or "")
        with xml.within("CdtrAcct"), xml.within("Id"):
            xml.leaf("IBAN", line.recipient.account)


def _control(xml: "_Xml", lines: Sequence[BankLine]) -> None:
    total = sum(line.amount * 10 ** (_DIGITS - minor_digits(line.currency)) for line in lines)
    whole, rest = divmod(total, 10**_DIGITS)
    shown = f"{whole}.{rest:0{_DIGITS}d}".rstrip("0")
    xml.leaf("NbOfTxs", str(len(lines)))
    xml.leaf("CtrlSum", shown + "0" * max(0, 2 - len(shown.partition(".")[2])))


def _name(of: Recipient) -> str | None:
    written = to_latin(of.name)
    return written if written and len(written) <= MAX_NAME else None


class _Xml:
    """Elements as they are written; nothing is kept but what is open."""

    def __init__(self, out: BinaryIO) -> None:
        self._xml = XMLGenerator(out, "utf-8", short_empty_elements=True)
        self._xml.startDocument()

    @contextmanager
    def within(self, name: str, **attributes: str) -> Iterator[None]:
        self._xml.startElement(name, AttributesImpl(attributes))
        yield
        self._xml.endElement(name)

    def leaf(self, name: str, text: str, **attributes: str) -> None:
        assert text, f"{name} says something"
        with self.within(name, **attributes):
            self._xml.characters(text)

    def end(self) -> None:
        self._xml.endDocument()
