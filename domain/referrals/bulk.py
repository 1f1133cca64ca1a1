"""Making very many codes in one transaction: all of them, or none."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import DomainError, Invalid
from domain.referrals import admin, admin_store
from domain.referrals.admin import NewCode
from domain.referrals.rules.codes import make_codes

MAX_CODES: Final = 1_000_000
"""Most codes of one call."""
MAX_BATCH: Final = 5_000
"""Most codes that are asked for, and told, in one answer."""
MAX_BATCH_KEY: Final = 100
"""Longest key of a batch (as the column)."""
CHUNK: Final = 20_000
"""Codes of one statement."""
LENGTH: Final = 8
"""32^8, 1.1 million million: a million codes more hardly ever meet one that is there."""


def create(
    tx: Tx,
    merchant_id: int,
    program_key: str,
    owners: Iterable[str],
    *,
    actor: Actor,
    max_uses: int | None = None,
    expires_at: datetime | None = None,
    made: Callable[[list[tuple[str, str]]], None] = lambda _: None,
    batch_id: int | None = None,
) -> int:
    """Make a code for each of ``owners``, who may come again; returns how many.

    ``made`` is told (owner, code) chunk by chunk. Raises NotFound for the program; Invalid, naming what is
    wrong; nothing is made then.
    """
    found = admin.found_program(tx, merchant_id, program_key)
    if found.codes_per_user is not None:
        admin_store.lock_codes_of(tx, found.id)
    total = 0
    first: str | None = None
    for users in _chunks(owners):
        total += len(users)
        if total > MAX_CODES:
            raise Invalid("owners", f"are at most {MAX_CODES:,} in one call")
        for user in users:
            admin.check_code(NewCode(user, max_uses=max_uses, expires_at=expires_at))
        codes = _insert(tx, merchant_id, found, users, max_uses, expires_at, batch_id)
        _check_per_user(tx, found, users)
        first = first or codes[0]
        made(list(zip(users, codes, strict=True)))
    audit.record(
        tx,
        actor,
        "codes.created",
        merchant_id=merchant_id,
        subject_kind="program",
        subject_id=program_key,
        after={"count": total, "first": first},
    )
    return total


@dataclass(frozen=True, slots=True)
class Batch:
    """(user, code) of a batch, in order of both. ``repeated``: it was made before."""

    codes: list[tuple[str, str]]
    repeated: bool


class BatchDiffers(DomainError):
    """The key of a batch of codes was used for another one."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"Other codes were asked for by the key {key!r}. Ask for these by another key."
        )


def create_batch(
    tx: Tx,
    merchant_id: int,
    key: str,
    program_key: str,
    owners: Sequence[str],
    *,
    actor: Actor,
    max_uses: int | None = None,
    expires_at: datetime | None = None,
) -> Batch:
    """Make a code for each of ``owners``, up to MAX_BATCH, once: repeated by its key, it is told again.

    Raises as ``create`` does, Invalid for a key or number that cannot be, and BatchDiffers if the key was
    used for others.
    """
    if not 1 <= len(key) <= MAX_BATCH_KEY:
        raise Invalid("batch", f"has 1 to {MAX_BATCH_KEY} characters")
    if not 1 <= len(owners) <= MAX_BATCH:
        raise Invalid("users", f"are 1 to {MAX_BATCH:,} codes in one batch; ask for more in others")
    # Before it is hashed: of a time without an offset nobody knows which moment it is.
    admin.check_code(NewCode(owners[0], max_uses=max_uses, expires_at=expires_at))
    program = admin.found_program(tx, merchant_id, program_key)
    asked = [program_key, list(owners), max_uses, expires_at and expires_at.timestamp()]
    content_hash = hashlib.sha256(json.dumps(asked).encode()).digest()
    # Of two that ask at once, the second waits here for the first, and finds what it made.
    batch_id = admin_store.insert_batch(tx, merchant_id, program.id, key, content_hash, len(owners))
    if batch_id is None:
        known = admin_store.batch(tx, merchant_id, key)
        if bytes(known.content_hash) != content_hash:
            raise BatchDiffers(key)
        return Batch(admin_store.codes_of_batch(tx, known.id), True)
    create(
        tx,
        merchant_id,
        program_key,
        owners,
        actor=actor,
        max_uses=max_uses,
        expires_at=expires_at,
        batch_id=batch_id,
    )
    return Batch(admin_store.codes_of_batch(tx, batch_id), False)


def _check_per_user(tx: Tx, program: Any, users: Sequence[str]) -> None:
    """Of those who get codes only: others may have more, from before there was a limit."""
    if program.codes_per_user is None:
        return
    over = admin_store.owner_of_too_many(tx, program, sorted(set(users)))
    if over is not None:
        raise Invalid(
            "owners",
            f"{over} would have more than {program.codes_per_user} codes of the program"
            f" {program.key!r}",
        )


def _insert(
    tx: Tx,
    merchant_id: int,
    program: Any,
    users: list[str],
    max_uses: int | None,
    expires_at: datetime | None,
    batch_id: int | None,
) -> list[str]:
    codes: list[str] = [""] * len(users)
    pending = list(range(len(users)))
    while pending:
        drawn = make_codes(len(pending), length=LENGTH, random=secrets.token_bytes)
        place = dict(zip(drawn, pending, strict=True))  # of two that are equal, the later
        new = admin_store.insert_codes(
            tx,
            merchant_id,
            program.id,
            [
                {
                    "code": code,
                    "user_id": users[at],
                    "max_uses": max_uses,
                    "expires_at": expires_at,
                }
                for code, at in place.items()
            ],
            batch_id,
        )
        for code in new:
            codes[place[code]] = code
        pending = [at for at in pending if not codes[at]]
    return codes


def _chunks(owners: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(owners)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
