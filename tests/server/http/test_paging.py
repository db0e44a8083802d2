"""Lists page by page: nothing is left out or comes twice, and no answer is too large."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from sqlalchemy import Connection

from server.http.paging import PAGE_CHARACTERS, fitting
from server.store import chat
from server.store.database import Database
from server.store.records import ChatMessage
from tests.server.http.test_chat_routes import ChatWorld, link_of
from tests.server.http.world import Person

START = 1_732_489_200.123456


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ChatWorld]:
    """An application with chat rooms."""
    async with trio.open_nursery() as services:
        async with trio.open_nursery() as nursery:
            found = ChatWorld(database, nursery)
            services.start_soon(found.writer.run)
            services.start_soon(found.rooms.run)
            yield found
            nursery.cancel_scope.cancel()
        services.cancel_scope.cancel()


async def pages(world: ChatWorld, person: Person, target: str) -> list[Any]:
    """Follow the links from page to page."""
    found = []
    next_one: str | None = target
    while next_one is not None:
        answer = await world.ask("GET", next_one, token=person.token)
        assert answer.status == 200
        found.append(answer.json)
        next_one = link_of(answer)
    return found


async def test_a_page_of_long_messages_is_shorter(world: ChatWorld) -> None:
    ada = await world.register("ada")
    await world.create(ada)
    long = "\x01" * (16 * 1024)  # six bytes of JSON each

    def say(conn: Connection) -> None:
        said = [ChatMessage("lobby", seq, ada.id, "", long, START) for seq in range(1, 11)]
        said += [ChatMessage("lobby", seq, ada.id, "", "short", START) for seq in range(11, 31)]
        chat.append(conn, said)

    await world.database.run(say, write=True)

    found = await pages(world, ada, "/rooms/lobby/messages?limit=100")

    assert [len(page) for page in found] == [23, 4, 3]
    assert [each["seq"] for page in found for each in page] == list(range(30, 0, -1))


def test_a_page_has_at_least_one_entry_and_at_most_its_limit() -> None:
    assert fitting([], 10) == 0
    assert fitting(["x" * (PAGE_CHARACTERS + 1), "y"], 10) == 1
    assert fitting(["x" * PAGE_CHARACTERS, "", "y"], 10) == 2
    assert fitting(["x"] * 11, 10) == 10
