"""Routes of chat rooms: open, list and delete them, who is there, and what was said."""

import re
import time
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import attrs
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import JSONBody, Parameter, PathParameter, QueryParameter
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_409_CONFLICT,
)
from sqlalchemy import Connection

from protocol.codec import clean_name
from protocol.ids import RoomId
from protocol.limits import NAME_LENGTH
from protocol.messages import ChatMessage
from server.http.access import Asking
from server.http.bodies import Json, Strict, cleaned
from server.http.errors import RequestFailed, not_here, responses
from server.http.outputs import time_of
from server.http.paging import LARGEST_ID, USUAL, Limit, next_page
from server.rooms.chat_directory import ChatRooms
from server.store import chat
from server.store.database import Database
from server.store.records import ChatRoom
from server.support.errors import Taken

_TAGS: Final = ["chat"]
_NO_STORE: Final = {"Cache-Control": "no-store"}
# Stands in a path as it is; whoever asks for a path with "." or ".." in it asks for another one.
_ROOM_ID_PATTERN: Final = "^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}$"

_RoomId = Annotated[
    str,
    PathParameter(
        description="As given when the room was opened", examples=[Example(value="lobby")]
    ),
]
_Before = Annotated[
    int | None,
    QueryParameter(
        description="Only messages with a lower number; see the Link header of the page before",
        ge=1,
        le=LARGEST_ID,
    ),
]


def clean_room_id(text: str) -> str:
    """Judge the id of a new room.

    Raises:
        ValueError: if it cannot stand in a path as it is, or is too long.
    """
    if not re.fullmatch(_ROOM_ID_PATTERN, text):
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 . _ ~ -, the first of them no dot")
    return text


@attrs.frozen(kw_only=True)
class NewRoom(Strict):
    """A room to be opened."""

    id: Annotated[
        str,
        Parameter(
            description="Names the room in paths; unique",
            pattern=_ROOM_ID_PATTERN,
            examples=[Example(value="lobby")],
        ),
    ] = attrs.field(metadata=cleaned(clean_room_id))
    name: Annotated[
        str,
        Parameter(
            description="For people",
            min_length=1,
            max_length=NAME_LENGTH,
            examples=[Example(value="Lobby")],
        ),
    ] = attrs.field(metadata=cleaned(clean_name))


@attrs.frozen(kw_only=True)
class PublicRoom:
    """A room, as everybody sees it."""

    id: Annotated[str, Parameter(description="Names the room in paths")]
    name: Annotated[str, Parameter(description="For people")]

    @classmethod
    def of(cls, room: ChatRoom) -> "PublicRoom":
        """Tell of one room."""
        return cls(id=room.id, name=room.name)


@attrs.frozen(kw_only=True)
class Present:
    """Somebody who is in a room."""

    id: Annotated[int, Parameter(description="The user's id")]
    username: Annotated[str, Parameter(description="The user's name, as it was on joining")]


@attrs.frozen(kw_only=True)
class Said:
    """A message of a room."""

    seq: Annotated[
        int,
        Parameter(
            description="The message's number in the room, from 1 on: ascending, never given twice"
        ),
    ]
    author: Annotated[str, Parameter(description="The name of its author")]
    author_id: Annotated[
        int | None, Parameter(description="The author's id; null once the account is gone")
    ]
    text: Annotated[str, Parameter(description="The text, as it was said")]
    at: Annotated[datetime, Parameter(description="The time at which it was said")]

    @classmethod
    def of(cls, message: ChatMessage) -> "Said":
        """Tell of one message."""
        return cls(
            seq=message.seq,
            author=message.author,
            author_id=message.author_id,
            text=message.text,
            at=time_of(message.at),
        )


def chat_handlers(database: Database, rooms: ChatRooms) -> list[HTTPRouteHandler]:
    """Make the handlers; all of them need a token."""
    return [*_changing(database, rooms), *_showing(database, rooms)]


def _changing(database: Database, rooms: ChatRooms) -> list[HTTPRouteHandler]:
    @post(
        "/ws/createRoom",
        status_code=HTTP_200_OK,
        dto=Json[NewRoom],
        return_dto=None,
        summary="Open a chat room",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_409_CONFLICT, changing=True, body=True),
    )
    async def create_room(request: Asking, data: JSONBody[NewRoom]) -> PublicRoom:
        """Open a room that lives on until its creator deletes it."""
        creator_id = request.user.id

        def work(conn: Connection) -> ChatRoom:
            return chat.create_room(
                conn, id=data.id, name=data.name, creator_id=creator_id, now=time.time()
            )

        try:
            return PublicRoom.of(await database.run(work, write=True))
        except Taken as taken:
            raise RequestFailed(HTTP_409_CONFLICT, "is taken", field=taken.field) from None

    @delete(
        "/rooms/{room_id:str}",
        summary="Delete a chat room",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND, changing=True),
    )
    async def delete_room(request: Asking, room_id: _RoomId) -> None:
        """Delete a room of one's own with all that was said; who is in it is sent away."""
        own_id = request.user.id

        def check(conn: Connection) -> None:
            found = chat.room(conn, room_id)
            if found is None:
                raise not_here("room")
            if found.creator_id != own_id:
                raise RequestFailed(HTTP_403_FORBIDDEN, "this room is somebody else's")

        def work(conn: Connection) -> None:
            check(conn)
            chat.delete_room(conn, room_id)

        await database.run(check)  # before anybody is sent away
        await rooms.delete(RoomId(room_id), partial(database.run, work, write=True))

    return [create_room, delete_room]


def _showing(database: Database, rooms: ChatRooms) -> list[HTTPRouteHandler]:
    @get(
        "/ws/getRooms",
        summary="All chat rooms",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED),
    )
    async def get_rooms() -> Response[list[PublicRoom]]:
        """All rooms, the latest first, in one list."""
        found = await database.run(chat.all_rooms)
        return Response([PublicRoom.of(room) for room in found], headers=_NO_STORE)

    @get(
        "/ws/getClients/{room_id:str}",
        summary="Who is in a chat room",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND),
    )
    async def get_clients(room_id: _RoomId) -> Response[list[Present]]:
        """Everybody once, however many connections they have, in order of arrival."""
        people = rooms.people(RoomId(room_id))
        if not people and await database.run(lambda conn: chat.room(conn, room_id)) is None:
            raise not_here("room")
        shown = [Present(id=person.user_id, username=person.name) for person in people]
        return Response(shown, headers=_NO_STORE)

    @get(
        "/rooms/{room_id:str}/messages",
        summary="What was said in a chat room",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND),
    )
    async def get_messages(
        request: Asking, room_id: _RoomId, limit: Limit = USUAL, before: _Before = None
    ) -> Response[list[Said]]:
        """Messages, the latest first; ``Link`` leads to those before."""
        found = await rooms.history(RoomId(room_id), before_seq=before, limit=limit + 1)
        if found is None:
            raise not_here("room")
        shown = found[::-1][:limit]
        headers = dict(_NO_STORE)
        if len(found) > limit:
            headers["Link"] = next_page(request, limit, str(shown[-1].seq))
        return Response([Said.of(message) for message in shown], headers=headers)

    return [get_rooms, get_clients, get_messages]
