"""What can go wrong with a request: exceptions for handlers, and their place in the schema."""

import math
from typing import Any, Final

from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
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
    HTTP_503_SERVICE_UNAVAILABLE,
)

from server.http.errors import NotHere
from server.http.pages import Failure

MEANINGS: Final = {
    HTTP_400_BAD_REQUEST: "The request cannot be understood: no JSON, or a wrong parameter",
    HTTP_401_UNAUTHORIZED: "No token, or none that is valid",
    HTTP_403_FORBIDDEN: "A page of another site asks, or what is to change is not yours",
    HTTP_404_NOT_FOUND: "There is no such thing",
    HTTP_408_REQUEST_TIMEOUT: "The body did not come in time",
    HTTP_409_CONFLICT: "Somebody else has it already",
    HTTP_413_REQUEST_ENTITY_TOO_LARGE: "The body is too large",
    HTTP_415_UNSUPPORTED_MEDIA_TYPE: "The body is not declared as application/json",
    HTTP_422_UNPROCESSABLE_ENTITY: "A field is missing, unknown, of a wrong type or out of range",
    HTTP_429_TOO_MANY_REQUESTS: "Too many attempts; Retry-After says when to come again",
    HTTP_503_SERVICE_UNAVAILABLE: "For a moment, this cannot be done; see Retry-After",
}


class Failed(HTTPException):
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


def unauthorized(message: str) -> Failed:
    """Say that it is not known who asks (RFC 6750 section 3)."""
    return Failed(HTTP_401_UNAUTHORIZED, message, headers={"WWW-Authenticate": "Bearer"})


def not_here(what: str) -> NotHere:
    """Say that there is no such thing, or that it is gone."""
    return NotHere(f"there is no such {what}")


def too_many(seconds: float) -> Failed:
    """Say that this may be tried again in so many seconds."""
    wait = max(1, math.ceil(seconds))
    return Failed(
        HTTP_429_TOO_MANY_REQUESTS,
        f"too many attempts, try again in {wait} s",
        headers={"Retry-After": str(wait)},
    )


def responses(
    *statuses: int, changing: bool = False, body: bool = False
) -> dict[int, ResponseSpec]:
    """Make the part of a handler's schema that lists its errors.

    Args:
        statuses: that are the handler's own.
        changing: adds those of requests that change something.
        body: adds those of requests with a body.
    """
    every = {*statuses, HTTP_400_BAD_REQUEST, HTTP_503_SERVICE_UNAVAILABLE}
    if changing:
        every |= {
            HTTP_403_FORBIDDEN,
            HTTP_408_REQUEST_TIMEOUT,
            HTTP_413_REQUEST_ENTITY_TOO_LARGE,
        }
    if body:
        every |= {HTTP_415_UNSUPPORTED_MEDIA_TYPE, HTTP_422_UNPROCESSABLE_ENTITY}
    return {
        status: ResponseSpec(Failure, generate_examples=False, description=MEANINGS[status])
        for status in sorted(every)
    }
