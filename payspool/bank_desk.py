"""Bank files and statements, as the command line and the dashboard have them done."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import transaction, trial
from domain.payouts import service
from domain.payouts.service.bank_files import BankFile
from domain.secrets import SecretBox
from payspool import statement_import
from queues.marks import Marks
from web.dashboard.bank import Reading, StatementForm
from workers import mirroring


class Runtime(Protocol):
    """What is needed of the composition root."""

    @property
    def engine(self) -> Engine:
        """The runtime role's engine."""

    @property
    def marks(self) -> Marks | None:
        """What is kept outside of the database."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Does it on one installation; as `web.dashboard.bank.BankDesk`."""

    runtime: Runtime
    box: SecretBox = field(repr=False)

    def export(
        self,
        merchant_id: int,
        run_id: int,
        *,
        actor: Actor,
        format: str,
        on: date | None,
        dry_run: bool,
    ) -> BankFile:
        """The bank file of a run. What it sends is kept outside of the database before anybody gets the file.

        Committed first: a file that gets lost on its way is given again by the same call.
        """
        mirroring.check(self.runtime)
        engine = self.runtime.engine
        with trial(engine) if dry_run else transaction(engine) as tx:
            made = service.export(
                tx, merchant_id, run_id, box=self.box, actor=actor, format=format, on=on
            )
        if not dry_run and made.file_id is not None:
            mirroring.keep_newest(self.runtime)
        return made

    def read(
        self,
        merchant_id: int,
        content: bytes,
        *,
        actor: Actor,
        form: StatementForm,
        dry_run: bool,
    ) -> Reading:
        """Do what a statement says of payouts. Raises Invalid."""
        with tempfile.TemporaryDirectory(prefix="payspool-statement-") as folder:
            # Only its owner can look into it, and it is gone afterwards.
            file, rejects = Path(folder) / "statement", Path(folder) / "rejects.csv"
            file.write_bytes(content)
            with file.open("rb") as source:
                report = statement_import.import_statement(
                    self.runtime.engine,
                    merchant_id,
                    source,
                    format=form.format,
                    form=form.csv,
                    encoding=form.encoding,
                    rejects=rejects,
                    actor=actor,
                    dry_run=dry_run,
                )
            refused = rejects.read_bytes() if report.rejected else b""
        return Reading(
            report.statement_id,
            report.format,
            report.entries,
            dict(report.payouts),
            report.seen,
            report.not_ours,
            dict(report.rejected),
            report.shown,
            refused,
        )
