"""Table of looks for what came back: how far a gateway's list of it was read, account by account."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

return_looks = Table(
    "return_looks",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("platform_account", String(255), nullable=False),
    # The look that is under way: at what was made since this day (the gateway's clock), how many entries of
    # the list it has passed, and when it began (real time).
    Column("made_from", Date, nullable=True),
    Column("passed", BigInteger, nullable=False, server_default=text("0")),
    at_column("began_at", nullable=True),
    # Real time: when the last look that came to its end began, and when the gateway was asked last.
    at_column("complete_at", nullable=True),
    at_column("looked_at", nullable=True),
    # Payouts of which a look found that they came back, before anything else had told it.
    Column("found", BigInteger, nullable=False, server_default=text("0")),
    # Why the last call gave nothing.
    Column("error", String(500), nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "method", "platform_account"),
    CheckConstraint("(made_from IS NULL) = (began_at IS NULL)", name="look_is_begun"),
    CheckConstraint(
        "passed = 0 OR (passed > 0 AND made_from IS NOT NULL)", name="passed_in_a_look"
    ),
)
