"""The tables, for SQLite and PostgreSQL alike; ``migrations/`` makes them."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# SQLite counts ids by itself only in a column of exactly this type.
_Id: Final = BigInteger().with_variant(Integer, "sqlite")


def _user(name: str, *, primary_key: bool = False) -> Column[int]:
    """Make a column whose rows go with the user."""
    return Column(
        name,
        _Id,
        ForeignKey("users.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
        autoincrement=False,
    )


def _former_user(name: str) -> Column[int]:
    """Make a column that is emptied when the user goes."""
    return Column(name, _Id, ForeignKey("users.id", ondelete="SET NULL"), index=True)


# An id is never used again: what remembers a deleted account must not take the next for it.
users: Final = Table(
    "users",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    sqlite_autoincrement=True,
)

posts: Final = Table(
    "posts",
    metadata,
    Column("id", _Id, primary_key=True),
    _user("author_id"),
    Column("text", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_posts_author_id", "author_id", "created_at", "id"),
    sqlite_autoincrement=True,
)

user_followers: Final = Table(
    "user_followers",
    metadata,
    _user("follower_id", primary_key=True),
    _user("following_id", primary_key=True),
    Column("created_at", Double, nullable=False),
    Index("ix_user_followers_follower_id", "follower_id", "created_at", "following_id"),
    Index("ix_user_followers_following_id", "following_id", "created_at", "follower_id"),
)

tokens: Final = Table(
    "tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _user("user_id"),
    Column("expires_at", Double, nullable=False, index=True),
    Column("created_at", Double, nullable=False),
    Index("ix_tokens_user_id", "user_id"),
)

# An id is never used again: whoever revokes a token by a list of yesterday must not hit another.
bot_tokens: Final = Table(
    "bot_tokens",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    _user("user_id"),
    Column("name", Text, nullable=False),
    # With blanks between them.
    Column("scopes", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    # The hour in which it was last used.
    Column("used_at", Double),
    # Empty: never.
    Column("expires_at", Double, index=True),
    Index("ix_bot_tokens_user_id", "user_id", "id"),
    sqlite_autoincrement=True,
)

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    _user("user_id", primary_key=True),
    Column("key", Text, primary_key=True),
    # Empty only inside of the transaction that claims the key.
    Column("post_id", _Id, ForeignKey("posts.id", ondelete="CASCADE"), index=True),
    Column("created_at", Double, nullable=False, index=True),
)

chat_rooms: Final = Table(
    "chat_rooms",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    _former_user("creator_id"),
    Column("created_at", Double, nullable=False),
    # Sequence numbers up to this one may have been told to somebody.
    Column("granted_seq", _Id, nullable=False, server_default="0"),
    Index("ix_chat_rooms_created_at", "created_at", "id"),
)

chat_messages: Final = Table(
    "chat_messages",
    metadata,
    Column("room_id", Text, ForeignKey("chat_rooms.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", _Id, primary_key=True, autoincrement=False),
    _former_user("author_id"),
    # Of a message as it is now, empty if it has been taken back; of its changes the same.
    Column("text", Text, nullable=False),
    Column("at", Double, nullable=False),
    # "message", "edit" or "delete": changes have numbers of the same sequence.
    Column("kind", Text, nullable=False, server_default="message"),
    # The number of the message that is changed.
    Column("target", _Id),
    # Of a message: when it was last changed.
    Column("changed_at", Double),
    # By which request of which member this was done, so that none is done twice.
    Column("member", Text),
    Column("ref", BigInteger),
    Index(
        "uq_chat_messages_member",
        "room_id",
        "member",
        "ref",
        unique=True,
        sqlite_where=text("member IS NOT NULL"),
        postgresql_where=text("member IS NOT NULL"),
    ),
    Index(
        "ix_chat_messages_target",
        "room_id",
        "target",
        sqlite_where=text("target IS NOT NULL"),
        postgresql_where=text("target IS NOT NULL"),
    ),
)

chat_reads: Final = Table(
    "chat_reads",
    metadata,
    _user("user_id", primary_key=True),
    Column(
        "room_id",
        Text,
        ForeignKey("chat_rooms.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    # The user has read the room up to this number.
    Column("seq", _Id, nullable=False, autoincrement=False),
)

# A session is one room's life. Ids of rooms are short and may come again: what is kept of a room
# refers to its session, so that the results of two rooms of one id never mix.
estimation_sessions: Final = Table(
    "estimation_sessions",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("room_id", Text, nullable=False, index=True),
    # What must be shown to read the results; empty where the room's members were told of none.
    Column("key", Text),
    Column("opened_at", Double, nullable=False),
    Column("closed_at", Double, index=True),
)

# Many small rows, found by their key alone: SQLite keeps them once instead of twice.
estimation_rounds: Final = Table(
    "estimation_rounds",
    metadata,
    Column(
        "session_id",
        _Id,
        ForeignKey("estimation_sessions.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("ticket_id", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    # In JSON; empty if it is the default one.
    Column("deck", Text),
    # On which the team has agreed, if it has.
    Column("estimate", Text),
    # Its number in the room's backlog, if it is in there, or was.
    Column("ticket", Integer),
    sqlite_with_rowid=False,
)

# Of rooms that have ended: their tickets, in order, in JSON. While one lives, it has them.
estimation_backlogs: Final = Table(
    "estimation_backlogs",
    metadata,
    Column(
        "session_id",
        _Id,
        ForeignKey("estimation_sessions.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("tickets", LargeBinary, nullable=False),
)

estimation_votes: Final = Table(
    "estimation_votes",
    metadata,
    Column("session_id", _Id, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # In the order in which they were shown.
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("member_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    # It was put down, or changed, after the reveal; otherwise empty.
    Column("changed", Boolean),
    ForeignKeyConstraint(
        ["session_id", "number"],
        ["estimation_rounds.session_id", "estimation_rounds.number"],
        ondelete="CASCADE",
    ),
    sqlite_with_rowid=False,
)

# Rooms that outlive the server. What has happened in one since its snapshot is in its log.
lasting_rooms: Final = Table(
    "lasting_rooms",
    metadata,
    Column(
        "session_id",
        _Id,
        ForeignKey("estimation_sessions.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    # Empty once the room has ended: another one may get the id.
    Column("room_id", Text, unique=True),
    Column("settings", Text, nullable=False),
    # By whose request it was opened, so that the same request opens no second room.
    Column("claim", Text, unique=True),
    Column("snapshot", LargeBinary),
    # Rows of the log above this one came after the snapshot.
    Column("snapshot_number", Integer, nullable=False),
)

room_log: Final = Table(
    "room_log",
    metadata,
    Column(
        "session_id",
        _Id,
        ForeignKey("lasting_rooms.session_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("entries", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Accounts that were in a room, or have opened it.
room_people: Final = Table(
    "room_people",
    metadata,
    Column(
        "session_id",
        _Id,
        ForeignKey("estimation_sessions.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    _user("user_id", primary_key=True),
    Column("joined_at", Double, nullable=False),
    # It has opened the room, and may delete what is kept of it.
    Column("owner", Boolean, nullable=False, server_default=false()),
    # What it calls the room; an owner's is everybody's who has none.
    Column("title", Text),
    Index("ix_room_people_user_id", "user_id", "session_id"),
)

# Where one room's events are told, beside what the operator has set for all rooms. It outlives the
# room, whose end is told as well.
webhooks: Final = Table(
    "webhooks",
    metadata,
    Column("session_id", _Id, primary_key=True, autoincrement=False),
    Column("url", Text, nullable=False),
    # As it signs: whoever reads the database can sign, too.
    Column("secret", Text, nullable=False),
    # With blanks between them.
    Column("events", Text, nullable=False),
)

# What is still to be told to a receiver, and for some days what could not be.
webhook_deliveries: Final = Table(
    "webhook_deliveries",
    metadata,
    Column("id", _Id, primary_key=True),
    # What receivers know it by, the same for each try.
    Column("message_id", Text, nullable=False, unique=True),
    # Of a session that may be gone.
    Column("session_id", _Id, nullable=False, autoincrement=False),
    # To the room's own webhook, and not to the one that the operator has set.
    Column("own", Boolean, nullable=False),
    # Scheme, host and port.
    Column("receiver", Text, nullable=False),
    Column("event", Text, nullable=False),
    # Empty once it is given up.
    Column("body", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("tries", Integer, nullable=False),
    # Empty once it is given up.
    Column("next_at", Double, index=True),
    Column("failed_at", Double, index=True),
    # Why the last try was in vain, in words for people.
    Column("problem", Text),
    Index("ix_webhook_deliveries_session_id", "session_id", "own", "id"),
)

settings: Final = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# One row for each running server that owns this database: today at most one. A server whose row
# is gone has lost the database, and finds that out in each transaction in which it writes.
# Columns may be added, but these must stay: a newer version reads them before it migrates.
servers: Final = Table(
    "servers",
    metadata,
    # Drawn at random at each start.
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_at", Double, nullable=False),
    # "serving" or "draining".
    Column("phase", Text, nullable=False),
    # Counts up while the server lives; observers time it by their own clocks.
    Column("beat", BigInteger, nullable=False),
)
