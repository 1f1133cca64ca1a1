"""A merchant whose payouts a bank was asked for, and that bank's statements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.rules.recipients import parse_recipient
from domain.payouts.rules.statement_csv import CsvForm
from domain.payouts.service import debtors
from domain.payouts.service.bank_files import BankFile
from domain.secrets import SecretBox, new_key
from payspool.statement_import import Report, import_statement
from tests.domain.payouts.house import JUNE, earn, merchant, rows, run

ANN = Actor("command", "ann")
BOX = SecretBox([new_key()])
IBAN = "DE89370400440532013000"
SHOP = "GB82WEST12345698765432"


def account(name: str, iban: str = IBAN) -> Any:
    return parse_recipient(json.dumps({"type": "iban", "name": name, "iban": iban}))


@dataclass
class Desk:
    """``names``: our reference of each payee's payout, by user."""

    engine: Engine
    acme: int
    run_id: int
    file: BankFile
    tmp: Path

    @property
    def names(self) -> dict[str, str]:
        found = rows(
            self.engine,
            "SELECT p.user_id, a.params->>'end_to_end_id' FROM payouts p"
            " JOIN payout_attempts a ON a.payout_id = p.id WHERE p.merchant_id = :m ORDER BY a.n",
            m=self.acme,
        )
        return dict(found)  # type: ignore[arg-type]

    @property
    def file_name(self) -> str:
        return "-".join([*next(iter(self.names.values())).split("-")[:2], f"F{self.file.file_id}"])

    @property
    def states(self) -> dict[str, str]:
        found = rows(
            self.engine,
            "SELECT user_id, state FROM payouts WHERE merchant_id = :m ORDER BY id",
            m=self.acme,
        )
        return dict(found)  # type: ignore[arg-type]

    def id_of(self, user: str) -> int:
        [(found,)] = rows(
            self.engine,
            "SELECT id FROM payouts WHERE merchant_id = :m AND user_id = :u",
            m=self.acme,
            u=user,
        )
        return int(found)

    def read(
        self,
        content: str | bytes,
        *,
        merchant_id: int | None = None,
        form: CsvForm | None = None,
        dry_run: bool = False,
        encoding: str = "utf-8-sig",
    ) -> Report:
        path = self.tmp / "statement"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with path.open("rb") as source:
            return import_statement(
                self.engine,
                merchant_id or self.acme,
                source,
                format=None,
                form=form or CsvForm(),
                encoding=encoding,
                rejects=self.tmp / "rejects.csv",
                actor=ANN,
                dry_run=dry_run,
            )


def desk(
    engine: Engine,
    tmp: Path,
    users: Sequence[str] = ("ada", "bob", "cy"),
    *,
    key: str = "acme",
    format: str = "pain.001",
) -> Desk:
    """Payouts of 10.05 EUR to each user, exported in one file."""
    with transaction(engine) as tx:
        acme = merchant(tx, key)
        debtors.set_debtor(tx, acme, "eur", account("Shop", SHOP), box=BOX, actor=ANN)
        for user in users:
            service.set_recipient(
                tx, acme, user, account(user.title()), at=JUNE, box=BOX, actor=ANN
            )
            earn(tx, acme, 1_005, user, currency="eur")
    made = run(engine, acme, methods=("manual",))
    with transaction(engine) as tx:
        file = service.export(tx, acme, made.run_id, box=BOX, actor=ANN, format=format)
    return Desk(engine, acme, made.run_id, file, tmp)


HEAD = "reference,amount,currency,booked_on,bank_reference,reason,count\n"


def csv_line(
    reference: str,
    amount: str = "-10.05",
    currency: str = "EUR",
    bank: str = "",
    reason: str = "",
    count: str = "",
) -> str:
    return f"{reference},{amount},{currency},2026-06-05,{bank},{reason},{count}\n"


def camt(entries: str, *, version: str = "camt.053.001.08", part: str = "Stmt") -> str:
    """A document around entries; the head has what banks send and we pass over."""
    message = {"Stmt": "BkToCstmrStmt", "Ntfctn": "BkToCstmrDbtCdtNtfctn"}[part]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{version}"><{message}>'
        "<GrpHdr><MsgId>1</MsgId></GrpHdr>"
        f"<{part}><Id>7</Id><Acct><Id><IBAN>{SHOP}</IBAN></Id></Acct>"
        '<Bal><Amt Ccy="EUR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>'
        f"{entries}</{part}></{message}></Document>"
    )


def detail(name: str, amount: str | None = "10.05", reason: str = "", ref: str = "") -> str:
    back = f"<RtrInf><Rsn><Cd>{reason}</Cd></Rsn></RtrInf>" if reason else ""
    ref = f"<AcctSvcrRef>{ref}</AcctSvcrRef>" if ref else ""
    told = "" if amount is None else f'<Amt Ccy="EUR">{amount}</Amt>'
    return f"<TxDtls><Refs>{ref}<EndToEndId>{name}</EndToEndId></Refs>{told}{back}</TxDtls>"


def entry(
    details: str,
    amount: str = "10.05",
    *,
    way: str = "DBIT",
    ref: str = "BANK-1",
    status: str = "<Cd>BOOK</Cd>",
    batch: str = "",
    currency: str = "EUR",
) -> str:
    inside = f"<NtryDtls>{batch}{details}</NtryDtls>" if batch or details else ""
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{way}</CdtDbtInd>'
        f"<Sts>{status}</Sts><BookgDt><Dt>2026-06-05</Dt></BookgDt>"
        f"<AcctSvcrRef>{ref}</AcctSvcrRef>{inside}</Ntry>"
    )
