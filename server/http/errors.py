"""Every error of plain HTTP: what handlers raise, how it is answered, and its schema."""

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final

import attrs
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.status_codes import (
    HTTP_400_BAD_REQUEST,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_408_REQUEST_TIMEOUT,
    HTTP_409_CONFLICT,
    HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    HTTP_415_UNSUPPORTED_MEDIA_TYPE,
    HTTP_422_UNPROCESSABLE_ENTITY,
    HTTP_429_TOO_MANY_REQUESTS,
    HTTP_500_INTERNAL_SERVER_ERROR,
    HTTP_503_SERVICE_UNAVAILABLE,
)

from protocol.errors import ParleyError
from server.auth.passwords import RETRY_SECONDS
from server.auth.tokens import CHALLENGE, scope_challenge
from server.http.parameters import expectation
from server.support.errors import MissingScope, StoreUnavailable, TooManyPasswords
from server.support.rationed import RationedLog

DATABASE_RETRY_SECONDS: Final = 5

_MISSING: Final = re.compile(r"Missing required \w+ parameter '([^']+)'")
"""How Litestar begins; it goes on with the address that was asked for."""


MEANINGS: Final = {
    HTTP_400_BAD_REQUEST: "The body is not JSON, or a parameter is wrong or unknown",
    HTTP_401_UNAUTHORIZED: "The token is missing or invalid",
    HTTP_403_FORBIDDEN: "A page of another site asks, what is to change is not yours, or a "
    "token for bots lacks the scope",
    HTTP_404_NOT_FOUND: "There is no such thing",
    HTTP_408_REQUEST_TIMEOUT: "The body did not come in time",
    HTTP_409_CONFLICT: "Somebody else has it already, or you have as many as you may have",
    HTTP_413_REQUEST_ENTITY_TOO_LARGE: "The body is too large",
    HTTP_415_UNSUPPORTED_MEDIA_TYPE: "The body is not declared as application/json",
    HTTP_422_UNPROCESSABLE_ENTITY: "A field is missing, unknown, of a wrong type or out of range",
    HTTP_429_TOO_MANY_REQUESTS: "Too many attempts, or too much at once; see Retry-After",
    HTTP_503_SERVICE_UNAVAILABLE: "Temporarily unavailable; see Retry-After",
}


@attrs.frozen
class Failure:
    """What went wrong."""

    error: Annotated[str, Parameter(description="For people: one sentence")]
    field: Annotated[
        str | None, Parameter(description="Name of the parameter at fault, if there is one")
    ] = None


class RequestFailed(HTTPException, ParleyError):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer with ``status``; a ``field`` is named in front of the message."""
        extra: Any = None if field is None else [{"key": field, "message": message}]
        super().__init__(detail=message, status_code=status, headers=headers, extra=extra)


class NotHere(RequestFailed):
    """A path that exists in general has nothing for these parameters."""

    def __init__(self, message: str) -> None:
        """Answer with 404."""
        super().__init__(HTTP_404_NOT_FOUND, message)


def unauthorized(message: str) -> RequestFailed:
    """Make the refusal of a request without a valid token (RFC 6750 section 3)."""
    return RequestFailed(HTTP_401_UNAUTHORIZED, message, headers=CHALLENGE)


def out_of_scope(missing: MissingScope) -> RequestFailed:
    """Make the refusal of a token for bots that does not reach so far (RFC 6750 section 3.1)."""
    return RequestFailed(HTTP_403_FORBIDDEN, str(missing), headers=scope_challenge(missing.scope))


def not_here(what: str) -> NotHere:
    """Make the refusal of what does not exist, or not any more."""
    return NotHere(f"there is no such {what}")


def too_many(seconds: float) -> RequestFailed:
    """Make the refusal of what may be tried again after ``seconds``."""
    wait = max(1, math.ceil(seconds))
    return RequestFailed(
        HTTP_429_TOO_MANY_REQUESTS,
        f"too many attempts, try again in {wait} s",
        headers={"Retry-After": str(wait)},
    )


def responses(
    *statuses: int, changing: bool = False, body: bool = False
) -> dict[int, ResponseSpec]:
    """Make the part of a handler's schema that lists its errors.

    Args:
        statuses: the handler's own statuses.
        changing: whether to add those of requests that change something.
        body: whether to add those of requests with a body.
    """
    every = {*statuses, HTTP_400_BAD_REQUEST, HTTP_503_SERVICE_UNAVAILABLE}
    if HTTP_401_UNAUTHORIZED in every:
        every.add(HTTP_403_FORBIDDEN)  # a token may be valid and not reach so far
    if changing:
        every |= {
            HTTP_403_FORBIDDEN,
            HTTP_408_REQUEST_TIMEOUT,
            HTTP_413_REQUEST_ENTITY_TOO_LARGE,
            HTTP_429_TOO_MANY_REQUESTS,
        }
    if body:
        every |= {HTTP_415_UNSUPPORTED_MEDIA_TYPE, HTTP_422_UNPROCESSABLE_ENTITY}
    return {
        status: ResponseSpec(Failure, generate_examples=False, description=MEANINGS[status])
        for status in sorted(every)
    }


Handler = Callable[[Request[Any, Any, Any], Any], Response[dict[str, str]]]


def error_handlers() -> dict[int | type[Exception], Handler]:
    """Make the handlers of whatever is raised by a handler, or on the way to it."""
    # Anybody can ask for what fails, as often and at as long a path as they like.
    log = RationedLog("http")

    def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
        """Answer what was raised; log it if the fault is ours."""
        if not isinstance(error, HTTPException) or _is_ours(error):
            # Not the query string, which may hold what should not be kept.
            log.error(
                "request failed", method=request.method, path=request.url.path, exc_info=error
            )
            return _answer(
                HTTP_500_INTERNAL_SERVER_ERROR, {"error": "something went wrong on the server"}
            )
        if isinstance(error, MethodNotAllowedException):
            words = f"{request.method} is not allowed here; the header Allow lists what is"
            content = {"error": words}
        elif isinstance(error, NotFoundException):
            content = {"error": "there is nothing at this path, see / for what there is"}
        else:
            content = _describe(request, error)
        return _answer(error.status_code, content, error.headers)

    def answer_unavailable(
        request: Request[Any, Any, Any], _: Exception
    ) -> Response[dict[str, str]]:
        """Answer that the store is gone; it says so in the log itself."""
        log.warning("no database", method=request.method, path=request.url.path)
        return _later(
            "the database is not available, try again in a moment", DATABASE_RETRY_SECONDS
        )

    return {
        HTTPException: answer_error,
        StoreUnavailable: answer_unavailable,
        TooManyPasswords: _answer_busy,
        Exception: answer_error,
    }


def _answer_busy(_: Request[Any, Any, Any], __: Exception) -> Response[dict[str, str]]:
    """Answer that too many passwords are waiting to be judged."""
    return _later("too many people are logging in, try again in a moment", RETRY_SECONDS)


def _is_ours(error: HTTPException) -> bool:
    """Tell whether the fault is the server's."""
    fatal = error.status_code >= HTTP_500_INTERNAL_SERVER_ERROR
    return fatal and not isinstance(error, RequestFailed)


def _later(message: str, seconds: int) -> Response[dict[str, str]]:
    headers = {"Retry-After": str(seconds)}
    return _answer(HTTP_503_SERVICE_UNAVAILABLE, {"error": message}, headers)


def _describe(request: Request[Any, Any, Any], error: HTTPException) -> dict[str, str]:
    """Name the field at fault if Litestar found one; only the first of several is told."""
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict) and "key" in extra[0]:
        field, message = str(extra[0]["key"]), str(extra[0]["message"])
        source = extra[0].get("source")
        if field == "data" and source == "body":
            return {"error": "a body is needed"}
        if source is not None:  # Litestar's own words, which speak of types of Python
            field, message = expectation(request.route_handler, field)
        return {"error": f"{field} {message}", "field": field}
    missing = _MISSING.match(error.detail)
    if missing:
        return {"error": f"{missing[1]} is missing", "field": missing[1]}
    return {"error": error.detail}


def _answer(
    status: int, content: dict[str, str], headers: dict[str, str] | None = None
) -> Response[dict[str, str]]:
    return Response(content, status_code=status, headers=headers, media_type=MediaType.JSON)
