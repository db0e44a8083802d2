"""One turn's frames: encoded once for all, joined once for most, flushed once per member."""

from typing import Final, Protocol

from protocol.dialects.base import Dialect
from protocol.ids import MemberId
from protocol.messages import Event


class Member(Protocol):
    """What a room needs of a member; a session is one."""

    @property
    def id(self) -> MemberId:
        """Unique over all rooms and times."""

    @property
    def dialect(self) -> Dialect:
        """How to speak to it."""

    @property
    def source(self) -> str | None:
        """From where it has come last; ``None`` if that is not known."""

    def push(self, frames: bytes, count: int) -> None:
        """Send ``count`` whole frames, without waiting; never raises."""

    def close(self, code: int, reason: str, last: bytes = b"") -> None:
        """Send ``last`` and a close frame, then nothing; never raises, also when repeated."""

    async def run(self) -> None:
        """Live until it is no member any more, and leave nothing of it open."""


_DECLINED: Final = b""


class _Script:
    """The frames of a member that does not simply hear what all hear."""

    __slots__ = ("frames", "heard")

    def __init__(self, heard: int | None) -> None:
        self.frames: list[bytes] = []
        self.heard = heard  # shared frames taken over so far; None: not in the audience


class Fanout:
    """Collects what a room says in one turn and flushes it, once per member.

    Frames for the whole audience are kept apart per dialect, in step; a member that is told
    something of its own gets a script, in which the shared frames keep their place. All others
    are sent the very same bytes. Where a dialect declines an event, an empty frame keeps the
    step; it counts as none. Answers, for which their place among the shared frames means nothing,
    go before them, and leave a member among those who are sent the same.
    """

    __slots__ = ("_answers", "_audience", "_scripts", "_shared", "_spoken", "collected", "told")

    def __init__(self) -> None:
        """Begin with an empty audience."""
        self._audience: dict[MemberId, Member] = {}
        self._scripts: dict[Member, _Script] = {}
        self._answers: dict[Member, list[bytes]] = {}
        self._shared: dict[Dialect, list[bytes]] = {}
        self._spoken = 0  # length of each list in _shared
        self.collected = 0
        """Bytes encoded since the last flush: no member has more to be sent."""

        self.told = 0
        """Bytes that the whole audience was told, by the longest of its dialects; whoever reckons
        with them sets this back."""

    @property
    def audience(self) -> int:
        """The number of members who hear what all are told."""
        return len(self._audience)

    def attend(self, member: Member) -> None:
        """From now on ``member`` hears what all are told."""
        self._audience[member.id] = member
        if member.dialect not in self._shared:
            # Nobody of this dialect heard the frames before: their place is all that matters.
            self._shared[member.dialect] = [_DECLINED] * self._spoken
        self._script(member).heard = self._spoken

    def remove(self, member: Member) -> None:
        """Forget ``member`` and whatever it has not been sent yet."""
        self._audience.pop(member.id, None)
        self._scripts.pop(member, None)
        self._answers.pop(member, None)
        if not self._audience:
            self._shared.clear()
            self._spoken = 0

    def restart(self, member: Member, frames: bytes) -> None:
        """Say ``frames`` to one member next, in place of all that it has not been sent yet."""
        self._answers.pop(member, None)
        script = self._script(member)
        script.frames = [frames]
        if script.heard is not None:
            script.heard = self._spoken
        self.collected += len(frames)

    def last(self, dialect: Dialect) -> bytes | None:
        """Give the frame of what all were told last; ``None`` if nobody speaks that dialect."""
        frames = self._shared.get(dialect)
        return frames[-1] if frames else None

    def tell(self, member: Member, event: Event) -> None:
        """Say something to one member, whether in the audience or not."""
        script = self._script(member)
        self._catch_up(member, script, self._spoken)
        frame = member.dialect.encode(event)
        if frame is not None:
            script.frames.append(frame)
            self.collected += len(frame)

    def answer(self, member: Member, event: Event) -> None:
        """Say something to one member, before all else that it has not been sent yet."""
        frame = member.dialect.encode(event)
        if frame is not None:
            given = self._answers.get(member)
            if given is None:
                self._answers[member] = [frame]
            else:
                given.append(frame)
            self.collected += len(frame)

    def tell_all(self, event: Event) -> None:
        """Say something to the whole audience."""
        longest = 0
        for dialect, frames in self._shared.items():
            frame = dialect.encode(event) or _DECLINED
            frames.append(frame)
            size = len(frame)
            if size > longest:  # faster than max(), and this is the busiest line of a room
                longest = size
        self.collected += longest
        self.told += longest
        self._spoken += 1

    def tell_others(self, member: Member, event: Event) -> None:
        """Say something to the whole audience but ``member``."""
        if member.id in self._audience:
            script = self._script(member)
            self._catch_up(member, script, self._spoken)
            script.heard = self._spoken + 1
        self.tell_all(event)

    def flush(self) -> None:
        """Send all that was said since the last time."""
        scripts, answers = self._scripts, self._answers
        spoken = self._spoken
        if spoken:
            joined = {
                dialect: (b"".join(frames), spoken - frames.count(_DECLINED))
                for dialect, frames in self._shared.items()
            }
            # push() may end a member's connection, but never changes the audience here: a
            # room hears of it through its own task only.
            for member in self._audience.values():
                if member not in scripts:
                    frames, count = joined[member.dialect]
                    if answers and (given := answers.pop(member, None)) is not None:
                        member.push(b"".join(given) + frames, len(given) + count)
                    elif count:
                        member.push(frames, count)
        for member, script in scripts.items():
            self._catch_up(member, script, spoken)
            _push(member, answers.pop(member, []) + script.frames)
        if answers:
            self.flush_answers()
        if scripts:
            self._scripts = {}
        if spoken:
            self._spoken = 0
            for shared in self._shared.values():
                shared.clear()
        self.collected = 0

    def flush_answers(self) -> None:
        """Send all answers that were given since the last time, and nothing else."""
        answers, self._answers = self._answers, {}
        for member, given in answers.items():
            member.push(b"".join(given), len(given))

    def flush_one(self, member: Member) -> None:
        """Send ``member`` now what it has not been sent yet, because it is about to be closed."""
        script = self._script(member)
        self._catch_up(member, script, self._spoken)
        frames, script.frames = script.frames, []
        _push(member, self._answers.pop(member, []) + frames)

    def _script(self, member: Member) -> _Script:
        script = self._scripts.get(member)
        if script is None:
            script = _Script(0 if member.id in self._audience else None)
            self._scripts[member] = script
        return script

    def _catch_up(self, member: Member, script: _Script, spoken: int) -> None:
        if script.heard is not None and script.heard < spoken:
            script.frames += self._shared[member.dialect][script.heard : spoken]
            script.heard = spoken


def _push(member: Member, frames: list[bytes]) -> None:
    count = len(frames) - frames.count(_DECLINED)
    if count:
        member.push(b"".join(frames), count)
