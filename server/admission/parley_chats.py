"""From an upgrade request to a seat in a chat room, or back into one, in ``parley.v1``."""

import secrets
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
from server.auth.accounts import Identity
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
    member: MemberId
    token: str


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
            identity = await self._lobby.identify(hello.token)
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
        guest = _Guest(upgrade, leftover, room_id, identity, member, token)
        welcomed, seq = False, None
        if hello.resume is not None:
            welcomed, seq = await self._catch_up(guest, hello.resume)
        await self._admit(guest, seq, revoked, welcomed=welcomed)

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

    async def _catch_up(self, guest: _Guest, resume: Resume) -> tuple[bool, int | None]:
        """Tell somebody who comes back, from the store, what it has missed, however much that is.

        The connection takes it at its own pace, and nobody waits for it.

        Returns:
            Whether it has been welcomed, and the number up to which it knows the room then.
        """
        life, _ = read_epoch(resume.epoch)
        if resume.seq is None or life != guest.room_id:
            return False, None
        room, lasting = await self._wake(guest)
        welcomed, seq = False, resume.seq
        try:
            while (missed := await self._rooms.missed(guest.room_id, seq=seq)) is not None:
                if missed.changes:
                    frames = [PARLEY_CHAT_V1.encode(each) or b"" for each in missed.changes]
                    if not welcomed:
                        frames.insert(0, self._welcome(guest, lasting))
                        welcomed = True
                    with trio.fail_after(self._limits.write_seconds):
                        await guest.upgrade.peer.send(b"".join(frames))
                seq = missed.seq
                if missed.complete or room.ended:
                    return welcomed, seq
        except trio.TooSlowError:
            raise trio.BrokenResourceError from None
        finally:
            self._rooms.let_sleep(room)
        return welcomed, None

    def _welcome(self, guest: _Guest, lasting: Lasting) -> bytes:
        return self._lobby.welcome(lasting, guest.member, guest.token, Resumed.REPLAYED)

    async def _admit(
        self, guest: _Guest, seq: int | None, revoked: list[Revoked], *, welcomed: bool
    ) -> None:
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
            seq=seq,
            generation=generation,
            standing=standing,
        )
        try:
            self._lobby.check_still_welcome(guest.upgrade, guest.identity, revoked)
            self._seat(guest, room, entry, welcomed=welcomed)
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
            return
        taken = self._lobby.memberships(guest.identity.user.id)
        self._allowances.check_account(upgrade.peer.source, taken)
        on_end = self._lobby.take_seat(upgrade, room, member, guest.identity)
        if not room.join(member, PARLEY_CHAT_V1, link, on_end):
            on_end()
            raise Refused(ErrorCode.SHUTTING_DOWN, "the room has just fallen asleep")
