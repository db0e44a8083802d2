"""Events on their way to receivers: in order, again and again, and never for ever."""

from typing import Any

import attrs
import pytest
import sqlalchemy as sa
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.lasting import CastCard, Join, Numbered, SetEstimate
from protocol.options import Options
from server.rooms.lasting import ENDED_AFTER
from server.store import webhooks
from server.store.schema import webhook_deliveries
from server.webhooks.deliveries import AT_ONCE_PER_RECEIVER, TRIES, backoff
from tests.server.chat_harness import MemoryDatabase
from tests.server.lasting_harness import ADA, BOB, SETTINGS, House
from tests.server.webhooks.receiver import (
    BROKEN,
    OK,
    SECRET,
    Receiver,
    post,
    webhook_to,
)

DAY = 86_400.0


@pytest.fixture
def clock(autojump_clock: MockClock) -> MockClock:
    """A clock that waits for real sockets, however busy the machine is."""
    autojump_clock.autojump_threshold = 0.02
    return autojump_clock


@pytest.fixture
async def receiver(nursery: trio.Nursery) -> Receiver:
    found = Receiver()
    await nursery.start(found.serve)
    return found


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


async def end(home: House, room_id: Any) -> None:
    assert await home.lasting.close(room_id, lambda _: True)


def rows(database: MemoryDatabase) -> list[Any]:
    return list(database.now(lambda conn: conn.execute(sa.select(webhook_deliveries)).all()))


async def test_all_that_happens_in_a_room_is_told_and_signed(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    async with post(database, receiver.url) as it:
        room_id = await it.home.open()
        await it.home.play(room_id, 1)
        session = it.home.lasting.session(room_id)
        assert session is not None
        await trio.sleep(1)
        await end(it.home, room_id)
        await trio.sleep(1)

        assert it.counts == (3, 0, 0, 0)
    assert receiver.kinds == ["room.opened", "round.revealed", "room.ended"]
    assert all(each.is_signed() for each in receiver.heard)
    assert len({each.headers["webhook-id"] for each in receiver.heard}) == 3
    for each in receiver.heard:
        assert each.target == "/hook?token=hush"
        assert each.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert each.headers["content-type"] == "application/json"
        assert each.headers["user-agent"] == "Parley/1.2.3"
        assert int(each.headers["webhook-timestamp"]) == int(each.at)
    opened, revealed, ended = (each.told["data"] for each in receiver.heard)
    assert opened == {
        "room_id": room_id,
        "name": "Refinement",
        "opened_at": "1970-01-01T00:16:40Z",
        "link": f"/r/{room_id}",
    }
    assert (revealed["room_id"], revealed["number"]) == (room_id, 0)
    assert revealed["round"]["ticket_id"] == "T-1"
    assert [vote["value"] for vote in revealed["round"]["votes"]] == ["5", "8"]
    assert (revealed["round"]["mean"], revealed["round"]["consensus"]) == (6.5, False)
    assert ended["rounds"] == 1
    assert ended["results"] == f"/rooms/{room_id}/results?key={session.key}"
    assert rows(database) == []


async def test_a_room_without_rounds_ends_without_results(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    async with post(database, receiver.url) as it:
        await end(it.home, await it.home.open())
        await trio.sleep(1)

    assert receiver.kinds == ["room.opened", "room.ended"]
    assert receiver.heard[1].told["data"]["results"] is None


async def test_a_round_is_told_as_it_was_revealed_and_what_becomes_of_it_is_not(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    late = attrs.evolve(SETTINGS, options=Options(change_after_reveal=True))
    async with post(database, receiver.url) as it:
        room_id = await it.home.open(late)
        await it.home.play(room_id, 1)
        await it.home.say(room_id, BOB, Numbered(101, CastCard(1, "5")))
        await trio.sleep(1)
        await it.home.say(room_id, ADA, Numbered(101, SetEstimate(1, "5")))
        await trio.sleep(1)
        await end(it.home, room_id)
        await trio.sleep(1)

        assert it.counts == (3, 0, 0, 0)
    assert receiver.kinds == ["room.opened", "round.revealed", "room.ended"]
    _, revealed, ended = (each.told["data"] for each in receiver.heard)
    votes = revealed["round"]["votes"]
    assert [(vote["value"], vote["changed"]) for vote in votes] == [("5", False), ("8", False)]
    assert revealed["round"]["estimate"] is None
    assert ended["rounds"] == 1


async def test_a_room_that_nobody_visits_is_told_to_have_ended(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    async with post(database, receiver.url) as it:
        room_id = await it.home.open()
        await it.home.play(room_id, 1)
        await trio.sleep(1)
    async with post(database, receiver.url) as it, trio.open_nursery() as nursery:
        nursery.start_soon(it.home.lasting.run)
        await trio.sleep(ENDED_AFTER + 1)
        nursery.cancel_scope.cancel()

    assert receiver.kinds == ["room.opened", "round.revealed", "room.ended"]
    assert receiver.heard[2].told["data"]["rounds"] == 1


async def test_a_room_may_have_a_receiver_and_events_of_its_own(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    other = "whsec_" + "A" * 32
    async with post(database) as it:
        own = webhook_to(receiver.url, other, ["round.revealed"])
        room_id = (await it.home.lasting.open(SETTINGS, webhook=own)).room_id
        quiet = await it.home.open()
        await it.home.play(quiet, 1)
        await it.home.say(room_id, ADA, Join(name="Ada", owner=True))
        await it.home.play(room_id, 1)
        await trio.sleep(1)

    assert receiver.kinds == ["round.revealed"]
    assert receiver.heard[0].is_signed(other)
    assert not receiver.heard[0].is_signed()
    assert receiver.heard[0].told["data"]["room_id"] == room_id


async def test_of_rooms_without_webhooks_nothing_is_asked_or_written(
    clock: MockClock, database: MemoryDatabase
) -> None:
    async with post(database) as it:
        room_id = await it.home.open()
        await trio.sleep(100)
        asked = database.reads
        seen: list[str] = []
        sa.event.listen(
            database.engine, "before_cursor_execute", lambda *of: seen.append(str(of[2]))
        )
        await it.home.play(room_id, 1)
        await trio.sleep(1)

        assert database.reads == asked
        assert seen
        assert not any("webhook" in statement for statement in seen)


async def test_what_fails_is_tried_again_later_and_later(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.answers = [BROKEN, BROKEN, b"HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n", OK]
    async with post(database, receiver.url) as it:
        room_id = await it.home.open()
        await it.home.play(room_id, 1)
        await trio.sleep(30)

        assert it.home.counters.webhooks_waiting_current == 2
        assert it.counts == (0, 3, 0, 0)
        await trio.sleep(1000)
        assert it.counts == (2, 3, 0, 0)
        assert it.home.counters.webhooks_waiting_current == 0
    # In order: the round waits until the opening has arrived.
    assert receiver.kinds == [*["room.opened"] * 4, "round.revealed"]
    begun = receiver.heard[0].at
    assert [round(each.at - begun) for each in receiver.heard] == [0, 5, 25, 105, 105]
    assert [each.target for each in receiver.heard] == ["/hook?token=hush"] * 5
    assert len({each.headers["webhook-id"] for each in receiver.heard[:4]}) == 1
    assert all(each.is_signed() for each in receiver.heard)


async def test_after_all_tries_it_is_given_up(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.always = BROKEN
    with capture_logs() as logs:
        async with post(database, receiver.url) as it:
            await it.home.open()
            await trio.sleep(0.9 * DAY)

            assert it.counts == (0, TRIES - 1, 1, 0)
    assert len(receiver.heard) == TRIES
    assert receiver.heard[-1].at - receiver.heard[0].at < DAY
    [row] = rows(database)
    assert (row.body, row.next_at, row.problem) == ("", None, "it was answered 500")
    [line] = [each for each in logs if each["log_level"] == "warning"]
    assert (line["event"], line["tries"]) == ("not delivered, and given up", TRIES)
    assert line["receiver"] == f"http://127.0.0.1:{receiver.port}"
    assert not any("hush" in str(each) or SECRET in str(each) for each in logs)

    assert not database.now(lambda conn: webhooks.forget_old(conn, row.failed_at + 8 * DAY))
    assert rows(database) == []


async def test_a_receiver_says_when_to_come_again_but_not_later_than_in_a_day(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.answers = [
        b"HTTP/1.1 429 Slowly\r\nRetry-After: 300\r\n\r\n",
        b"HTTP/1.1 503 Slowly\r\nRetry-After: Thu, 01 Jan 1970 01:00:00 GMT\r\n\r\n",
        b"HTTP/1.1 503 Slowly\r\nRetry-After: 99999999999\r\n\r\n",
    ]
    receiver.always = BROKEN
    async with post(database, receiver.url) as it:
        await it.home.open()
        await trio.sleep(2 * DAY)

        assert it.counts == (0, 3, 1, 0)
    begun = receiver.heard[0].at
    assert [round(each.at - begun) for each in receiver.heard] == [0, 300, 2600, DAY]


async def test_a_receiver_that_wants_nothing_more_gets_nothing_more(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.answers = [OK, b"HTTP/1.1 410 Gone\r\n\r\n"]
    async with post(database) as it:
        opened = await it.home.lasting.open(SETTINGS, webhook=webhook_to(receiver.url))
        await trio.sleep(1)
        await it.home.say(opened.room_id, ADA, Join(name="Ada", owner=True))
        await it.home.play(opened.room_id, 1)
        await trio.sleep(1)
        await it.home.play(opened.room_id, 2)
        await trio.sleep(DAY)

        assert it.counts == (1, 0, 1, 0)
    assert receiver.kinds == ["room.opened", "round.revealed"]
    assert database.now(webhooks.hooked) == []


async def test_so_does_the_one_of_all_rooms_until_the_next_start(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.answers = [b"HTTP/1.1 410 Gone\r\n\r\n"]
    async with post(database, receiver.url) as it:
        await it.home.open()
        await trio.sleep(1)
        await it.home.open()
        await trio.sleep(DAY)
        assert it.counts == (0, 0, 1, 0)
    async with post(database, receiver.url) as it:
        await it.home.open()
        await trio.sleep(1)

    assert receiver.kinds == ["room.opened", "room.opened"] or receiver.kinds[2:] == ["room.ended"]


async def test_what_waits_survives_a_restart(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.always = BROKEN
    async with post(database, receiver.url) as it:
        room_id = await it.home.open()
        await it.home.play(room_id, 1)
        await trio.sleep(10)
    tried = len(receiver.heard)
    receiver.always = OK
    async with post(database, receiver.url) as it:
        await trio.sleep(30)

        assert it.counts == (2, 0, 0, 0)
    assert receiver.kinds[tried:] == ["room.opened", "round.revealed"]
    ids = {each.headers["webhook-id"] for each in receiver.heard}
    assert len(ids) == 2


async def test_a_try_that_a_stop_cuts_off_is_made_again(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.silent = True
    async with post(database, receiver.url) as it:
        await it.home.open()
        await receiver.called.wait()
    receiver.silent = False
    async with post(database, receiver.url) as it:
        await trio.sleep(1)

    assert receiver.kinds == ["room.opened", "room.opened"]
    assert rows(database) == []


async def test_a_receiver_that_does_not_answer_is_left_after_ten_seconds(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.silent = True
    async with post(database, receiver.url) as it:
        for _ in range(3 * AT_ONCE_PER_RECEIVER):
            await it.home.open()
        await trio.sleep(15)
        [problem, *_] = {row.problem for row in rows(database) if row.tries}
        assert problem == "no answer within 10 s"
    assert receiver.most_open == AT_ONCE_PER_RECEIVER


async def test_a_slow_receiver_does_not_keep_others_waiting(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase, nursery: trio.Nursery
) -> None:
    slow = Receiver()
    slow.silent = True
    await nursery.start(slow.serve)
    async with post(database) as it:
        for _ in range(20):
            await it.home.lasting.open(SETTINGS, webhook=webhook_to(slow.url))
        await it.home.lasting.open(SETTINGS, webhook=webhook_to(receiver.url))
        await trio.sleep(5)

        assert receiver.kinds == ["room.opened"]


async def test_an_address_of_the_own_network_is_refused_at_each_delivery(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    with capture_logs() as logs:
        async with post(database, receiver.url, allowed=()) as it:
            await it.home.open()
            await trio.sleep(3)

            assert it.counts == (0, 1, 0, 0)
    assert receiver.heard == []
    [row] = rows(database)
    assert row.problem == "the address leads into a network that webhooks may not reach"
    [line] = [each for each in logs if each["log_level"] == "warning"]
    assert "--webhook-url leads into a network" in line["event"]


async def test_what_waits_has_a_bound_for_each_room_and_for_all(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.always = BROKEN
    async with post(database, receiver.url, room_webhooks_waiting=2, webhooks_waiting=3) as it:
        room_id = await it.home.open()
        for number in (1, 2, 3):
            await it.home.play(room_id, number)
            await trio.sleep(0.1)
        assert it.counts[3] == 2
        await it.home.open()
        await trio.sleep(0.1)
        await it.home.open()
        await trio.sleep(0.1)
        assert it.counts[3] == 2 + 1
        assert len(rows(database)) == 3


async def test_what_nobody_wants_any_more_is_given_up(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    receiver.always = BROKEN
    async with post(database, receiver.url) as it:
        await it.home.open()
        await trio.sleep(1)
    async with post(database) as it:
        await trio.sleep(10)

        assert it.counts == (0, 0, 1, 0)
    assert len(receiver.heard) == 1


async def test_while_the_database_is_gone_nothing_is_lost_and_nothing_told_twice(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase
) -> None:
    async with post(database, receiver.url) as it:
        room_id = await it.home.open()
        await trio.sleep(1)
        database.gone = True
        await it.home.play(room_id, 1)
        await trio.sleep(10)
        assert receiver.kinds == ["room.opened"]
        database.gone = False
        await trio.sleep(10)

        assert receiver.kinds == ["room.opened", "round.revealed"]
        with database.held(write=True):
            it.home.reports.counted(0)
        assert it.counts == (2, 0, 0, 0)


async def test_a_defect_in_sending_stops_nobody_else(
    clock: MockClock, receiver: Receiver, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise LookupError("a defect")

    async with post(database, receiver.url) as it:
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr("server.webhooks.sending._connect", fail)
            await it.home.open()
            await trio.sleep(3)
        assert [each["event"] for each in logs if each["log_level"] == "error"] == ["failed"]
        assert it.counts == (0, 1, 0, 0)
        await trio.sleep(10)

        assert it.counts == (1, 1, 0, 0)
    assert receiver.kinds == ["room.opened"]


async def test_a_round_that_cannot_be_told_is_kept(
    clock: MockClock,
    receiver: Receiver,
    database: MemoryDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> str:
        raise LookupError("a defect")

    async with post(database, receiver.url) as it:
        room_id = await it.home.open()
        session = it.home.lasting.session(room_id)
        assert session is not None
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr("server.webhooks.events.revealed", fail)
            await it.home.play(room_id, 1)
            await trio.sleep(1)
        assert [each["event"] for each in logs if each["log_level"] == "error"] == ["failed"]
        assert await it.home.rounds(room_id, session.key) == ["T-1"]
        assert it.home.counters.writes_dropped == 0
        await end(it.home, room_id)
        await trio.sleep(1)

    assert receiver.kinds == ["room.opened", "room.ended"]


def test_delays_grow_from_seconds_to_an_hour_and_are_drawn() -> None:
    assert [backoff(tries, 1.0) for tries in range(7)] == [5, 20, 80, 320, 1280, 3600, 3600]
    assert [backoff(tries, 0.0) for tries in (0, 11)] == [2.5, 1800]
