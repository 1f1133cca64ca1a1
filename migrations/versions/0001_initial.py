"""The first schema: tables, triggers that keep what must never happen, and the runtime role's rights.

Revision ID: 0001
"""

from migrations import files

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the files of this revision."""
    files.run(revision)
