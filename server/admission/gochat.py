"""From a valid upgrade request to a place in a chat room, or to an HTTP error."""

import secrets
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import attrs

from protocol.dialects.gochat import GOCHAT
from protocol.errors import CloseCode, ErrorCode, Refused
from protocol.ids import MemberId, RoomId
from protocol.messages import EnterChat
from server.admission.door import (
    Route,
    Upgrade,
)
from server.admission.session import Session
from server.auth.accounts import (
    Accounts,
    Identity,
)
from server.auth.origin import same_origin
from server.auth.tokens import COOKIE, Revoked, bearer
from server.edge.closing import Cause
from server.edge.heartbeat import Heartbeat
from server.edge.poller import Poller
from server.edge.websocket import WebSocket
from server.rooms.chat_directory import ChatRooms
from server.support.counters import Counters
from server.support.errors import HttpRejection, NotAuthenticated, StoreUnavailable
from server.support.limits import Limits

_MEMBER_ID_BYTES: Final = 8
_RETRY: Final = {"Retry-After": "2"}
_STATUS: Final = {
    ErrorCode.NO_SUCH_ROOM: HTTPStatus.NOT_FOUND,
    ErrorCode.TOO_MANY_ROOMS: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.SHUTTING_DOWN: HTTPStatus.SERVICE_UNAVAILABLE,
}


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
        self,
        *,
        accounts: Accounts,
        rooms: ChatRooms,
        limits: Limits,
        poller: Poller | None,
        heartbeat: Heartbeat,
        counters: Counters,
    ) -> None:
        """Admit to ``rooms`` whom ``accounts`` knows."""
        self._accounts = accounts
        self._rooms = rooms
        self._limits = limits
        self._poller = poller
        self._heartbeat = heartbeat
        self._counters = counters
        self._visits: dict[int, set[_Visit]] = {}
        accounts.revocations.subscribe(self._revoke)

    def routes(self) -> dict[str, Route]:
        """Say which path leads where."""
        return {"/ws/joinRoom/": self.join}

    async def join(self, upgrade: Upgrade) -> None:
        """Bring a connection into the room that the path names.

        Raises:
            HttpRejection: 401 without a valid token, 403 from a page of another site, 404 if there
                is no such room, 503 if the room or the token cannot be looked up now.
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
        if not same_origin(upgrade.headers):
            raise HttpRejection(HTTPStatus.FORBIDDEN, "a page of another site may not do this")
        visit = _Visit(await self._identify(upgrade))
        visits = self._visits.setdefault(visit.identity.user.id, set())
        visits.add(visit)
        entered = False
        try:
            await self._enter(upgrade, visit)
            entered = True
        finally:
            if not entered:
                self._forget(visit)

    async def _identify(self, upgrade: Upgrade) -> Identity:
        text = _token(upgrade)
        challenge = {"WWW-Authenticate": "Bearer"}
        if not text:
            raise HttpRejection(
                HTTPStatus.UNAUTHORIZED, "log in first: this needs a token", challenge
            )
        # What is revoked while the token is looked up may not be seen by that any more.
        revoked: list[Revoked] = []
        unsubscribe = self._accounts.revocations.subscribe(revoked.append)
        try:
            identity = await self._accounts.identify(text)
            if any(each.covers(identity.user.id, identity.digest) for each in revoked):
                raise NotAuthenticated
            return identity
        except NotAuthenticated:
            message = "log in again: the token is not valid, or no longer"
            raise HttpRejection(HTTPStatus.UNAUTHORIZED, message, challenge) from None
        except StoreUnavailable:
            raise _unavailable() from None
        finally:
            unsubscribe()

    async def _enter(self, upgrade: Upgrade, visit: _Visit) -> None:
        room_id = RoomId(unquote(upgrade.path.rpartition("/")[2]))
        try:
            room = await self._rooms.wake(room_id)
        except Refused as refused:
            status = _STATUS.get(refused.problem.code, HTTPStatus.BAD_REQUEST)
            headers = _RETRY if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            raise HttpRejection(status, refused.problem.message, headers) from None
        except StoreUnavailable:
            raise _unavailable() from None
        if visit.ended:
            self._rooms.let_sleep(room)
            raise HttpRejection(HTTPStatus.UNAUTHORIZED, "log in again: the token has been revoked")
        user = visit.identity.user
        visit.session = Session(
            MemberId(secrets.token_hex(_MEMBER_ID_BYTES)),
            user.username,
            GOCHAT,
            room=room.id,
            inbox=room.inbox,
            connection=WebSocket(
                upgrade.peer,
                upgrade.response,
                upgrade.leftover,
                limits=self._limits,
                poller=self._poller,
                heartbeat=self._heartbeat,
                counters=self._counters,
            ),
            limits=self._limits,
            counters=self._counters,
            entry=EnterChat(user.id, user.username),
            on_end=lambda: self._forget(visit),
        )
        if not room.admit(visit.session):
            raise HttpRejection(HTTPStatus.SERVICE_UNAVAILABLE, "the room has just ended", _RETRY)

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
