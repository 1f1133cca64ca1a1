"""The first schema: tables, triggers that keep what must never happen, and the runtime role's rights.

Revision ID: 0001
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql" / revision


def upgrade() -> None:
    """Run the files of this revision in the order of their names."""
    driver = op.get_bind().connection.driver_connection
    for file in sorted(SQL.glob("*.sql")):
        # The driver itself: without parameters it takes many statements and leaves `%` alone.
        driver.execute(file.read_text(encoding="utf-8"))
