"""A member between its connection and its room, with fakes on both sides."""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.dialects.estimatex import ESTIMATEX
from protocol.errors import CloseCode, ErrorCode
from protocol.ids import MemberId, RoomId
from protocol.messages import Announce, Command, Enter, Reject
from server.admission.session import Session
from server.edge.closing import Cause, CloseFrame, Closing
from server.rooms.inbox import Inbox
from server.support.counters import Counters
from server.support.limits import Limits

ADA = MemberId("ada")
ROOM = RoomId("a1B2c3")
JOIN = '{"type":"JOIN_ROOM","data":{"room_id":"a1B2c3"}}'


class Connection:
    """A connection that notes what it is told."""

    address = source = "192.0.2.1"

    def __init__(self) -> None:
        self.closing: Closing | None = None
        self.scope = trio.CancelScope()
        self.told: list[tuple[object, ...]] = []
        self.crash: Exception | None = None

    def push(self, frames: bytes, count: int = 1) -> None:
        self.told.append((frames, count))

    def close(
        self, code: int, reason: str, last: bytes = b"", *, cause: Cause | None = None
    ) -> None:
        self.told.append((code, reason, last, cause))

    async def run(self, handler: Session) -> None:
        await trio.sleep(3)
        self.told.append((handler,))
        if self.crash is not None:
            raise self.crash


class Bench:
    """A session and its surroundings."""

    def __init__(self, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.inbox = Inbox(limits.inbox_commands)
        self.link = Connection()
        self.counters = Counters()
        self.session = Session(
            ADA,
            "Ada",
            ESTIMATEX,
            room=ROOM,
            inbox=self.inbox,
            connection=self.link,
            limits=limits,
            counters=self.counters,
        )

    def hear(self, text: str = JOIN, times: int = 1, now: float | None = None) -> None:
        for _ in range(times):
            self.session.receive(text, trio.current_time() if now is None else now)
        self.session.end_batch()

    async def commands(self) -> list[Command]:
        """Take all that was put since the last time; there must be something."""
        batch = await self.inbox.take()
        assert {member for member, _ in batch} == {ADA}
        return [command for _, command in batch]

    async def problems(self) -> list[ErrorCode]:
        return [c.problem.code for c in await self.commands() if isinstance(c, Reject)]


async def test_an_open_connection_takes_a_seat() -> None:
    bench = Bench()
    bench.session.opened()
    assert await bench.commands() == [Enter("Ada")]


async def test_a_message_becomes_a_command(mock_clock: MockClock) -> None:
    bench = Bench()
    bench.hear()
    await bench.session.receive_slow(JOIN, 0)
    assert await bench.commands() == [Announce(RoomId("a1B2c3"))] * 2
    assert bench.counters.messages_received == 2
    assert bench.counters.messages_refused == 0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("nonsense", None),
        ("[]", None),
        ('{"data":{}}', "type"),
        ('{"type":"JOIN_ROOM"}', "data"),
        ('{"type":"JOIN_ROOM","data":{}}', "data.room_id"),
        ('{"type":"JOIN_ROOM","data":{"room_id":5}}', "data.room_id"),
        ('{"type":"JOIN_ROOM","data":{"room_id":"a1B2c3","x":1}}', "data.x"),
    ],
)
async def test_a_malformed_message_is_refused_with_its_field(text: str, field: str | None) -> None:
    bench = Bench()
    bench.hear(text)
    [command] = await bench.commands()
    assert isinstance(command, Reject)
    assert not command.final
    assert command.problem.code is ErrorCode.MALFORMED
    assert command.problem.field == field
    if field:
        assert field in command.problem.message
    assert bench.counters.messages_refused == 1


async def test_a_binary_message_is_refused(mock_clock: MockClock) -> None:
    bench = Bench()
    await bench.session.receive_slow(JOIN.encode(), 0)
    assert await bench.problems() == [ErrorCode.NOT_TEXT]


async def test_a_burst_is_taken_and_what_exceeds_it_refused(mock_clock: MockClock) -> None:
    bench = Bench()
    bench.hear(times=40)
    assert all(isinstance(c, Announce) for c in await bench.commands())
    bench.hear(times=2)
    assert await bench.problems() == [ErrorCode.TOO_FAST] * 2


async def test_the_burst_is_no_larger_after_a_long_silence(mock_clock: MockClock) -> None:
    bench = Bench()
    mock_clock.jump(100_000)
    bench.hear(times=41)
    assert await bench.problems() == [ErrorCode.TOO_FAST]


async def test_the_allowance_is_refilled_by_twenty_a_second(mock_clock: MockClock) -> None:
    bench = Bench()
    bench.hear(times=40)
    await bench.commands()
    for _ in range(100):
        mock_clock.jump(0.0501)
        bench.hear()
        assert await bench.problems() == []
    mock_clock.jump(0.03)
    bench.hear()
    assert await bench.problems() == [ErrorCode.TOO_FAST]
    mock_clock.jump(2.01)
    bench.hear(times=40)
    assert await bench.problems() == []


async def test_refused_messages_use_up_no_allowance(mock_clock: MockClock) -> None:
    bench = Bench(Limits(strikes=1000))
    bench.hear(times=140)
    await bench.commands()
    mock_clock.jump(0.0501)
    bench.hear()
    assert await bench.problems() == []


async def test_binary_messages_count_by_the_rate(mock_clock: MockClock) -> None:
    bench = Bench(Limits(strikes=1000))
    for _ in range(41):
        await bench.session.receive_slow(b"x", 0)
    assert await bench.problems() == [ErrorCode.NOT_TEXT] * 40 + [ErrorCode.TOO_FAST]


async def test_the_tenth_strike_within_ten_seconds_is_the_last(mock_clock: MockClock) -> None:
    bench = Bench()
    for _ in range(10):
        bench.hear("nonsense")
        mock_clock.jump(10 / 9)
    bench.hear("nonsense", times=5)
    bench.hear(times=5)
    await bench.session.receive_slow(b"x", trio.current_time())

    commands = await bench.commands()
    finals = [command.final for command in commands if isinstance(command, Reject)]
    assert finals == [False] * 9 + [True]
    assert len(commands) == 10
    assert bench.counters.messages_refused == 10
    assert bench.counters.messages_received == 21


async def test_after_the_last_strike_nothing_more_is_said(mock_clock: MockClock) -> None:
    bench = Bench()
    bench.hear("nonsense", times=100)
    assert len(await bench.commands()) == 10
    bench.hear("nonsense", times=100)
    bench.hear(times=100)
    bench.session.opened()
    assert await bench.commands() == [Enter("Ada")]


async def test_strikes_that_are_older_do_not_count(mock_clock: MockClock) -> None:
    bench = Bench()
    for _ in range(50):
        bench.hear("nonsense")
        mock_clock.jump(1.12)
    assert [c.final for c in await bench.commands() if isinstance(c, Reject)] == [False] * 50


async def test_too_fast_counts_as_a_strike_like_the_others(mock_clock: MockClock) -> None:
    bench = Bench()
    bench.hear(times=49)
    bench.hear("nonsense")
    commands = await bench.commands()
    rejects = [command for command in commands if isinstance(command, Reject)]
    assert [reject.final for reject in rejects] == [False] * 9 + [True]
    assert "20 a second" in rejects[0].problem.message


async def test_it_is_full_while_the_inbox_is() -> None:
    bench = Bench(Limits(inbox_commands=2))
    called: list[int] = []
    full = []
    for _ in range(2):
        bench.hear()
        full.append(bench.session.full)
    assert full == [False, True]
    bench.session.on_space(lambda: called.append(1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.session.wait_for_space)
        nursery.start_soon(bench.session.receive_slow, JOIN, 0)
        await trio.testing.wait_all_tasks_blocked()
        assert bench.counters.messages_received == 2
        await bench.commands()
    assert called == [1]
    assert bench.counters.messages_received == 3


async def test_as_a_member_it_is_its_connection(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.session.push(b"x", 3)
    bench.session.close(CloseCode.POLICY, "why", b"last")
    await bench.session.run()

    assert bench.session.scope is bench.link.scope
    assert bench.link.told == [
        (b"x", 3),
        (CloseCode.POLICY, "why", b"last", None),
        (bench.session,),
    ]


async def test_a_connection_that_fails_is_logged_with_its_context_and_ends_there(
    autojump_clock: MockClock,
) -> None:
    bench = Bench()
    bench.link.crash = ValueError("a defect")
    with capture_logs() as logs:
        await bench.session.run()
    assert logs == [
        {
            "event": "failed",
            "log_level": "error",
            "component": "connection",
            "exc_info": bench.link.crash,
            "room": ROOM,
            "member": ADA,
            "address": "192.0.2.1",
        }
    ]


@pytest.mark.parametrize(
    ("closing", "code", "reason"),
    [
        (Closing(Cause.ROOM_ENDED, None, CloseFrame(1001, "over")), 1001, "over"),
        (
            Closing(Cause.PEER_CLOSED, CloseFrame(1005, ""), CloseFrame(1000, "answer")),
            1005,
            "",
        ),
        (Closing(Cause.PEER_LOST, None, None), 1006, ""),
    ],
)
async def test_the_end_of_a_connection_is_one_line_that_says_who_and_why(
    closing: Closing, code: int, reason: str, autojump_clock: MockClock
) -> None:
    bench = Bench()
    bench.link.closing = closing
    with capture_logs() as logs:
        await bench.session.run()
    assert logs == [
        {
            "event": "closed",
            "log_level": "info",
            "component": "connection",
            "room": ROOM,
            "member": ADA,
            "address": "192.0.2.1",
            "cause": closing.cause.value,
            "code": code,
            "reason": reason,
            "seconds": 3,
        }
    ]


def causes(bench: Bench) -> list[object]:
    return [told[-1] for told in bench.link.told]


async def test_a_room_that_closes_names_no_cause_and_it_is_known_all_the_same() -> None:
    bench = Bench()
    bench.session.close(CloseCode.GOING_AWAY, "the admin has left")
    bench.session.close(CloseCode.POLICY, "the room is full")
    bench.session.close(CloseCode.POLICY, "logged out", cause=Cause.LOGGED_OUT)
    bench.hear("nonsense", times=9)
    bench.session.close(CloseCode.POLICY, "not yet struck out")
    bench.hear("nonsense")
    bench.session.close(CloseCode.POLICY, "too many refused messages")
    bench.session.close(CloseCode.INTERNAL, "internal error")
    await trio.lowlevel.checkpoint()
    assert causes(bench) == [
        Cause.ROOM_ENDED,
        None,
        Cause.LOGGED_OUT,
        None,
        Cause.STRUCK_OUT,
        None,
    ]
