"""A thousand rounds in which everybody votes at once: each is complete once, and only once."""

import time
from collections.abc import Iterator

import pytest

from tests.wire.process import Server, running
from tests.wire.raw import Event, Raw, event, full_room

MEMBERS = 10
ROUNDS = 1000
SECONDS = 40.0


@pytest.fixture
def fast_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes messages as fast as they come."""
    environ = {"PARLEY_INBOUND_RATE": "1e6", "PARLEY_INBOUND_BURST": "1000000"}
    with running(tmp_path_factory.mktemp("fast") / "log", environ=environ) as one:
        yield one


async def heard(member: Raw, last: str) -> list[str]:
    """Hear everything up to an event of the type ``last``; give the types, texts as ``*``."""
    kinds: list[str] = []
    while last not in kinds:
        message = await member.next()
        assert isinstance(message, Event | str), message
        if isinstance(message, Event):
            kinds.append(message.type)
        else:
            assert message.startswith("* "), message
            kinds.append("*")
    return kinds


async def test_votes_sent_at_once_complete_each_round_exactly_once(fast_server: Server) -> None:
    votes = ["*"] * MEMBERS
    begin = time.monotonic()
    async with full_room(fast_server, MEMBERS) as room:
        for number in range(ROUNDS):
            ticket = f"T{number}"
            await room.admin.say("BEGIN_VOTING", ticket_id=ticket)
            for member in room.members:
                assert await heard(member, "ASK_FOR_VOTE") == ["ASK_FOR_VOTE"]
            vote = event("MEMBER_VOTED", ticket_id=ticket, vote="5")
            for member in room.members:
                await member.send(vote)
            prompted = await heard(room.admin, "REVEAL_VOTES_PROMPT")
            assert prompted == [*votes, "VOTING_COMPLETED", "REVEAL_VOTES_PROMPT"]
            await room.admin.say("REVEAL_VOTES", ticket_id=ticket)
            revealed = await room.admin.next()
            assert isinstance(revealed, Event)
            assert len(revealed.data["client_vote_choice_map"]) == MEMBERS
            assert await heard(room.admin, "BEGIN_VOTING_PROMPT") == ["BEGIN_VOTING_PROMPT"]
            for member in room.others:
                # Anything said twice would be in here, or at the beginning of the next round.
                assert await heard(member, "AWAITING_ADMIN_VOTE_START") == [
                    *votes,
                    "VOTING_COMPLETED",
                    "VOTES_REVEALED",
                    "AWAITING_ADMIN_VOTE_START",
                ]
    assert time.monotonic() - begin < SECONDS
