"""Addresses of databases: which ones we understand, and how they are shown."""

from typing import Final

import sqlalchemy as sa

_FORMS: Final = "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
_SECRET: Final = ("password", "sslpassword")


def parse(text: str) -> sa.URL:
    """Read an address.

    Raises:
        ValueError: with one line that says what it must look like, and does not quote it: there
            may be a password in it.
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
            raise ValueError("SQLite needs a file, for each of our connections must see the same")
        if "\0" in url.database:
            raise ValueError("no name of a file has a zero byte")
        return url.set(drivername="sqlite+pysqlite")
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise ValueError(f"must be {_FORMS}")


def describe(url: sa.URL) -> str:
    """Show an address without the passwords in it."""
    return url.difference_update_query(_SECRET).render_as_string(hide_password=True)
