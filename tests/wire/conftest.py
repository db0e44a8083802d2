"""Servers for the tests, each a real process; see ``process``."""

from collections.abc import Iterator

import pytest

from tests.wire.process import Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with default settings, for all tests that leave it as they found it."""
    with running(tmp_path_factory.mktemp("server") / "log") as one:
        yield one
