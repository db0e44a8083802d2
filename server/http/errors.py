"""The one form of every error: a fitting status and ``{"error": …, "field": …?}``."""

import re
from typing import Any, Final

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.status_codes import HTTP_500_INTERNAL_SERVER_ERROR, HTTP_503_SERVICE_UNAVAILABLE

from server.observe import get_logger
from server.passwords import RETRY_SECONDS

DATABASE_RETRY_SECONDS: Final = 5

_MISSING: Final = re.compile(r"Missing required \w+ parameter '([^']+)'")
"""How Litestar begins; it goes on with the address that was asked for."""


class NotHere(NotFoundException):
    """A path that exists in general has nothing for these parameters."""


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    """Answer what a handler, or the way to it, raised; log it if the fault is ours."""
    if not isinstance(error, HTTPException) or error.status_code >= HTTP_500_INTERNAL_SERVER_ERROR:
        # Not the query string, which may hold what should not be kept.
        get_logger("http").error(
            "request failed", method=request.method, path=request.url.path, exc_info=error
        )
        return _answer(
            HTTP_500_INTERNAL_SERVER_ERROR, {"error": "something went wrong on the server"}
        )
    if isinstance(error, MethodNotAllowedException):
        content = {"error": f"{request.method} is not possible here, see the header Allow"}
    elif isinstance(error, NotFoundException) and not isinstance(error, NotHere):
        content = {"error": "there is nothing at this path, see / for what there is"}
    else:
        content = _describe(error)
    return _answer(error.status_code, content, error.headers)


def answer_unavailable(request: Request[Any, Any, Any], _: Exception) -> Response[dict[str, str]]:
    """Answer that the store is gone; it says so in the log itself."""
    get_logger("http").warning("no database", method=request.method, path=request.url.path)
    return _later("the database is gone, try again in a moment", DATABASE_RETRY_SECONDS)


def answer_busy(_: Request[Any, Any, Any], __: Exception) -> Response[dict[str, str]]:
    """Answer that too many passwords are waiting to be judged."""
    return _later("too many are logging in, try again in a moment", RETRY_SECONDS)


def _later(message: str, seconds: int) -> Response[dict[str, str]]:
    headers = {"Retry-After": str(seconds)}
    return _answer(HTTP_503_SERVICE_UNAVAILABLE, {"error": message}, headers)


def _describe(error: HTTPException) -> dict[str, str]:
    """Name the field at fault if Litestar found one; only the first of several is told."""
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict) and "key" in extra[0]:
        field = str(extra[0]["key"])
        if field == "data" and extra[0].get("source") == "body":
            return {"error": "a body is needed"}
        return {"error": f"{field}: {extra[0]['message']}", "field": field}
    missing = _MISSING.match(error.detail)
    if missing:
        return {"error": f"{missing[1]}: is missing", "field": missing[1]}
    return {"error": error.detail}


def _answer(
    status: int, content: dict[str, str], headers: dict[str, str] | None = None
) -> Response[dict[str, str]]:
    return Response(content, status_code=status, headers=headers, media_type=MediaType.JSON)
