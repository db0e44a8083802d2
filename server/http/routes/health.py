"""How the server is: ``/health`` for people, ``/ready`` and ``/live`` for what manages it."""

from collections.abc import Callable
from typing import Annotated, Literal

import attrs
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

_FRESH = {"Cache-Control": "no-store"}


@attrs.frozen(kw_only=True)
class Health:
    """How the server is, at one moment."""

    status: Annotated[
        Literal["ok", "degraded", "draining"],
        Parameter(
            description="`ok`; `degraded`: rooms work, but the database does not; "
            "`draining`: the server is about to stop and accepts no new rooms"
        ),
    ]
    uptime: Annotated[float, Parameter(description="Time since the start in seconds")]
    rooms: Annotated[int, Parameter(description="The number of live rooms")]
    connections: Annotated[
        int, Parameter(description="The number of open TCP connections, including this one")
    ]
    backlog: Annotated[
        int, Parameter(description="The number of writes waiting for the database")
    ] = 0


def health_handler(look: Callable[[], Health]) -> HTTPRouteHandler:
    """Make the handler of ``GET /health``; ``look`` is called for each request."""

    @get(
        "/health",
        operation_id="getHealth",
        summary="Tell whether the server accepts work",
        tags=["server"],
        responses={
            HTTP_503_SERVICE_UNAVAILABLE: ResponseSpec(
                Health, generate_examples=False, description="The server is draining"
            )
        },
    )
    async def health() -> Response[Health]:
        """Status, uptime in seconds and what is going on; 503 while draining."""
        now = look()
        now = attrs.evolve(now, uptime=round(now.uptime, 3))
        status = HTTP_503_SERVICE_UNAVAILABLE if now.status == "draining" else HTTP_200_OK
        return Response(now, status_code=status, headers=_FRESH)

    return health


@attrs.frozen(kw_only=True)
class Ready:
    """Whether new work should be sent here."""

    ready: bool


@attrs.frozen(kw_only=True)
class Live:
    """That the server answers at all."""

    live: bool


def probe_handlers(look: Callable[[], Health]) -> list[HTTPRouteHandler]:
    """Make the handlers of ``GET /ready`` and ``GET /live``."""

    @get(
        "/ready",
        summary="Whether new work should be sent here",
        tags=["server"],
        responses={
            HTTP_503_SERVICE_UNAVAILABLE: ResponseSpec(
                Ready, generate_examples=False, description="About to stop"
            )
        },
    )
    async def ready() -> Response[Ready]:
        """For load balancers: 503 from the first stop signal on, while all is still served.

        A database that is gone does not count: rooms work without it, and it is gone for every
        other server as well.
        """
        is_ready = look().status != "draining"
        status = HTTP_200_OK if is_ready else HTTP_503_SERVICE_UNAVAILABLE
        return Response(Ready(ready=is_ready), status_code=status, headers=_FRESH)

    @get("/live", summary="Whether the server answers at all", tags=["server"])
    async def live() -> Response[Live]:
        """For whoever restarts it: 200 for as long as it answers, also while draining."""
        return Response(Live(live=True), headers=_FRESH)

    return [ready, live]
