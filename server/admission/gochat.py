"""From a valid upgrade request to a place in a chat room, or to an HTTP error."""

from functools import partial
from http import HTTPStatus
from typing import Final

import attrs
import trio

from protocol.dialects.gochat import GOCHAT
from protocol.errors import CloseCode, ErrorCode, Refused
from protocol.ids import RoomId
from protocol.messages import ChatRecord, EnterChat
from server.admission.allowances import Allowances
from server.admission.members import Members
from server.admission.routes import CHAT_PATH, Upgrade, WebSocketRoute
from server.admission.session import Session
from server.auth.accounts import Accounts, Identity
from server.auth.scopes import Scope
from server.auth.tokens import (
    CHALLENGE,
    COOKIE,
    LOG_IN_AGAIN,
    LOG_IN_FIRST,
    Revoked,
    bearer,
    scope_challenge,
)
from server.edge.closing import Cause
from server.rooms.chat_directory import ChatRooms
from server.rooms.room import Room
from server.support.errors import HttpRejection, MissingScope, NotAuthenticated, StoreUnavailable

HOW_TO_CONNECT: Final = (
    f"{CHAT_PATH.replace('{roomId}', 'ROOM')}, "
    "with the token of a login as the cookie or in Authorization"
)

_RETRY: Final = {"Retry-After": "2"}
_STATUS: Final = {
    ErrorCode.NO_SUCH_ROOM: HTTPStatus.NOT_FOUND,
    ErrorCode.TOO_MANY_ROOMS: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.SHUTTING_DOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
}
_TRY_AGAIN: Final = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}


@attrs.define(eq=False)
class _Visit:
    """Somebody in a chat room, or on the way into one, by a certain token."""

    identity: Identity
    session: Session | None = None
    ended: bool = False
    """The token was revoked."""


class ChatAdmission:
    """The WebSocket route into chat rooms; who is in one is there as long as its token lives."""

    def __init__(
        self, *, accounts: Accounts, rooms: ChatRooms, members: Members, allowances: Allowances
    ) -> None:
        """Admit to ``rooms`` whom ``accounts`` knows.

        Args:
            accounts: knows whose token it is, and tells of tokens that end.
            rooms: finds rooms and wakes them.
            members: makes members of connections.
            allowances: counts seats, and wrong guesses at rooms, for each source.
        """
        self._accounts = accounts
        self._rooms = rooms
        self._members = members
        self._allowances = allowances
        self._visits: dict[int, set[_Visit]] = {}
        accounts.revocations.subscribe(self._revoke)

    def routes(self) -> list[WebSocketRoute]:
        """List the endpoints."""
        return [WebSocketRoute(path=CHAT_PATH, handler=self.join, how=HOW_TO_CONNECT)]

    async def join(self, upgrade: Upgrade) -> None:
        """Bring a connection into the room that the path names.

        Raises:
            HttpRejection: 401 without a valid token, 403 if it is one for bots that does not reach
                so far, 404 if there is no such room, 429 if the address or the account has too
                many seats or has guessed at too many rooms, 503 if the room or the token cannot be
                looked up now.
        """
        abandoned = True
        try:
            await self._join(upgrade)
            abandoned = False  # a room owns it
        except HttpRejection:
            abandoned = False  # the door answers and closes it
            raise
        finally:
            if abandoned:
                await upgrade.peer.aclose()

    async def _join(self, upgrade: Upgrade) -> None:
        visit = _Visit(await self._identify(upgrade))
        visits = self._visits.setdefault(visit.identity.user.id, set())
        visits.add(visit)
        entered = False
        try:
            # Whoever is on the way counts: else all who come at once would get in.
            self._allowances.check_account(upgrade.peer.source, len(visits) - 1)
            await self._enter(upgrade, visit)
            entered = True
        except Refused as refused:
            raise _rejection(refused) from None
        finally:
            if not entered:
                self._forget(visit)

    async def _identify(self, upgrade: Upgrade) -> Identity:
        text = _token(upgrade)
        if not text:
            raise _unauthorized(LOG_IN_FIRST)
        try:
            with self._accounts.revocations.collected() as revoked:
                identity = await self._accounts.identify(text)
            if any(each.covers(identity.user.id, identity.digest) for each in revoked):
                raise NotAuthenticated
            identity.check(Scope.CHAT_READ, Scope.CHAT_WRITE)
            return identity
        except MissingScope as missing:
            headers = scope_challenge(missing.scope)
            raise HttpRejection(HTTPStatus.FORBIDDEN, str(missing), headers) from None
        except NotAuthenticated:
            raise _unauthorized(LOG_IN_AGAIN) from None
        except StoreUnavailable:
            raise _unavailable() from None

    async def _enter(self, upgrade: Upgrade, visit: _Visit) -> None:
        room = await self._find(upgrade)
        if visit.ended:
            self._rooms.let_sleep(room)
            raise _unauthorized(LOG_IN_AGAIN)
        user = visit.identity.user
        try:
            visit.session = self._members.admit(
                upgrade,
                room,
                user.username,
                GOCHAT,
                entry=EnterChat(user.id, user.username, counted=not upgrade.peer.source.unlimited),
                on_end=partial(self._forget, visit),
            )
        except (Refused, trio.ClosedResourceError):
            self._rooms.let_sleep(room)
            raise
        if visit.session is None:
            raise HttpRejection(HTTPStatus.SERVICE_UNAVAILABLE, "the room has just ended", _RETRY)

    async def _find(self, upgrade: Upgrade) -> Room[ChatRecord]:
        source = upgrade.peer.source
        self._allowances.check_guesses(source)
        try:
            return await self._rooms.wake(RoomId(upgrade.parameters["roomId"]))
        except Refused as refused:
            if refused.problem.code is ErrorCode.NO_SUCH_ROOM:
                self._allowances.missed(source)
            raise
        except StoreUnavailable:
            raise _unavailable() from None

    def _forget(self, visit: _Visit) -> None:
        user_id = visit.identity.user.id
        visits = self._visits.get(user_id, set())
        visits.discard(visit)
        if not visits:
            self._visits.pop(user_id, None)

    def _revoke(self, revoked: Revoked) -> None:
        """End the connections of a token that is worth nothing any more."""
        for visit in list(self._visits.get(revoked.user_id, ())):
            if revoked.covers(revoked.user_id, visit.identity.digest):
                visit.ended = True
                if visit.session is not None:
                    visit.session.close(CloseCode.POLICY, "logged out", cause=Cause.LOGGED_OUT)


def _rejection(refused: Refused) -> HttpRejection:
    status = _STATUS.get(refused.problem.code, HTTPStatus.BAD_REQUEST)
    headers = _RETRY if status in _TRY_AGAIN else None
    return HttpRejection(status, refused.problem.message, headers)


def _unauthorized(message: str) -> HttpRejection:
    return HttpRejection(HTTPStatus.UNAUTHORIZED, message, CHALLENGE)


def _unavailable() -> HttpRejection:
    return HttpRejection(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer now", _RETRY)


def _token(upgrade: Upgrade) -> str | None:
    """Find a token in ``Authorization`` or, without one there, in the cookie."""
    cookie: str | None = None
    for name, value in upgrade.headers:
        text = value.decode("latin-1")
        if name == b"authorization" and (token := bearer(text)):
            return token
        if name == b"cookie":
            # Not by the standard library, which gives up at the first cookie, perhaps another
            # program's on this host, whose value it finds unfit.
            for pair in text.split(";"):
                key, _, content = pair.partition("=")
                if key.strip() == COOKIE:
                    cookie = content.strip().strip('"')
    return cookie
