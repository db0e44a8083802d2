"""``GET /rooms/{room_id}/results``: what a room has estimated, while it lives and after."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from litestar import Response, get
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIType, Operation, Schema
from litestar.params import PathParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_400_BAD_REQUEST, HTTP_404_NOT_FOUND

from protocol.ids import RoomId
from server.http.errors import Failure, NotHere
from server.http.report import RoomReport
from server.http.spreadsheet import CSV_TYPE, to_csv
from server.store.results import ResultsStore, RoomResults
from server.support import threads

FORMATS: Final = ["json", "csv"]

LARGE: Final = 2_000
"""Votes from which on a report, some 5 µs each, is made in a thread and not between two rooms."""


Made = TypeVar("Made")


@dataclass
class _TwoForms(Operation):
    """Adds to the schema that a success may come as CSV as well."""

    def __post_init__(self) -> None:
        success = (self.responses or {})[str(HTTP_200_OK)]
        content: Any = getattr(success, "content", None) or {}
        content[CSV_TYPE] = OpenAPIMediaType(
            schema=Schema(type=OpenAPIType.STRING, description="RFC 4180, one row per vote")
        )


def results_handler(store: ResultsStore) -> HTTPRouteHandler:
    """Make the handler of ``GET /rooms/{room_id}/results``."""

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
            HTTP_400_BAD_REQUEST: ResponseSpec(
                Failure, generate_examples=False, description="Unknown format"
            ),
            HTTP_404_NOT_FOUND: ResponseSpec(
                Failure, generate_examples=False, description="No results are kept for this room"
            ),
        },
    )
    async def room_results(
        room_id: Annotated[
            str,
            PathParameter(
                description="The id that the room's creator was given",
                examples=[Example(value="a1B2c3")],
            ),
        ],
        format: Annotated[  # noqa: A002 - the name of the query parameter
            str,
            QueryParameter(
                description="`json`, or `csv` for spreadsheets",
                examples=[Example(value="csv")],
                schema_extra={"enum": FORMATS},
            ),
        ] = "json",
    ) -> Response[Any]:
        """Every revealed round with its votes and figures, while the room lives and after."""
        if format not in FORMATS:
            raise ValidationException(
                extra=[{"key": "format", "message": f"must be {' or '.join(FORMATS)}"}]
            )
        room = await store.results(RoomId(room_id))
        if room is None:
            raise NotHere("no results are kept of a room with this id")
        headers = {"Cache-Control": "no-store"}
        if format == "json":
            return Response(await _make(RoomReport.of, room), headers=headers)
        headers["Content-Disposition"] = f'attachment; filename="parley-{room.room_id}.csv"'
        # Litestar would add a second charset to a media type.
        headers["Content-Type"] = CSV_TYPE
        return Response(await _make(_csv_of, room), headers=headers)

    return room_results


def _csv_of(room: RoomResults) -> bytes:
    return to_csv(RoomReport.of(room)).encode()


async def _make(make: Callable[[RoomResults], Made], room: RoomResults) -> Made:
    if sum(len(ticket.votes) for ticket in room.tickets) < LARGE:
        return make(room)
    return await threads.run(make, room)
