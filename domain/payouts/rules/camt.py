"""Statements and notices of banks in XML: ISO 20022 camt.053 and camt.054, any version of them.

Read piece by piece: nothing is kept but the entry that is open, whatever the file's length. A file that
declares a document type or an entity is refused before anything is expanded; nothing outside is read.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final
from xml.parsers import expat

from domain.errors import Invalid
from domain.money import is_currency
from domain.payouts.rules.statements import Entry, minor, reference_in

MAX_DEPTH: Final = 64
"""Elements inside one another; the standard has about twelve."""

MAX_TEXT: Final = 4_096
"""Longest text that is kept of one entry's element (the standard's longest are 500)."""

_ROOT: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.05[34]\.001\.[0-9]{2} Document")
_OPENS: Final = ("Stmt", "Ntfctn")
_OF_ENTRY: Final = frozenset(
    [
        "Amt",
        "CdtDbtInd",
        "RvslInd",
        "Sts",
        "Sts/Cd",
        "BookgDt/Dt",
        "BookgDt/DtTm",
        "ValDt/Dt",
        "AcctSvcrRef",
        "NtryDtls/Btch/MsgId",
        "NtryDtls/Btch/PmtInfId",
        "NtryDtls/Btch/NbOfTxs",
        "AddtlNtryInf",
    ]
)
_OF_DETAIL: Final = frozenset(
    [
        "Refs/EndToEndId",
        "Refs/AcctSvcrRef",
        "Refs/PmtInfId",
        "Refs/MsgId",
        "Amt",
        "AmtDtls/TxAmt/Amt",
        "CdtDbtInd",
        "RtrInf/Rsn/Cd",
        "RtrInf/Rsn/Prtry",
        "RtrInf/AddtlInf",
        "RmtInf/Ustrd",
    ]
)


class CamtReader:
    """Reads a file as often as it is given one: ``uneven`` is learnt by a first reading and told by a
    later one."""

    def __init__(self) -> None:
        self.uneven: set[int] = set()
        """Entries, by number, whose details do not add up to them: none of their details counts."""

    def entries(self, chunks: Iterable[bytes]) -> Iterator[Entry]:
        """The entries of a file, one for each detail where there are any. Raises Invalid."""
        reading = _Reading(self.uneven)
        for chunk in chunks:
            reading.feed(chunk, final=False)
            yield from reading.taken()
        reading.feed(b"", final=True)
        yield from reading.taken()


class _Reading:
    def __init__(self, uneven: set[int]) -> None:
        self._uneven = uneven
        self._path: list[str] = []
        self._account = ""
        self._entry: dict[str, str] | None = None
        self._detail: dict[str, str] | None = None
        self._at = self._details_at = 0  # depth of the element that is open
        self._number = self._details = self._sum = 0
        self._incomparable = False
        self._text: list[str] = []
        self._length = 0
        self._currency = ""
        self._done: list[Entry] = []
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        self._parser = parser

    def feed(self, chunk: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(chunk, final)
        except expat.ExpatError as error:
            raise Invalid(
                "FILE", f"is no whole XML: {expat.ErrorString(error.code)}, line {error.lineno}"
            ) from None
        except (LookupError, ValueError):
            raise Invalid("FILE", "is XML in an encoding that is not read; UTF-8 is") from None

    def taken(self) -> list[Entry]:
        done, self._done = self._done, []
        return done

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and not _ROOT.fullmatch(name):
            raise Invalid("FILE", "is no camt.053 or camt.054 document")
        if len(self._path) >= MAX_DEPTH:
            raise Invalid("FILE", f"has elements more than {MAX_DEPTH} deep")
        local = name[name.rfind(" ") + 1 :]
        self._path.append(local)
        self._text, self._length = [], 0
        if local in _OPENS and len(self._path) == 3:
            self._account = ""
        elif local == "Ntry" and len(self._path) == 4:
            self._entry, self._at = {}, len(self._path)
            self._number += 1
            self._details = self._sum = 0
            self._incomparable = False
        elif self._entry is not None and local == "NtryDtls":
            for told in [path for path in self._entry if path.startswith("NtryDtls/")]:
                del self._entry[told]
        elif self._entry is not None and local == "TxDtls":
            self._detail, self._details_at = {}, len(self._path)
        self._currency = attributes.get("Ccy", "")

    def _characters(self, text: str) -> None:
        kept = text[: MAX_TEXT - self._length]
        if kept:
            self._length += len(kept)
            self._text.append(kept)

    def _end(self, _name: str) -> None:
        text, self._text = "".join(self._text).strip(), []
        if self._detail is not None and len(self._path) > self._details_at:
            self._keep(self._detail, _OF_DETAIL, self._path[self._details_at :], text)
        elif self._entry is not None and len(self._path) > self._at:
            self._keep(self._entry, _OF_ENTRY, self._path[self._at :], text)
        elif self._path[3:] in (["Acct", "Id", "IBAN"], ["Acct", "Id", "Othr", "Id"]):
            self._account = text
        local = self._path.pop()
        if local == "TxDtls" and self._detail is not None:
            self._close_detail()
        elif local == "Ntry" and self._entry is not None:
            self._close_entry()
        self._length = 0

    def _keep(
        self, told: dict[str, str], wanted: frozenset[str], path: list[str], text: str
    ) -> None:
        name = "/".join(path)
        if name not in wanted or not text:
            return
        if name in ("RmtInf/Ustrd", "RtrInf/AddtlInf"):
            text = f"{told.get(name, '')} {text}".strip()[:MAX_TEXT]
        told[name] = text
        if path[-1] == "Amt":
            told[f"{name}@Ccy"] = self._currency

    def _close_detail(self) -> None:
        assert self._entry is not None
        assert self._detail is not None
        detail, self._detail = self._detail, None
        self._details += 1
        made = _made(
            self._entry, detail, f"entry {self._number}, detail {self._details}", self._account
        )
        if made.problem is None and made.currency == self._entry.get("Amt@Ccy", "").lower():
            self._sum += made.amount if made.debit else -made.amount
        else:
            self._incomparable = True
        if self._number in self._uneven:
            made = Entry(made.place, problem="the details of its entry do not add up to it")
        self._done.append(made)

    def _close_entry(self) -> None:
        assert self._entry is not None
        entry, self._entry = self._entry, None
        whole = _made(entry, None, f"entry {self._number}", self._account)
        if not self._details:
            self._done.append(whole)
        elif whole.problem is None and not self._incomparable:
            signed = whole.amount if whole.debit else -whole.amount
            if self._sum != signed:
                self._uneven.add(self._number)


def _refuse(*_declared: object) -> None:
    raise Invalid("FILE", "declares a document type or an entity; statements of banks do not")


def _made(entry: dict[str, str], detail: dict[str, str] | None, place: str, account: str) -> Entry:
    told = detail or {}
    amount, currency = _amount(entry, detail)
    direction = told.get("CdtDbtInd", entry.get("CdtDbtInd", ""))
    booked_on = _day(
        entry.get("BookgDt/Dt") or entry.get("BookgDt/DtTm") or entry.get("ValDt/Dt", "")
    )
    if amount is None or amount < 1:
        return Entry(place, problem="its amount is missing, or is none of its currency")
    if direction not in ("DBIT", "CRDT") or booked_on is None:
        return Entry(place, problem="it does not say when it was booked, or which way")
    debit = direction == "DBIT"
    reference = _reference(entry, told)
    count = entry.get("NtryDtls/Btch/NbOfTxs", "")
    return Entry(
        place,
        reference,
        amount,
        currency,
        debit,
        booked_on,
        (told.get("Refs/AcctSvcrRef") or entry.get("AcctSvcrRef", ""))[:200],
        account,
        None if debit else _reason(entry, told),
        int(count) if detail is None and re.fullmatch(r"[0-9]{1,9}", count) else None,
        (entry.get("Sts/Cd") or entry.get("Sts")) == "BOOK",
    )


def _amount(entry: dict[str, str], detail: dict[str, str] | None) -> tuple[int | None, str]:
    for told, name in ((detail, "Amt"), (detail, "AmtDtls/TxAmt/Amt"), (entry, "Amt")):
        if told is not None and name in told:
            currency = told[f"{name}@Ccy"].lower()
            return (minor(told[name], currency) if is_currency(currency) else None), currency
    return None, ""


def _reference(entry: dict[str, str], told: dict[str, str]) -> str:
    """The first of its texts with a reference of ours, or what it calls itself."""
    texts = [told.get(name, "") for name in ("Refs/EndToEndId", "RmtInf/Ustrd")]
    texts += [told.get(name, "") for name in ("Refs/PmtInfId", "Refs/MsgId")]
    if not told:
        texts += [entry.get(f"NtryDtls/Btch/{name}", "") for name in ("PmtInfId", "MsgId")]
        texts.append(entry.get("AddtlNtryInf", ""))
    return next((text for text in texts if reference_in(text) is not None), texts[0])


def _reason(entry: dict[str, str], told: dict[str, str]) -> str | None:
    code = told.get("RtrInf/Rsn/Cd") or told.get("RtrInf/Rsn/Prtry", "")
    said = ": ".join(part for part in (code, told.get("RtrInf/AddtlInf", "")) if part)[:500]
    if not said and entry.get("RvslInd") in ("true", "1"):
        return "reversed by the bank"
    return said or None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
