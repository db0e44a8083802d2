"""Addresses of databases: which ones are understood, and how they are shown."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa

_FORMS: Final = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
_SECRET: Final = ("password", "sslpassword")
# The first two are what hosting services hand out; the last names our driver.
_POSTGRESQL: Final = ("postgres", "postgresql", "postgresql+psycopg")


def parse(text: str) -> sa.URL:
    """Read the address of a database; ``postgres://`` and ``postgresql://`` mean psycopg.

    Raises:
        ValueError: one line that says what an address must look like. It does not quote the
            text, which may contain a password.
    """
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError(f"must be {_FORMS}") from None
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if url.host or url.username or url.password or url.port:
            raise ValueError(f"must be {_FORMS}: three slashes, and four for an absolute path")
        if url.query:
            raise ValueError("an address of SQLite takes no parameters")
        if not url.database or ":memory:" in url.database:
            raise ValueError("SQLite needs a file that all connections share")
        if "\0" in url.database:
            raise ValueError("the name of a file has no zero byte")
        return url.set(drivername="sqlite+pysqlite")
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    raise ValueError(f"must be {_FORMS}")


def describe(url: sa.URL) -> str:
    """Show an address without its passwords."""
    return url.difference_update_query(_SECRET).render_as_string(hide_password=True)


def sqlite_path(url: sa.URL) -> Path | None:
    """Give the file of an SQLite database; ``None`` for PostgreSQL."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None
