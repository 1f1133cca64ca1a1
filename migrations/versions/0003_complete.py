"""What payouts, referrals and loyalty need to be complete: limits, legs, reversals, holds, rewards.

Revision ID: 0003
"""

from migrations import files

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the files of this revision."""
    files.run(revision)
