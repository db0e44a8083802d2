"""``GET /``: what this server is, and a link to each thing that it offers."""

from typing import Annotated, Any, Final

import attrs
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import Parameter, QueryParameter
from litestar.routes import HTTPRoute

from server.http.sockets import SOCKETS

DOCUMENTS: Final = {
    "documentation": "/schema",
    "openapi": "/schema/openapi.json",
    "openapiYaml": "/schema/openapi.yaml",
    "asyncapi": "/schema/asyncapi.json",
    "parleyV1": "/schema/parley-v1.json",
}
"""Links to what describes the interface, and is no part of the description itself."""


@attrs.frozen(kw_only=True)
class Index:
    """What this server is."""

    name: Annotated[str, Parameter(description="Always Parley")] = "Parley"
    version: Annotated[str, Parameter(description="The server's version")]
    links: Annotated[
        dict[str, str],
        Parameter(
            description="A URI template (RFC 6570) for each operation, by its operationId",
            examples=[Example(value={"getUser": "/users/{user_id}"})],
        ),
    ]


def index_handler(version: str) -> HTTPRouteHandler:
    """Make the handler of ``GET /``."""
    made: list[Index] = []

    @get("/", operation_id="getIndex", summary="List what the server offers", tags=["server"])
    async def index(request: Request[Any, Any, State]) -> Response[Index]:
        """Name, version, and a link to each operation of this interface."""
        if not made:
            made.append(Index(version=version, links=links(request.app)))
        return Response(made[0])

    return index


def links(app: Litestar) -> dict[str, str]:
    """Derive the links of an application from its handlers, as the OpenAPI document is."""
    found = dict(DOCUMENTS)
    paths = set()
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        paths.add(route.path_format)
        for handler in route.route_handlers:
            if handler.operation_id is not None:
                found[str(handler.operation_id)] = route.path_format + _query(handler)
    for socket in SOCKETS:
        if socket.path in paths:
            query = "{?" + ",".join(socket.queries) + "}" if socket.queries else ""
            found[socket.operation["operationId"]] = socket.path + query
    return dict(sorted(found.items()))


def _query(handler: HTTPRouteHandler) -> str:
    """Make the part of a template that stands for a handler's query (RFC 6570 section 3.2.8)."""
    names = [
        name
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    ]
    return "{?" + ",".join(names) + "}" if names else ""
