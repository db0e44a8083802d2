"""What a WebSocket endpoint says to those who do not ask for a WebSocket."""

import re
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.status_codes import HTTP_400_BAD_REQUEST, HTTP_426_UPGRADE_REQUIRED

from server.admission.routes import WebSocketRoute
from server.http.errors import Failure

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


def upgrade_handler(route: WebSocketRoute) -> HTTPRouteHandler:
    """Make the handler of a WebSocket endpoint's path for requests without an upgrade.

    Upgrades never come here, they are recognized before HTTP is served. The path is in the
    schema nevertheless, which has no other place to tell of it.
    """
    how = f"this is a WebSocket endpoint: connect with a WebSocket client to {route.how}"

    responses = {
        HTTP_426_UPGRADE_REQUIRED: ResponseSpec(
            Failure, generate_examples=False, description="No upgrade was asked for"
        )
    }
    if _PARAMETER.search(route.path):
        responses[HTTP_400_BAD_REQUEST] = ResponseSpec(
            Failure, generate_examples=False, description="The path is no valid one"
        )

    @get(
        _PARAMETER.sub(r"{\1:str}", route.path),
        summary="The WebSocket endpoint",
        description=f"Connect with a WebSocket client to {route.how}.",
        tags=["websocket"],
        status_code=HTTP_426_UPGRADE_REQUIRED,
        responses=responses,
    )
    async def upgrade_required() -> Response[Any]:
        # RFC 9110 sections 7.8 and 15.5.22: Upgrade is named in Connection as well.
        return Response({"error": how}, headers={"Upgrade": "websocket", "Connection": "Upgrade"})

    return upgrade_required
