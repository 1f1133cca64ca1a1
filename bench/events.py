"""The events that are measured: plain conversions of a percentage program."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.referrals import admin

MERCHANT: Final = "acme"
SOURCE: Final = "shop"
OWNERS: Final = 1_000
"""Payees (each with a code) that uniform events go round."""
REFERRED: Final = 20_000
"""Referred users that events go round: an attribution is made for each."""
_CLERK: Final = Actor("command", "bench")


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of the installation: one an owner; one that takes all; one of the same with a limit."""

    uniform: Sequence[str]
    hot: str
    capped: str


def furnish(engine: Engine) -> Codes:
    """Make the merchant, a program of 10 %, and its codes."""
    with transaction(engine) as tx:
        merchant = merchants.add(tx, MERCHANT, "Acme", mode="test", actor=_CLERK).id
        terms = admin.Terms({"kind": "percentage", "basis_points": 1000}, "usd")
        admin.create_program(tx, merchant, "friends", "Friends", terms, actor=_CLERK)
        owners = [admin.NewCode(f"owner-{i}") for i in range(OWNERS)]
        hot = [admin.NewCode("hot-owner"), admin.NewCode("capped-owner", max_uses=1_000_000_000)]
        codes = admin.create_codes(tx, merchant, "friends", [*owners, *hot], actor=_CLERK)
    return Codes(codes[:OWNERS], *codes[OWNERS:])


def conversions(codes: Sequence[str], count: int, *, first: int = 0) -> Iterator[str]:
    """Texts of ``count`` events, numbered from ``first``; each is counted and earns something."""
    now = datetime.now(UTC).isoformat()
    for n in range(first, first + count):
        yield json.dumps(
            {
                "specversion": "1.0",
                "id": f"ord-{n}/paid",
                "source": SOURCE,
                "merchant": MERCHANT,
                "type": "conversion.recorded",
                "time": now,
                "data": {
                    "code": codes[n % len(codes)],
                    "referred_user_id": f"user-{n % REFERRED}",
                    "transaction_id": f"ord-{n}",
                    "amount": 1_000 + n % 5_000,
                    "currency": "usd",
                },
            },
            separators=(",", ":"),
        )
