"""``/v1/sessions``: the estimation rooms of an account: list, rename and delete them."""

from datetime import datetime
from functools import partial
from typing import Annotated, Final

import attrs
from litestar import Response, delete, get, patch
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import JSONBody, Parameter, PathParameter
from litestar.status_codes import (
    HTTP_401_UNAUTHORIZED,
    HTTP_404_NOT_FOUND,
    HTTP_409_CONFLICT,
    HTTP_422_UNPROCESSABLE_ENTITY,
)

from protocol.codec import clean_line
from protocol.limits import ROOM_NAME_LENGTH
from protocol.text import LINE_PATTERN
from server.auth.scopes import Scope
from server.http.access import Asking, reached_by
from server.http.bodies import Json, Strict
from server.http.errors import RequestFailed, not_here, responses
from server.http.outputs import time_of
from server.http.paging import LARGEST_ID, USUAL, Before, Limit, cut, page
from server.http.routes.rooms import results_path
from server.store import visits
from server.store.database import Database
from server.store.visits import Removal, VisitedRoom
from server.support.limits import Limits

_TAGS: Final = ["sessions"]
_RESPONSES: Final = (HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND)

_Id = Annotated[
    int,
    PathParameter(
        description="The session's id, as it is in the list",
        ge=1,
        le=LARGEST_ID,
        examples=[Example(value=110_000_000_000_000)],
    ),
]


@attrs.frozen(kw_only=True)
class OwnSession:
    """A room that the account has been in, or has opened."""

    id: Annotated[
        int, Parameter(description="The session's id; never reused, while a room's id may be")
    ]
    room_id: Annotated[str, Parameter(description="The room's id")]
    name: Annotated[
        str,
        Parameter(
            description="What you call it, or else its owner, or else what it was opened as; may "
            "be empty"
        ),
    ]
    owner: Annotated[bool, Parameter(description="Whether you have opened it, signed in")]
    joined_at: Annotated[
        datetime, Parameter(description="When the account first joined, or opened it (UTC)")
    ]
    opened_at: Annotated[datetime, Parameter(description="When it was opened (UTC)")]
    closed_at: Annotated[
        datetime | None, Parameter(description="When it ended (UTC); null while it lives")
    ]
    expires_at: Annotated[
        datetime | None,
        Parameter(
            description="Until when it is kept (UTC); null while it lives, or if it is for ever"
        ),
    ]
    rounds: Annotated[int, Parameter(description="Rounds that have been revealed")]
    results: Annotated[str, Parameter(description="The path of its results")]


@attrs.frozen(kw_only=True)
class Renaming(Strict):
    """What to call a room."""

    name: Annotated[
        str | None,
        Parameter(
            description="Null: what it was called before you named it",
            min_length=1,
            max_length=ROOM_NAME_LENGTH,
            pattern=LINE_PATTERN,
            examples=[Example(value="Sprint 12, second part")],
        ),
    ]


def session_handlers(database: Database, limits: Limits) -> list[HTTPRouteHandler]:
    """Make the handlers.

    Args:
        database: where rooms are kept.
        limits: say for how long.
    """

    @get(
        "/v1/sessions",
        operation_id="listSessions",
        **reached_by(Scope.RESULTS_READ),
        summary="List the rooms that you have been in",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED),
    )
    async def sessions(
        request: Asking, limit: Limit = USUAL, before: Before = None
    ) -> Response[list[OwnSession]]:
        """Rooms that you have opened or joined signed in, the latest first; see ``Link``."""
        asked = page(limit, before)
        read = partial(
            visits.visited, user_id=request.user.id, before=asked.before, limit=asked.fetch
        )
        shown, headers = cut(request, asked, await database.run(read))
        return Response([_own(each, limits) for each in shown], headers=headers)

    @patch(
        "/v1/sessions/{session_id:int}",
        dto=Json[Renaming],
        return_dto=None,
        operation_id="changeSession",
        summary="Rename a room in your list",
        tags=_TAGS,
        responses=responses(*_RESPONSES, changing=True, body=True),
    )
    async def rename(
        request: Asking, session_id: _Id, data: JSONBody[Renaming]
    ) -> Response[OwnSession]:
        """Call a room by another name: in your list, and if you own it, in everybody's.

        Others may give it a name of their own. In the room itself nothing changes.
        """
        work = partial(
            visits.rename,
            user_id=request.user.id,
            session_id=session_id,
            title=_title(data.name),
        )
        found = await database.run(work, write=True)
        if found is None:
            raise not_here("session")
        return Response(_own(found, limits))

    @delete(
        "/v1/sessions/{session_id:int}",
        operation_id="deleteSession",
        summary="Delete a room from your list",
        tags=_TAGS,
        responses=responses(*_RESPONSES, HTTP_409_CONFLICT, changing=True),
    )
    async def remove(request: Asking, session_id: _Id) -> None:
        """Delete a room of yours with its results, for everybody; its end must have come before.

        Of a room that somebody else has opened, your list alone is changed.
        """
        work = partial(visits.remove, user_id=request.user.id, session_id=session_id)
        removal = await database.run(work, write=True)
        if removal is Removal.NOTHING_THERE:
            raise not_here("session")
        if removal is Removal.LIVE:
            raise RequestFailed(HTTP_409_CONFLICT, "this room is open; end it first")

    return [sessions, rename, remove]


def _title(name: str | None) -> str | None:
    try:
        return None if name is None else clean_line(name, ROOM_NAME_LENGTH)
    except ValueError as error:
        raise RequestFailed(HTTP_422_UNPROCESSABLE_ENTITY, str(error), field="name") from None


def _own(visited: VisitedRoom, limits: Limits) -> OwnSession:
    ends = limits.results_end(visited.closed_at)
    return OwnSession(
        id=visited.session.id,
        room_id=visited.session.room_id,
        name=visited.settings.name if visited.title is None else visited.title,
        owner=visited.owner,
        joined_at=time_of(visited.joined_at),
        opened_at=time_of(visited.session.opened_at),
        closed_at=None if visited.closed_at is None else time_of(visited.closed_at),
        expires_at=None if ends is None else time_of(ends),
        rounds=visited.rounds,
        results=results_path(visited.session),
    )
