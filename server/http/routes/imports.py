"""``POST /v1/rooms/{room_id}/tickets/import``: tickets from a file or a pasted list."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Protocol

import attrs
import trio
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import Parameter, PathParameter, QueryParameter
from litestar.serialization import encode_json
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_400_BAD_REQUEST,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_409_CONFLICT,
    HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    HTTP_415_UNSUPPORTED_MEDIA_TYPE,
    HTTP_422_UNPROCESSABLE_ENTITY,
    HTTP_429_TOO_MANY_REQUESTS,
    HTTP_503_SERVICE_UNAVAILABLE,
)

from protocol.codec import loads
from protocol.csv_file import decode
from protocol.errors import ErrorCode, Problem, Refused
from protocol.ids import MemberId, RoomId
from protocol.lasting import NOBODY
from protocol.limits import IMPORT_BYTES
from protocol.ticket import Draft, same_key
from protocol.ticket_import import read_file
from protocol.ticket_list import read_list
from protocol.ticket_preview import DraftLine, Preview
from server.auth.sources import Source
from server.auth.tokens import CHALLENGE, bearer
from server.http.errors import RequestFailed, not_here, responses
from server.http.slices import LongAnswers
from server.support import threads

CSV: Final = "text/csv"
LIST: Final = "text/plain"

READERS: Final = 2
"""Files that are read at once, each in a thread, for up to 0.2 s."""

_SLICE: Final = 200  # tickets, or lines that are refused
_RETRY: Final = {"Retry-After": "5"}
_MINUTE: Final = {"Retry-After": "60"}


class Visiting(Protocol):
    """Somebody who may bring tickets."""

    @property
    def picture(self) -> Any:
        """The room's; a :class:`~protocol.picture.Picture`."""

    async def bring(self, drafts: Sequence[Draft]) -> Problem | None:
        """Bring tickets, all or none; give the reason if it is none."""


class Imports(Protocol):
    """The way into the backlogs of rooms."""

    async def visit(self, room_id: RoomId, whose: Callable[[int], MemberId | None]) -> Any:
        """Find a room, and whether somebody may bring tickets; a :class:`Visiting`, or ``None``.

        Raises:
            Refused: if not.
        """


class Guesses(Protocol):
    """What is counted for each address."""

    def check_guesses(self, source: Source) -> None:
        """Make sure that a source has not guessed wrong too often."""

    def missed(self, source: Source) -> None:
        """Count that a source has guessed wrong."""


class Keys(Protocol):
    """Judges owner keys and resume tokens."""

    def is_owner_key(self, session_id: int, key: str) -> bool:
        """Judge an owner key."""

    def member(self, session_id: int, token: str) -> MemberId | None:
        """Say whose resume token this is."""


@attrs.frozen
class ColumnReport:
    """A column of the file."""

    number: Annotated[int, Parameter(description="From 1 on")]
    name: Annotated[str, Parameter(description="From the header; empty without one")]
    field: Annotated[str | None, Parameter(description="What it becomes, if anything")]
    sample: Annotated[str, Parameter(description="What stands in it first")]


@attrs.frozen(kw_only=True)
class TicketLine:
    """A ticket that is, or would be, imported; its description is left out here."""

    line: Annotated[int, Parameter(description="On which it begins, from 1 on")]
    title: Annotated[str, Parameter(description="What is to be done, on one line")]
    key: Annotated[str, Parameter(description="What other systems call it; may be empty")]
    link: Annotated[str, Parameter(description="An http or https URL; may be empty")]
    type: Annotated[str, Parameter(description="Such as story or bug; may be empty")]
    priority: Annotated[str, Parameter(description="In words; may be empty")]
    described: Annotated[bool, Parameter(description="Whether it has a description")]

    @classmethod
    def of(cls, found: DraftLine) -> "TicketLine":
        """Tell of a ticket."""
        draft = found.draft
        return cls(
            line=found.line,
            title=draft.title,
            key=draft.key,
            link=draft.link,
            type=draft.type,
            priority=draft.priority,
            described=bool(draft.description),
        )


@attrs.frozen
class LineRefused:
    """A line that is not imported."""

    line: Annotated[int, Parameter(description="On which it begins, from 1 on")]
    column: Annotated[int | None, Parameter(description="From 1 on, if it is about one")]
    why: Annotated[str, Parameter(description="For people")]


@attrs.frozen(kw_only=True)
class ImportReport:
    """What an import has brought, or would bring; sent in slices."""

    imported: Annotated[int, Parameter(description="Tickets; 0 in a dry run")]
    format: Annotated[str, Parameter(description="As what the file was recognised")]
    delimiter: Annotated[str, Parameter(description="Between its columns; empty for a list")]
    columns: Annotated[list[ColumnReport], Parameter(description="Of the file; none of a list")]
    tickets: Annotated[list[TicketLine], Parameter(description="That can be imported")]
    refused: Annotated[list[LineRefused], Parameter(description="That cannot, and why")]


@dataclass
class _File(Operation):
    """Says in the schema what is sent."""

    def __post_init__(self) -> None:
        text = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
        self.request_body = RequestBody(
            content={CSV: text, LIST: text},
            description="A file of comma-separated values, or a list with a ticket on each line; "
            f"{IMPORT_BYTES} bytes at most",
            required=True,
        )


def import_handler(
    imports: Imports,
    keys: Keys,
    guesses: Guesses,
    source: Callable[[Request[Any, Any, Any]], Source],
    answers: LongAnswers,
) -> HTTPRouteHandler:
    """Make the handler of ``POST /v1/rooms/{room_id}/tickets/import``.

    Args:
        imports: the way into rooms.
        keys: judges who asks.
        guesses: counts wrong guesses for each source.
        source: tells whom a request counts for.
        answers: sends what may be long.
    """
    reading = trio.CapacityLimiter(READERS)
    under_way: set[str] = set()

    def whose(key: str, session: int) -> MemberId | None:
        return NOBODY if keys.is_owner_key(session, key) else keys.member(session, key)

    async def visit(request: Request[Any, Any, Any], room_id: RoomId) -> Visiting:
        """Judge who asks, before the file is looked at."""
        key = bearer(request.headers.get("authorization", ""))
        if key is None:
            message = "show your resume token or the room's owner key in the header Authorization"
            raise RequestFailed(HTTP_401_UNAUTHORIZED, message, headers=CHALLENGE)
        asking = source(request)
        with _told():
            guesses.check_guesses(asking)
            try:
                found: Visiting | None = await imports.visit(room_id, partial(whose, key))
            except Refused as refused:
                if refused.problem.code is ErrorCode.WRONG_KEY:
                    guesses.missed(asking)
                raise
        if found is None:
            guesses.missed(asking)
            raise not_here("room")
        return found

    @post(
        "/v1/rooms/{room_id:str}/tickets/import",
        operation_id="importTickets",
        summary="Bring tickets into a room's backlog",
        tags=["rooms"],
        operation_class=_File,
        status_code=HTTP_200_OK,
        request_max_body_size=IMPORT_BYTES,
        security=[{"ownerKey": []}, {"resumeToken": []}],
        responses={
            HTTP_200_OK: ResponseSpec(
                ImportReport, generate_examples=False, description="What was, or would be, imported"
            ),
            **responses(
                HTTP_400_BAD_REQUEST,
                HTTP_401_UNAUTHORIZED,
                HTTP_403_FORBIDDEN,
                HTTP_404_NOT_FOUND,
                HTTP_409_CONFLICT,
                HTTP_413_REQUEST_ENTITY_TOO_LARGE,
                HTTP_415_UNSUPPORTED_MEDIA_TYPE,
                HTTP_422_UNPROCESSABLE_ENTITY,
                HTTP_429_TOO_MANY_REQUESTS,
                HTTP_503_SERVICE_UNAVAILABLE,
                changing=True,
            ),
        },
    )
    async def import_tickets(
        request: Request[Any, Any, Any],
        room_id: Annotated[
            str, PathParameter(description="The room's id", examples=[Example(value="a1B2c3")])
        ],
        dry_run: Annotated[
            bool, QueryParameter(description="Only tell what would be imported, and what not")
        ] = False,
        mapping: Annotated[
            str | None,
            QueryParameter(
                description="For a file whose header is not recognised: a JSON object with the "
                "name, or the number from 1 on, of the column of each field",
                examples=[Example(value='{"title": "Summary", "key": 1}')],
            ),
        ] = None,
        header: Annotated[
            bool,
            QueryParameter(description="With a mapping: whether the first record is a header"),
        ] = True,
    ) -> Response[Any]:
        """Import what can be read, at the end of the backlog, as one change that can be undone.

        Lines that are refused are told and left out, such as those with a key that is in the
        backlog already. A file that is malformed as a whole is refused, and so is one with more
        than fits: then nothing of it is imported. Members must be connected to the room meanwhile.
        """
        found = await visit(request, RoomId(room_id))
        read = _reader(request.headers.get("content-type", ""), mapping, header=header)
        if room_id in under_way:
            message = "another import into this room is under way"
            raise RequestFailed(HTTP_409_CONFLICT, message, headers=_RETRY)
        under_way.add(room_id)
        try:
            known = frozenset(same_key(each.key) for each in found.picture.backlog if each.key)
            body = await request.body()
            with _told():
                preview = await threads.run(partial(read, body, known), limiter=reading)
            drafts = [each.draft for each in preview.drafts]
            imported = 0
            if drafts and not dry_run:
                problem = await found.bring(drafts)
                if problem is not None:
                    raise _failed(problem)
                imported = len(drafts)
        finally:
            under_way.discard(room_id)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return await answers.answer(request, _Report(preview, imported), headers=headers)

    return import_tickets


def _reader(
    declared: str, mapping: str | None, *, header: bool
) -> Callable[[bytes, frozenset[str]], Preview]:
    """Find what reads a body, by its declared type.

    Raises:
        RequestFailed: if nothing does, or not with a mapping.
    """
    kind = declared.partition(";")[0].strip().lower()
    if kind == CSV:
        return partial(_read_csv, _mapping(mapping), header)
    if kind != LIST:
        message = f"send a file as {CSV}, or a list as {LIST}"
        raise RequestFailed(HTTP_415_UNSUPPORTED_MEDIA_TYPE, message)
    if mapping is not None:
        message = f"is for files that are sent as {CSV}"
        raise RequestFailed(HTTP_400_BAD_REQUEST, message, field="mapping")
    return lambda body, known: read_list(decode(body), known)


def _read_csv(
    mapping: Mapping[str, object] | None, header: bool, body: bytes, known: frozenset[str]
) -> Preview:
    return read_file(body, known, mapping, header=header)


def _mapping(text: str | None) -> Mapping[str, object] | None:
    if text is None:
        return None
    try:
        found = loads(text)
    except Refused:
        found = None
    if not isinstance(found, dict):
        raise RequestFailed(HTTP_400_BAD_REQUEST, "must be a JSON object", field="mapping")
    return found


@contextmanager
def _told() -> Iterator[None]:
    """Answer by HTTP what the rooms or the readers refuse."""
    try:
        yield
    except Refused as refused:
        raise _failed(refused.problem) from None


def _failed(problem: Problem) -> RequestFailed:
    status = _STATUSES.get(problem.code, HTTP_503_SERVICE_UNAVAILABLE)
    headers = {HTTP_503_SERVICE_UNAVAILABLE: _RETRY, HTTP_429_TOO_MANY_REQUESTS: _MINUTE}
    message, field = problem.message or _FORBIDDEN, problem.field
    if field == _FILE:  # which is no parameter, but all of the body
        message, field = message.removeprefix(f"{_FILE}: "), None
    elif field is not None:
        message = message.removeprefix(f"{field} ")
    return RequestFailed(status, message, field=field, headers=headers.get(status))


_FILE: Final = "file"
_FORBIDDEN: Final = "only facilitators may change the backlog"
_STATUSES: Final = {
    ErrorCode.MALFORMED: HTTP_422_UNPROCESSABLE_ENTITY,
    ErrorCode.WRONG_KEY: HTTP_403_FORBIDDEN,
    ErrorCode.NOT_FACILITATOR: HTTP_403_FORBIDDEN,
    ErrorCode.LEFT: HTTP_409_CONFLICT,
    ErrorCode.BACKLOG_FULL: HTTP_409_CONFLICT,
    ErrorCode.TOO_MANY: HTTP_429_TOO_MANY_REQUESTS,
}


class _Report:
    """An :class:`ImportReport` in slices."""

    def __init__(self, preview: Preview, imported: int) -> None:
        self._pieces = self._write(preview, imported)

    async def next(self) -> bytes | None:
        """Make the next slice; ``None`` after the last one."""
        await trio.lowlevel.checkpoint()
        return next(self._pieces, None)

    def _write(self, preview: Preview, imported: int) -> Iterator[bytes]:
        head = {
            "imported": imported,
            "format": preview.format,
            "delimiter": preview.delimiter,
            "columns": [
                ColumnReport(each.number, each.name, each.field, each.sample)
                for each in preview.columns
            ],
        }
        yield encode_json(head)[:-1] + b',"tickets":['
        yield from _listed([TicketLine.of(each) for each in preview.drafts])
        yield b'],"refused":['
        lines = [LineRefused(each.line, each.column, each.why) for each in preview.refused]
        yield from _listed(lines)
        yield b"]}"


def _listed(things: Sequence[object]) -> Iterator[bytes]:
    for start in range(0, len(things), _SLICE):
        some = b",".join(map(encode_json, things[start : start + _SLICE]))
        yield some if not start else b"," + some
