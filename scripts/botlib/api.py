"""The HTTP side of a server as bots use it: accounts, and requests whose status is checked."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from json import dumps, loads
from typing import Any, Final

import attrs

from scripts.botlib.failures import Unusable
from scripts.botlib.frames import Malformed, no_constant, shown, unique_keys
from scripts.botlib.web import Answer, Client

PASSWORD: Final = "robots have long passwords"  # noqa: S105 - of made-up people
COOKIE: Final = "auth_token"

_NEXT: Final = re.compile(r'<(/[^<>"\s]*)>; rel="?next"?')

_REGISTER_LIMIT: Final = "registrations (5 in 30 minutes per address, unless set)"
_LOGIN_LIMIT: Final = "logins (10 a minute, unless set)"
_CURE: Final = "start it with --register-limit 0 --login-limit 0"


class Unexpected(Exception):
    """An answer that breaks a rule."""

    def __init__(self, rule: str, detail: str, status: int | None = None) -> None:
        """Name the rule for counting, and the status if that is what breaks it."""
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail
        self.status = status


@attrs.frozen
class Account:
    """Somebody who is logged in."""

    id: int
    name: str
    email: str
    token: str = attrs.field(repr=False)


class Api:
    """Asks a server and checks the status of every answer."""

    def __init__(self, client: Client) -> None:
        """Use ``client``, which stays the caller's."""
        self._client = client
        self.requests = 0

    async def ask(
        self,
        method: str,
        path: str,
        status: int,
        *,
        rule: str = "status",
        token: str = "",
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request whose answer must have this status.

        Raises:
            Unexpected: if it has another one.
            Unusable: if the server limits how often this may be asked.
            NoAnswer: if there is no answer.
        """
        every = dict(headers or {})
        if token:
            every["Authorization"] = f"Bearer {token}"
        body = b""
        if json is not None:
            body = dumps(json).encode()
            every["Content-Type"] = "application/json"
        answer = await self._client.request(method, path, every, body)
        self.requests += 1
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS != status:
            limited = {"/register": _REGISTER_LIMIT, "/login": _LOGIN_LIMIT}.get(path)
            raise Unusable(f"the server limits {limited or f'{method} {path}'}: {_CURE}")
        if answer.status != status:
            detail = f"{method} {path}: {answer.status}, not {status}: {shown(answer.text)}"
            raise Unexpected(rule, detail, answer.status)
        if status >= 400 and "error" not in as_object(answer):
            raise Unexpected("error-body", f"{method} {path}: {shown(answer.text)}")
        return answer

    async def register(self, name: str, email: str) -> Account:
        """Make an account."""
        body = {"username": name, "email": email, "password": PASSWORD}
        answer = await self.ask("POST", "/register", 201, json=body)
        return account_of(answer, name, email)

    async def log_in(self, name: str, email: str) -> Account:
        """Log in to an account of that name."""
        body = {"email": email, "password": PASSWORD}
        return account_of(await self.ask("POST", "/login", 200, json=body), name, email)

    async def log_in_or_register(self, name: str, email: str) -> Account:
        """Log in to an account, and make it if it is not there."""
        try:
            return await self.log_in(name, email)
        except Unexpected as unexpected:
            if unexpected.status != 401:
                raise
        return await self.register(name, email)


def account_of(answer: Answer, name: str, email: str) -> Account:
    """Read the answer to registering or logging in.

    Raises:
        Unexpected: if it is not about this account, tells its password or has no token.
    """
    where, told = answer.path, as_object(answer)
    if (told.get("username"), told.get("email")) != (name, email) or not is_whole(told.get("id")):
        raise Unexpected("account", f"{where}: not {name!r} with {email}: {shown(answer.text)}")
    if any("password" in key.lower() or "hash" in key.lower() for key in told):
        raise Unexpected("password-told", f"{where}: {', '.join(told)}")
    token = _cookie(answer)
    if not token:
        raise Unexpected("no-token", f"{where} sets no cookie {COOKIE}")
    return Account(told["id"], name, email, token)


def as_json(answer: Answer) -> Any:
    """Read a body, strictly.

    Raises:
        Unexpected: if it is no JSON.
    """
    where = f"{answer.method} {answer.path}"
    try:
        return loads(answer.body, object_pairs_hook=unique_keys, parse_constant=no_constant)
    except (ValueError, RecursionError, Malformed):
        raise Unexpected("malformed", f"{where}: no JSON: {shown(answer.text)}") from None


def as_object(answer: Answer) -> dict[str, Any]:
    """Read a body that must be a JSON object."""
    read = as_json(answer)
    if not isinstance(read, dict):
        path = answer.path
        raise Unexpected("malformed", f"{path}: JSON, but no object: {shown(answer.text)}")
    return read


def as_list(answer: Answer) -> list[Any]:
    """Read a body that must be a JSON array."""
    read = as_json(answer)
    if not isinstance(read, list):
        path = answer.path
        raise Unexpected("malformed", f"{path}: JSON, but no array: {shown(answer.text)}")
    return read


def is_whole(value: object) -> bool:
    """Tell whether this is an integer of JSON."""
    return isinstance(value, int) and not isinstance(value, bool)


def next_link(answer: Answer) -> str | None:
    """Find where the header Link says that the next page is.

    Raises:
        Unexpected: if there is such a header, but without that.
    """
    header = answer.header("link")
    if header is None:
        return None
    found = _NEXT.fullmatch(header)
    if found is None:
        raise Unexpected("link", f"{answer.path}: no path to a next page: {header!r}")
    return found[1]


def _cookie(answer: Answer) -> str:
    for header, value in answer.headers:
        name, _, rest = value.partition("=")
        if header == "set-cookie" and name.strip() == COOKIE:
            return rest.partition(";")[0]
    return ""
