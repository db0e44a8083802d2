"""Remember which sequence numbers of chat messages may have been told."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mark to each room; below what it has of messages it means nothing."""
    op.add_column(
        "chat_rooms",
        sa.Column(
            "granted_seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            server_default="0",
        ),
    )
