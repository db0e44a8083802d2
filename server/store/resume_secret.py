"""The secret behind resume tokens and owners' keys; the same for as long as the database lives."""

import base64
import secrets
from typing import Final

import sqlalchemy as sa

from server.store.schema import settings
from server.store.statements import insert_new

SECRET_BYTES: Final = 32

_KEY: Final = "resume_secret"


def resume_secret(conn: sa.Connection) -> bytes:
    """Read the secret; make it if there is none yet. A unit of work that writes."""
    fresh = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    insert_new(conn, settings, key=_KEY, value=fresh)
    stored = conn.execute(sa.select(settings.c.value).where(settings.c.key == _KEY)).scalar_one()
    return base64.b64decode(stored)
