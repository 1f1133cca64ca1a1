"""SQL of the watermark: where this database is, where it says it was, and which attempts it knows."""

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.watermark import Mark

AGREES: Final = """
    (CAST(:server AS text) IS NULL
     OR (EXISTS (SELECT FROM payout_watermark w WHERE w.server = :server AND w.server = payout_server())
         AND (SELECT count(*) FROM payout_attempts WHERE id = ANY(CAST(:attempts AS bigint[])))
             = cardinality(CAST(:attempts AS bigint[]))))
"""
"""Condition under which the database knows all that the mark of ``of_mark`` does (a server of NULL: no
mark is to be compared). It is read with the send, so that no failover comes in between."""


def of_mark(mark: Mark | None) -> dict[str, Any]:
    """The values of AGREES."""
    return {
        "server": None if mark is None else mark.server,
        "attempts": [] if mark is None else list(mark.attempts),
    }


def agrees(tx: Tx, mark: Mark) -> bool:
    """Whether the database is where it and the mark say it was, and knows the mark's attempts."""
    found: bool = tx.execute(text(f"SELECT {AGREES}"), of_mark(mark)).scalar_one()
    return found


def here(tx: Tx) -> str:
    """The server that the database is on now."""
    server: str = tx.execute(text("SELECT payout_server()")).scalar_one()
    return server


def own(tx: Tx) -> str | None:
    """The server that the database was on when it last sent, as it says; None if it never did."""
    server: str | None = tx.execute(text("SELECT server FROM payout_watermark")).scalar()
    return server


def missing(tx: Tx, attempts: tuple[int, ...]) -> list[int]:
    """Those of ``attempts`` that the database does not know."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.id FROM unnest(CAST(:ids AS bigint[])) AS m (id)
                WHERE NOT EXISTS (SELECT FROM payout_attempts a WHERE a.id = m.id) ORDER BY m.id
                """
            ),
            {"ids": list(attempts)},
        ).scalars()
    )


def newest(tx: Tx, limit: int) -> tuple[int, ...]:
    """The numbers of the newest attempts, ascending."""
    rows = tx.execute(
        text("SELECT id FROM payout_attempts ORDER BY id DESC LIMIT :limit"), {"limit": limit}
    )
    return tuple(sorted(rows.scalars()))


def learn(tx: Tx) -> bool:
    """Keep where the database is, if it never said so; False if it had."""
    return (
        tx.execute(
            text(
                """
                INSERT INTO payout_watermark (id, server, learned_at)
                VALUES (1, payout_server(), clock_timestamp()) ON CONFLICT DO NOTHING
                """
            )
        ).rowcount
        == 1
    )


def move(tx: Tx) -> None:
    """Keep where the database is now, whatever it said before."""
    tx.execute(
        text(
            """
            INSERT INTO payout_watermark (id, server, learned_at)
            VALUES (1, payout_server(), clock_timestamp())
            ON CONFLICT (id) DO UPDATE SET server = excluded.server, learned_at = excluded.learned_at
            """
        )
    )
