"""Results belong to one room's session, not to an id that a later room may have again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("estimation_sessions", "estimation_rounds", "estimation_votes")


def upgrade() -> None:
    """Number the sessions that there are, and let rounds and votes refer to the numbers.

    Their rooms' members were told of no key, so they have none.
    """
    op.drop_index("ix_estimation_sessions_closed_at", "estimation_sessions")
    for table in _TABLES:
        op.rename_table(table, f"old_{table}")
        if op.get_bind().dialect.name == "postgresql":
            # The index of a primary key has its name in common with no other table's.
            op.execute(f"ALTER INDEX pk_{table} RENAME TO old_pk_{table}")
    _make_tables()
    # From 1 on: far below every number that is given from now on, so none comes twice.
    op.execute(
        "INSERT INTO estimation_sessions (id, room_id, opened_at, closed_at) "
        "SELECT row_number() OVER (ORDER BY opened_at, room_id), room_id, opened_at, closed_at "
        "FROM old_estimation_sessions"
    )
    op.execute(
        "INSERT INTO estimation_rounds (session_id, number, ticket_id, seconds) "
        "SELECT id, number, ticket_id, seconds FROM old_estimation_rounds AS old "
        "JOIN estimation_sessions AS session ON session.room_id = old.room_id "
        "ORDER BY id, number"
    )
    op.execute(
        "INSERT INTO estimation_votes (session_id, number, position, member_id, name, value) "
        "SELECT id, number, position, member_id, name, value FROM old_estimation_votes AS old "
        "JOIN estimation_sessions AS session ON session.room_id = old.room_id "
        "ORDER BY id, number, position"
    )
    for table in reversed(_TABLES):
        op.drop_table(f"old_{table}")


def _make_tables() -> None:
    op.create_table(
        "estimation_sessions",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_estimation_sessions"),
    )
    op.create_index("ix_estimation_sessions_room_id", "estimation_sessions", ["room_id"])
    op.create_index("ix_estimation_sessions_closed_at", "estimation_sessions", ["closed_at"])
    op.create_table(
        "estimation_rounds",
        sa.Column("session_id", _ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["estimation_sessions.id"],
            name="fk_estimation_rounds_session_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "number", name="pk_estimation_rounds"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "estimation_votes",
        sa.Column("session_id", _ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id", "number"],
            ["estimation_rounds.session_id", "estimation_rounds.number"],
            name="fk_estimation_votes_session_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "number", "position", name="pk_estimation_votes"),
        sqlite_with_rowid=False,
    )
