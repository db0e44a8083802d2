"""The client library on Trio: a seat that holds over cuts, crashes and a server that is away."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from protocol.changes import Nudged
from protocol.client_happenings import Again, Answered, Changed, Happening, Over, Reacted, Reminded
from protocol.errors import ErrorCode
from protocol.farewell import Ending
from protocol.lasting import Role, TimerKind
from protocol.picture import Stage
from protocol.talk import Emoji, Reaction
from server.client import (
    CannotCreate,
    Declined,
    Lagging,
    NotReached,
    Room,
    RoomOver,
    create_room,
    open_room,
)
from server.client.followers import MOST_BEHIND, Follower
from server.client.streams import Address
from tests.protocol.lossy_server import KEY
from tests.server.client.served import Served, serving

Clock = trio.testing.MockClock


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


def seat(
    served: Served, name: str, *, owner: bool = False, **more: Any
) -> AbstractAsyncContextManager[Room]:
    key = KEY if owner else None
    return open_room(
        "ws://parley.test", "Room42", name=name, owner_key=key, dial=served.dial, **more
    )


async def test_two_estimate_a_ticket(autojump_clock: Clock, served: Served) -> None:
    async with seat(served, "Ann", owner=True) as ann, seat(served, "Bob") as bob:
        await ann.wait_for(lambda picture: len(picture.members) == 2)
        with pytest.raises(Declined):
            await ann.estimate("5")
        begun = await ann.begin("T-1")
        assert begun.round is not None
        await bob.wait_for(lambda picture: picture.round)
        await ann.vote("5")
        await bob.vote("13")
        retracted = await bob.retract()
        assert retracted.round is not None
        assert retracted.round.waiting_for == (bob.mine.member,)
        assert [each.mine.card for each in (ann, bob)] == ["5", None]
        await bob.vote("8")
        assert [each.mine.card for each in (ann, bob)] == ["5", "8"]
        revealed = await ann.reveal()
        await bob.wait_for(lambda picture: picture.stage is Stage.REVEALED)

        await ann.estimate("5")
        with pytest.raises(Declined):
            await bob.estimate("8")
        with pytest.raises(Declined, match="already shown"):
            await bob.vote("5")
        estimated = await bob.wait_for(lambda picture: picture.shown and picture.shown.estimate)
        assert estimated.shown is not None
        assert estimated.shown.estimate == "5"
        assert revealed.shown is not None
        assert [(vote.name, vote.card) for vote in revealed.shown.votes] == [
            ("Ann", "5"),
            ("Bob", "8"),
        ]
        assert ann.picture == bob.picture == served.rules.rules.picture()
        assert {"begin", "estimate", "close"} <= set(ann.mine.may)
        assert ann.welcome is not None


async def test_who_only_watches_has_no_card_and_votes_again_if_it_is_let(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann, seat(served, "Bob") as bob:
        await ann.wait_for(lambda picture: len(picture.members) == 2)
        await ann.begin("T-1")
        await bob.wait_for(lambda picture: picture.round)
        await bob.vote("8")

        await bob.change_role(Role.SPECTATOR)

        assert bob.mine.card is None
        with pytest.raises(Declined):
            await bob.vote("8")
        await ann.change_role(Role.VOTER, bob.mine.member)
        await bob.wait_for(lambda picture: picture.members[1].role is Role.VOTER)
        await bob.vote("5")
        assert bob.picture == served.rules.rules.picture()


async def test_people_are_reminded_renamed_and_lead(autojump_clock: Clock, served: Served) -> None:
    async with seat(served, "Ann", owner=True) as ann, seat(served, "Ann") as bob:
        await ann.wait_for(lambda picture: len(picture.members) == 2)
        await ann.begin("T-1")
        happening = aiter(bob)
        await ann.nudge(bob.mine.member)
        async for each in happening:
            if isinstance(each, Reminded):
                assert each.nudge == Nudged(ann.mine.member, "Ann", 1, "T-1")
                break
        assert [each.tag for each in ann.picture.members] == [1, 2]
        await bob.rename("Bob")
        await ann.promote(bob.mine.member)
        await ann.demote(bob.mine.member)
        with pytest.raises(Declined) as declined:
            await ann.raise_capacity(1)
        assert declined.value.error.field == "capacity"
        with pytest.raises(Declined) as declined:
            await bob.claim()
        assert declined.value.error.code == ErrorCode.IS_LED
        await ann.hand_over(bob.mine.member)
        await bob.wait_for(lambda picture: picture.members[1].owner)
        assert "close" in bob.mine.may
        assert [each.name for each in bob.picture.members] == ["Ann", "Bob"]
        await ann.settled()
        assert ann.picture == served.rules.rules.picture()


async def test_two_talk_and_take_it_back(autojump_clock: Clock, served: Served) -> None:
    async with seat(served, "Ann", owner=True) as ann, seat(served, "Bob") as bob:
        await bob.say("my password")
        after = await bob.say("Hello")
        assert [each.text for each in after.messages] == ["my password", "Hello"]
        await bob.unsay(1)
        await ann.wait_for(lambda picture: [each.id for each in picture.messages] == [2])

        with pytest.raises(Declined) as declined:
            await ann.unsay(1)
        assert declined.value.error.code == ErrorCode.NO_SUCH_MESSAGE
        assert declined.value.error.field == "id"
        assert ann.picture == bob.picture == served.rules.rules.picture()


async def test_a_reaction_is_seen_by_who_is_there_and_forgotten_without_a_connection(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann, seat(served, "Bob") as bob:
        follower = aiter(ann)
        assert bob.react(Emoji.PARTY)
        assert bob.react(Emoji.PARTY)
        shown = await anext(follower)
        while not isinstance(shown, Reacted):
            shown = await anext(follower)
        assert shown == Reacted((Reaction(Emoji.PARTY, 1, (bob.mine.member,)),))
        before = bob.picture
        served.reachable = False
        await served.cut()
        await trio.testing.wait_all_tasks_blocked()

        assert not bob.react(Emoji.HEART)

        served.reachable = True
        await bob.say("back")
        assert bob.picture.messages != before.messages
        assert served.rules.reactions == [Emoji.PARTY]


async def test_a_timer_is_led_by_a_facilitator(autojump_clock: Clock, served: Served) -> None:
    async with seat(served, "Ann", owner=True) as ann, seat(served, "Bob") as bob:
        started = (await ann.start_timer(90, TimerKind.DISCUSSION)).timer
        assert started is not None
        assert (started.kind, started.seconds) == (TimerKind.DISCUSSION, 90)
        paused = (await ann.pause_timer()).timer
        assert paused is not None
        assert paused.deadline is None
        longer = (await ann.extend_timer(30)).timer
        assert longer is not None
        assert (longer.seconds, longer.left) == (120, (paused.left or 0) + 30)
        running = (await ann.resume_timer()).timer
        assert running is not None
        await bob.wait_for(lambda picture: picture.timer == running)
        assert (await ann.stop_timer()).timer is None
        await bob.wait_for(lambda picture: picture.timer is None)
        with pytest.raises(Declined) as declined:
            await bob.start_timer(90)
        assert declined.value.error.code == ErrorCode.NOT_FACILITATOR


async def test_a_vote_waits_for_a_connection_and_takes_effect_once(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann:
        await ann.begin("T-1")
        served.reachable = False
        await served.cut()
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ann.vote, "5")
            await trio.sleep(120)
            assert [each.sent for each in ann.pending] == [False]
            assert "cannot reach parley.test" in ann.trouble
            served.reachable = True
        assert ann.trouble == ""
        assert ann.mine.card == "5"
        assert ann.picture == served.rules.rules.picture()
        await ann.settled()
        member = ann.mine.member
        assert [served.rules.effects[member, ref] for ref in (1, 2)] == [1, 1]


async def test_what_was_acknowledged_survives_a_crash_of_the_server(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann:
        await ann.begin("T-1")
        served.saves = False
        await ann.vote("5")
        served.rules.crash()
        assert not served.rules.effects[ann.mine.member, 2]
        await served.cut()
        served.saves = True

        await ann.settled()

        assert served.rules.effects[ann.mine.member, 2] == 1
        await ann.reveal()
        assert ann.picture == served.rules.rules.picture()


async def test_a_stopping_server_says_when_to_come_back(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann:
        follower = aiter(ann)
        before = trio.current_time()
        served.rules.stop(back_in=7.0)
        served.change()
        happened = [await anext(follower) for _ in range(3)]
        async for happening in follower:
            if isinstance(happening, Changed):
                break
        assert Again(7.0, Ending.GOING_AWAY, "because") in happened
        assert trio.current_time() == pytest.approx(before + 7.0)


async def test_a_dead_connection_is_noticed_by_its_silence(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann:
        served.deaf = True
        before = trio.current_time()
        async for happening in ann:
            if isinstance(happening, Again):
                break
        assert 35.0 <= trio.current_time() - before <= 38.0
        served.deaf = False
        await ann.begin("T-1")
        assert len(ann.picture.members) == 1


async def test_a_refused_request_raises_with_what_the_server_says(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann:
        with pytest.raises(Declined, match="no vote is running"):
            await ann.vote("5")
        await ann.begin("T-1")
        with pytest.raises(Declined) as raised:
            await ann.vote("6")
        assert raised.value.error.code == ErrorCode.NOT_IN_DECK
        assert raised.value.error.field == "card"
        assert ann.mine.card is None


async def test_an_end_is_told_to_whoever_waits(autojump_clock: Clock, served: Served) -> None:
    ends: list[str] = []

    async def wait_in_vain(room: Room) -> None:
        with pytest.raises(RoomOver) as raised:
            await room.wait_for(lambda picture: picture.name == "another")
        ends.append(str(raised.value.over.reason))

    async with seat(served, "Ann", owner=True) as ann, seat(served, "Bob") as bob:
        heard = aiter(bob)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_in_vain, bob)
            await trio.testing.wait_all_tasks_blocked()
            await ann.close()
        happened = [each async for each in heard]
        assert isinstance(happened[-1], Over)
        assert [each async for each in bob] == [bob.over]
        with pytest.raises(RoomOver):
            await bob.leave()
    assert ends == ["room_ended"]


async def test_leaving_gives_the_seat_up_and_closing_the_block_does_not(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann:
        async with seat(served, "Bob"):
            pass
        picture = await ann.wait_for(lambda picture: not picture.members[-1].here)
        assert [each.name for each in picture.members] == ["Ann", "Bob"]
        async with seat(served, "Cid") as cid:
            await cid.leave()
        picture = await ann.wait_for(lambda picture: picture.members[-1].name == "Bob")


async def test_who_has_left_has_left_also_if_the_answer_is_cut_off(
    autojump_clock: Clock, served: Served
) -> None:
    async with seat(served, "Ann", owner=True) as ann, seat(served, "Bob") as bob:
        await ann.wait_for(lambda picture: len(picture.members) == 2)
        await bob.settled()
        served.reachable = False
        await served.cut()
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bob.leave)
            await trio.testing.wait_all_tasks_blocked()
            assert bob.welcome is not None
            # As if the server had heard it, and nobody its answer.
            served.rules.leave(bob.welcome.member)
            served.reachable = True
        assert bob.over is not None
        assert bob.over.reason is Ending.WRONG_KEY


async def test_a_seat_is_taken_again_with_its_token(autojump_clock: Clock, served: Served) -> None:
    async with seat(served, "Ann", owner=True) as ann:
        await ann.begin("T-1")
        assert ann.welcome is not None
        token = ann.welcome.token
    async with open_room(
        "ws://parley.test", "Room42", seat_token=token, last_ref=1, dial=served.dial
    ) as again:
        await again.vote("5")
        assert len(again.picture.members) == 1


@pytest.mark.parametrize("status", [400, 404])
async def test_who_is_not_upgraded_is_told_so(
    autojump_clock: Clock, served: Served, status: int
) -> None:
    served.status = status
    with pytest.raises(RoomOver, match=f"{status} no"):
        await seat(served, "Ann").__aenter__()
    assert served.dialled == 1


async def test_who_speaks_something_else_is_no_parley(
    autojump_clock: Clock, served: Served
) -> None:
    served.subprotocol = None
    with pytest.raises(RoomOver, match="does not speak parley"):
        await seat(served, "Ann").__aenter__()


@pytest.mark.parametrize("status", [None, 429, 503])
async def test_a_server_is_tried_for_a_while(
    autojump_clock: Clock, served: Served, status: int | None
) -> None:
    served.status, served.reachable = status, status is not None
    with pytest.raises(NotReached, match=r"cannot reach|answers"):
        await seat(served, "Ann", patience=60.0).__aenter__()
    assert served.dialled > 4
    assert trio.current_time() == pytest.approx(60.0, abs=3.0)


async def test_a_wrong_key_is_refused(autojump_clock: Clock, served: Served) -> None:
    async with seat(served, "Ann"):
        pass
    with pytest.raises(RoomOver) as raised:
        await open_room(
            "ws://parley.test", "Room42", seat_token="token of m9", dial=served.dial
        ).__aenter__()
    assert raised.value.over.reason is Ending.WRONG_KEY


async def test_errors_of_the_body_come_out_as_they_are(
    autojump_clock: Clock, served: Served
) -> None:
    with pytest.raises(KeyError):
        async with seat(served, "Ann"):
            raise KeyError
    with trio.move_on_after(1) as scope:
        async with seat(served, "Bob"):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_whoever_does_not_listen_keeps_nothing_up(autojump_clock: Clock) -> None:
    follower = Follower()
    happening: Happening = Again(1.0, None, "")
    for _ in range(MOST_BEHIND + 1):
        follower.add(happening)
    for _ in range(MOST_BEHIND):
        assert await anext(follower) is happening
    with pytest.raises(Lagging):
        await anext(follower)


async def test_happenings_come_in_order(autojump_clock: Clock, served: Served) -> None:
    async with seat(served, "Ann", owner=True) as ann:
        follower = aiter(ann)
        await ann.begin("T-1")
        kinds = [type(await anext(follower)) for _ in range(2)]
        assert kinds == [Answered, Changed]


async def test_no_room_is_created_where_there_is_no_server(
    autojump_clock: Clock, served: Served
) -> None:
    served.reachable = False
    with pytest.raises(CannotCreate, match=r"cannot reach parley\.test") as raised:
        await create_room("ws://parley.test", capacity=5, dial=served.dial)
    assert raised.value.status is None


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "cannot reach"),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", "not understood"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 17\r\n\r\n" + b'{"error": "full"}', "503: full"),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99999, "no whole"),
        (b"SSH-2.0\r\n\r\n", "cannot reach"),
    ],
    ids=["hangs up", "says nothing", "is full", "says too much", "speaks something else"],
)
async def test_an_answer_that_opens_no_room_is_told(
    autojump_clock: Clock, answer: bytes, complaint: str
) -> None:
    async def dial(address: Address) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await ours.send_all(answer)
        await ours.send_eof()
        return theirs

    with pytest.raises(CannotCreate, match=complaint):
        await create_room("http://parley.test", capacity=5, dial=dial)


@pytest.mark.parametrize(
    "deck", [None, "tshirt", ["1", "2", "?"], ["1", {"label": "big", "value": 13}]]
)
async def test_a_deck_is_asked_for_as_it_is_given(autojump_clock: Clock, deck: Any) -> None:
    asked = bytearray()

    async def dial(address: Address) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        opened = b'{"id": "Room42", "link": "/r/Room42", "owner_key": "key"}'
        head = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(opened)
        await ours.send_all(head + opened)
        listening.append(ours)
        return theirs

    listening: list[trio.abc.Stream] = []
    opened = await create_room("http://parley.test", capacity=5, deck=deck, dial=dial)
    [ours] = listening
    async for data in ours:
        asked += data

    assert opened.id == "Room42"
    body = orjson.loads(asked.partition(b"\r\n\r\n")[2])
    assert body == {"capacity": 5} | ({} if deck is None else {"deck": deck})


@pytest.mark.parametrize(
    "url", ["parley.test", "ftp://parley.test", "ws://", "ws://a@b", "ws://a?b"]
)
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="url must be an address"):
        open_room(url, "Room42", name="Ann")


def test_it_must_be_said_who_comes() -> None:
    with pytest.raises(ValueError, match="one of name"):
        open_room("ws://parley.test", "Room42")


async def test_a_connection_that_ends_during_the_handshake_is_not_waited_for(
    autojump_clock: Clock, served: Served
) -> None:
    cut = 0

    async def dial(address: Address) -> trio.abc.Stream:
        nonlocal cut
        if cut == 3:
            return await served.dial(address)
        ours, theirs = trio.testing.memory_stream_pair()
        cut += 1
        if cut > 1:
            await ours.send_all(b"HTTP/1.1 101 Swi")
        await ours.aclose()
        return theirs

    began = trio.current_time()
    async with open_room("ws://parley.test", "Room42", name="Ann", dial=dial) as ann:
        assert ann.picture.members[0].name == "Ann"
    # Three delays of the backoff at the most, and no deadline of a connection.
    assert trio.current_time() - began < 0.2 + 0.4 + 0.8
