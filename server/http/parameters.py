"""Parameters of requests: which ones a handler has, and in plain words what they must be."""

from typing import Any, Final

from litestar import MediaType
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import ParameterKwarg
from litestar.routes import HTTPRoute
from litestar.status_codes import HTTP_426_UPGRADE_REQUIRED

_JSON: Final = ("", MediaType.JSON)  # what a handler is that says nothing of its media type
_SHOWN: Final = 50  # characters of a name that nobody knows


def unknown_parameter(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> str | None:
    """Name the first query parameter that a handler of JSON does not have.

    The path of a WebSocket takes any: what it says to a request without an upgrade is of more
    use than what is wrong with its query.
    """
    if not connection.scope["query_string"] or not isinstance(handler, HTTPRouteHandler):
        return None
    if handler.media_type not in _JSON or handler.status_code == HTTP_426_UPGRADE_REQUIRED:
        return None
    if "OPTIONS" in handler.http_methods:  # answered by Litestar, which has no handler to look at
        return None
    known = _query_parameters(connection, handler)
    return next((name[:_SHOWN] for name in connection.query_params if name not in known), None)


def _query_parameters(
    connection: ASGIConnection[Any, Any, Any, Any], handler: HTTPRouteHandler
) -> set[str]:
    template = connection.scope.get("path_template")
    return {
        parameter.field_alias
        for route in connection.app.routes
        if isinstance(route, HTTPRoute) and route.path_format == template
        for method in handler.http_methods
        if method in route.route_handler_map
        for parameter in route.route_handler_map[method][1].expected_query_params
    }


def expectation(handler: BaseRouteHandler, argument: str) -> tuple[str, str]:
    """Say what a parameter is called on the wire, and what it must be.

    Args:
        handler: the handler whose parameter had a value that does not fit.
        argument: the name of the parameter in Python.
    """
    definition = handler.parsed_fn_signature.parameters.get(argument)
    if definition is None:
        return argument, "is not valid"
    wanted = definition.kwarg_definition
    if not isinstance(wanted, ParameterKwarg):
        wanted = ParameterKwarg()
    name = wanted.name or argument
    if definition.is_subclass_of(int) or definition.has_inner_subclass_of(int):
        bounds = (
            "" if wanted.ge is None or wanted.le is None else f" from {wanted.ge} to {wanted.le}"
        )
        return name, f"must be an integer{bounds}"
    lengths = f"must have {wanted.min_length or 0} to {wanted.max_length} characters"
    pattern = f"match {wanted.pattern}"
    if wanted.max_length is None:
        return name, "is not valid" if wanted.pattern is None else f"must {pattern}"
    return name, lengths if wanted.pattern is None else f"{lengths} and {pattern}"
