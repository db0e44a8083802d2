"""Addresses of databases."""

import pytest

from server.store import urls
from server.store.database import Database
from server.support.errors import DatabaseUnusable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:///parley.db", "sqlite+pysqlite:///parley.db"),
        ("sqlite:////var/lib/parley.db", "sqlite+pysqlite:////var/lib/parley.db"),
        ("postgresql://h/d", "postgresql+psycopg://h/d"),
        ("postgres://u:top@h:5/d", "postgresql+psycopg://u:***@h:5/d"),
        ("postgresql+psycopg://u:top@h:5/d", "postgresql+psycopg://u:***@h:5/d"),
        (
            "postgresql://u@/d?host=/run&password=top&sslpassword=top",
            "postgresql+psycopg://u@/d?host=%2Frun",
        ),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, shown: str) -> None:
    assert urls.describe(urls.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "parley.db",
        "secret",
        "mysql://u:secret@h/d",
        "postgresql+asyncpg://u:secret@h/d",
        "postgresql://u:secret@h:port/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file::memory:",
        "sqlite://secret/parley.db",
        "sqlite:///secret?mode=ro",
        "sqlite:///secret\0",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(DatabaseUnusable) as unusable:
        Database(text)

    said = str(unusable.value)
    assert said.startswith("the address of the database: ")
    assert "secret" not in said
    assert said.isprintable()
