"""One member stops reading: it is closed as too slow, and nobody else notices anything of it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import attrs
import pytest

from tests.wire.process import Server, running
from tests.wire.raw import (
    Closed,
    Event,
    Raw,
    Room,
    full_room,
    join,
    metrics,
    wait_for_metrics,
    works,
)

FAST = ("--inbound-rate", "1e6", "--inbound-burst", "1000000", "--max-room-capacity", "10")
SMALL_OUTBOX = (*FAST, "--max-outbox-bytes", "16384", "--write-seconds", "60")
MOST_ROUNDS = 2000
"""After these, at the latest, a socket and 16 KiB must be full."""

SLEEPER = "Sleeper"


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Small outboxes, and much time to answer a close frame."""
    options = (*SMALL_OUTBOX, "--close-seconds", "30")
    with running(tmp_path_factory.mktemp("patient") / "log", *options) as one:
        yield one


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Small outboxes, and little time to answer a close frame."""
    options = (*SMALL_OUTBOX, "--close-seconds", "0.5")
    with running(tmp_path_factory.mktemp("strict") / "log", *options) as one:
        yield one


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Large outboxes, but a socket must take something every second."""
    options = (*FAST, "--write-seconds", "1", "--close-seconds", "30")
    with running(tmp_path_factory.mktemp("hasty") / "log", *options) as one:
        yield one


@attrs.define
class Table:
    """A room of three who play round after round, and one who sleeps."""

    server: Server
    room: Room
    sleeper: Raw
    rounds: int = 0
    heard: list[list[str]] = attrs.Factory(lambda: [[], [], []])

    async def play(self) -> None:
        """Play a round; everybody but the sleeper reads all of it."""
        number, self.rounds = self.rounds, self.rounds + 1
        ticket = f"T{number}-".ljust(100, "x")
        await self.room.admin.say("BEGIN_VOTING", ticket_id=ticket)
        for member in self.room.members:
            await self._hear_of(member, f"ASK_FOR_VOTE {ticket}")
        for voter in self.room.members:
            await voter.say("MEMBER_VOTED", ticket_id=ticket, vote="8")
            for member in self.room.members:
                await self._hear_of(member, f"* {ticket}")
        # Early: the sleeper has not voted.
        await self.room.admin.say("REVEAL_VOTES", ticket_id=ticket)
        for member in self.room.members:
            await self._hear_of(member, f"VOTES_REVEALED {ticket}")
        await self._hear_of(self.room.admin, "BEGIN_VOTING_PROMPT")
        for member in self.room.others:
            await self._hear_of(member, "AWAITING_ADMIN_VOTE_START")

    async def _hear_of(self, member: Raw, wanted: str) -> None:
        """Hear exactly this; only that the sleeper has left may come in between, once."""
        log = self.heard[self.room.members.index(member)]
        while True:
            message = await member.next()
            assert not isinstance(message, Closed), message
            if isinstance(message, str):
                what = f"* {message.rpartition(' ')[2]}"
            elif message.data.get("message") == f"{SLEEPER} has left the room":
                log.append("left")
                assert log.count("left") == 1
                continue
            elif message.type in {"VOTING_COMPLETED", "REVEAL_VOTES_PROMPT"}:
                # The sleeper has left in this round, so everybody has voted.
                assert "left" in log
                continue
            else:
                what = f"{message.type} {message.data.get('ticket_id', '')}".rstrip()
            assert what == wanted
            log.append(what)
            return

    def assert_same_for_all(self) -> None:
        """Everybody has heard the same, in the same order, apart from the last of each round."""
        first, *others = [
            [
                what
                for what in log
                if what not in {"BEGIN_VOTING_PROMPT", "AWAITING_ADMIN_VOTE_START"}
            ]
            for log in self.heard
        ]
        assert all(log == first for log in others)
        assert len([what for what in first if what != "left"]) == self.rounds * 5


@asynccontextmanager
async def table(server: Server) -> AsyncIterator[Table]:
    async with full_room(server, 3, capacity=10) as room:
        sleeper = await join(server, room.room_id, SLEEPER, receive_buffer=2048)
        for member in room.members:
            await member.wait_for_update(f"{SLEEPER} has joined the room")
        try:
            yield Table(server, room, sleeper)
        finally:
            sleeper.close()


async def play_until_too_slow(table: Table, closed_before: float) -> None:
    while (await metrics(table.server))["closed_too_slow"] == closed_before:
        assert table.rounds < MOST_ROUNDS
        for _ in range(10):
            await table.play()


async def everybody_hears_that_it_left(table: Table) -> None:
    """Play on; it has left for everybody, and the round completes by itself again."""
    await wait_for_metrics(table.server, members_current=3)
    for _ in range(20):
        await table.play()
    for log in table.heard:
        assert log.count("left") == 1
    table.assert_same_for_all()
    assert not table.server.trouble()


async def test_a_member_that_does_not_read_is_told_so_once_it_reads_again(patient: Server) -> None:
    before = (await metrics(patient))["closed_too_slow"]
    async with table(patient) as party:
        await play_until_too_slow(party, before)
        for _ in range(20):  # while it sleeps on, with the close frame behind what is stuck
            await party.play()
        *heard, end = await party.sleeper.all()
        assert isinstance(end, Closed)
        assert end.code == 1008
        assert "slow" in end.reason
        asked = [
            each.data["ticket_id"]
            for each in heard
            if isinstance(each, Event) and each.type == "ASK_FOR_VOTE"
        ]
        # Nothing was dropped from the middle.
        assert asked == [f"T{number}-".ljust(100, "x") for number in range(len(asked))]
        assert 0 < len(asked) < party.rounds
        await everybody_hears_that_it_left(party)
    assert (await metrics(patient))["closed_too_slow"] == before + 1
    await works(patient)


async def test_a_member_that_never_reads_again_is_cut_off(strict: Server) -> None:
    before = await metrics(strict)
    async with table(strict) as party:
        await play_until_too_slow(party, before["closed_too_slow"])
        await everybody_hears_that_it_left(party)
        await party.sleeper.rest()
    after = await metrics(strict)
    assert after["closed_too_slow"] == before["closed_too_slow"] + 1
    assert after["closed_unanswered"] == before["closed_unanswered"] + 1
    await works(strict)


async def test_a_socket_that_takes_nothing_in_time_is_too_slow_though_its_outbox_is_not_full(
    hasty: Server,
) -> None:
    before = (await metrics(hasty))["closed_too_slow"]
    async with table(hasty) as party:
        for _ in range(100):  # some 100 KiB, of 1 MiB
            await party.play()
        await wait_for_metrics(hasty, closed_too_slow=before + 1)
        *_, end = await party.sleeper.all()
        assert isinstance(end, Closed)
        assert end.code == 1008
        await everybody_hears_that_it_left(party)
    await works(hasty)


async def test_a_slow_reader_is_kept_as_long_as_it_reads(patient: Server) -> None:
    before = (await metrics(patient))["closed_too_slow"]
    async with table(patient) as party:
        asked = 0
        for _ in range(300):
            await party.play()
            while asked < party.rounds - 10:
                await party.sleeper.wait_for("ASK_FOR_VOTE")
                asked += 1
        party.assert_same_for_all()
    assert (await metrics(patient))["closed_too_slow"] == before
