"""From a valid upgrade request to a seat in a room, or back into one, in ``parley.v1``."""

import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import attrs
import trio

from protocol.answers import REMEMBERED
from protocol.dialects.parley_v1 import (
    PARLEY_V1,
    SUBPROTOCOL,
    ParleyV1,
    read_hello,
    write,
)
from protocol.errors import CloseCode, ErrorCode, Problem, Refused
from protocol.farewell import Ending, Farewell
from protocol.greeting import ClientLimits, Greeting, Hello, Resume, Resumed, ServerPing
from protocol.ids import MemberId, RoomId
from protocol.lasting import Join, LastingCommand, Return
from protocol.messages import Refusal
from server.admission.allowances import Allowances, TakenSeat
from server.admission.estimatex import Rooms
from server.admission.handlers import Deaf
from server.admission.link import CAUSES, TOLD_V1, ParleyLink
from server.admission.members import Members
from server.admission.routes import ROOM_PATH, Upgrade, WebSocketRoute
from server.auth.accounts import Accounts, Identity
from server.auth.seats import SeatKeys
from server.auth.tokens import LOG_IN_AGAIN, Revoked
from server.edge.closing import Cause
from server.edge.first_message import read_first_message
from server.edge.websocket import WebSocket
from server.rooms.room import Lasting, Room
from server.support.counters import Counters
from server.support.errors import HttpRejection, NotAuthenticated, StoreUnavailable
from server.support.limits import Limits
from server.support.rationed import RationedLog

HOW_TO_CONNECT: Final = (
    f"{ROOM_PATH.replace('{room_id}', 'ROOM')} with the subprotocol {SUBPROTOCOL}"
)

_MEMBER_ID_BYTES: Final = 8
_BUSY_SECONDS: Final = 5.0

_ENDINGS: Final[Mapping[ErrorCode, Ending]] = {
    ErrorCode.NO_SUCH_ROOM: Ending.NO_SUCH_ROOM,
    ErrorCode.ROOM_ENDED: Ending.ROOM_ENDED,
    ErrorCode.WRONG_KEY: Ending.WRONG_KEY,
    ErrorCode.SHUTTING_DOWN: Ending.GOING_AWAY,
    ErrorCode.TOO_MANY: Ending.BUSY,
    ErrorCode.TOO_MANY_ROOMS: Ending.BUSY,
    ErrorCode.NOT_NOW: Ending.BUSY,
}
"""What refusals mean for the connection; all others are for good."""


@attrs.define(eq=False)
class _Visit:
    """A signed-in member."""

    identity: Identity
    room: Room[Any]
    member: MemberId


@attrs.frozen
class _Guest:
    """Who stands at the door: a connection that has said hello, and the room it names."""

    upgrade: Upgrade
    hello: Hello
    leftover: bytes
    identity: Identity | None


class ParleyAdmission:
    """The WebSocket routes of ``parley.v1``."""

    def __init__(
        self,
        *,
        rooms: Rooms,
        members: Members,
        allowances: Allowances,
        accounts: Accounts,
        keys: SeatKeys,
        limits: Limits,
        counters: Counters,
        release: str,
    ) -> None:
        """Admit to ``rooms``.

        Args:
            rooms: finds rooms, or brings them back.
            members: makes connections.
            allowances: counts seats, and wrong guesses at rooms, for each source.
            accounts: knows whose token it is, and tells of tokens that end.
            keys: makes and judges resume tokens and owner keys.
            limits: what clients must keep to.
            counters: are kept up to date.
            release: of the server, which clients are told.
        """
        self._rooms = rooms
        self._members = members
        self._allowances = allowances
        self._accounts = accounts
        self._keys = keys
        self._limits = limits
        self._counters = counters
        self._release = release
        self._client_limits = ClientLimits(
            message_bytes=limits.message_bytes,
            rate=limits.inbound_rate,
            burst=limits.inbound_burst,
            window=REMEMBERED,
        )
        self._log = RationedLog("door")
        self._greeted: set[trio.CancelScope] = set()
        self._draining = False
        self._visits: dict[int, set[_Visit]] = {}
        accounts.revocations.subscribe(self._revoke)

    def routes(self) -> list[WebSocketRoute]:
        """List the endpoints."""
        return [
            WebSocketRoute(
                path=ROOM_PATH,
                handler=self.enter_room,
                how=HOW_TO_CONNECT,
                shared=True,
                subprotocols=(SUBPROTOCOL,),
            )
        ]

    def drain(self) -> None:
        """Ask those to come back later who have not said who they are."""
        self._draining = True
        for scope in list(self._greeted):
            scope.cancel()

    async def enter_room(self, upgrade: Upgrade) -> None:
        """Let somebody into an estimation room, or back into it.

        Whatever is wrong is told in this dialect, with a close code that says whether to come back.

        Raises:
            HttpRejection: 400 if the client does not offer the subprotocol.
        """
        if upgrade.subprotocol is None:
            raise HttpRejection(
                HTTPStatus.BAD_REQUEST, f"this WebSocket speaks the subprotocol {SUBPROTOCOL}"
            )
        owned = True
        try:
            await upgrade.peer.send(upgrade.response)
            greeted = await self._await_hello(upgrade)
            if greeted is None:
                return
            try:
                hello = read_hello(greeted[0])
                await self._enter(upgrade, hello, greeted[1])
            except Refused as refused:
                owned = False
                await self._refuse(upgrade, refused.problem)
            except StoreUnavailable:
                owned = False
                problem = Problem(ErrorCode.NOT_NOW, "the database does not answer now")
                await self._refuse(upgrade, problem)
            else:
                owned = False
        except Refused as refused:
            owned = False
            await self._refuse(upgrade, refused.problem)
        finally:
            if owned:
                await upgrade.peer.aclose()

    # --- hello ------------------------------------------------------------------------------

    async def _await_hello(self, upgrade: Upgrade) -> tuple[str, bytes] | None:
        peer = upgrade.peer
        patience = trio.CancelScope(deadline=trio.current_time() + self._limits.announce_seconds)
        if self._draining:
            patience.cancel()
        self._greeted.add(patience)
        peer.give_way = patience.cancel
        try:
            with patience:
                longest = self._limits.message_bytes
                return await read_first_message(peer, upgrade.leftover, longest)
        finally:
            self._greeted.discard(patience)
            peer.give_way = None
        if peer.displaced:
            return None
        if self._draining:
            raise Refused(ErrorCode.SHUTTING_DOWN, "the server is shutting down")
        seconds = self._limits.announce_seconds
        raise Refused(ErrorCode.MALFORMED, f"no hello within {seconds:g} seconds", "hello")

    async def _enter(self, upgrade: Upgrade, hello: Hello, leftover: bytes) -> None:
        room_id = RoomId(upgrade.parameters["room_id"])
        self._allowances.check_guesses(upgrade.peer.source)
        # What is revoked while a token and the room are looked up may not be seen by that any more.
        revoked: list[Revoked] = []
        unsubscribe = self._accounts.revocations.subscribe(revoked.append)
        try:
            identity = None if hello.token is None else await self._identify(hello.token)
            room = await self._rooms.wake(room_id)
        finally:
            unsubscribe()
        if upgrade.peer.displaced:
            raise trio.ClosedResourceError
        if identity is not None and any(
            each.covers(identity.user.id, identity.digest) for each in revoked
        ):
            raise Refused(ErrorCode.WRONG_KEY, LOG_IN_AGAIN, "token")
        if room is None or room.lasting is None:
            if self._draining:  # it may rest, to be found again
                raise Refused(ErrorCode.SHUTTING_DOWN, "the server is shutting down")
            self._allowances.missed(upgrade.peer.source)
            raise Refused(ErrorCode.NO_SUCH_ROOM, "there is no such room, or not any more")
        # From here on there is no checkpoint: the room is live.
        guest = _Guest(upgrade, hello, leftover, identity)
        if hello.resume is not None:
            self._resume(guest, room, hello.resume)
        else:
            self._join(guest, room)

    async def _identify(self, token: str) -> Identity:
        try:
            return await self._accounts.identify(token)
        except NotAuthenticated:
            raise Refused(ErrorCode.WRONG_KEY, LOG_IN_AGAIN, "token") from None

    # --- in and back in ---------------------------------------------------------------------

    def _join(self, guest: _Guest, room: Room[Any]) -> None:
        lasting = room.lasting
        if lasting is None:
            raise AssertionError("looked at before")
        hello = guest.hello
        if hello.owner_key is not None and (
            lasting.journal is None
            or not self._keys.is_owner_key(lasting.session_id, hello.owner_key)
        ):
            raise Refused(ErrorCode.WRONG_KEY, "this is not the room's owner key", "owner_key")
        identity = guest.identity
        name = hello.name if identity is None else identity.user.username
        member = MemberId(secrets.token_hex(_MEMBER_ID_BYTES))
        entry = Join(
            name=name or "",
            role=hello.role,
            owner=hello.owner_key is not None,
            account=None if identity is None else identity.user.id,
        )
        source = guest.upgrade.peer.source
        self._allowances.take_seat(source)
        on_end: Callable[[], None] = TakenSeat(self._allowances, source)
        if identity is not None:
            visit = _Visit(identity, room, member)
            self._visits.setdefault(identity.user.id, set()).add(visit)
            on_end = partial(self._forget, visit, on_end)
        link = self._link(guest, room, lasting, member, entry)
        if not room.join(member, PARLEY_V1, link, on_end):
            on_end()
            raise Refused(ErrorCode.ROOM_ENDED, "the room has just ended")
        self._members.keep(guest.upgrade.peer)

    def _resume(self, guest: _Guest, room: Room[Any], resume: Resume) -> None:
        lasting = room.lasting
        if lasting is None:
            raise AssertionError("looked at before")
        member = self._keys.member(lasting.session_id, resume.token)
        if member is None:
            raise Refused(ErrorCode.WRONG_KEY, "this token is not one of this room", "resume.token")
        session, _, generation = resume.epoch.partition(".")
        known = session == str(lasting.session_id) and generation.isdecimal()
        entry = Return(resume.seq if known else None, int(generation[:9]) if known else 0)
        link = self._link(guest, room, lasting, member, entry)
        if not room.resume(member, link):
            raise Refused(ErrorCode.WRONG_KEY, "this member has left the room", "resume.token")
        self._members.keep(guest.upgrade.peer)

    def _link(
        self,
        guest: _Guest,
        room: Room[Any],
        lasting: Lasting,
        member: MemberId,
        entry: LastingCommand,
    ) -> ParleyLink:
        upgrade = attrs.evolve(guest.upgrade, response=b"", leftover=guest.leftover)
        connection = self._members.connect(upgrade, told=TOLD_V1, beat=_beat)
        link = ParleyLink(
            member,
            "",
            PARLEY_V1,
            room=room.id,
            inbox=room.inbox,
            connection=connection,
            limits=self._limits,
            counters=self._counters,
            entry=entry,
        )
        link.lasting, link.host = lasting, self
        return link

    def welcome(self, lasting: Lasting, member: MemberId, resumed: Resumed) -> bytes:
        """Give the frames that a member is told first."""
        greeting = Greeting(
            member=member,
            token=self._keys.token(lasting.session_id, member),
            epoch=lasting.epoch,
            lasting=lasting.journal is not None,
            resumed=resumed,
            at=time.time(),
            ping_seconds=self._limits.heartbeat_seconds,
            limits=self._client_limits,
            release=self._release,
            results=lasting.results,
        )
        return write(greeting)

    # --- out --------------------------------------------------------------------------------

    def _forget(self, visit: _Visit, then: Callable[[], None]) -> None:
        visits = self._visits.get(visit.identity.user.id, set())
        visits.discard(visit)
        if not visits:
            self._visits.pop(visit.identity.user.id, None)
        then()

    def _revoke(self, revoked: Revoked) -> None:
        """End the membership of those whose token is worth nothing any more."""
        for visit in list(self._visits.get(revoked.user_id, ())):
            if revoked.covers(revoked.user_id, visit.identity.digest):
                farewell = Farewell(
                    ending=Ending.SIGNED_OUT, code=CloseCode.POLICY, reason="logged out"
                )
                visit.room.dismiss(visit.member, farewell)

    async def _refuse(self, upgrade: Upgrade, problem: Problem) -> None:
        self._counters.connections_refused += 1
        self._log.info(
            "refused",
            kind=problem.code,
            code=problem.code,
            field=problem.field,
            address=upgrade.peer.address,
        )
        try:
            connection = self._members.connect(
                attrs.evolve(upgrade, response=b"", leftover=b""), told=TOLD_V1
            )
        except trio.ClosedResourceError:  # another one has got its place
            await upgrade.peer.aclose()
            return
        await refuse(connection, PARLEY_V1, problem)


async def refuse(connection: WebSocket, dialect: ParleyV1, problem: Problem) -> None:
    """Tell a connection that is in no room why, and close it."""
    ending = _ENDINGS.get(problem.code, Ending.REFUSED)
    back = _BUSY_SECONDS if ending in {Ending.BUSY, Ending.GOING_AWAY} else None
    parting = dialect.part(
        Farewell(ending=ending, code=CloseCode.NORMAL, reason=dialect.word(problem), back_in=back)
    )
    last = (dialect.encode(Refusal(problem)) or b"") + parting.last
    connection.close(parting.code, parting.reason, last, cause=CAUSES.get(ending, Cause.REFUSED))
    await connection.run(Deaf())


def _beat() -> bytes:
    return write(ServerPing(time.time()))
