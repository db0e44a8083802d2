"""The peer: the same estimation rooms as a Python programmer would write them on websockets.

It follows the library's documentation: one coroutine per connection, ``broadcast`` for whatever
goes to several members. Compression and pings are off, JSON is orjson, nothing is logged, and
of the rules only those are here that an undisturbed round needs; all of that is in its favour.
"""

import asyncio
import http
import secrets
import signal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

rooms: dict[str, "Room"] = {}


class Member:
    """Somebody with a seat."""

    def __init__(self, name: str, connection: ServerConnection, room: "Room") -> None:
        """Take a seat."""
        self.id = secrets.token_hex(8)
        self.name = name
        self.connection = connection
        self.room = room
        room.members.append(self)

    @property
    def admin(self) -> bool:
        """Whether the room is this member's."""
        return self.room.admin is self


class Room:
    """A room and its votes."""

    def __init__(self, capacity: int) -> None:
        """Open a room."""
        self.id = secrets.token_hex(3)
        self.capacity = capacity
        self.members: list[Member] = []
        self.admin: Member | None = None
        self.announced = 0
        self.votes: dict[str, dict[str, dict[str, str]]] = {}
        rooms[self.id] = self

    def to_all(self, text: str) -> None:
        """Send to every member."""
        broadcast([each.connection for each in self.members], text)

    def to_others(self, text: str) -> None:
        """Send to every member but the admin."""
        broadcast([each.connection for each in self.members if not each.admin], text)


def event(kind: str, **data: object) -> str:
    """Write an event."""
    return orjson.dumps({"type": kind, "data": data}).decode()


async def handler(connection: ServerConnection) -> None:
    """Serve one connection."""
    query = dict(parse_qsl(urlsplit(connection.request.path).query)) if connection.request else {}
    if query["action"] == "CREATE_ROOM":
        room = Room(int(query["max_room_capacity"]))
        member = room.admin = Member(query["name"], connection, room)
    else:
        room = rooms[query["room_id"]]
        member = Member(query["name"], connection, room)
    try:
        if member.admin:
            await connection.send(event("CREATE_ROOM", room_id=room.id))
        async for message in connection:
            read = orjson.loads(message)
            await _ACTIONS[read["type"]](member, read["data"])
    except ConnectionClosed:
        pass
    finally:
        await leave(member)


async def leave(member: Member) -> None:
    """Give up the seat; the admin's ends the room."""
    room = member.room
    room.members.remove(member)
    if member.admin:
        del rooms[room.id]
        closing = [each.connection.close(1001, "the admin has left") for each in room.members]
        await asyncio.gather(*closing)


async def join(member: Member, _: dict[str, Any]) -> None:
    """Announce a member."""
    room = member.room
    tell = member.connection.send
    await tell(event("ROOM_JOIN_UPDATES", message=f"You are in room {room.id}"))
    for other in room.members:
        if other is not member:
            await tell(event("ROOM_JOIN_UPDATES", message=f"{other.name} is in the room"))
    room.to_all(event("ROOM_JOIN_UPDATES", message=f"{member.name} has joined the room"))
    room.announced += 1
    if room.announced == room.capacity and room.admin:
        room.to_all(event("ROOM_CAPACITY_REACHED", message="All seats are taken"))
        prompt = event("BEGIN_VOTING_PROMPT", message="Enter the id of the first ticket:")
        await room.admin.connection.send(prompt)


async def begin(member: Member, data: dict[str, Any]) -> None:  # noqa: ASYNC124 - as the others
    """Ask everybody."""
    member.room.votes[data["ticket_id"]] = {}
    member.room.to_all(event("ASK_FOR_VOTE", ticket_id=data["ticket_id"]))


async def vote(member: Member, data: dict[str, Any]) -> None:
    """Take a vote."""
    room, ticket = member.room, data["ticket_id"]
    votes = room.votes[ticket]
    votes[member.id] = {
        "Value": data["vote"],
        "MemberID": member.id,
        "MemberName": member.name,
    }
    room.to_all(f"* {member.name} has voted on ticket {ticket}")
    if len(votes) == len(room.members) and room.admin:
        message = f"Everybody has voted on ticket {ticket}; the admin may reveal the votes"
        room.to_all(event("VOTING_COMPLETED", ticket_id=ticket, message=message))
        prompt = event("REVEAL_VOTES_PROMPT", ticket_id=ticket, message="Reveal the votes?")
        await room.admin.connection.send(prompt)


async def reveal(member: Member, data: dict[str, Any]) -> None:
    """Show the votes."""
    room, ticket = member.room, data["ticket_id"]
    votes = room.votes.pop(ticket)
    room.to_all(event("VOTES_REVEALED", ticket_id=ticket, client_vote_choice_map=votes))
    await member.connection.send(event("BEGIN_VOTING_PROMPT", message="Enter the next ticket:"))
    room.to_others(event("AWAITING_ADMIN_VOTE_START", message="The admin names the next ticket"))


_ACTIONS = {"JOIN_ROOM": join, "BEGIN_VOTING": begin, "MEMBER_VOTED": vote, "REVEAL_VOTES": reveal}


def metrics(connection: ServerConnection, request: Request) -> Response | None:
    """Answer ``GET /metrics`` with the one figure that the benchmark asks for."""
    if request.path != "/metrics":
        return None
    return connection.respond(http.HTTPStatus.OK, f"parley_rooms_current {float(len(rooms))}\n")


async def main() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(
        handler, "127.0.0.1", 0, compression=None, ping_interval=None, process_request=metrics
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"peer: listening on http://127.0.0.1:{port}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
