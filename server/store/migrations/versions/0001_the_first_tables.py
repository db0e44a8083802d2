"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them in an empty database."""
    op.create_table(
        "estimation_sessions",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("room_id", name="pk_estimation_sessions"),
    )
    op.create_index("ix_estimation_sessions_closed_at", "estimation_sessions", ["closed_at"])

    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_settings"),
    )
    op.create_table(
        "users",
        sa.Column("id", _ID, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email_key", name="uq_users_email_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chat_rooms",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("creator_id", _ID, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["creator_id"], ["users.id"], name="fk_chat_rooms_creator_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_chat_rooms"),
    )
    op.create_index("ix_chat_rooms_created_at", "chat_rooms", ["created_at", "id"])
    op.create_index("ix_chat_rooms_creator_id", "chat_rooms", ["creator_id"])

    op.create_table(
        "estimation_rounds",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["room_id"],
            ["estimation_sessions.room_id"],
            name="fk_estimation_rounds_room_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("room_id", "number", name="pk_estimation_rounds"),
    )
    op.create_table(
        "posts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("author_id", _ID, autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["author_id"], ["users.id"], name="fk_posts_author_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_posts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_posts_author_id", "posts", ["author_id", "created_at", "id"])

    op.create_table(
        "tokens",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_tokens_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name="pk_tokens"),
    )
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"])
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])

    op.create_table(
        "user_followers",
        sa.Column("follower_id", _ID, autoincrement=False, nullable=False),
        sa.Column("following_id", _ID, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["follower_id"], ["users.id"], name="fk_user_followers_follower_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["following_id"],
            ["users.id"],
            name="fk_user_followers_following_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("follower_id", "following_id", name="pk_user_followers"),
    )
    op.create_index(
        "ix_user_followers_follower_id",
        "user_followers",
        ["follower_id", "created_at", "following_id"],
    )
    op.create_index(
        "ix_user_followers_following_id",
        "user_followers",
        ["following_id", "created_at", "follower_id"],
    )

    op.create_table(
        "chat_messages",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("seq", _ID, autoincrement=False, nullable=False),
        sa.Column("author_id", _ID, nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["author_id"], ["users.id"], name="fk_chat_messages_author_id", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["room_id"], ["chat_rooms.id"], name="fk_chat_messages_room_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("room_id", "seq", name="pk_chat_messages"),
    )
    op.create_index("ix_chat_messages_author_id", "chat_messages", ["author_id"])

    op.create_table(
        "estimation_votes",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["room_id", "number"],
            ["estimation_rounds.room_id", "estimation_rounds.number"],
            name="fk_estimation_votes_room_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("room_id", "number", "position", name="pk_estimation_votes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("post_id", _ID, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["post_id"], ["posts.id"], name="fk_idempotency_keys_post_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_idempotency_keys_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_index("ix_idempotency_keys_post_id", "idempotency_keys", ["post_id"])
