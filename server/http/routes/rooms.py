"""``/v1/rooms``: open an estimation room without a connection, look at one, and end one."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import attrs
from litestar import Request, Response, delete, get, post
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, JSONBody, Parameter, PathParameter
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_201_CREATED,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_409_CONFLICT,
    HTTP_410_GONE,
    HTTP_422_UNPROCESSABLE_ENTITY,
    HTTP_429_TOO_MANY_REQUESTS,
    HTTP_503_SERVICE_UNAVAILABLE,
)

from protocol.codec import CONVERTER, clean_line, clean_passcode
from protocol.errors import ErrorCode, Refused
from protocol.ids import MemberId, RoomId
from protocol.limits import (
    LONGEST_GRACE_SECONDS,
    PASSCODE_LENGTH,
    ROOM_NAME_LENGTH,
    SHORTEST_PASSCODE,
    SMALLEST_CAPACITY,
    VOTING_SECONDS,
)
from protocol.options import DEFAULTS, ClaimBy, Options, OwnerAbsence, Talkers, VotingEnds, Who
from protocol.picture import Picture
from protocol.text import LINE_PATTERN
from server.auth.scopes import Scope
from server.auth.sources import Source
from server.auth.tokens import CHALLENGE, bearer
from server.http.access import Access, Connection, reached_by
from server.http.bodies import Json, Strict, cleaned
from server.http.errors import RequestFailed, not_here, responses
from server.http.outputs import time_of
from server.http.routes.decks import DeckChoice, RoomCard, deck_wished
from server.http.routes.imports import Imports
from server.http.routes.results import FoundTickets
from server.http.routes.webhooks import (
    MadeWebhook,
    NewWebhook,
    WebhooksOverHttp,
    WebhookStanding,
)
from server.store.estimations import Session, StoredSession
from server.store.logbook import RoomSettings
from server.store.records import User
from server.store.webhooks import Webhook
from server.support.limits import Limits

_TAGS: Final = ["rooms"]
_KEY_LENGTH: Final = 255
_RETRY: Final = {"Retry-After": "5"}
_MINUTE: Final = {"Retry-After": "60"}


@attrs.frozen(kw_only=True)
class NewOptions(Strict):
    """Options of a room; those that are not given are as usual."""

    begin_by: Annotated[
        Who | None, Parameter(description="Who may open a vote; `facilitators` if not given")
    ] = None
    reveal_by: Annotated[
        Who | None, Parameter(description="Who may turn the cards over; as `begin_by`")
    ] = None
    owner_absence: Annotated[
        OwnerAbsence | None,
        Parameter(
            description="Whether the room `ends` with its owner, also if not given, or passes on "
            "to another facilitator, or to whoever makes a `claim`"
        ),
    ] = None
    claim_by: Annotated[
        ClaimBy | None,
        Parameter(description="Who may claim it then: `all` if not given, or those `signed_in`"),
    ] = None
    auto_reveal: Annotated[
        bool | None,
        Parameter(
            description="Whether the cards are turned over as soon as nobody who is here is "
            "waited for; `false` if not given"
        ),
    ] = None
    change_after_reveal: Annotated[
        bool | None,
        Parameter(
            description="Whether votes may be changed after the reveal, until the next vote "
            "begins; `false` if not given"
        ),
    ] = None
    backlog_by: Annotated[
        Who | None, Parameter(description="Who may change the backlog; as `begin_by`")
    ] = None
    voting_ends: Annotated[
        VotingEnds | None,
        Parameter(
            description="What the end of a timer for voting does: `reveal` turns the cards over if "
            "there is one, `tell` only says it; `tell` if not given"
        ),
    ] = None
    voting_seconds: Annotated[
        int | None,
        Parameter(
            description="For how long a timer for voting runs that starts with each round; none "
            "starts if not given",
            ge=VOTING_SECONDS[0],
            le=VOTING_SECONDS[1],
            examples=[Example(value=90)],
        ),
    ] = None
    talk_by: Annotated[
        Talkers | None, Parameter(description="Who may chat and react; `all` if not given")
    ] = None


@attrs.frozen(kw_only=True)
class NewRoom(Strict):
    """As what to open a room; all but the number of seats has a default."""

    capacity: Annotated[
        int,
        Parameter(
            description="Seats: whoever votes or watches takes one; the operator sets the maximum",
            ge=SMALLEST_CAPACITY,
            examples=[Example(value=8)],
        ),
    ]
    name: Annotated[
        str | None,
        Parameter(
            description="What people call the room",
            max_length=ROOM_NAME_LENGTH,
            pattern=LINE_PATTERN,
            examples=[Example(value="Checkout team")],
        ),
    ] = None
    deck: DeckChoice = None
    grace_seconds: Annotated[
        int | None,
        Parameter(
            description="How long a member without a connection keeps its seat",
            ge=0,
            le=int(LONGEST_GRACE_SECONDS),
            examples=[Example(value=60)],
        ),
    ] = None
    passcode: Annotated[
        str | None,
        Parameter(
            description="Which whoever comes must say, unless with the owner key; never shown",
            min_length=SHORTEST_PASSCODE,
            max_length=PASSCODE_LENGTH,
            pattern=LINE_PATTERN,
            examples=[Example(value="grey heron")],
        ),
    ] = attrs.field(default=None, repr=False, metadata=cleaned(clean_passcode))
    options: Annotated[
        NewOptions | None,
        Parameter(description="How the team wants to work; all of it can be changed later"),
    ] = None
    webhook: Annotated[
        NewWebhook | None,
        Parameter(
            description="Where to tell what happens in the room; needs an account, or a token for "
            "bots"
        ),
    ] = None


@attrs.frozen(kw_only=True)
class RoomOpened:
    """A room that is open, and what its owner needs."""

    id: Annotated[str, Parameter(description="The room's id, which others join by")]
    name: Annotated[str, Parameter(description="What people call the room; may be empty")]
    capacity: Annotated[int, Parameter(description="Seats")]
    deck_id: Annotated[str, Parameter(description="Of a deck in `/v1/decks`, or `custom`")]
    deck: Annotated[list[RoomCard], Parameter(description="The cards, in order")]
    grace_seconds: Annotated[
        float, Parameter(description="How long a member without a connection keeps its seat")
    ]
    opened_at: Annotated[datetime, Parameter(description="When it was opened (UTC)")]
    owner_key: Annotated[
        str,
        Parameter(description="Makes a member the owner, and ends the room; keep it to yourself"),
    ]
    link: Annotated[str, Parameter(description="The path of the room for people")]
    socket: Annotated[str, Parameter(description="The path of its WebSocket, for parley.v1")]
    results: Annotated[str, Parameter(description="The path of its results")]
    webhook: Annotated[
        MadeWebhook | None,
        Parameter(description="Where its events are told, with the secret; null if nowhere"),
    ]


@attrs.frozen(kw_only=True)
class RoomPerson:
    """Somebody in a room."""

    name: Annotated[str, Parameter(description="The member's name")]
    tag: Annotated[int, Parameter(description="Tells those of one name apart; 1 as a rule")]
    role: Annotated[str, Parameter(description="`voter` or `spectator`")]
    owner: Annotated[bool, Parameter(description="Whether the room ends with this member")]
    here: Annotated[bool, Parameter(description="Whether it has a connection now")]


@attrs.frozen(kw_only=True)
class RoomDoor:
    """What somebody should see who is about to join a room."""

    id: Annotated[str, Parameter(description="The room's id")]
    name: Annotated[str, Parameter(description="What people call the room; may be empty")]
    state: Annotated[
        str,
        Parameter(
            description="`open`, `locked` if nobody new comes in, or `full` if every seat is taken"
        ),
    ]
    stage: Annotated[
        str | None,
        Parameter(description="`waiting`, `voting` or `revealed`; null behind a passcode"),
    ]
    capacity: Annotated[int | None, Parameter(description="Seats; null behind a passcode")]
    deck_id: Annotated[str, Parameter(description="Of a deck in `/v1/decks`, or `custom`")]
    deck: Annotated[list[RoomCard], Parameter(description="The cards, in order")]
    people_count: Annotated[int, Parameter(description="How many have a seat")]
    people: Annotated[
        list[RoomPerson] | None,
        Parameter(description="Who has a seat, in order; null behind a passcode"),
    ]
    needs_passcode: Annotated[bool, Parameter(description="Whether a passcode is needed to join")]
    opened_at: Annotated[
        datetime | None,
        Parameter(description="When it was opened (UTC); null behind a passcode"),
    ]


@attrs.frozen(kw_only=True)
class RoomGone:
    """A room that has ended, and where its results are."""

    error: Annotated[str, Parameter(description="For people: one sentence")]
    closed_at: Annotated[
        datetime | None,
        Parameter(description="When it ended (UTC); null if that is not on record yet"),
    ]
    expires_at: Annotated[
        datetime | None,
        Parameter(description="Until when its results are kept (UTC); null if it is not known"),
    ]
    results: Annotated[
        str,
        Parameter(
            description="The path of its results, without the key that its members were told, and "
            "that the list of their sessions has"
        ),
    ]


class OpenedRoom(Protocol):
    """A room that was opened now, or earlier by the same request."""

    session: Session
    settings: RoomSettings
    fresh: bool
    ended: bool


class Rooms(Protocol):
    """What is needed of the rooms that outlive the server."""

    async def open(
        self,
        settings: RoomSettings,
        claim: str | None = None,
        owner: int | None = None,
        webhook: Webhook | None = None,
    ) -> Any:
        """Open one, or find the one that was opened with this claim; an :class:`OpenedRoom`.

        Raises:
            Refused: if there are too many, or the server is shutting down.
        """

    async def claimed(self, claim: str) -> Any:
        """Find the room that was opened with this claim; an :class:`OpenedRoom`, or ``None``."""

    async def look(self, room_id: RoomId) -> Picture | None:
        """Show a live or parked room; ``None`` if there is none."""

    def session(self, room_id: RoomId) -> Session | None:
        """Look up the session of a live or parked room; ``None`` if there is none."""

    async def close(self, room_id: RoomId, may: Callable[[int], bool]) -> bool | None:
        """End a room, if ``may`` says yes to its session's id.

        Returns:
            Whether it said yes; ``None`` if there is no such room. To a room that does not outlive
            the server nobody says yes.
        """


class Allowing(Protocol):
    """What is counted for each address."""

    def opening(self, source: Source) -> AbstractContextManager[None]:
        """Make sure that a source may open one more room, and count it meanwhile."""

    def opened(self, source: Source, room_id: RoomId) -> None:
        """Count a room that a source has opened."""

    def check_guesses(self, source: Source) -> None:
        """Make sure that a source has not guessed wrong too often."""

    def missed(self, source: Source) -> None:
        """Count that a source has asked for a room that does not exist."""


class Keys(Protocol):
    """Makes and judges owner keys, and passcodes."""

    def owner_key(self, session_id: int) -> str:
        """Make the key of a room."""

    def is_owner_key(self, session_id: int, key: str) -> bool:
        """Judge a key."""

    def seal(self, passcode: str) -> str:
        """Make what is kept in place of a passcode; never the same twice."""

    def opens(self, seal: str, passcode: str) -> bool:
        """Judge a passcode."""

    def member(self, session_id: int, token: str) -> MemberId | None:
        """Say whose resume token this is; ``None`` if it is none of this room's."""


@attrs.frozen(kw_only=True)
class RoomsOverHttp:
    """What the routes of rooms need."""

    rooms: Rooms
    stored: Callable[[RoomId], Awaitable[Sequence[StoredSession]]]
    """Finds all rooms that had an id and of which something is kept, the latest first."""
    allowances: Allowing
    keys: Keys
    backlogs: FoundTickets
    """Where the tickets of rooms are."""
    imports: Imports
    """The way into the backlogs of rooms."""
    source: Callable[[Request[Any, Any, Any]], Source]
    """Tells whom a request counts for."""
    limits: Limits
    webhooks: WebhooksOverHttp


IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="A text that nobody guesses, such as a random UUID: whoever sends it again "
        "within 24 hours, with the same body, opens no second room, but gets the first one with "
        "its owner key. It counts for your account if you are signed in, and for your address if "
        "not. It is forgotten with a room in which nothing was revealed, when that has ended",
        min_length=1,
        max_length=_KEY_LENGTH,
        pattern="^[!-~]+$",
        examples=[Example(value="5b2f8c1e-93f7-4a0d-8e55-0c9d1f6a7b42")],
    ),
]

_Id = Annotated[
    str,
    PathParameter(description="The room's id", examples=[Example(value="a1B2c3")]),
]


def room_handlers(needs: RoomsOverHttp, access: Access | None) -> list[HTTPRouteHandler]:
    """Make the handlers that open, show and end rooms; none needs an account.

    Args:
        needs: what they need.
        access: knows who is signed in; ``None`` if nobody can be.
    """
    # Made at the start, since it takes as long as a hundred requests.
    CONVERTER.get_structure_hook(NewRoom)

    # Before the body is decoded, as where a token is needed.
    async def recognise(connection: Connection, handler: BaseRouteHandler) -> None:
        if access is not None and connection.scope.get("method") != "OPTIONS":
            await access.recognise(connection, handler)

    bots = reached_by(Scope.ROOMS_OPEN)

    @post(
        "/v1/rooms",
        guards=[recognise],
        dto=Json[NewRoom],
        return_dto=None,
        operation_id="openRoom",
        opt=bots["opt"],
        security=[{}, {"cookie": []}, {"bearer": []}, *bots["security"]],
        summary="Open an estimation room",
        tags=_TAGS,
        responses={
            HTTP_201_CREATED: ResponseSpec(
                RoomOpened, generate_examples=False, description="The room is open, and on record"
            ),
            **responses(HTTP_401_UNAUTHORIZED, HTTP_409_CONFLICT, changing=True, body=True),
        },
    )
    async def open_room(
        request: Request[Any, Any, Any],
        data: JSONBody[NewRoom],
        idempotency_key: IdempotencyKey = None,
    ) -> Response[RoomOpened]:
        """Open a room, which waits ten minutes for its first member and outlives the server.

        An account is not needed; with one, the room is its own, and among its sessions.
        """
        settings = settings_of(data, needs.limits, needs.keys)
        source = needs.source(request)
        user: User | None = request.scope.get("user")
        claim = None
        if idempotency_key is not None:
            whose = source.key if user is None else f"account {user.id}"
            claim = hashlib.sha256(f"{whose}\0{idempotency_key}".encode()).hexdigest()
        webhook = None if data.webhook is None else needs.webhooks.wished(data.webhook, user)
        # Before anything is counted: whoever lost an answer may have all rooms that it may have.
        opened: OpenedRoom | None = None if claim is None else await needs.rooms.claimed(claim)
        if opened is None:
            owner = None if user is None else user.id

            async def open_it() -> OpenedRoom:
                if webhook is not None:
                    await needs.webhooks.check(webhook)
                made: OpenedRoom = await needs.rooms.open(settings, claim, owner, webhook)
                return made

            opened = await _open(needs, source, open_it)
        same = True
        if not opened.fresh:
            earlier = await needs.webhooks.of(opened.session)
            same = _same(opened.settings, settings, data.passcode, needs.keys)
            same = same and needs.webhooks.is_same(data.webhook, earlier)
            webhook = earlier
        if not opened.fresh and (opened.ended or not same):
            why = "has ended" if opened.ended else "was to be another one"
            raise RequestFailed(
                HTTP_409_CONFLICT,
                f"was used within 24 hours for a room that {why}",
                field="Idempotency-Key",
            )
        session = opened.session
        made = RoomOpened(
            id=session.room_id,
            name=settings.name,
            capacity=settings.capacity,
            deck_id=settings.deck.id,
            deck=RoomCard.all_of(settings.deck.cards),
            grace_seconds=settings.grace_seconds,
            opened_at=time_of(session.opened_at),
            owner_key=needs.keys.owner_key(session.id),
            link=f"/r/{session.room_id}",
            socket=f"/v1/rooms/{session.room_id}",
            results=results_path(session),
            webhook=None if webhook is None else MadeWebhook.of(webhook),
        )
        return Response(made, headers={"Location": f"/v1/rooms/{session.room_id}"})

    @get(
        "/v1/rooms/{room_id:str}",
        operation_id="getRoom",
        summary="Look at a room before joining it",
        tags=_TAGS,
        responses={
            HTTP_200_OK: ResponseSpec(
                RoomDoor, generate_examples=False, description="The room can be joined"
            ),
            HTTP_410_GONE: ResponseSpec(
                RoomGone, generate_examples=False, description="It has ended, and had results"
            ),
            **responses(HTTP_404_NOT_FOUND, HTTP_429_TOO_MANY_REQUESTS),
        },
    )
    async def show_room(request: Request[Any, Any, Any], room_id: _Id) -> Response[Any]:
        """Show what a person who is about to join should see.

        With an upgrade to WebSocket, the same path leads into the room, in `parley.v1`.
        """
        source = needs.source(request)
        with _told():
            needs.allowances.check_guesses(source)
            shown = await needs.rooms.look(RoomId(room_id))
        if shown is not None:
            return Response(_door(shown), headers={"Cache-Control": "no-store"})
        needs.allowances.missed(source)  # also of a room that has ended: its id may be a guess
        ended = await needs.stored(RoomId(room_id))
        if not ended:
            raise not_here("room")
        return Response(_gone(ended[0], needs.limits), status_code=HTTP_410_GONE)

    @delete(
        "/v1/rooms/{room_id:str}",
        operation_id="endRoom",
        summary="End a room",
        tags=_TAGS,
        responses=responses(
            HTTP_401_UNAUTHORIZED, HTTP_403_FORBIDDEN, HTTP_404_NOT_FOUND, changing=True
        ),
        security=[{"ownerKey": []}],
    )
    async def end_room(request: Request[Any, Any, Any], room_id: _Id) -> None:
        """End a room for everybody; its owner key is shown in `Authorization: Bearer`."""
        key = _owner_key(request)
        source = needs.source(request)
        with _told():
            needs.allowances.check_guesses(source)
            ended = await needs.rooms.close(
                RoomId(room_id), lambda session: needs.keys.is_owner_key(session, key)
            )
        if not ended:
            needs.allowances.missed(source)
        if ended is None:
            raise not_here("room")
        if not ended:
            raise RequestFailed(HTTP_403_FORBIDDEN, "this is not the room's owner key")

    @get(
        "/v1/rooms/{room_id:str}/webhook",
        operation_id="getWebhook",
        summary="Look how a room's webhook does",
        tags=_TAGS,
        responses=responses(
            HTTP_401_UNAUTHORIZED,
            HTTP_403_FORBIDDEN,
            HTTP_404_NOT_FOUND,
            HTTP_429_TOO_MANY_REQUESTS,
        ),
        security=[{"ownerKey": []}],
    )
    async def show_webhook(
        request: Request[Any, Any, Any], room_id: _Id
    ) -> Response[WebhookStanding]:
        """Show where the events of a live room are told, and what has not arrived there.

        The room's owner key is shown in `Authorization: Bearer`. The secret is not told again.
        """
        session = _owned(needs, request, room_id)
        standing = await needs.webhooks.find(session.id)
        if standing is None:
            raise not_here("webhook")
        return Response(WebhookStanding.of(standing))

    @delete(
        "/v1/rooms/{room_id:str}/webhook",
        operation_id="deleteWebhook",
        summary="Take a room's webhook away",
        tags=_TAGS,
        responses=responses(
            HTTP_401_UNAUTHORIZED, HTTP_403_FORBIDDEN, HTTP_404_NOT_FOUND, changing=True
        ),
        security=[{"ownerKey": []}],
    )
    async def delete_webhook(request: Request[Any, Any, Any], room_id: _Id) -> None:
        """Tell the receiver nothing more, not even what waits for it.

        The room's owner key is shown in `Authorization: Bearer`.
        """
        if not await needs.webhooks.forget(_owned(needs, request, room_id).id):
            raise not_here("webhook")

    return [open_room, show_room, end_room, show_webhook, delete_webhook]


def _owner_key(request: Request[Any, Any, Any]) -> str:
    """Find the owner key that a request shows.

    Raises:
        RequestFailed: 401.
    """
    key = bearer(request.headers.get("authorization", ""))
    if key is None:
        message = "show the room's owner key in the header Authorization"
        raise RequestFailed(HTTP_401_UNAUTHORIZED, message, headers=CHALLENGE)
    return key


def _owned(needs: RoomsOverHttp, request: Request[Any, Any, Any], room_id: str) -> Session:
    """Find a room whose owner key a request shows.

    Raises:
        RequestFailed: 401, 403, 404 or 429.
    """
    key = _owner_key(request)
    source = needs.source(request)
    with _told():
        needs.allowances.check_guesses(source)
    session = needs.rooms.session(RoomId(room_id))
    if session is not None and needs.keys.is_owner_key(session.id, key):
        return session
    needs.allowances.missed(source)
    if session is None:
        raise not_here("room")
    raise RequestFailed(HTTP_403_FORBIDDEN, "this is not the room's owner key")


def settings_of(wish: NewRoom, limits: Limits, keys: Keys) -> RoomSettings:
    """Judge as what somebody wants to open a room.

    Raises:
        RequestFailed: 422, naming the field.
    """
    if not SMALLEST_CAPACITY <= wish.capacity <= limits.room_capacity:
        _unfit("capacity", f"must be from {SMALLEST_CAPACITY} to {limits.room_capacity}")
    grace = limits.grace_seconds if wish.grace_seconds is None else wish.grace_seconds
    if not 0 <= grace <= LONGEST_GRACE_SECONDS:
        _unfit("grace_seconds", f"must be from 0 to {LONGEST_GRACE_SECONDS:g}")
    return RoomSettings(
        capacity=wish.capacity,
        name="" if wish.name is None else _line("name", wish.name, ROOM_NAME_LENGTH),
        deck=deck_wished(wish.deck),
        grace_seconds=grace,
        options=_options(wish.options),
        most_rounds=limits.rounds,
        most_capacity=limits.room_capacity,
        seal=None if wish.passcode is None else keys.seal(wish.passcode),
    )


def _same(before: RoomSettings, wish: RoomSettings, passcode: str | None, keys: Keys) -> bool:
    """Tell whether a room was opened as it is wished again, of which each seal is another one."""
    if before.seal is None or passcode is None:
        return before == wish
    return keys.opens(before.seal, passcode) and attrs.evolve(wish, seal=before.seal) == before


def _options(wish: NewOptions | None) -> Options:
    if wish is None:
        return DEFAULTS
    seconds, (least, most) = wish.voting_seconds, VOTING_SECONDS
    if seconds is not None and not least <= seconds <= most:
        _unfit("options.voting_seconds", f"must be from {least} to {most}")
    given = attrs.asdict(wish, recurse=False, filter=lambda _, option: option is not None)
    return attrs.evolve(DEFAULTS, **given)


def _line(field: str, text: str, longest: int) -> str:
    try:
        return clean_line(text, longest)
    except ValueError as error:
        raise RequestFailed(HTTP_422_UNPROCESSABLE_ENTITY, str(error), field=field) from None


def _unfit(field: str, message: str) -> None:
    raise RequestFailed(HTTP_422_UNPROCESSABLE_ENTITY, message, field=field)


async def _open(
    needs: RoomsOverHttp, source: Source, opening: Callable[[], Awaitable[OpenedRoom]]
) -> OpenedRoom:
    with _told(), needs.allowances.opening(source):
        opened = await opening()
        if opened.fresh:
            needs.allowances.opened(source, opened.session.room_id)
        return opened


@contextmanager
def _told() -> Iterator[None]:
    """Answer by HTTP what the rooms refuse."""
    try:
        yield
    except Refused as refused:
        code, message = refused.problem.code, refused.problem.message
        if code is ErrorCode.TOO_MANY:
            raise RequestFailed(HTTP_429_TOO_MANY_REQUESTS, message, headers=_MINUTE) from None
        raise RequestFailed(HTTP_503_SERVICE_UNAVAILABLE, message, headers=_RETRY) from None


def _door(shown: Picture) -> RoomDoor:
    full = len(shown.members) >= shown.capacity
    door = RoomDoor(
        id=shown.room_id,
        name=shown.name,
        state="locked" if shown.locked else "full" if full else "open",
        stage=shown.stage,
        capacity=shown.capacity,
        deck_id=shown.deck_id,
        deck=RoomCard.all_of(shown.cards),
        people_count=len(shown.members),
        people=[
            RoomPerson(
                name=each.name,
                tag=each.tag,
                role=each.role,
                owner=each.owner,
                here=each.here,
            )
            for each in shown.members
        ],
        needs_passcode=shown.needs_passcode,
        opened_at=time_of(shown.opened_at),
    )
    if not shown.needs_passcode:
        return door
    return attrs.evolve(door, stage=None, capacity=None, people=None, opened_at=None)


def _gone(found: StoredSession, limits: Limits) -> RoomGone:
    closed_at, ends = found.closed_at, limits.results_end(found.closed_at)
    return RoomGone(
        error="this room has ended",
        closed_at=None if closed_at is None else time_of(closed_at),
        expires_at=None if ends is None else time_of(ends),
        results=f"/rooms/{found.session.room_id}/results",
    )


def results_path(session: Session) -> str:
    """Give the path of a session's results, with the key."""
    return f"/rooms/{session.room_id}/results?key={session.key}"
