"""The wire format of GoChat: plain text in, one JSON object per message out.

``{"context", "roomid", "username"}`` is what a GoChat client reads; ``type``, ``seq``, ``at`` and
``userid`` are additions that it ignores. Notices have the same form, with the name of whom they
are about; so have refusals, with an empty ``username``.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from protocol import codec, messages
from protocol.dialects.base import Plain
from protocol.dialects.wording import sentence
from protocol.errors import Problem
from protocol.frames import encode_text
from protocol.messages import Command, Event, Say


class GoChat(Plain):
    """A :class:`~protocol.dialects.base.Dialect`."""

    def decode(self, text: str) -> Command:
        """Read a message: all of the text is what is said."""
        return Say(text)

    def encode(self, event: Event) -> bytes | None:
        """Write one event as a complete, unmasked WebSocket frame.

        Returns:
            The frame; ``None`` for an event of other kinds of rooms.
        """
        encoder = _ENCODERS.get(type(event))
        return encoder and encode_text(codec.dumps(encoder(event)))

    def word(self, problem: Problem) -> str:
        """Say in one sentence what was refused."""
        return sentence(problem)


GOCHAT: Final = GoChat()


def _message(event: messages.ChatMessage) -> dict[str, object]:
    return {
        "type": "message",
        "context": event.text,
        "roomid": event.room_id,
        "username": event.author,
        "userid": event.author_id,
        "seq": event.seq,
        # Rounded as over HTTP, where the same message has the same time.
        "at": datetime.fromtimestamp(round(event.at, 3), UTC).isoformat(timespec="milliseconds"),
    }


def _notice(kind: str, context: str, room_id: str = "", username: str = "") -> dict[str, object]:
    return {"type": kind, "context": context, "roomid": room_id, "username": username}


def _joined(event: messages.PersonJoined) -> dict[str, object]:
    return _notice("join", f"{event.name} has joined the room", event.room_id, event.name)


def _left(event: messages.PersonLeft) -> dict[str, object]:
    return _notice("leave", f"{event.name} has left the room", event.room_id, event.name)


def _refusal(event: messages.Refusal) -> dict[str, object]:
    return _notice("refusal", sentence(event.problem))


def _closed(event: messages.RoomClosed) -> dict[str, object]:
    return _notice("closed", f"the room is closed: {event.reason}")


_ENCODERS: Final[dict[type, Callable[[Any], dict[str, object]]]] = {
    messages.ChatMessage: _message,
    messages.PersonJoined: _joined,
    messages.PersonLeft: _left,
    messages.Refusal: _refusal,
    messages.RoomClosed: _closed,
}
