"""A member's seat in an estimation room."""

from protocol.changes import Ack
from protocol.client_estimation import EstimationClient
from protocol.codec import clean_passcode
from protocol.dialects.parley_v1 import Error
from protocol.errors import ErrorCode
from protocol.ids import MemberId, MemberName, RemarkText, TicketId
from protocol.lasting import (
    BeginRound,
    CastCard,
    ChangeRole,
    Claim,
    CloseRoom,
    Demote,
    ExtendTimer,
    HandOver,
    Kick,
    Lock,
    Nudge,
    PauseTimer,
    Promote,
    RaiseCapacity,
    Rename,
    Request,
    ResumeTimer,
    Retract,
    RevealRound,
    Role,
    SayHere,
    SetEstimate,
    SetPasscode,
    StartTimer,
    StopTimer,
    TimerKind,
    Unsay,
)
from protocol.picture import Mine, Picture
from protocol.talk import Emoji
from server.client.errors import Declined
from server.client.seat import Seat
from server.client.streams import Address, Dial


class Room(Seat[Picture]):
    """What a member sees of its estimation room, and what it may ask for."""

    def __init__(self, client: EstimationClient, dial: Dial, address: Address, path: str) -> None:
        """Take a seat as soon as :meth:`run` runs; :func:`~server.client.open_room` does both."""
        super().__init__(client, dial, address, path)
        self._own = client

    @property
    def mine(self) -> Mine:
        """What only this member knows, and what it may do."""
        if self._own.mine is None:
            raise AssertionError("nobody has a room before it has entered")
        return self._own.mine

    async def begin(self, ticket: str) -> Picture:
        """Open a vote, as the owner; give the room with it.

        Raises:
            Declined: if the room refuses it.
            RoomOver: if it is over before there is an answer.
        """
        return await self._change(BeginRound(TicketId(ticket)))

    async def vote(self, card: str) -> Picture:
        """Put down, or change, a card in the round that is running; raises as :meth:`begin`.

        If none is, in the one on show, where the room allows that.
        """
        shown = self.picture.shown
        if self.picture.round is None and shown is not None:
            return await self._change(CastCard(shown.number, card))
        return await self._change(CastCard(self._running(), card))

    async def retract(self) -> Picture:
        """Take the own card back from the round that is running; raises as :meth:`begin`."""
        return await self._change(Retract(self._running()))

    async def reveal(self) -> Picture:
        """Turn the cards over, as the owner; raises as :meth:`begin`."""
        return await self._change(RevealRound(self._running()))

    async def change_role(self, role: Role, member: MemberId | None = None) -> Picture:
        """Vote or only watch from now on; as a facilitator, let a member do so.

        Raises as :meth:`begin`.
        """
        return await self._change(ChangeRole(role=role, member=member))

    async def promote(self, member: MemberId) -> Picture:
        """Make a member a facilitator, as a facilitator; raises as :meth:`begin`."""
        return await self._change(Promote(member))

    async def demote(self, member: MemberId) -> Picture:
        """Let a facilitator lead no longer, as a facilitator; raises as :meth:`begin`."""
        return await self._change(Demote(member))

    async def hand_over(self, member: MemberId) -> Picture:
        """Make another member the owner, as the owner; raises as :meth:`begin`."""
        return await self._change(HandOver(member))

    async def claim(self) -> Picture:
        """Take the room over, which nobody leads; raises as :meth:`begin`."""
        return await self._change(Claim())

    async def rename(self, name: str) -> Picture:
        """Be called otherwise from now on; raises as :meth:`begin`."""
        return await self._change(Rename(MemberName(name)))

    async def raise_capacity(self, capacity: int) -> Picture:
        """Let the room have more seats, as a facilitator; raises as :meth:`begin`."""
        return await self._change(RaiseCapacity(capacity))

    async def nudge(self, member: MemberId) -> None:
        """Remind a member whose vote is waited for, as a facilitator; raises as :meth:`begin`."""
        await self._ask(Nudge(member), Ack)

    async def estimate(self, card: str | None) -> Picture:
        """Set the final estimate of the round shown last, as a facilitator, or take it back.

        Raises:
            Declined: if the room refuses it, or has shown no round yet.
            RoomOver: if it is over before there is an answer.
        """
        shown = self.picture.shown
        if shown is None:
            raise Declined(Error(code=ErrorCode.NOT_SHOWN, text="no round has been shown yet"))
        return await self._change(SetEstimate(shown.number, card))

    async def set_passcode(self, passcode: str | None) -> Picture:
        """Have newcomers say another passcode, or none, as a facilitator; raises as :meth:`begin`.

        Raises:
            ValueError: if this can be no passcode.
        """
        wish = SetPasscode(None if passcode is None else clean_passcode(passcode))
        return await self._change(wish)

    async def lock(self, *, locked: bool = True) -> Picture:
        """Let nobody new in any more, or again, as a facilitator; raises as :meth:`begin`."""
        return await self._change(Lock(locked))

    async def kick(self, member: MemberId, *, ban: bool = False, address: bool = False) -> Picture:
        """Put somebody out, as a facilitator; raises as :meth:`begin`.

        Args:
            member: who.
            ban: for good.
            address: and everybody new from its network address.
        """
        return await self._change(Kick(member=member, ban=ban, address=address))

    async def start_timer(self, seconds: int, kind: TimerKind | None = None) -> Picture:
        """Start a timer as a facilitator, in place of the one there is; raises as :meth:`begin`.

        Args:
            seconds: until its end.
            kind: for what; if not given, for voting while a round runs, else for discussion.
        """
        return await self._change(StartTimer(seconds, kind))

    async def pause_timer(self) -> Picture:
        """Let the timer stand still; raises as :meth:`begin`."""
        return await self._change(PauseTimer())

    async def resume_timer(self) -> Picture:
        """Let the timer run for what it has left; raises as :meth:`begin`."""
        return await self._change(ResumeTimer())

    async def extend_timer(self, seconds: int) -> Picture:
        """Give the timer more time, or less if negative; raises as :meth:`begin`."""
        return await self._change(ExtendTimer(seconds))

    async def stop_timer(self) -> Picture:
        """End the timer before its time; raises as :meth:`begin`."""
        return await self._change(StopTimer())

    async def say(self, text: str) -> Picture:
        """Say something to all; raises as :meth:`begin`."""
        return await self._change(SayHere(RemarkText(text)))

    async def unsay(self, number: int) -> Picture:
        """Take a message back, by its id; raises as :meth:`begin`."""
        return await self._change(Unsay(number))

    def react(self, emoji: Emoji) -> bool:
        """Show something now: all hear of it as :class:`~protocol.client_happenings.Reacted`.

        Returns:
            Whether there is a connection; without one it is forgotten, as nobody waits for it.
        """
        shown = self._own.react(emoji)
        self._wake.set()
        return shown

    async def close(self) -> None:
        """End the room for everybody, as the owner; raises as :meth:`begin`."""
        await self._ask(CloseRoom(), Ack)

    def _running(self) -> int:
        running = self.picture.round
        if running is None:
            raise Declined(Error(code=ErrorCode.NO_VOTE_RUNNING, text="no vote is running"))
        return running.number

    async def _change(self, request: Request | SetPasscode) -> Picture:
        await self._ask(request, Ack)
        return self.picture
