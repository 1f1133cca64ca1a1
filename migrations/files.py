"""The SQL files of a revision."""

from pathlib import Path

from alembic import op


def run(revision: str) -> None:
    """Run ``sql/<revision>/*.sql`` in the order of their names, inside the migration's transaction."""
    driver = op.get_bind().connection.driver_connection
    for file in sorted((Path(__file__).parent / "sql" / revision).glob("*.sql")):
        # The driver itself: without parameters it takes many statements and leaves `%` alone.
        driver.execute(file.read_text(encoding="utf-8"))
