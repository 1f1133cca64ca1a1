"""A gateway's own books, as reconciliation reads them: pages of lines, newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable


class GatewayTransaction(NamedTuple):
    """A line of a gateway's books. Amounts are signed, in minor units; what left it is negative.

    ``transfer_id`` is the transfer that the line makes or reverses. ``installation``, ``payout_id`` and
    ``attempt_key`` are that transfer's metadata, if it has any.
    """

    external_id: str
    type: str
    source_id: str | None
    transfer_id: str | None
    destination: str | None
    installation: str | None
    payout_id: int | None
    attempt_key: str | None
    amount: int
    fee: int
    net: int
    currency: str
    created: datetime
    available_on: datetime


@dataclass(frozen=True, slots=True)
class BooksPage:
    """Some lines, newest first, and whether older ones follow the last of them."""

    lines: tuple[GatewayTransaction, ...]
    more: bool


@runtime_checkable
class KeepsBooks(Protocol):
    """A gateway that lets its books be read."""

    def books(
        self, *, created_from: datetime, created_before: datetime, after: str | None
    ) -> BooksPage:
        """The page of lines of this time (the gateway's clock) that follows the line ``after``.

        Raises DomainError if the gateway did not answer; asking again is always safe.
        """
