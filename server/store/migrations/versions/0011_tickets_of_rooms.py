"""Keep with each round which ticket of the backlog it was about, and the backlogs of rooms."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make room for both; rooms so far had no backlog."""
    op.add_column("estimation_rounds", sa.Column("ticket", sa.Integer()))
    op.create_table(
        "estimation_backlogs",
        sa.Column("session_id", _ID, autoincrement=False, nullable=False),
        sa.Column("tickets", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["estimation_sessions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id"),
    )
