"""Keep with each round the final estimate, and with each vote whether it was changed afterwards."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that are empty of all rounds so far."""
    op.add_column("estimation_rounds", sa.Column("estimate", sa.Text()))
    op.add_column("estimation_votes", sa.Column("changed", sa.Boolean()))
