"""Attacks on the door of a room: guesses at its passcode, races with kicks, half-open hellos."""

from typing import Any

import attrs
import orjson
import pytest
import sqlalchemy as sa
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.ids import MemberId
from server.admission.estimatex import Admission
from server.auth.sources import Source
from server.store import schema
from server.support.limits import Limits
from tests.server.admission.parley_site import Talker, hello_frame
from tests.server.admission.test_parley_v1 import Site, site
from tests.server.harness import masked, said

HERON, EGRET = "grey heron", "great egret"

settled = trio.testing.wait_all_tasks_blocked


async def opened(it: Site, passcode: str | None = HERON) -> Talker:
    """Let the owner come, and give the room a passcode."""
    ada = await it.enter(name="Ada", owner_key=it.owner_key)
    if passcode is not None:
        await ada.say("passcode", ref=1, passcode=passcode)
        assert (await ada.hear("door"))["needs_passcode"] is True  # behind the answer
    return ada


async def refusal(it: Site, **hello: Any) -> tuple[dict[str, Any], dict[str, Any], int]:
    talker = await it.hello(**hello)
    found = await talker.refusal()
    await talker.client.stream.aclose()
    return found


# --- the passcode ---------------------------------------------------------------------------


async def test_whoever_knows_the_passcode_comes_in(autojump_clock: MockClock) -> None:
    async with site() as it:
        ada = await opened(it)

        bob = await it.enter(name="Bob", passcode=f" {HERON}  ")

        assert (await ada.hear("joined"))["member"]["name"] == "Bob"
        await bob.client.stream.aclose()
        await ada.hear("away")
        back = await it.hello(resume=bob.resume)
        assert (await back.hear("welcome"))["member"] == bob.welcome["member"]


async def test_a_refusal_says_what_is_missing_and_how_many_tries_are_left(
    autojump_clock: MockClock,
) -> None:
    async with site(limits=Limits(passcode_limit=2)) as it:
        await opened(it)

        missing = await refusal(it, name="Bob")
        wrong = [await refusal(it, name="Bob", passcode=EGRET) for _ in range(2)]
        late, goodbye, code = await refusal(it, name="Bob", passcode=HERON)

        assert (missing[0]["code"], missing[2]) == ("needs_passcode", 4506)
        assert [each["field"] for each, _, _ in [missing, *wrong]] == ["passcode"] * 3
        assert [each["code"] for each, _, _ in wrong] == ["wrong_passcode"] * 2
        assert [each["tries_left"] for each, _, _ in wrong] == [1, 0]
        assert [each["text"] for each, _, _ in wrong] == [
            "wrong passcode; 1 try left",
            "wrong passcode; 0 tries left",
        ]
        assert (late["code"], late["tries_left"], code) == ("too_many", None, 4004)
        assert 0 < late["retry_after"] == goodbye["back_in"] <= 30
        await trio.sleep(late["retry_after"])
        await it.enter(name="Bob", passcode=HERON)


async def test_guesses_that_come_at_once_are_ten_and_not_one_more(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        await opened(it)
        knocking = [it.knock() for _ in range(40)]
        for talker in knocking:
            await talker.client.head()
        for number, talker in enumerate(knocking):  # all are half open, and now guess at once
            await talker.client.send(hello_frame(name="Eve", passcode=f"guess {number}"))

        codes = [(await talker.refusal())[0]["code"] for talker in knocking]

        assert sorted(codes) == ["too_many"] * 30 + ["wrong_passcode"] * 10
        late, _, _ = await refusal(it, name="Bob", passcode=HERON)
        assert late["code"] == "too_many", "a guess that is right is not told from others"
        it.source = Source("198.51.100.7")
        await it.enter(name="Bob", passcode=HERON)


async def test_also_an_address_without_limits_does_not_guess_for_ever(
    autojump_clock: MockClock,
) -> None:
    async with site(limits=Limits(passcode_limit=1)) as it:
        await opened(it)
        it.source = Source("127.0.0.1", unlimited=True)

        codes = [(await refusal(it, name="Eve", passcode=EGRET))[0]["code"] for _ in range(2)]

        assert codes == ["wrong_passcode", "too_many"]


async def test_another_passcode_takes_the_place_of_the_first_and_none_opens(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        ada = await opened(it)
        await ada.say("passcode", ref=2, passcode=EGRET)
        await ada.hear("ack")

        assert (await refusal(it, name="Bob", passcode=HERON))[0]["code"] == "wrong_passcode"
        await it.enter(name="Bob", passcode=EGRET)
        await ada.say("passcode", ref=3, passcode=None)
        await ada.hear("ack")
        await it.enter(name="Cid")


@pytest.mark.parametrize("passcode", ["abc", "", 5, "x" * 65, "a\nb\nc"])
async def test_what_can_be_no_passcode_is_refused_by_field_and_counts_as_no_guess(
    passcode: object, autojump_clock: MockClock
) -> None:
    async with site(limits=Limits(passcode_limit=1)) as it:
        ada = await opened(it)

        assert await it.refused(name="Bob", passcode=passcode) == (
            *("malformed", "passcode"),
            *("refused", 4507),
        )
        await ada.say("passcode", ref=2, passcode=passcode)
        error = await ada.hear("error")
        assert (error["code"], error["field"], error["ref"]) == ("malformed", "passcode", 2)
        await it.enter(name="Bob", passcode=HERON)


async def test_a_passcode_is_in_no_log_no_row_and_nothing_that_is_said(
    autojump_clock: MockClock,
) -> None:
    with capture_logs() as logs:
        async with site() as it:
            ada = await opened(it)
            bob = await it.enter(name="Bob", passcode=HERON)
            wrong = await refusal(it, name="Eve", passcode=EGRET)
            await ada.say("passcode", ref=2, passcode=EGRET)
            await ada.hear("ack")
            await ada.say("passcode", ref=2, passcode=EGRET)
            await ada.hear("ack")
            await it.writer.flush()
            stored = it.database.now(rows)
            room = it.lasting.find(it.room_id)
            assert room is not None
            assert room.lasting is not None
            door = room.lasting.door
            assert door is not None
            seal = door.seal
            assert seal is not None
            told = repr([orjson.dumps(bob.welcome), wrong, room.lasting.snapshot_for(MemberId(""))])
            await ada.say("close", ref=3)
            heard, _ = await ada.rest()

    for text in (stored, repr(logs), told, repr(heard)):
        assert HERON not in text
        assert EGRET not in text
    assert seal in stored, "what would be searched has been written"
    for text in (repr(logs), told, repr(heard)):
        assert seal not in text


def rows(conn: sa.Connection) -> str:
    """Give every row of every table as text."""
    return repr([list(conn.execute(sa.select(each))) for each in schema.metadata.sorted_tables])


# --- the lock -------------------------------------------------------------------------------


async def test_a_hello_that_was_half_open_when_the_room_was_locked_comes_too_late(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        ada = await opened(it, None)
        half = it.knock()
        await half.client.head()
        await ada.say("lock", ref=1, locked=True)
        assert (await ada.hear("door"))["locked"] is True
        await half.client.send(hello_frame(name="Bob"))

        error, goodbye, code = await half.refusal()

        assert (error["code"], goodbye["reason"], code) == ("locked", "locked", 4510)
        await it.enter(name="Deb", owner_key=it.owner_key)


async def test_a_lock_that_comes_between_a_hello_and_its_seat_counts(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        ada = await opened(it, None)
        bob = it.knock()
        await bob.client.head()
        # Both are on their way: the lock is in the room's inbox before the newcomer's command.
        await ada.client.send(masked(orjson.dumps({"type": "lock", "ref": 1, "locked": True})))
        await bob.client.send(hello_frame(name="Bob"))

        error, _, code = await bob.refusal()

        assert (error["code"], code) == ("locked", 4510)
        await bob.client.stream.aclose()
        await settled()
        assert it.seats() == 1


# --- removal --------------------------------------------------------------------------------


async def kicked(it: Site, ada: Talker, member: str, **how: bool) -> None:
    await ada.say("kick", ref=9, member=member, **how)
    await ada.hear("ack")


async def test_whoever_is_put_out_is_told_by_whom_and_closed(autojump_clock: MockClock) -> None:
    async with site() as it:
        ada = await opened(it, None)
        bob = await it.enter(name="Bob")

        await kicked(it, ada, bob.welcome["member"])

        heard, code = await bob.rest()
        left, goodbye = [each for each in heard if each["type"] != "saved"]
        assert (left["type"], left["by"]) == ("left", ada.welcome["member"])
        assert goodbye["reason"] == "removed"
        assert goodbye["text"] == "Ada has removed you from the room"
        assert code == 4502
        await bob.client.stream.aclose()
        await settled()
        assert it.seats() == 1
        error, _, code = await refusal(it, resume=bob.resume)
        assert (error["code"], error["text"]) == ("removed", "Ada has removed you from the room")
        assert code == 4502
        await it.enter(name="Bob")  # is not kept out


async def test_somebody_in_its_grace_is_put_out_and_told_when_it_comes_back(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        ada = await opened(it, None)
        bob = await it.enter(name="Bob")
        await bob.client.stream.aclose()
        await ada.hear("away")

        await kicked(it, ada, bob.welcome["member"])

        assert it.seats() == 1
        error, goodbye, code = await refusal(it, resume=bob.resume)
        assert (error["code"], goodbye["reason"], code) == ("removed", "removed", 4502)
        assert it.lasting.find(it.room_id) is not None


@pytest.mark.parametrize("first", ["kick", "resume"])
async def test_a_kick_and_a_resume_at_once_leave_nobody_behind(
    first: str, autojump_clock: MockClock
) -> None:
    async with site() as it:
        ada = await opened(it, None)
        bob = await it.enter(name="Bob")
        await bob.client.stream.aclose()
        await ada.hear("away")
        again = it.knock()
        await again.client.head()
        kick = {"type": "kick", "ref": 9, "member": bob.welcome["member"]}
        hello = again.client.send(hello_frame(resume=bob.resume))
        kicking = ada.client.send(masked(orjson.dumps(kick)))
        for sending in (kicking, hello) if first == "kick" else (hello, kicking):
            await sending

        heard, code = await again.rest()

        assert (heard[-1]["reason"], code) == ("removed", 4502)
        await ada.hear("ack")
        await settled()
        room = it.lasting.find(it.room_id)
        assert room is not None
        assert room.member_count == 1
        assert it.seats() == 1
        assert (await refusal(it, resume=bob.resume))[0]["code"] == "removed"


async def test_from_an_address_that_is_kept_out_nobody_new_comes_but_the_owner(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        ada = await opened(it, None)
        it.source = Source("198.51.100.7")
        bob, cid = await it.enter(name="Bob"), await it.enter(name="Cid")
        await bob.client.stream.aclose()
        await ada.hear("away")

        await kicked(it, ada, bob.welcome["member"], address=True)

        error, _, code = await refusal(it, name="Robert", nonce="n" * 16)
        assert (error["code"], code) == ("banned", 4502)
        await cid.client.stream.aclose()
        back = await it.hello(resume=cid.resume)  # has a seat
        await back.hear("welcome")
        it.source = Source("198.51.100.8")
        await it.enter(name="Robert")
        it.source = Source("198.51.100.7")
        await it.enter(name="Ada", owner_key=it.owner_key)


async def test_a_nonce_does_not_bring_back_whoever_is_kept_out(autojump_clock: MockClock) -> None:
    async with site() as it:
        ada = await opened(it, None)
        bob = await it.enter(name="Bob", nonce="n" * 16)

        await kicked(it, ada, bob.welcome["member"], ban=True)
        await bob.rest()
        await bob.client.stream.aclose()
        await settled()

        error, goodbye, code = await refusal(it, name="Bob", nonce="n" * 16)
        assert (error["code"], goodbye["reason"], code) == ("banned", "removed", 4502)
        assert (await refusal(it, resume=bob.resume))[0]["code"] == "removed"


# --- the other dialect ----------------------------------------------------------------------


def visit(it: Site, name: str) -> Talker:
    """Come as a client of EstimateX does."""
    admission = Admission(
        hub=it.hub,
        rooms=it.lasting,
        members=it.entrance.members,
        allowances=it.entrance.allowances,
        limits=it.limits,
        counters=it.counters,
    )
    handler, upgrade, client = it.ask(admission.routes(echo=False), "/ws")
    query = f"action=JOIN_ROOM&name={name}&room_id={it.room_id}"
    it.handlers.start_soon(it.serve, handler, attrs.evolve(upgrade, query=query))
    return Talker(client)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"type": "passcode", "passcode": HERON}, "! This room has a passcode"),
        ({"type": "lock", "locked": True}, "! This room is locked"),
    ],
)
async def test_clients_of_estimatex_are_refused_in_words(
    request_: dict[str, object], words: str, autojump_clock: MockClock
) -> None:
    async with site() as it:
        ada = await opened(it, None)
        await ada.say(**{"kind": request_["type"], "ref": 1, **request_})  # type: ignore[arg-type]
        await ada.hear("ack")

        eve = visit(it, "Eve")
        await eve.client.head()
        told, close = await eve.client.rest()

        assert told.text.startswith(words)
        assert close.code == 1000


async def test_a_client_of_estimatex_is_put_out_in_words_and_kept_out_by_its_address(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        ada = await opened(it, None)
        it.source = Source("198.51.100.7")
        eve = visit(it, "Eve")
        await eve.client.head()
        await eve.client.send(said("JOIN_ROOM", room_id=it.room_id))
        member = (await ada.hear("joined"))["member"]["id"]

        await kicked(it, ada, member, address=True)

        *_, told, close = await eve.client.rest()
        assert told.text == "! Ada has removed you from the room."
        assert close.code == 1000
        again = visit(it, "Evelyn")
        await again.client.head()
        refused, close = await again.client.rest()
        assert refused.text.startswith("! From this network address")
        assert close.code == 1000
