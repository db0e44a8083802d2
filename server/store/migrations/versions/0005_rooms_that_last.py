"""Keep rooms that outlive the server: how they were opened, what has happened, who came."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; no room of an earlier version lasts."""
    op.create_table(
        "lasting_rooms",
        sa.Column("session_id", _ID, autoincrement=False, nullable=False),
        sa.Column("room_id", sa.Text(), nullable=True),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("snapshot", sa.LargeBinary(), nullable=True),
        sa.Column("snapshot_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["estimation_sessions.id"],
            name="fk_lasting_rooms_session_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", name="pk_lasting_rooms"),
        sa.UniqueConstraint("room_id", name="uq_lasting_rooms_room_id"),
        sa.UniqueConstraint("claim", name="uq_lasting_rooms_claim"),
    )
    op.create_table(
        "room_log",
        sa.Column("session_id", _ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["lasting_rooms.session_id"],
            name="fk_room_log_session_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "number", name="pk_room_log"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "room_people",
        sa.Column("session_id", _ID, autoincrement=False, nullable=False),
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.Column("joined_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["estimation_sessions.id"],
            name="fk_room_people_session_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_room_people_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "user_id", name="pk_room_people"),
    )
    op.create_index("ix_room_people_user_id", "room_people", ["user_id", "session_id"])
