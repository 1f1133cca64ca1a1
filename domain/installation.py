"""Which installation this database is: a random code that its migration drew, and that never changes.

Payouts are numbered in each database from 1, and a gateway account may be used by more than one. The code
is a part of every idempotency key, transfer group and metadata, so that nobody takes another one's
payment for their own. A restored backup is the same installation, and must be: its keys are those that
the gateway remembers. A copy that is to send beside the original is not; it starts from an empty database.
"""

from sqlalchemy import CheckConstraint, Column, SmallInteger, Table, Text, text

from domain.db import Tx, created_at, metadata

installation = Table(
    "installation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False),
    created_at(),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("code ~ '^[0-9a-f]{12}$'", name="code_form"),
)


def installation_code(tx: Tx) -> str:
    """The code of this installation: twelve hexadecimal digits."""
    code: str = tx.execute(text("SELECT code FROM installation")).scalar_one()
    return code
