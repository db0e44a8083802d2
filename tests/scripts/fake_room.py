"""A small room that keeps the rules of the wire, and ways to make it break each of them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import attrs

Message = str | bytes
Fault = Callable[["Delivery"], "list[Message] | None"]
"""What is delivered instead; ``None``: what was meant to be."""


def event(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data}, ensure_ascii=False)


def text_of(delivery: "Delivery") -> Any:
    return json.loads(delivery.text)["data"]


@attrs.define
class Delivery:
    room: "FakeRoom"
    to: int
    kind: str
    text: str

    @property
    def to_admin(self) -> bool:
        return self.to == 0


@attrs.define
class FakeRoom:
    """Takes what members (numbers, the admin is 0) send; answers with what each is to get."""

    capacity: int
    fault: Fault = lambda delivery: None
    room_id: str = "aB3xY9"
    names: list[str] = attrs.field(factory=list)
    announced: list[int] = attrs.field(factory=list)
    ticket: str = ""
    votes: dict[int, str] = attrs.field(factory=dict)
    round: int = 0

    def enter(self, name: str) -> Iterator[tuple[int, Message]]:
        self.names.append(name)
        if len(self.names) == 1:
            yield from self._tell([0], "CREATE_ROOM", room_id=self.room_id)

    def take(self, member: int, raw: str) -> Iterator[tuple[int, Message]]:
        message = json.loads(raw)
        data = message["data"]
        everybody = list(self.announced)
        match message["type"]:
            case "JOIN_ROOM":
                yield from self._join(member)
            case "BEGIN_VOTING":
                self.round += 1
                self.ticket, self.votes = data["ticket_id"], {}
                yield from self._tell(everybody, "ASK_FOR_VOTE", ticket_id=self.ticket)
            case "MEMBER_VOTED":
                self.votes[member] = data["vote"]
                yield from self._say(everybody, f"* {self.names[member]} voted on {self.ticket}")
                if len(self.votes) == self.capacity:
                    done = {"ticket_id": self.ticket, "message": "Everybody has voted"}
                    yield from self._tell(everybody, "VOTING_COMPLETED", **done)
                    ask = {"ticket_id": self.ticket, "message": f"Reveal {self.ticket}?"}
                    yield from self._tell([0], "REVEAL_VOTES_PROMPT", **ask)
            case "REVEAL_VOTES":
                votes = {
                    f"id{voter}": {
                        "Value": value,
                        "MemberID": f"id{voter}",
                        "MemberName": self.names[voter],
                    }
                    for voter, value in self.votes.items()
                }
                shown = {"ticket_id": self.ticket, "client_vote_choice_map": votes}
                yield from self._tell(everybody, "VOTES_REVEALED", **shown)
                yield from self._tell([0], "BEGIN_VOTING_PROMPT", message="Next ticket:")
                yield from self._tell(everybody[1:], "AWAITING_ADMIN_VOTE_START", message="Wait")

    def _join(self, member: int) -> Iterator[tuple[int, Message]]:
        path = f"/rooms/{self.room_id}/results?key=x1-Ann_8"
        yield from self._update([member], f"You are in room {self.room_id}; its results: {path}")
        for other in self.announced:
            yield from self._update([member], f"{self._marked(other)} is here")
        self.announced.append(member)
        self.announced.sort()
        yield from self._update(self.announced, f"{self._marked(member)} has come")
        if len(self.announced) == self.capacity:
            full = f"All {self.capacity} seats are taken"
            yield from self._tell(self.announced, "ROOM_CAPACITY_REACHED", message=full)
            yield from self._tell([0], "BEGIN_VOTING_PROMPT", message="First ticket:")

    def _marked(self, member: int) -> str:
        return f"{self.names[member]} (admin)" if member == 0 else self.names[member]

    def _update(self, to: list[int], message: str) -> Iterator[tuple[int, Message]]:
        yield from self._tell(to, "ROOM_JOIN_UPDATES", message=message)

    def _tell(self, to: list[int], kind: str, **data: Any) -> Iterator[tuple[int, Message]]:
        yield from self._deliver(to, kind, event(kind, **data))

    def _say(self, to: list[int], text: str) -> Iterator[tuple[int, Message]]:
        yield from self._deliver(to, "text", text)

    def _deliver(self, to: list[int], kind: str, text: str) -> Iterator[tuple[int, Message]]:
        for member in list(to):
            instead = self.fault(Delivery(self, member, kind, text))
            for message in [text] if instead is None else instead:
                yield member, message


def instead(kind: str, *messages: Message, to: int = 1) -> Fault:
    """Deliver ``messages`` in place of the first ``kind`` that this member gets."""
    done = False

    def fault(delivery: Delivery) -> list[Message] | None:
        nonlocal done
        if done or delivery.kind != kind or delivery.to != to:
            return None
        done = True
        return list(messages)

    return fault


def twice(kind: str, to: int = 1) -> Fault:
    """Deliver every ``kind`` that this member gets two times."""

    def fault(delivery: Delivery) -> list[Message] | None:
        hit = delivery.kind == kind and delivery.to == to
        return [delivery.text, delivery.text] if hit else None

    return fault


def changed(kind: str, change: Callable[[Delivery], str], to: int = 1) -> Fault:
    """Deliver every ``kind`` that this member gets changed."""

    def fault(delivery: Delivery) -> list[Message] | None:
        return [change(delivery)] if delivery.kind == kind and delivery.to == to else None

    return fault


def before(kind: str, *messages: Message, to: int = 1) -> Fault:
    """Deliver ``messages`` right before the first ``kind`` that this member gets."""
    done = False

    def fault(delivery: Delivery) -> list[Message] | None:
        nonlocal done
        if done or delivery.kind != kind or delivery.to != to:
            return None
        done = True
        return [*messages, delivery.text]

    return fault
