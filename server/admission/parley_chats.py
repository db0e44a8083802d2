"""From an upgrade request to a seat in a chat room, or back into one, in ``parley.v1``."""

import secrets
from collections import Counter
from typing import Final

import attrs
import trio

from protocol.dialects.parley_v1 import PARLEY_CHAT_V1, SUBPROTOCOL, read_chat_hello
from protocol.errors import ErrorCode, Refused
from protocol.greeting import ChatHello, Resume, Resumed
from protocol.ids import MemberId, RoomId
from protocol.messages import ChatRecord
from protocol.talking import NEWCOMER, JoinChat
from server.admission.allowances import Allowances
from server.admission.lobby import Lobby
from server.admission.parley_v1 import read_epoch
from server.admission.routes import TALK_PATH, Upgrade, WebSocketRoute
from server.auth.accounts import Identity, Login
from server.auth.scopes import Scope
from server.auth.seats import MEMBER_BYTES, SeatKeys
from server.auth.tokens import Revoked
from server.rooms.chat_directory import ChatRooms
from server.rooms.room import Lasting, Room
from server.support.limits import Limits

HOW_TO_TALK: Final = f"{TALK_PATH.replace('{room_id}', 'ROOM')} with the subprotocol {SUBPROTOCOL}"


@attrs.frozen
class _Guest:
    """Who stands at the door of a chat room."""

    upgrade: Upgrade
    leftover: bytes
    room_id: RoomId
    identity: Identity
    revoked: list[Revoked]
    """What has been revoked since it has said hello."""
    member: MemberId
    token: str
    again: bool
    """It has been here before."""


@attrs.define
class _Known:
    """What somebody has been told before it has its seat."""

    welcomed: bool = False
    room: Room[ChatRecord] | None = None
    """The room of which it knows something; another one of the same id may be woken later."""
    seq: int | None = None
    """The number up to which it knows that room."""


class ParleyChatAdmission:
    """The WebSocket route of ``parley.v1`` into chat rooms."""

    def __init__(
        self,
        lobby: Lobby,
        *,
        rooms: ChatRooms,
        allowances: Allowances,
        keys: SeatKeys,
        limits: Limits,
    ) -> None:
        """Admit to ``rooms``.

        Args:
            lobby: receives connections, and makes links of them.
            rooms: finds rooms and wakes them.
            allowances: counts seats of accounts, and wrong guesses at rooms.
            keys: makes and judges resume tokens.
            limits: bound the time in which a peer must take what it has missed.
        """
        self._lobby = lobby
        self._rooms = rooms
        self._allowances = allowances
        self._keys = keys
        self._limits = limits
        self._catching_up: Counter[int] = Counter()  # by account

    def routes(self) -> list[WebSocketRoute]:
        """List the endpoints."""
        return [
            WebSocketRoute(
                path=TALK_PATH,
                handler=self.enter_room,
                how=HOW_TO_TALK,
                subprotocols=(SUBPROTOCOL,),
            )
        ]

    async def enter_room(self, upgrade: Upgrade) -> None:
        """Let somebody into a chat room, or back into it; see :meth:`Lobby.receive`."""
        await self._lobby.receive(upgrade, self._enter)

    async def _enter(self, upgrade: Upgrade, text: str, leftover: bytes) -> None:
        hello = read_chat_hello(text)
        source = upgrade.peer.source
        self._allowances.check_guesses(source)
        with self._lobby.revocations() as revoked:
            identity = await self._lobby.identify(hello.token, Scope.CHAT_READ, Scope.CHAT_WRITE)
            await self._let_in(upgrade, hello, leftover, identity, revoked)
        self._lobby.keep(upgrade)

    async def _let_in(
        self,
        upgrade: Upgrade,
        hello: ChatHello,
        leftover: bytes,
        identity: Identity,
        revoked: list[Revoked],
    ) -> None:
        user_id = identity.user.id
        room_id = RoomId(upgrade.parameters["room_id"])
        member = self._member(room_id, user_id, hello.resume)
        token = self._keys.chat_token(room_id, user_id, member)
        again = hello.resume is not None
        guest = _Guest(upgrade, leftover, room_id, identity, revoked, member, token, again)
        known = _Known()
        if hello.resume is not None:
            await self._catch_up(guest, hello.resume, known)
        await self._admit(guest, known)

    def _member(self, room_id: RoomId, user_id: int, resume: Resume | None) -> MemberId:
        if resume is None:
            return MemberId(secrets.token_hex(MEMBER_BYTES))
        member = self._keys.chat_member(room_id, user_id, resume.token)
        if member is None:
            message = "this token is not one of this room and account"
            raise Refused(ErrorCode.WRONG_KEY, message, "resume.token")
        return member

    async def _wake(self, guest: _Guest) -> tuple[Room[ChatRecord], Lasting]:
        try:
            room = await self._rooms.wake(guest.room_id)
        except Refused as refused:
            if refused.problem.code is ErrorCode.NO_SUCH_ROOM:
                self._allowances.missed(guest.upgrade.peer.source)
            raise
        if room.lasting is None:
            raise AssertionError("chat rooms are made so that members can outlive connections")
        return room, room.lasting

    async def _catch_up(self, guest: _Guest, resume: Resume, known: _Known) -> None:
        """Tell somebody who comes back, from the store, what it has missed, however much that is.

        The connection takes it at its own pace, but no faster than rooms speak, and nobody waits
        for it. An account can do no more of this at once than it may have seats.
        """
        if resume.seq is None:
            return
        user_id = guest.identity.user.id
        self._allowances.check_account(guest.upgrade.peer.source, self._catching_up[user_id])
        self._catching_up[user_id] += 1
        try:
            room, lasting = await self._wake(guest)
            try:
                if read_epoch(resume.epoch)[0] == read_epoch(lasting.epoch)[0]:
                    await self._tell_missed(guest, room, lasting, resume.seq, known)
            except BaseException:
                self._rooms.let_sleep(room)
                raise
        finally:
            self._catching_up[user_id] -= 1
            if not self._catching_up[user_id]:
                del self._catching_up[user_id]

    async def _tell_missed(
        self, guest: _Guest, room: Room[ChatRecord], lasting: Lasting, seq: int, known: _Known
    ) -> None:
        peer = guest.upgrade.peer
        while not room.ended:
            missed = await self._rooms.missed(guest.room_id, seq=seq)
            if missed is None:
                return
            self._lobby.check_still_welcome(guest.upgrade, Login.of(guest.identity), guest.revoked)
            data = b"".join(PARLEY_CHAT_V1.encode(each) or b"" for each in missed.changes)
            if data:
                if not known.welcomed:
                    data = self._welcome(guest, lasting) + data
                    known.welcomed = True
                try:
                    with trio.fail_after(self._limits.write_seconds):
                        await peer.send(data)
                except trio.TooSlowError:
                    raise trio.BrokenResourceError("what was missed is not taken") from None
            seq = missed.seq
            if missed.complete:
                known.room, known.seq = room, seq
                return
            await trio.sleep(len(data) / self._limits.room_rate)

    def _welcome(self, guest: _Guest, lasting: Lasting) -> bytes:
        return self._lobby.welcome(lasting, guest.member, guest.token, Resumed.REPLAYED)

    async def _admit(self, guest: _Guest, known: _Known) -> None:
        """Give somebody a seat, once all that the rules must know of it has been read."""
        user = guest.identity.user
        while True:
            room, lasting = await self._wake(guest)
            standing = NEWCOMER
            if not room.has_member(guest.member):
                try:
                    standing = await self._rooms.archive.standing(
                        guest.room_id, user.id, guest.member
                    )
                except BaseException:
                    self._rooms.let_sleep(room)
                    raise
            if not room.ended:
                break
        # From here on there is no checkpoint: the room is awake.
        _, generation = read_epoch(lasting.epoch)
        entry = JoinChat(
            user_id=user.id,
            name=user.username,
            counted=not guest.upgrade.peer.source.unlimited,
            seq=known.seq if known.room is room else None,
            generation=generation,
            standing=standing,
        )
        try:
            self._lobby.check_still_welcome(guest.upgrade, Login.of(guest.identity), guest.revoked)
            self._seat(guest, room, entry, welcomed=known.welcomed)
        except BaseException:
            self._rooms.let_sleep(room)
            raise

    def _seat(
        self, guest: _Guest, room: Room[ChatRecord], entry: JoinChat, *, welcomed: bool
    ) -> None:
        upgrade, member = guest.upgrade, guest.member
        link = self._lobby.link(
            upgrade,
            guest.leftover,
            room,
            member,
            entry,
            token=guest.token,
            dialect=PARLEY_CHAT_V1,
            welcomed=welcomed,
        )
        if room.resume(member, link):
            self._lobby.note_return(room, member, guest.identity)
            return
        taken = self._lobby.memberships(guest.identity.user.id)
        self._allowances.check_account(upgrade.peer.source, taken)
        on_end = self._lobby.take_seat(upgrade, room, member, guest.identity)
        if not room.join(member, PARLEY_CHAT_V1, link, on_end, greeted=guest.again):
            on_end()
            raise Refused(ErrorCode.NOT_NOW, "this member is just leaving the room")
