"""Keep with each round by which deck it was voted on."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_DEFAULT = [
    *("0", "½", "1", "2", "3", "5", "8", "13", "20", "21", "34", "40", "55", "100", "?", "coffee"),
]
_ROOMS = sa.table("lasting_rooms", sa.column("session_id"), sa.column("settings"))
_ROUNDS = sa.table("estimation_rounds", sa.column("session_id"), sa.column("deck"))


def upgrade() -> None:
    """Give all rounds so far the deck of their room, which none could change."""
    op.add_column("estimation_rounds", sa.Column("deck", sa.Text()))
    conn = op.get_bind()
    for session, settings in conn.execute(sa.select(_ROOMS.c.session_id, _ROOMS.c.settings)).all():
        try:
            cards = json.loads(settings)["cards"]
        except (ValueError, KeyError, TypeError):  # a room that cannot be opened any more
            continue
        if cards != _DEFAULT:
            this = _ROUNDS.c.session_id == session
            deck = json.dumps(cards, ensure_ascii=False)
            conn.execute(sa.update(_ROUNDS).where(this).values(deck=deck))
