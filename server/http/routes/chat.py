"""Routes of chat rooms: open, list and delete them, who is there, and what was said."""

import re
import time
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import attrs
from litestar import Request, Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import JSONBody, Parameter, PathParameter, QueryParameter
from litestar.serialization import encode_json
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_409_CONFLICT,
    HTTP_429_TOO_MANY_REQUESTS,
)
from sqlalchemy import Connection

from protocol.codec import clean_name
from protocol.ids import RoomId
from protocol.limits import NAME_LENGTH
from protocol.messages import ChatMessage
from protocol.text import LINE_PATTERN
from server.auth.scopes import Scope
from server.http.access import Asking, reached_by
from server.http.bodies import Json, Strict, cleaned
from server.http.errors import RequestFailed, not_here, responses
from server.http.outputs import time_of
from server.http.paging import (
    LARGEST_ID,
    ROOM_ID_PATTERN,
    USUAL,
    Limit,
    fitting,
    next_page,
)
from server.http.slices import LongAnswers
from server.rooms.chat_directory import ChatRooms
from server.store import chat
from server.store.database import Database
from server.store.records import ChatRoom
from server.support.errors import Taken, TooMany
from server.support.limits import Limits

_TAGS: Final = ["chat"]
_SLICE_ROOMS: Final = 500
_NO_STORE: Final = {"Cache-Control": "no-store"}

_RoomId = Annotated[
    str,
    PathParameter(
        description="The id given when the room was created", examples=[Example(value="lobby")]
    ),
]
_Before = Annotated[
    int | None,
    QueryParameter(
        description="Return only messages with a lower number; the Link header of a page gives it",
        ge=1,
        le=LARGEST_ID,
    ),
]


def clean_room_id(text: str) -> str:
    """Judge the id of a new room.

    Raises:
        ValueError: if it cannot stand in a path as it is, or is too long.
    """
    if not re.fullmatch(ROOM_ID_PATTERN, text):
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 . _ ~ -, the first of them no dot")
    return text


@attrs.frozen(kw_only=True)
class NewRoom(Strict):
    """A room to be opened."""

    id: Annotated[
        str,
        Parameter(
            description="The room's unique id, used in paths",
            pattern=ROOM_ID_PATTERN,
            examples=[Example(value="lobby")],
        ),
    ] = attrs.field(metadata=cleaned(clean_room_id))
    name: Annotated[
        str,
        Parameter(
            description="The room's name, shown to people",
            min_length=1,
            max_length=NAME_LENGTH,
            pattern=LINE_PATTERN,
            examples=[Example(value="Lobby")],
        ),
    ] = attrs.field(metadata=cleaned(clean_name))


@attrs.frozen(kw_only=True)
class PublicRoom:
    """A room, as everybody sees it."""

    id: Annotated[str, Parameter(description="The room's id, used in paths")]
    name: Annotated[str, Parameter(description="The room's name, shown to people")]

    @classmethod
    def of(cls, room: ChatRoom) -> "PublicRoom":
        """Tell of one room."""
        return cls(id=room.id, name=room.name)


@attrs.frozen(kw_only=True)
class Present:
    """Somebody who is in a room."""

    id: Annotated[int, Parameter(description="The user's id")]
    username: Annotated[str, Parameter(description="The user's name at the time of joining")]


@attrs.frozen(kw_only=True)
class Said:
    """A message of a room."""

    seq: Annotated[
        int,
        Parameter(
            description="The message's number in the room, from 1 on: ascending, never given twice"
        ),
    ]
    author: Annotated[str, Parameter(description="The author's name")]
    author_id: Annotated[
        int | None, Parameter(description="The author's id; null once the account is deleted")
    ]
    text: Annotated[
        str, Parameter(description="The message's text of now; empty if it has been taken back")
    ]
    at: Annotated[datetime, Parameter(description="When the message was sent (UTC)")]

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


def chat_handlers(
    database: Database,
    rooms: ChatRooms,
    *,
    answers: LongAnswers | None = None,
    most_rooms: int | None = None,
) -> list[HTTPRouteHandler]:
    """Make the handlers; all of them need a token.

    Args:
        database: where rooms are kept.
        rooms: those that are awake.
        answers: sends what may be long.
        most_rooms: rooms that one account may have; ``None`` for any number.
    """
    answers = answers or LongAnswers(Limits())
    return [*_changing(database, rooms, most_rooms), *_showing(database, rooms, answers)]


def _changing(
    database: Database, rooms: ChatRooms, most_rooms: int | None
) -> list[HTTPRouteHandler]:
    @post(
        "/ws/createRoom",
        status_code=HTTP_200_OK,
        dto=Json[NewRoom],
        return_dto=None,
        operation_id="createChatRoom",
        **reached_by(Scope.CHAT_WRITE),
        summary="Create a chat room",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_409_CONFLICT, changing=True, body=True),
    )
    async def create_room(request: Asking, data: JSONBody[NewRoom]) -> PublicRoom:
        """Open a room that lives on until its creator deletes it."""
        creator_id = request.user.id

        def work(conn: Connection) -> ChatRoom:
            return chat.create_room(
                conn,
                id=data.id,
                name=data.name,
                creator_id=creator_id,
                now=time.time(),
                most=most_rooms,
            )

        try:
            return PublicRoom.of(await database.run(work, write=True))
        except Taken as taken:
            raise RequestFailed(HTTP_409_CONFLICT, "is taken", field=taken.field) from None
        except TooMany as too_many:
            message = f"{too_many}; delete one of yours first"
            raise RequestFailed(HTTP_409_CONFLICT, message) from None

    @delete(
        "/rooms/{room_id:str}",
        operation_id="deleteChatRoom",
        **reached_by(Scope.CHAT_WRITE),
        summary="Delete a chat room",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND, changing=True),
    )
    async def delete_room(request: Asking, room_id: _RoomId) -> None:
        """Delete your room and its messages; everyone in it is disconnected."""
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


def _showing(database: Database, rooms: ChatRooms, answers: LongAnswers) -> list[HTTPRouteHandler]:
    @get(
        "/ws/getRooms",
        operation_id="listChatRooms",
        **reached_by(Scope.CHAT_READ),
        summary="List chat rooms",
        tags=_TAGS,
        responses={
            HTTP_200_OK: ResponseSpec(
                list[PublicRoom], generate_examples=False, description="The latest first"
            ),
            **responses(HTTP_401_UNAUTHORIZED, HTTP_429_TOO_MANY_REQUESTS),
        },
    )
    async def get_rooms(request: Request[Any, Any, Any]) -> Response[Any]:
        """All rooms, the latest first, in one list."""
        return await answers.answer(request, _AllRooms(database), headers=_NO_STORE)

    @get(
        "/ws/getClients/{room_id:str}",
        operation_id="listPeopleInChatRoom",
        **reached_by(Scope.CHAT_READ),
        summary="List who is in a chat room",
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
        operation_id="listChatMessages",
        **reached_by(Scope.CHAT_READ),
        summary="List a chat room's messages",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND),
    )
    async def get_messages(
        request: Asking, room_id: _RoomId, limit: Limit = USUAL, before: _Before = None
    ) -> Response[list[Said]]:
        """Messages, the latest first; ``Link`` leads to those before."""
        found = await rooms.archive.history(RoomId(room_id), before_seq=before, limit=limit + 1)
        if found is None:
            raise not_here("room")
        newest_first = found[::-1]
        shown = newest_first[: fitting((each.text for each in newest_first), limit)]
        headers = dict(_NO_STORE)
        if len(found) > len(shown):
            headers["Link"] = next_page(request, limit, str(shown[-1].seq))
        return Response([Said.of(message) for message in shown], headers=headers)

    return [get_rooms, get_clients, get_messages]


class _AllRooms:
    """The list of all rooms in slices."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: ChatRoom | None = None  # of those written
        self._ended = False

    async def next(self) -> bytes | None:
        """Make the next slice; ``None`` after the last one."""
        if self._ended:
            return None
        before = None if self._last is None else self._last.cursor
        found = await self._database.run(partial(chat.rooms, before=before, limit=_SLICE_ROOMS))
        piece = b"[" if before is None else b""
        if found:
            # 500 rooms take some 0.3 ms: less than a thread would.
            piece += b"" if before is None else b","
            piece += encode_json([PublicRoom.of(room) for room in found])[1:-1]
            self._last = found[-1]
        if len(found) < _SLICE_ROOMS:
            self._ended = True
            piece += b"]"
        return piece
