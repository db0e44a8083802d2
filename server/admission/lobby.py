"""What every ``parley.v1`` connection passes: hello, who it is, a link to a room, or a refusal."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import attrs
import trio

from protocol.answers import REMEMBERED
from protocol.dialects.base import Dialect
from protocol.dialects.parley_v1 import PARLEY_V1, SUBPROTOCOL, ParleyV1, write
from protocol.errors import CloseCode, ErrorCode, Problem, Refused
from protocol.farewell import Ending, Farewell
from protocol.greeting import ClientLimits, Greeting, Resumed, ServerPing
from protocol.ids import MemberId
from protocol.messages import Command, Refusal
from server.admission.allowances import Allowances, TakenSeat
from server.admission.handlers import Deaf
from server.admission.link import CAUSES, TOLD_V1, ParleyLink
from server.admission.members import Members
from server.admission.routes import Upgrade
from server.auth.accounts import Accounts, Identity, Login
from server.auth.scopes import Scope
from server.auth.tokens import LOG_IN_AGAIN, Revoked
from server.edge.closing import Cause
from server.edge.first_message import read_first_message
from server.edge.websocket import WebSocket
from server.rooms.room import Lasting, Room
from server.support.counters import Counters
from server.support.errors import HttpRejection, MissingScope, NotAuthenticated, StoreUnavailable
from server.support.limits import Limits
from server.support.rationed import RationedLog

_BUSY_SECONDS: Final = 5.0

_ENDINGS: Final[Mapping[ErrorCode, Ending]] = {
    ErrorCode.NO_SUCH_ROOM: Ending.NO_SUCH_ROOM,
    ErrorCode.ROOM_ENDED: Ending.ROOM_ENDED,
    ErrorCode.WRONG_KEY: Ending.WRONG_KEY,
    ErrorCode.MISSING_SCOPE: Ending.WRONG_KEY,
    ErrorCode.NEEDS_PASSCODE: Ending.WRONG_KEY,
    ErrorCode.WRONG_PASSCODE: Ending.WRONG_KEY,
    ErrorCode.REMOVED: Ending.REMOVED,
    ErrorCode.BANNED: Ending.REMOVED,
    ErrorCode.SHUTTING_DOWN: Ending.GOING_AWAY,
    ErrorCode.TOO_MANY: Ending.BUSY,
    ErrorCode.TOO_MANY_ROOMS: Ending.BUSY,
    ErrorCode.NOT_NOW: Ending.BUSY,
}
"""What refusals mean for the connection; all others are for good."""

Enter = Callable[[Upgrade, str, bytes], Awaitable[None]]
"""Lets somebody in who has said this first, with what came behind; the room owns the peer then.

Raises Refused, or StoreUnavailable: then the peer is still the caller's.
"""


@attrs.define(eq=False)
class _Visit:
    """A signed-in member."""

    login: Login
    room: Room[Any]
    member: MemberId


class Lobby:
    """Makes links of connections, for rooms of all kinds."""

    def __init__(
        self,
        *,
        members: Members,
        allowances: Allowances,
        accounts: Accounts,
        limits: Limits,
        counters: Counters,
        release: str,
    ) -> None:
        """Begin with nobody.

        Args:
            members: makes connections.
            allowances: counts seats for each source.
            accounts: knows whose token it is, and tells of tokens that end.
            limits: what clients must keep to.
            counters: are kept up to date.
            release: of the server, which clients are told.
        """
        self._members = members
        self._allowances = allowances
        self._accounts = accounts
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

    @property
    def draining(self) -> bool:
        """Whether the server is going away."""
        return self._draining

    def drain(self) -> None:
        """Ask those to come back later who have not said who they are."""
        self._draining = True
        for scope in list(self._greeted):
            scope.cancel()

    async def receive(self, upgrade: Upgrade, enter: Enter) -> None:
        """Hear what a connection says first, and let ``enter`` see to the rest.

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
            try:
                first = await self._await_hello(upgrade)
                if first is None:
                    return
                await enter(upgrade, *first)
                owned = False
            except Refused as refused:
                owned = False
                await self._refuse(upgrade, refused.problem)
            except StoreUnavailable:
                owned = False
                problem = Problem(ErrorCode.NOT_NOW, "the database does not answer now")
                await self._refuse(upgrade, problem)
        finally:
            if owned:
                await upgrade.peer.aclose()

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
        raise Refused(ErrorCode.MALFORMED, f"no hello within {seconds:g} seconds", "type")

    async def identify(self, token: str, *needed: Scope) -> Identity:
        """Say whose token this is.

        Raises:
            Refused: if it is nobody's, or not any more; or one for bots without the scopes needed.
            StoreUnavailable: if nobody can be known now.
        """
        try:
            identity = await self._accounts.identify(token)
            identity.check(*needed)
            return identity
        except NotAuthenticated:
            raise Refused(ErrorCode.WRONG_KEY, LOG_IN_AGAIN, "token") from None
        except MissingScope as missing:
            raise Refused(ErrorCode.MISSING_SCOPE, str(missing), "token") from None

    def revocations(self) -> AbstractContextManager[list[Revoked]]:
        """Collect what is revoked meanwhile: a look-up may not see that any more."""
        return self._accounts.revocations.collected()

    def check_still_welcome(
        self, upgrade: Upgrade, login: Login | None, revoked: list[Revoked]
    ) -> None:
        """Make sure that nothing has happened while things were looked up for a connection.

        Raises:
            Refused: if its token has been revoked.
            ClosedResourceError: if it had to give way to another one.
        """
        if upgrade.peer.displaced:
            raise trio.ClosedResourceError
        if login is not None and any(each.covers(login.user_id, login.digest) for each in revoked):
            raise Refused(ErrorCode.WRONG_KEY, LOG_IN_AGAIN, "token")

    async def check_login(self, login: Login) -> None:
        """Make sure that somebody is still signed in who was so before a restart.

        Raises:
            Refused: if its token has ended.
            StoreUnavailable: if nobody can know that now.
        """
        if not await self._accounts.is_signed_in(login):
            raise Refused(ErrorCode.WRONG_KEY, LOG_IN_AGAIN, "resume.token")

    def take_seat(
        self, upgrade: Upgrade, room: Room[Any], member: MemberId, identity: Identity | None
    ) -> Callable[[], None]:
        """Count a seat, and an account's membership, until what is returned is called.

        Raises:
            Refused: if the source has too many seats.
        """
        source = upgrade.peer.source
        self._allowances.take_seat(source)
        seat = TakenSeat(self._allowances, source)
        if identity is None:
            return seat
        return self._note(_Visit(Login.of(identity), room, member), seat)

    def note_return(self, room: Room[Any], member: MemberId, identity: Identity) -> None:
        """Let a member that comes back go with the token that it has shown last."""
        visit = self._visit(identity.user.id, room, member)
        if visit is not None:
            visit.login = Login.of(identity)

    def knows(self, user_id: int, room: Room[Any], member: MemberId) -> bool:
        """Tell whether a member of an account came, or came back, by this lobby."""
        return self._visit(user_id, room, member) is not None

    def recall(self, room: Room[Any], member: MemberId, login: Login) -> None:
        """Take note of a signed-in member that the room has brought back from its log."""
        room.on_end(member, self._note(_Visit(login, room, member), _nothing))

    def keep(self, upgrade: Upgrade) -> None:
        """Let a connection keep its place that a room has now."""
        self._members.keep(upgrade.peer)

    def link(
        self,
        upgrade: Upgrade,
        leftover: bytes,
        room: Room[Any],
        member: MemberId,
        entry: Command,
        *,
        token: str,
        dialect: Dialect = PARLEY_V1,
        welcomed: bool = False,
    ) -> ParleyLink:
        """Make a link to a room that lasts of a connection that has said hello.

        Args:
            upgrade: the request, whose answer has been sent.
            leftover: what came behind the hello.
            room: the room.
            member: whose connection it is.
            entry: what to say to the room first.
            token: opens this seat again; the member is told it.
            dialect: how it speaks.
            welcomed: the member has had its welcome already.
        """
        upgrade = attrs.evolve(upgrade, response=b"", leftover=leftover)
        connection = self._members.connect(upgrade, told=TOLD_V1, beat=_beat)
        link = ParleyLink(
            member,
            "",
            dialect,
            room=room.id,
            inbox=room.inbox,
            connection=connection,
            limits=self._limits,
            counters=self._counters,
            entry=entry,
        )
        link.host, link.token, link.welcomed = self, token, welcomed
        if room.lasting is not None:
            link.lasting = room.lasting
        return link

    def memberships(self, user_id: int) -> int:
        """Count the seats that an account has by this dialect."""
        return len(self._visits.get(user_id, ()))

    def welcome(self, lasting: Lasting, member: MemberId, token: str, resumed: Resumed) -> bytes:
        """Give the frames that a member is told first."""
        greeting = Greeting(
            member=member,
            token=token,
            epoch=lasting.epoch,
            lasting=lasting.record is not None or lasting.journal is not None,
            resumed=resumed,
            at=time.time(),
            ping_seconds=self._limits.heartbeat_seconds,
            limits=self._client_limits,
            release=self._release,
            results=lasting.results,
        )
        return write(greeting)

    # --- out --------------------------------------------------------------------------------

    def _note(self, visit: _Visit, then: Callable[[], None]) -> Callable[[], None]:
        """Take note of a member; give what is to be called when it is gone."""
        self._visits.setdefault(visit.login.user_id, set()).add(visit)
        return partial(self._forget, visit, then)

    def _visit(self, user_id: int, room: Room[Any], member: MemberId) -> _Visit | None:
        for visit in self._visits.get(user_id, ()):
            if visit.room is room and visit.member == member:
                return visit
        return None

    def _forget(self, visit: _Visit, then: Callable[[], None]) -> None:
        visits = self._visits.get(visit.login.user_id, set())
        visits.discard(visit)
        if not visits:
            self._visits.pop(visit.login.user_id, None)
        then()

    def _revoke(self, revoked: Revoked) -> None:
        """End the membership of those whose token is worth nothing any more."""
        for visit in list(self._visits.get(revoked.user_id, ())):
            if revoked.covers(revoked.user_id, visit.login.digest):
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
    back = None
    if ending in {Ending.BUSY, Ending.GOING_AWAY}:
        back = float(problem.values.get("retry_after", _BUSY_SECONDS))
    parting = dialect.part(
        Farewell(ending=ending, code=CloseCode.NORMAL, reason=dialect.word(problem), back_in=back)
    )
    last = (dialect.encode(Refusal(problem)) or b"") + parting.last
    connection.close(parting.code, parting.reason, last, cause=CAUSES.get(ending, Cause.REFUSED))
    await connection.run(Deaf())


def _nothing() -> None:
    """A member that is brought back has no seat of its source's."""


def _beat() -> bytes:
    return write(ServerPing(time.time()))
