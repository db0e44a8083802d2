"""Know which account has opened a room, and what each calls it in its list."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let nobody own the rooms so far, which were opened without an account."""
    op.add_column(
        "room_people",
        sa.Column("owner", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("room_people", sa.Column("title", sa.Text()))
