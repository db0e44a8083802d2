"""A whole application on either kind of database; each test has a database of its own."""

from collections.abc import Iterator

import pytest

from server.store.database import Database
from tests.server.http.world import World
from tests.store.conftest import Postgres
from tests.store.conftest import database as database
from tests.store.conftest import postgres as postgres
from tests.store.conftest import postgres_template as postgres_template
from tests.store.conftest import sqlite_template as sqlite_template
from tests.store.conftest import url as url


@pytest.fixture
def world(database: Database) -> World:
    """An application without limits on attempts, nobody registered."""
    return World(database)


@pytest.fixture
def postgres_alone() -> Iterator[Postgres]:
    """A server that nobody else uses, to be stopped."""
    server = Postgres()
    yield server
    server.close()
