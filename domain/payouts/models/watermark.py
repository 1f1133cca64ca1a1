"""Table of the watermark: the server that this database was on when it last sent, as it knows itself.

A copy of the database carries the row of its original, and finds that it is on another server now.
"""

from sqlalchemy import CheckConstraint, Column, SmallInteger, Table, Text

from domain.db import at_column, metadata

payout_watermark = Table(
    "payout_watermark",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    # `<installation>/<system identifier>/<timeline>/<database>`, as `payout_server()` gave it.
    Column("server", Text, nullable=False),
    # Real time: since when sending from there is allowed.
    at_column("learned_at"),
    CheckConstraint("id = 1", name="one_row"),
)
