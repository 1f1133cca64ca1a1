"""Dead letters in SQL: what operators look at and decide on.

Revision ID: 0002
"""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql" / revision


def upgrade() -> None:
    """Run the files of this revision in the order of their names."""
    driver = op.get_bind().connection.driver_connection
    for file in sorted(SQL.glob("*.sql")):
        driver.execute(file.read_text(encoding="utf-8"))
