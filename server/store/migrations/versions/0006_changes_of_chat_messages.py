"""Keep changes of chat messages, by which request they were made, and how far people have read."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Let every row so far be a message that nobody has changed."""
    op.add_column(
        "chat_messages", sa.Column("kind", sa.Text(), nullable=False, server_default="message")
    )
    op.add_column("chat_messages", sa.Column("target", _ID))
    op.add_column("chat_messages", sa.Column("changed_at", sa.Double()))
    op.add_column("chat_messages", sa.Column("member", sa.Text()))
    op.add_column("chat_messages", sa.Column("ref", sa.BigInteger()))
    numbered = sa.text("member IS NOT NULL")
    op.create_index(
        "uq_chat_messages_member",
        "chat_messages",
        ["room_id", "member", "ref"],
        unique=True,
        sqlite_where=numbered,
        postgresql_where=numbered,
    )
    changing = sa.text("target IS NOT NULL")
    op.create_index(
        "ix_chat_messages_target",
        "chat_messages",
        ["room_id", "target"],
        sqlite_where=changing,
        postgresql_where=changing,
    )
    op.create_table(
        "chat_reads",
        sa.Column("user_id", _ID, nullable=False, autoincrement=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("seq", _ID, nullable=False, autoincrement=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_chat_reads_user_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["room_id"], ["chat_rooms.id"], name="fk_chat_reads_room_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "room_id", name="pk_chat_reads"),
    )
    op.create_index("ix_chat_reads_room_id", "chat_reads", ["room_id"])
