"""``GET /rooms/{room_id}/results``: what a room has estimated, while it lives and after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Annotated, Any, Final, Protocol

import attrs
from litestar import Request, Response, get
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIType, Operation, Schema
from litestar.params import PathParameter, QueryParameter
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_400_BAD_REQUEST,
    HTTP_404_NOT_FOUND,
    HTTP_429_TOO_MANY_REQUESTS,
    HTTP_503_SERVICE_UNAVAILABLE,
)

from protocol.ids import RoomId
from protocol.ticket import Ticket
from server.auth.throttle import Throttle
from server.http.errors import MEANINGS, Failure, NotHere, too_many
from server.http.report import JsonForm, RoomReport, TicketsReport
from server.http.slices import LongAnswers
from server.http.spreadsheet import CSV_TYPE, CsvForm
from server.http.tickets import TICKET_FORMS, Entry, TicketForm, arrange
from server.store.estimations import NumberedRound, Session
from server.store.recording import RoomResults
from server.store.results import ResultsStore
from server.support import threads
from server.support.errors import StoreUnavailable
from server.support.limits import Limits

LARGE: Final = 200
"""Votes from which on a slice, some 5 µs each, is made in a thread and not between two rooms."""

LOOKUP_SECONDS: Final = 60.0


class Form(Protocol):
    """One of the forms in which results are told."""

    @property
    def content_type(self) -> str:
        """As in the header."""

    def head(self, room: RoomResults) -> bytes:
        """Write what comes before the rounds."""

    def rounds(self, room: RoomResults, rounds: Sequence[NumberedRound], *, first: bool) -> bytes:
        """Write some rounds; ``first`` tells whether none has been written."""

    def tail(self, forgotten: int, missing: int) -> bytes:
        """Write what comes after them.

        Raises:
            StoreUnavailable: if it cannot be told that some are missing.
        """


FORMS: Final[dict[str, Callable[[Limits], Form]]] = {
    "json": lambda limits: JsonForm(limits.results_end),
    "csv": lambda _: CsvForm(),
}


@dataclass
class _TwoForms(Operation):
    """Adds to the schema that a success may come as CSV as well."""

    def __post_init__(self) -> None:
        success = (self.responses or {})[str(HTTP_200_OK)]
        content: Any = getattr(success, "content", None) or {}
        content[CSV_TYPE] = OpenAPIMediaType(
            schema=Schema(type=OpenAPIType.STRING, description="RFC 4180, one row per vote")
        )


@dataclass
class _ThreeForms(_TwoForms):
    """Adds that it may come as Markdown, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        content: Any = getattr((self.responses or {})[str(HTTP_200_OK)], "content", None) or {}
        content["text/markdown"] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))


def results_handler(store: ResultsStore, answers: LongAnswers, limits: Limits) -> HTTPRouteHandler:
    """Make the handler of ``GET /rooms/{room_id}/results``.

    Args:
        store: where results are read from.
        answers: sends what may be long.
        limits: bound the look-ups a minute and address that find nothing, or find what has no key,
            and say how long results are kept.
    """
    lookups = Throttle(limits.lookup_limit, LOOKUP_SECONDS)

    @get(
        "/rooms/{room_id:str}/results",
        operation_id="getResults",
        summary="Get a room's estimates",
        tags=["rooms"],
        operation_class=_TwoForms,
        responses={
            HTTP_200_OK: ResponseSpec(
                RoomReport, generate_examples=False, description="Every round revealed so far"
            ),
            HTTP_400_BAD_REQUEST: _failure("Unknown format"),
            HTTP_404_NOT_FOUND: _failure("No results are kept for this room, or the key is wrong"),
            HTTP_429_TOO_MANY_REQUESTS: _failure(MEANINGS[HTTP_429_TOO_MANY_REQUESTS]),
            HTTP_503_SERVICE_UNAVAILABLE: _failure(MEANINGS[HTTP_503_SERVICE_UNAVAILABLE]),
        },
    )
    async def room_results(
        request: Request[Any, Any, Any],
        room_id: Annotated[
            str,
            PathParameter(
                description="The id that the room's members were given",
                examples=[Example(value="a1B2c3")],
            ),
        ],
        key: Annotated[
            str | None,
            QueryParameter(
                description="As told to the members of the room, with the path; rooms of earlier "
                "versions have none",
            ),
        ] = None,
        format: Annotated[  # noqa: A002 - the name of the query parameter
            str,
            QueryParameter(
                description="`json`, or `csv` for spreadsheets",
                examples=[Example(value="csv")],
                schema_extra={"enum": list(FORMS)},
            ),
        ] = "json",
    ) -> Response[Any]:
        """Every revealed round with its votes and figures, while the room lives and after."""
        if format not in FORMS:
            raise ValidationException(
                extra=[{"key": "format", "message": f"must be {' or '.join(FORMS)}"}]
            )
        room = await _find(store, RoomId(room_id), key, lookups, answers.address(request))
        form = FORMS[format](limits)
        headers = {"Cache-Control": "no-store"}
        # Litestar would add a second charset to a media type.
        headers["Content-Type"] = form.content_type
        if format == "csv":
            headers["Content-Disposition"] = f'attachment; filename="parley-{room.room_id}.csv"'
        return await answers.answer(request, _Results(store, room, form), headers=headers)

    return room_results


async def _find(
    store: ResultsStore, room_id: RoomId, key: str | None, lookups: Throttle, address: str
) -> RoomResults:
    """Find the results of a room, if this address has not looked up too many in vain.

    Raises:
        NotHere: if there are none, or the key is wrong.
        RequestFailed: 429.
    """
    room = await store.find(room_id, key)
    if room is None or not room.secret:
        # Also what is found by its id alone: else ids would be guessed until one is right.
        wait = lookups.take(address)
        if wait:
            raise too_many(wait)
    if room is None:
        raise NotHere("no results are kept of a room with this id and key")
    return room


class FoundTickets(Protocol):
    """Where the tickets of rooms are found."""

    async def tickets(self, session: Session) -> Sequence[Ticket]:
        """Give the backlog of a room, whether it lives or has ended."""


def ticket_results_handler(
    store: ResultsStore, backlogs: FoundTickets, answers: LongAnswers, limits: Limits
) -> HTTPRouteHandler:
    """Make the handler of ``GET /v1/rooms/{room_id}/results``.

    Args:
        store: where results are read from.
        backlogs: where tickets are.
        answers: sends what may be long.
        limits: as for :func:`results_handler`.
    """
    lookups = Throttle(limits.lookup_limit, LOOKUP_SECONDS)

    @get(
        "/v1/rooms/{room_id:str}/results",
        operation_id="getTicketResults",
        summary="Get a room's estimates, ticket by ticket",
        tags=["rooms"],
        operation_class=_ThreeForms,
        responses={
            HTTP_200_OK: ResponseSpec(
                TicketsReport, generate_examples=False, description="The backlog, with all rounds"
            ),
            HTTP_400_BAD_REQUEST: _failure("Unknown format"),
            HTTP_404_NOT_FOUND: _failure("No results are kept for this room, or the key is wrong"),
            HTTP_429_TOO_MANY_REQUESTS: _failure(MEANINGS[HTTP_429_TOO_MANY_REQUESTS]),
            HTTP_503_SERVICE_UNAVAILABLE: _failure(MEANINGS[HTTP_503_SERVICE_UNAVAILABLE]),
        },
    )
    async def ticket_results(
        request: Request[Any, Any, Any],
        room_id: Annotated[
            str,
            PathParameter(
                description="The id that the room's members were given",
                examples=[Example(value="a1B2c3")],
            ),
        ],
        key: Annotated[
            str | None, QueryParameter(description="As told to the members of the room")
        ] = None,
        format: Annotated[  # noqa: A002 - the name of the query parameter
            str,
            QueryParameter(
                description="`json`, `csv` for spreadsheets, or `markdown`",
                examples=[Example(value="markdown")],
                schema_extra={"enum": list(TICKET_FORMS)},
            ),
        ] = "json",
    ) -> Response[Any]:
        """The tickets of the backlog in order, each with every revealed round.

        What was voted on without being in the backlog, or has been removed from it, comes behind.
        """
        if format not in TICKET_FORMS:
            raise ValidationException(
                extra=[{"key": "format", "message": f"must be {', '.join(TICKET_FORMS)}"}]
            )
        room = await _find(store, RoomId(room_id), key, lookups, answers.address(request))
        tickets = await backlogs.tickets(room.session)
        form = TICKET_FORMS[format]()
        headers = {"Cache-Control": "no-store", "Content-Type": form.content_type}
        if format != "json":
            ending = "csv" if format == "csv" else "md"
            name = f"parley-{room.room_id}-tickets.{ending}"
            headers["Content-Disposition"] = f'attachment; filename="{name}"'
        slices = _TicketResults(store, room, form, tickets)
        return await answers.answer(request, slices, headers=headers)

    return ticket_results


class _TicketResults:
    """A room's results ticket by ticket: a slice for some rounds of one ticket."""

    def __init__(
        self, store: ResultsStore, room: RoomResults, form: TicketForm, tickets: Sequence[Ticket]
    ) -> None:
        self._store = store
        self._room = room
        self._form = form
        self._tickets = tickets
        self._entries: Sequence[Entry] | None = None
        self._place = 0  # of the ticket that is next, or of which some is written
        self._done: int | None = None  # how many of its rounds are written
        self._missing = 0
        self._ended = False

    async def next(self) -> bytes | None:
        """Make the next slice; ``None`` after the last one.

        Raises:
            StoreUnavailable: if it cannot be made.
        """
        if self._ended:
            return None
        if self._entries is None:
            self._entries = arrange(self._tickets, await self._survey())
            return self._form.head(self._room, self._entries)
        if self._place == len(self._entries):
            self._ended = True
            return self._form.tail(self._missing)
        return await self._part(self._entries[self._place])

    async def _part(self, entry: Entry) -> bytes:
        """Write as many rounds of a ticket as a page has; with them, its beginning or end."""
        piece = b""
        if self._done is None:
            self._done = 0
            piece = self._form.open(entry, first=not self._place)
        if self._done < len(entry.numbers):
            some = await self._read(entry.numbers[self._done :])
            write = partial(self._form.rounds, entry, some, first=not self._done)
            self._done += len(some)
            votes = sum(len(result.votes) for _, result in some)
            piece += write() if votes < LARGE else await threads.run(write)
        if self._done == len(entry.numbers):
            piece += self._form.close(entry)
            self._place += 1
            self._done = None
        return piece

    async def _read(self, numbers: Sequence[int]) -> list[NumberedRound]:
        """Read the first of these rounds, and those of the others that come along with it."""
        found = dict((await self._store.page(self._room, numbers[0])).rounds)
        some = [(number, found[number]) for number in takewhile(found.__contains__, numbers)]
        if not some:  # it could be read a moment ago
            raise StoreUnavailable("a round cannot be read any more")
        return some

    async def _survey(self) -> list[NumberedRound]:
        """Learn of all rounds, without their votes."""
        rounds: list[NumberedRound] = []
        number = 0
        while number < self._room.rounds:
            page = await self._store.page(self._room, number)
            number = page.next
            self._missing += page.missing
            rounds += ((each, attrs.evolve(result, votes=())) for each, result in page.rounds)
        return rounds


class _Results:
    """A room's results in slices: a page of the store each."""

    def __init__(self, store: ResultsStore, room: RoomResults, form: Form) -> None:
        self._store = store
        self._room = room
        self._form = form
        self._begun = False
        self._ended = False
        self._number = 0  # of the round that is next
        self._shown = 0
        self._missing = 0

    async def next(self) -> bytes | None:
        """Make the next slice; ``None`` after the last one."""
        if self._ended:
            return None
        piece = b"" if self._begun else self._form.head(self._room)
        self._begun = True
        if self._number < self._room.rounds:
            piece += await self._page()
        if self._number >= self._room.rounds:
            self._ended = True
            forgotten = self._room.rounds - self._shown - self._missing
            piece += self._form.tail(forgotten, self._missing)
        return piece

    async def _page(self) -> bytes:
        page = await self._store.page(self._room, self._number)
        self._number = page.next
        self._missing += page.missing
        if not page.rounds:
            return b""
        write = partial(self._form.rounds, self._room, page.rounds, first=not self._shown)
        self._shown += len(page.rounds)
        if sum(len(result.votes) for _, result in page.rounds) < LARGE:
            return write()
        return await threads.run(write)


def _failure(description: str) -> ResponseSpec:
    return ResponseSpec(Failure, generate_examples=False, description=description)
