"""From an upgrade request to a seat in an estimation room, or back into one, in ``parley.v1``."""

import secrets
from typing import Any, Final

from protocol.dialects.parley_v1 import PARLEY_V1, SUBPROTOCOL, read_hello, sealing
from protocol.errors import ErrorCode, Refused
from protocol.greeting import Hello, Resume
from protocol.ids import MemberId, RoomId
from protocol.lasting import Join, Return
from server.admission.allowances import Allowances
from server.admission.estimatex import BARRED, Rooms
from server.admission.lobby import Lobby
from server.admission.passcodes import Passcodes
from server.admission.routes import ROOM_PATH, Upgrade, WebSocketRoute
from server.auth.accounts import Identity, Login
from server.auth.scopes import Scope
from server.auth.seats import MEMBER_BYTES, SeatKeys
from server.rooms.room import Lasting, Room

HOW_TO_CONNECT: Final = (
    f"{ROOM_PATH.replace('{room_id}', 'ROOM')} with the subprotocol {SUBPROTOCOL}"
)

LONGEST_NUMBER: Final = 15
"""Digits of a number in an epoch; int() of unbounded text is quadratic."""


class ParleyAdmission:
    """The WebSocket route of ``parley.v1`` into estimation rooms."""

    def __init__(
        self,
        lobby: Lobby,
        *,
        rooms: Rooms,
        allowances: Allowances,
        keys: SeatKeys,
        passcodes: Passcodes,
    ) -> None:
        """Admit to ``rooms``.

        Args:
            lobby: receives connections, and makes links of them.
            rooms: finds rooms, or brings them back.
            allowances: counts wrong guesses at rooms for each source.
            keys: makes and judges resume tokens and owner keys.
            passcodes: judges who knows one.
        """
        self._lobby = lobby
        self._rooms = rooms
        self._allowances = allowances
        self._keys = keys
        self._passcodes = passcodes
        self._dialect = sealing(keys.seal)

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

    async def enter_room(self, upgrade: Upgrade) -> None:
        """Let somebody into an estimation room, or back into it; see :meth:`Lobby.receive`."""
        await self._lobby.receive(upgrade, self._enter)

    async def _enter(self, upgrade: Upgrade, text: str, leftover: bytes) -> None:
        hello = read_hello(text)
        self._allowances.check_guesses(upgrade.peer.source)
        identity = login = None
        room_id = RoomId(upgrade.parameters["room_id"])
        with self._lobby.revocations() as revoked:
            if hello.token is not None:
                identity = await self._lobby.identify(hello.token, Scope.ROOMS_JOIN)
                login = Login.of(identity)
            room = await self._rooms.wake(room_id)
            if room is not None and hello.resume is not None:
                login = self._login_before(room, hello.resume)
                if login is not None:
                    await self._lobby.check_login(login)
                    room = await self._rooms.wake(room_id)
        self._lobby.check_still_welcome(upgrade, login, revoked)
        if room is None or room.lasting is None:
            if self._lobby.draining:  # it may rest, to be found again
                raise Refused(ErrorCode.SHUTTING_DOWN, "the server is shutting down")
            self._allowances.missed(upgrade.peer.source)
            raise Refused(ErrorCode.NO_SUCH_ROOM, "there is no such room, or not any more")
        # From here on there is no checkpoint: the room is live.
        if hello.resume is not None:
            self._resume(upgrade, leftover, room, room.lasting, hello.resume, login)
        else:
            self._join(upgrade, leftover, room, room.lasting, hello, identity)
        self._lobby.keep(upgrade)

    def _join(
        self,
        upgrade: Upgrade,
        leftover: bytes,
        room: Room[Any],
        lasting: Lasting,
        hello: Hello,
        identity: Identity | None,
    ) -> None:
        if hello.owner_key is not None and (
            lasting.journal is None
            or not self._keys.is_owner_key(lasting.session_id, hello.owner_key)
        ):
            raise Refused(ErrorCode.WRONG_KEY, "this is not the room's owner key", "owner_key")
        if hello.nonce is None:
            member = MemberId(secrets.token_hex(MEMBER_BYTES))
        else:
            member = self._keys.member_of(lasting.session_id, hello.nonce)
        token = self._keys.token(lasting.session_id, member)
        if hello.nonce is not None and room.has_member(member):
            self._return(upgrade, leftover, room, member, Return(), token)
            return
        if hello.owner_key is None:
            self._check_door(upgrade, room, lasting, hello)
        name = hello.name if identity is None else identity.user.username
        entry = Join(
            name=name or "",
            role=hello.role,
            owner=hello.owner_key is not None,
            account=None if identity is None else identity.user.id,
            login=None if identity is None else identity.digest.hex(),
        )
        on_end = self._lobby.take_seat(upgrade, room, member, identity)
        link = self._lobby.link(
            upgrade, leftover, room, member, entry, token=token, dialect=self._dialect
        )
        if not room.join(member, PARLEY_V1, link, on_end):
            on_end()
            raise Refused(ErrorCode.ROOM_ENDED, "the room has just ended")

    def _check_door(
        self, upgrade: Upgrade, room: Room[Any], lasting: Lasting, hello: Hello
    ) -> None:
        """Make sure that a newcomer may come from where it comes, and knows the passcode.

        All else is judged by the rules, when they get its command.
        """
        source = upgrade.peer.source
        if room.bars(source.key):
            raise Refused(ErrorCode.BANNED, BARRED)
        seal = None if lasting.door is None else lasting.door.seal
        if seal is not None:
            self._passcodes.check(source, lasting.session_id, seal, hello.passcode)

    def _resume(
        self,
        upgrade: Upgrade,
        leftover: bytes,
        room: Room[Any],
        lasting: Lasting,
        resume: Resume,
        login: Login | None,
    ) -> None:
        member = self._keys.member(lasting.session_id, resume.token)
        if member is None:
            raise Refused(ErrorCode.WRONG_KEY, "this token is not one of this room", "resume.token")
        session, generation = read_epoch(resume.epoch)
        known = session == str(lasting.session_id)
        entry = Return(resume.seq if known else None, generation)
        self._return(upgrade, leftover, room, member, entry, resume.token)
        if login is not None and not self._lobby.knows(login.user_id, room, member):
            self._lobby.recall(room, member, login)

    def _login_before(self, room: Room[Any], resume: Resume) -> Login | None:
        """Say by what a member was signed in that nobody here has seen since a restart."""
        lasting = room.lasting
        if lasting is None or lasting.login_of is None:
            return None
        member = self._keys.member(lasting.session_id, resume.token)
        known = None if member is None else lasting.login_of(member)
        if member is None or known is None or self._lobby.knows(known[0], room, member):
            return None
        return Login(known[0], bytes.fromhex(known[1]))

    def _return(
        self,
        upgrade: Upgrade,
        leftover: bytes,
        room: Room[Any],
        member: MemberId,
        entry: Return,
        token: str,
    ) -> None:
        link = self._lobby.link(
            upgrade, leftover, room, member, entry, token=token, dialect=self._dialect
        )
        if not room.resume(member, link):
            door = room.lasting and room.lasting.door
            by = door and door.removed_by(member)
            if by is not None:
                raise Refused(ErrorCode.REMOVED, f"{by} has removed you from the room")
            raise Refused(ErrorCode.WRONG_KEY, "this member has left the room", "resume.token")


def read_epoch(epoch: str) -> tuple[str, int]:
    """Read which life of which room, and its generation; of nothing, if it is no epoch."""
    life, _, generation = epoch.rpartition(".")
    if generation.isascii() and generation.isdigit() and len(generation) <= LONGEST_NUMBER:
        return life, int(generation)
    return "", 0
