"""What payouts need to be steered: approvals, stops, gateways, webhooks, reconciliation.

Revision ID: 0002
"""

from migrations import files

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the files of this revision."""
    files.run(revision)
