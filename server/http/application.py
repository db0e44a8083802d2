"""The Litestar application: all handlers, put together with one form for all errors."""

from collections.abc import Callable, Iterable

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler, Message, Scope

from server.admission.routes import WebSocketRoute
from server.http.access import (
    Access,
    refuse_other_origins,
    refuse_unknown_parameters,
    renewed_cookie,
)
from server.http.bodies import StrictSchema
from server.http.errors import error_handlers
from server.http.routes.decks import decks_handler
from server.http.routes.health import Health, health_handler, probe_handlers
from server.http.routes.imports import import_handler
from server.http.routes.index import index_handler
from server.http.routes.metrics import metrics_handler
from server.http.routes.pages import upgrade_handler
from server.http.routes.results import results_handler, ticket_results_handler
from server.http.routes.rooms import RoomsOverHttp, room_handlers
from server.http.routes.schema import SchemaPages
from server.http.slices import LongAnswers
from server.http.social import SECURITY, Social, social_handlers
from server.store.results import ResultsStore
from server.support.counters import Counters
from server.support.limits import Limits


def make_application(
    *,
    store: ResultsStore,
    counters: Counters,
    limits: Limits,
    version: str,
    health: Callable[[], Health],
    websockets: Iterable[WebSocketRoute] = (),
    social: Social | None = None,
    answers: LongAnswers | None = None,
    rooms: RoomsOverHttp | None = None,
) -> Litestar:
    """Make the application that answers every request without an upgrade to WebSocket.

    Args:
        store: where results are read from.
        counters: the numbers that ``/metrics`` shows.
        limits: the bounds of the server; of these, the one on bodies.
        version: the server's version.
        health: tells the state of the server; called for each request for ``/health``.
        websockets: the endpoints that tell those who ask without an upgrade how to connect.
        social: what the routes of accounts, follows, posts and chat need; without it they do
            not exist.
        answers: sends long answers; needed if others do so too.
        rooms: what the routes of rooms need; without it they do not exist.
    """
    answers = answers or LongAnswers(limits, None if social is None else social.rules.proxies)
    handlers: list[ControllerRouterHandler] = [
        index_handler(version),
        health_handler(health),
        *probe_handlers(health),
        metrics_handler(counters, version),
        results_handler(store, answers, limits),
        *(upgrade_handler(each) for each in websockets if not each.shared),
    ]
    access = None if social is None else Access(social.accounts, social.rules)
    if rooms is not None:
        handlers += [*room_handlers(rooms, access), decks_handler()]
        handlers.append(ticket_results_handler(store, rooms.backlogs, answers, limits))
        handlers.append(
            import_handler(rooms.imports, rooms.keys, rooms.allowances, rooms.source, answers)
        )
    if social is not None and access is not None:
        handlers += social_handlers(social, access)
    return Litestar(
        handlers,
        guards=[refuse_other_origins, refuse_unknown_parameters],
        before_send=[_finish_headers],
        exception_handlers=error_handlers(),
        plugins=[StrictSchema()],
        logging_config=None,
        request_max_body_size=limits.body_bytes,
        openapi_config=OpenAPIConfig(
            title="Parley",
            version=version,
            openapi_router=SchemaPages().router(),
            # Each of the pages that Litestar offers loads its scripts from a CDN.
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
            use_handler_docstrings=True,
            components=Components() if social is None else SECURITY,
        ),
    )


async def _finish_headers(message: Message, scope: Scope) -> None:
    """Add the headers that every answer has, errors included."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-store")
    cookie = renewed_cookie(scope)
    if cookie is not None and "Set-Cookie" not in headers:
        headers["Set-Cookie"] = cookie
    allowed = headers.get("Allow")
    if allowed is not None:
        methods = {method.strip() for method in allowed.split(",")} | _methods(scope)
        # HEAD is answered wherever GET is, below the application.
        headers["Allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _methods(scope: Scope) -> set[str]:
    """Name the methods that the path of a request supports.

    Litestar's own answer to OPTIONS knows only the handler that was registered first.
    """
    template = scope.get("path_template")
    return {
        str(method)
        for route in scope["litestar_app"].routes
        if isinstance(route, HTTPRoute) and route.path_format == template
        for method in route.methods
    }
