"""Whole sessions, with a client library that shares no code with the server."""

import contextlib
import csv
import http.client
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import attrs
import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection, connect

from tests.wire.process import Server
from tests.wire.raw import PATIENCE, TYPES

UPDATE = "ROOM_JOIN_UPDATES"
VOTED = "(text)"


@attrs.define
class Player:
    """One member; remembers the type of everything it has been told."""

    socket: ClientConnection
    heard: list[str] = attrs.Factory(list)

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """Receive exactly these; give the data of the last one."""
        data: dict[str, Any] = {}
        for kind in kinds:
            with trio.fail_after(PATIENCE):
                message = await self.socket.recv()
            assert isinstance(message, str)
            if message.startswith("{"):
                event = json.loads(message)
                assert set(event) == {"type", "data"}
                assert event["type"] in TYPES
                self.heard.append(event["type"])
                data = event["data"]
            else:
                self.heard.append(VOTED)
                data = {"text": message}
            assert self.heard[-1] == kind, message
        return data

    async def say(self, kind: str, **data: str) -> None:
        await self.socket.send(json.dumps({"type": kind, "data": data}))

    async def end(self) -> tuple[int, str]:
        """Receive nothing but a close frame; give its code and reason."""
        with trio.fail_after(PATIENCE), pytest.raises(ConnectionClosed) as closed:
            await self.socket.recv()
        frame = closed.value.rcvd
        assert frame is not None
        assert closed.value.rcvd_then_sent, "the server closes first"
        return frame.code, frame.reason


def address(server: Server, query: str) -> str:
    return f"ws://{server.authority}/ws?{query}"


@contextlib.asynccontextmanager
async def arrived(server: Server, **wish: str) -> AsyncIterator[Player]:
    async with connect(address(server, urlencode(wish)), proxy=None) as socket:
        yield Player(socket)


async def refusal(server: Server, query: str) -> str:
    """Be refused, as the dialect has it: upgraded, one plain text, closed with 1000."""
    async with connect(address(server, query), proxy=None) as socket:
        player = Player(socket)
        text: str = (await player.hear(VOTED))["text"]
        assert text.startswith("! ")
        code, reason = await player.end()
        assert code == 1000
        assert reason
        return text


def fetch(server: Server, target: str) -> tuple[int, str, str]:
    """Get a document; gives status, type and text."""
    with contextlib.closing(http.client.HTTPConnection(server.authority, timeout=30)) as client:
        client.request("GET", target)
        answer = client.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


async def play(ada: Player, others: list[Player], ticket: str, votes: list[str]) -> None:
    """Play one round; each message that comes is the one that must come."""
    everybody = [ada, *others]
    await ada.say("BEGIN_VOTING", ticket_id=ticket)
    for player in everybody:
        assert await player.hear("ASK_FOR_VOTE") == {"ticket_id": ticket}
    for voter, vote in zip(everybody, votes, strict=True):
        await voter.say("MEMBER_VOTED", ticket_id=ticket, vote=vote)
        for player in everybody:
            text = (await player.hear(VOTED))["text"]
            assert ticket in text
            assert text.removeprefix("* ").split()[0] in {"Ada", "Bob", "Cy"}
            assert not any(word == vote for word in text.split())
    for player in everybody:
        assert (await player.hear("VOTING_COMPLETED"))["ticket_id"] == ticket
    assert (await ada.hear("REVEAL_VOTES_PROMPT"))["ticket_id"] == ticket
    await ada.say("REVEAL_VOTES", ticket_id=ticket)
    maps = [await player.hear("VOTES_REVEALED") for player in everybody]
    for revealed in maps:
        assert revealed == maps[0]
        assert set(revealed) == {"ticket_id", "client_vote_choice_map"}
    choices = maps[0]["client_vote_choice_map"]
    assert [(v["MemberName"], v["Value"]) for v in choices.values()] == list(
        zip(["Ada", "Bob", "Cy"], votes, strict=True)
    )
    for member_id, choice in choices.items():
        assert set(choice) == {"Value", "MemberID", "MemberName"}
        assert choice["MemberID"] == member_id
    await ada.hear("BEGIN_VOTING_PROMPT")
    for player in others:
        await player.hear("AWAITING_ADMIN_VOTE_START")


ROUND = ["ASK_FOR_VOTE", VOTED, VOTED, VOTED, "VOTING_COMPLETED"]
ADMINS_ROUND = [*ROUND, "REVEAL_VOTES_PROMPT", "VOTES_REVEALED", "BEGIN_VOTING_PROMPT"]
MEMBERS_ROUND = [*ROUND, "VOTES_REVEALED", "AWAITING_ADMIN_VOTE_START"]


async def test_a_session_goes_from_creation_to_results_in_the_order_of_the_dialect(
    server: Server,
) -> None:
    create = {"action": "CREATE_ROOM", "name": "Ada", "max_room_capacity": "3"}
    async with arrived(server, **create) as ada:
        room_id = (await ada.hear("CREATE_ROOM"))["room_id"]
        assert len(room_id) == 6
        assert room_id.isalnum()
        await ada.say("JOIN_ROOM", room_id=room_id)
        welcome = (await ada.hear(UPDATE))["message"]
        assert f"You are in room {room_id}; its results: /rooms/{room_id}/results?key=" in welcome
        path = welcome.split()[-1]
        assert "Ada" in (await ada.hear(UPDATE))["message"]
        join = {"action": "JOIN_ROOM", "room_id": room_id}
        async with arrived(server, **join, name="Bob") as bob:
            await bob.say("JOIN_ROOM", room_id=room_id)
            assert (await bob.hear(UPDATE))["message"] == welcome
            assert "Ada (admin)" in (await bob.hear(UPDATE))["message"]
            assert "Bob" in (await bob.hear(UPDATE))["message"]
            assert "Bob" in (await ada.hear(UPDATE))["message"]
            async with arrived(server, **join, name="Cy") as cy:
                await cy.say("JOIN_ROOM", room_id=room_id)
                assert "Cy" in (await cy.hear(UPDATE, UPDATE, UPDATE, UPDATE))["message"]
                assert "Cy" in (await bob.hear(UPDATE))["message"]
                assert "Cy" in (await ada.hear(UPDATE))["message"]
                for player in (ada, bob, cy):
                    await player.hear("ROOM_CAPACITY_REACHED")
                await ada.hear("BEGIN_VOTING_PROMPT")

                assert "full" in await refusal(server, urlencode(join | {"name": "Dee"}))

                await play(ada, [bob, cy], "PAR-1", ["3", "5", "8"])
                await play(ada, [bob, cy], "PAR-2", ["13", "13", "½"])

                with trio.fail_after(PATIENCE):
                    await ada.socket.aclose()
                for player in (bob, cy):
                    assert "the admin has left" in (await player.hear(UPDATE))["message"]
                    code, reason = await player.end()
                    assert code == 1001
                    assert "the admin has left" in reason
                assert room_id in await refusal(server, urlencode(join | {"name": "Dee"}))

    assert ada.heard == [
        "CREATE_ROOM", *[UPDATE] * 4, "ROOM_CAPACITY_REACHED", "BEGIN_VOTING_PROMPT",
        *ADMINS_ROUND, *ADMINS_ROUND,
    ]  # fmt: skip
    assert bob.heard == [
        *[UPDATE] * 4, "ROOM_CAPACITY_REACHED", *MEMBERS_ROUND, *MEMBERS_ROUND, UPDATE,
    ]  # fmt: skip
    assert cy.heard == [
        *[UPDATE] * 4, "ROOM_CAPACITY_REACHED", *MEMBERS_ROUND, *MEMBERS_ROUND, UPDATE,
    ]  # fmt: skip

    status, kind, text = await trio.to_thread.run_sync(fetch, server, path)
    assert status == 200
    assert kind.startswith("application/json")
    results = json.loads(text)
    assert results["room_id"] == room_id
    assert results["closed_at"]
    assert [ticket["ticket_id"] for ticket in results["tickets"]] == ["PAR-1", "PAR-2"]
    first, second = results["tickets"]
    assert [(v["name"], v["value"]) for v in first["votes"]] == [
        ("Ada", "3"), ("Bob", "5"), ("Cy", "8"),
    ]  # fmt: skip
    assert first["median"] == 5
    assert second["mode"] == 13
    status, kind, text = await trio.to_thread.run_sync(fetch, server, f"{path}&format=csv")
    assert status == 200
    assert kind.startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["ticket_id"], row["name"], row["vote"]) for row in rows] == [
        ("PAR-1", "Ada", "3"), ("PAR-1", "Bob", "5"), ("PAR-1", "Cy", "8"),
        ("PAR-2", "Ada", "13"), ("PAR-2", "Bob", "13"), ("PAR-2", "Cy", "½"),
    ]  # fmt: skip
    for wrong in (f"/rooms/{room_id}/results", path[:-1], path.replace(room_id, "zzzzzz")):
        status, _, _ = await trio.to_thread.run_sync(fetch, server, wrong)
        assert status == 404


ROOM = "action=CREATE_ROOM&name=Ada"


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "action"),
        ("name=Ada&max_room_capacity=2", "action"),
        ("action=&name=Ada&max_room_capacity=2", "action"),
        ("action=DESTROY_ROOM&name=Ada&max_room_capacity=2", "action"),
        ("action=CREATE%20ROOM&name=Ada&max_room_capacity=2", "action"),
        ("action=CREATE_ROOM&max_room_capacity=2", "name"),
        ("action=CREATE_ROOM&name=&max_room_capacity=2", "name"),
        ("action=CREATE_ROOM&name=%20%09&max_room_capacity=2", "name"),
        (f"action=CREATE_ROOM&name={'n' * 51}&max_room_capacity=2", "name"),
        ("action=CREATE_ROOM&name=A%0Ada&max_room_capacity=2", "name"),
        ("action=CREATE_ROOM&name=A%1B%5B2Jda&max_room_capacity=2", "name"),
        ("action=CREATE_ROOM&name=A%E2%80%A8da&max_room_capacity=2", "name"),
        ("action=CREATE_ROOM&name=%FF&max_room_capacity=2", "UTF-8"),
        (ROOM, "max_room_capacity"),
        (f"{ROOM}&max_room_capacity=", "max_room_capacity"),
        (f"{ROOM}&max_room_capacity=two", "max_room_capacity"),
        (f"{ROOM}&max_room_capacity=2.5", "max_room_capacity"),
        (f"{ROOM}&max_room_capacity=0", "max_room_capacity"),
        (f"{ROOM}&max_room_capacity=1", "max_room_capacity"),
        (f"{ROOM}&max_room_capacity=-2", "max_room_capacity"),
        (f"{ROOM}&max_room_capacity=501", "max_room_capacity"),
        (f"{ROOM}&max_room_capacity={'9' * 5000}", "max_room_capacity"),
        (f"{ROOM}&max_room_capacity=%D9%A2", "max_room_capacity"),  # an Arabic two
        ("action=JOIN_ROOM&name=Bob", "room_id"),
        ("action=JOIN_ROOM&name=Bob&room_id=", "room_id"),
        ("action=JOIN_ROOM&name=Bob&room_id=------", "room"),
        ("action=JOIN_ROOM&name=Bob&room_id=a", "room"),
        ("action=JOIN_ROOM&name=Bob&room_id=zzzzzz", "zzzzzz"),
    ],
)
async def test_wrong_parameters_are_refused_in_words_and_closed_with_1000(
    server: Server, query: str, word: str
) -> None:
    assert word in await refusal(server, query)


@pytest.mark.parametrize(
    "query",
    [
        "action=create_room&name=Ada&max_room_capacity=2",
        "action=%20Create_Room%09&name=Ada&max_room_capacity=2",
        "action=CREATE_ROOM&name=%20Ada%20&max_room_capacity=%202%20",
        f"action=CREATE_ROOM&name={'n' * 50}&max_room_capacity=500",
        "unknown=1&action=CREATE_ROOM&name=%F0%9F%83%8F&max_room_capacity=2",
    ],
)
async def test_action_goes_in_any_case_and_all_parameters_are_trimmed(
    server: Server, query: str
) -> None:
    async with connect(address(server, query), proxy=None) as socket:
        player = Player(socket)
        await player.hear("CREATE_ROOM")


@pytest.mark.parametrize("action", ["join_room", "%20Join_Room%20"])
async def test_joining_goes_in_any_case_and_two_members_may_share_a_name(
    server: Server, action: str
) -> None:
    create = {"action": "CREATE_ROOM", "name": "Ada", "max_room_capacity": "2"}
    async with arrived(server, **create) as ada:
        room_id = (await ada.hear("CREATE_ROOM"))["room_id"]
        await ada.say("JOIN_ROOM", room_id=room_id)
        await ada.hear(UPDATE, UPDATE)
        query = f"action={action}&name=%20Ada%20&room_id=%20{room_id}%20"
        async with connect(address(server, query), proxy=None) as socket:
            other = Player(socket)
            await other.say("JOIN_ROOM", room_id=room_id)
            await other.hear(UPDATE, UPDATE, UPDATE, "ROOM_CAPACITY_REACHED")
            await ada.hear(UPDATE, "ROOM_CAPACITY_REACHED", "BEGIN_VOTING_PROMPT")


async def test_what_is_not_allowed_is_refused_in_words_and_changes_nothing(server: Server) -> None:
    create = {"action": "CREATE_ROOM", "name": "Ada", "max_room_capacity": "2"}
    async with arrived(server, **create) as ada:
        room_id = (await ada.hear("CREATE_ROOM"))["room_id"]
        await ada.say("BEGIN_VOTING", ticket_id="T")
        assert (await ada.hear(VOTED))["text"].startswith("! ")
        await ada.say("JOIN_ROOM", room_id=room_id)
        await ada.hear(UPDATE, UPDATE)
        join = {"action": "JOIN_ROOM", "room_id": room_id, "name": "Bob"}
        async with arrived(server, **join) as bob:
            await bob.say("JOIN_ROOM", room_id="zzzzzz")
            assert room_id in (await bob.hear(VOTED))["text"]
            await bob.say("JOIN_ROOM", room_id=room_id)
            await bob.hear(UPDATE, UPDATE, UPDATE, "ROOM_CAPACITY_REACHED")
            await ada.hear(UPDATE, "ROOM_CAPACITY_REACHED", "BEGIN_VOTING_PROMPT")
            for kind, data in (
                ("JOIN_ROOM", {"room_id": room_id}),
                ("BEGIN_VOTING", {"ticket_id": "T"}),
                ("REVEAL_VOTES", {"ticket_id": "T"}),
                ("MEMBER_VOTED", {"ticket_id": "T", "vote": "3"}),
            ):
                await bob.say(kind, **data)
                assert (await bob.hear(VOTED))["text"].startswith("! ")
            # A mistyped ticket is replaced, as long as nobody has voted on it.
            for ticket in ("T-typo", "T"):
                await ada.say("BEGIN_VOTING", ticket_id=ticket)
                for member in (ada, bob):
                    assert (await member.hear("ASK_FOR_VOTE"))["ticket_id"] == ticket
            for data in ({"ticket_id": "U", "vote": "3"}, {"ticket_id": "T", "vote": "4"}):
                await bob.say("MEMBER_VOTED", **data)
                assert (await bob.hear(VOTED))["text"].startswith("! ")
            await ada.say("REVEAL_VOTES", ticket_id="T")
            assert (await ada.hear(VOTED))["text"].startswith("! ")

            # A vote may be changed, and one leaving does not hold up the round.
            await ada.say("MEMBER_VOTED", ticket_id="T", vote="3")
            await ada.hear(VOTED)
            await ada.say("BEGIN_VOTING", ticket_id="U")
            assert (await ada.hear(VOTED))["text"].startswith("! ")
            await ada.say("MEMBER_VOTED", ticket_id="T", vote="5")
            await ada.hear(VOTED)
            await bob.hear(VOTED, VOTED)
            await bob.socket.aclose()
        assert "Bob" in (await ada.hear(UPDATE))["message"]
        await ada.hear("VOTING_COMPLETED", "REVEAL_VOTES_PROMPT")
        await ada.say("REVEAL_VOTES", ticket_id="T")
        revealed = (await ada.hear("VOTES_REVEALED"))["client_vote_choice_map"]
        assert [vote["Value"] for vote in revealed.values()] == ["5"]
        await ada.hear("BEGIN_VOTING_PROMPT")
