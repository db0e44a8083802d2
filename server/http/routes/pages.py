"""What a WebSocket endpoint says to those who do not ask for a WebSocket."""

from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.status_codes import HTTP_426_UPGRADE_REQUIRED

from server.http.errors import Failure

HOW_TO_CONNECT = (
    "this is a WebSocket endpoint: connect with a WebSocket client to "
    "/ws?action=CREATE_ROOM&name=NAME or /ws?action=JOIN_ROOM&name=NAME&room_id=ID"
)
HOW_TO_ECHO = "this is a WebSocket endpoint: connect with a WebSocket client to /ws/echo"


def upgrade_handler(path: str, how: str) -> HTTPRouteHandler:
    """Make the handler of a WebSocket endpoint's path for requests without an upgrade.

    Upgrades never come here, they are recognized before HTTP is served. The path is in the
    schema nevertheless, which has no other place to tell of it.
    """

    @get(
        path,
        summary="The WebSocket endpoint",
        description=f"{how[0].upper()}{how[1:]}. Anything else is answered 426.",
        tags=["websocket"],
        status_code=HTTP_426_UPGRADE_REQUIRED,
        responses={
            HTTP_426_UPGRADE_REQUIRED: ResponseSpec(
                Failure, generate_examples=False, description="No upgrade was asked for"
            )
        },
    )
    async def upgrade_required() -> Response[Any]:
        # RFC 9110 sections 7.8 and 15.5.22: Upgrade is named in Connection as well.
        return Response({"error": how}, headers={"Upgrade": "websocket", "Connection": "Upgrade"})

    return upgrade_required
