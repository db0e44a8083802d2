"""What the end of a ``parley.v1`` connection is called, and how it refuses what comes too fast."""

from typing import Any

import attrs
import orjson
import pytest
import trio
from trio.testing import MockClock

from protocol.dialects.parley_v1 import CLOSE_CODES, PARLEY_V1
from protocol.farewell import Ending
from protocol.ids import MemberId, RoomId
from protocol.lasting import Return
from protocol.messages import Refusal, Reject
from server.admission.link import CAUSES, TOLD_V1, ParleyLink
from server.edge.closing import TOLD, Cause, Closing
from server.rooms.inbox import Inbox
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.harness import split


@attrs.define
class FakeConnection:
    """Notes what it is told."""

    closes: list[tuple[int, Cause | None]] = attrs.Factory(list)
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    address: str = "192.0.2.1"
    source: str = "192.0.2.1"
    closing: Closing | None = None

    def push(self, frames: bytes, count: int = 1) -> None:
        raise AssertionError(frames)

    def close(
        self, code: int, reason: str, last: bytes = b"", *, cause: Cause | None = None
    ) -> None:
        self.closes.append((code, cause))

    async def run(self, handler: object) -> None:
        raise AssertionError(handler)


def make_link(connection: FakeConnection, inbox: Inbox, **limits: Any) -> ParleyLink:
    return ParleyLink(
        MemberId("ada"),
        "",
        PARLEY_V1,
        room=RoomId("a1B2c3"),
        inbox=inbox,
        connection=connection,
        limits=Limits(**limits),
        counters=Counters(),
        entry=Return(7),
    )


@pytest.mark.parametrize("ending", list(Ending))
async def test_each_ending_has_a_cause(ending: Ending, autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    connection = FakeConnection()
    make_link(connection, Inbox(10)).close(CLOSE_CODES[ending], "reason")
    assert connection.closes == [(CLOSE_CODES[ending], CAUSES.get(ending, Cause.REFUSED))]


async def test_a_cause_that_is_given_counts(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    connection = FakeConnection()
    make_link(connection, Inbox(10)).close(
        CLOSE_CODES[Ending.LEFT], "reason", cause=Cause.STRUCK_OUT
    )
    assert connection.closes == [(4501, Cause.STRUCK_OUT)]


def test_what_is_found_at_the_edge_says_whether_to_come_back() -> None:
    assert set(TOLD_V1) == set(TOLD)
    backs = {cause for cause, (code, _) in TOLD_V1.items() if 4000 <= code < 4500}
    assert backs == {Cause.TOO_SLOW, Cause.SILENT, Cause.CUT, Cause.FAULT}
    assert TOLD_V1[Cause.FLOODED][0] == CLOSE_CODES[Ending.STRUCK_OUT]


async def test_it_says_once_who_enters(autojump_clock: MockClock) -> None:
    inbox = Inbox(10)
    link = make_link(FakeConnection(), inbox)
    entry = link.entry
    assert entry == Return(7)
    link.opened()
    link.opened()
    assert await inbox.take() == [("ada", entry)]
    assert link.entry is None


@pytest.mark.parametrize(
    ("said", "ref"),
    [
        ({"type": "vote", "ref": 5, "round": 1, "card": "3"}, 5),
        ({"type": "vote", "ref": 5}, 5),
        ({"type": "king", "ref": 5}, 5),
        ({"type": "vote", "ref": -5}, None),
        ({"type": "ping"}, None),
        ([], None),
    ],
)
async def test_what_comes_too_fast_is_refused_by_its_number(
    said: object, ref: int | None, autojump_clock: MockClock
) -> None:
    inbox = Inbox(10)
    link = make_link(FakeConnection(), inbox, inbound_rate=1, inbound_burst=1)
    link.receive(orjson.dumps({"type": "ping"}).decode(), 0.0)
    link.receive(orjson.dumps(said).decode(), 0.0)
    link.end_batch()
    _, (_, refused) = await inbox.take()
    assert isinstance(refused, Reject)
    [told], left = split(PARLEY_V1.encode(Refusal(refused.problem)) or b"")
    error = orjson.loads(told.payload)
    assert left == b""
    assert (error["code"], error["ref"], error["retry"]) == ("too_fast", ref, True)


async def test_a_binary_message_that_comes_too_fast_has_no_number(
    autojump_clock: MockClock,
) -> None:
    inbox = Inbox(10)
    link = make_link(FakeConnection(), inbox, inbound_rate=1, inbound_burst=1)
    await link.receive_slow("{}", 0.0)
    await link.receive_slow(b"\0", 0.0)
    _, (_, refused) = await inbox.take()
    assert isinstance(refused, Reject)
    assert refused.problem.code == "too_fast"
    assert "ref" not in refused.problem.values
