"""Table of destinations that changed: whose other users are still to be looked at."""

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Integer, Table, func, text

from domain.db import metadata

# A row until the look that follows a change of a payee's destination is done.
destination_looks = Table(
    "destination_looks",
    metadata,
    Column("payee_id", BigInteger, ForeignKey("payees.id"), primary_key=True, autoincrement=False),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    # Counts up with every change, so that a look that is late does not end the next one's.
    Column("changes", Integer, nullable=False, server_default=text("1")),
    # After the first look: the transaction that noted it. When all that began to write before it are over,
    # what was decided by the destination of before is to be seen, and a last look is due. (Not a snapshot's
    # xmax: transactions that run may have that number, or one above.)
    Column("settles_at", BigInteger, nullable=True),
    Column(
        "changed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.statement_timestamp(),
    ),
    Index("ix_destination_looks_merchant", "merchant_id", "payee_id"),
)
