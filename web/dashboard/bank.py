"""What the dashboard asks of whoever writes bank files and reads statements; the composition root does it.

Both take secrets and what is kept outside of the database, which no page sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Protocol

from domain.audit.service import Actor
from domain.payouts.rules.statement_csv import CsvForm
from domain.payouts.service.bank_files import BankFile

UPLOAD_BYTES_MAX: Final = 32 * 1024 * 1024
"""Longest statement that a page takes; longer ones are the command's."""


@dataclass(frozen=True, slots=True)
class StatementForm:
    """How a statement is written: ``format`` is seen from the file if None; the rest is of a CSV."""

    format: str | None = None
    csv: CsvForm = field(default_factory=CsvForm)
    encoding: str = "utf-8-sig"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a statement did to payouts, or would do.

    Attributes:
        payouts: How many were ``paid``, ``refused`` and ``returned``.
        seen: Entries that an earlier reading did.
        not_ours: Entries about something else.
        rejected: Entries that name our reference and do not fit, by reason.
        shown: The first of those.
        rejects: All of them, as CSV; empty if there are none.
    """

    statement_id: int
    format: str
    entries: int
    payouts: Mapping[str, int]
    seen: int
    not_ours: int
    rejected: Mapping[str, int]
    shown: Sequence[Mapping[str, Any]]
    rejects: bytes = field(repr=False)


class BankDesk(Protocol):
    """Writes bank files and reads statements, in transactions of its own."""

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
        """The bank file of a run; with ``dry_run`` what it would hold, and nothing is changed.

        Raises what `domain.payouts.service.export` raises; and, if what was sent could not be kept outside of
        the database, that: then nobody may get the file.
        """

    def read(
        self,
        merchant_id: int,
        content: bytes,
        *,
        actor: Actor,
        form: StatementForm,
        dry_run: bool,
    ) -> Reading:
        """Do what a statement says of payouts; with ``dry_run`` say it, and change nothing. Raises Invalid."""
