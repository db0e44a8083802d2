"""Every rule that the checker knows: honest sessions pass, every kind of fault is caught."""

import json
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from scripts.botlib.checker import Checker
from scripts.botlib.moves import Act, Phase, Reply
from scripts.botlib.table import DECKS, Table
from tests.scripts.fake_room import (
    Delivery,
    FakeRoom,
    Fault,
    Message,
    before,
    changed,
    event,
    instead,
    text_of,
    twice,
)


class Play:
    """One room of checkers and a fake room, between which messages travel in a seeded order."""

    def __init__(
        self, fault: Fault | None = None, *, members: int = 4, tickets: int = 3, seed: int = 1
    ) -> None:
        self.dice = random.Random(seed)
        names = [f"Bot m{number}" for number in range(members)]
        self.table = Table(names, [f"K-{number}" for number in range(tickets)])
        self.room = FakeRoom(members, fault) if fault else FakeRoom(members)
        self.checkers = [
            Checker(self.table, name, random.Random(seed + number), DECKS["default"])
            for number, name in enumerate(names)
        ]
        self.inboxes: list[deque[Message]] = [deque() for _ in names]
        self.outboxes: list[deque[Reply]] = [deque() for _ in names]

    def run(self) -> "Play":
        """Play until nothing moves any more."""
        self.enter(0)
        self.settle()
        if self.table.room_id:
            for number in range(1, len(self.checkers)):
                self.enter(number)
                if self.dice.random() < 0.5:
                    self.settle()
            self.settle()
        return self

    def enter(self, number: int) -> None:
        for to, message in self.room.enter(self.checkers[number].name):
            self.inboxes[to].append(message)
        self.outboxes[number].extend(self.checkers[number].start())

    def settle(self) -> None:
        while True:
            moves: list[Callable[[], None]] = [
                *(lambda n=n: self.receive(n) for n, box in enumerate(self.inboxes) if box),
                *(lambda n=n: self.send(n) for n, box in enumerate(self.outboxes) if box),
            ]
            if not moves:
                return
            self.dice.choice(moves)()

    def receive(self, number: int) -> None:
        replies = self.checkers[number].feed(self.inboxes[number].popleft())
        self.outboxes[number].extend(replies)

    def send(self, number: int) -> None:
        reply = self.outboxes[number].popleft()
        self.checkers[number].sending(reply)
        for to, message in self.room.take(number, reply.text):
            self.inboxes[to].append(message)

    @property
    def rules(self) -> set[str]:
        return {found.rule for checker in self.checkers for found in checker.violations}


# --- honest sessions ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_an_honest_session_passes_whatever_the_interleaving(seed: int) -> None:
    play = Play(members=2 + seed % 5, tickets=1 + seed % 4, seed=seed).run()

    assert not play.rules
    assert all(checker.ended for checker in play.checkers)
    assert all(checker.votes_heard == checker.reveals == 1 + seed % 4 for checker in play.checkers)


def test_the_end_passes_with_both_farewells() -> None:
    play = Play().run()
    play.checkers[0].leave()
    play.checkers[0].closed(1000, None)
    for checker in play.checkers[1:]:
        checker.feed(event("ROOM_JOIN_UPDATES", message="Bot m0 has left"))
        checker.feed("* The room is closed.")
        checker.closed(1001, "the admin has left")

    assert not play.rules


def test_the_same_seed_plays_the_same_cards() -> None:
    cards = [[item.votes for item in Play(seed=seed).run().table.rounds] for seed in (7, 7, 8)]

    assert cards[0] == cards[1] != cards[2]


def test_every_card_of_the_deck_is_sent_as_it_is() -> None:
    play = Play(tickets=60).run()

    sent = {card for item in play.table.rounds for card in item.votes.values()}
    assert sent == set(DECKS["default"])
    assert not play.rules


# --- shapes ---------------------------------------------------------------------------------

MALFORMED = [
    event("PING"),
    event("RoomClosed", message="x"),
    '{"type": "ASK_FOR_VOTE", "data": {"ticket_id": "K-0"}',
    '["ASK_FOR_VOTE"]',
    '"Bot m0 voted on K-0"',
    "5",
    "",
    '{"type": "ASK_FOR_VOTE"}',
    '{"type": 5, "data": {}}',
    '{"data": {"ticket_id": "K-0"}}',
    '{"type": "ASK_FOR_VOTE", "data": {"ticket_id": "K-0"}, "id": 1}',
    '{"type": "ASK_FOR_VOTE", "data": "K-0"}',
    '{"type": "ASK_FOR_VOTE", "data": {"ticket_id": "K-0", "ticket_id": "K-0"}}',
    '{"type": "ASK_FOR_VOTE", "data": {"ticket_id": NaN}}',
    event("ASK_FOR_VOTE"),
    event("ASK_FOR_VOTE", ticket_id=0),
    event("ASK_FOR_VOTE", ticket_id=None),
    event("ASK_FOR_VOTE", ticket_id="K-0", message="vote"),
    "[" * 100_000,
]


@pytest.mark.parametrize("raw", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_message_is_caught(raw: str) -> None:
    assert Play(before("ASK_FOR_VOTE", raw)).run().rules == {"malformed"}


def test_a_binary_message_is_caught() -> None:
    assert Play(before("ASK_FOR_VOTE", b"{}")).run().rules == {"binary"}


def test_a_blank_message_is_caught_and_the_session_goes_on() -> None:
    blank = event("ROOM_CAPACITY_REACHED", message=" ")
    play = Play(instead("ROOM_CAPACITY_REACHED", blank)).run()

    assert play.rules == {"blank"}
    assert all(checker.ended for checker in play.checkers)


# --- order ----------------------------------------------------------------------------------

TYPES_TO_OTHERS = [
    "ROOM_CAPACITY_REACHED",
    "ASK_FOR_VOTE",
    "VOTING_COMPLETED",
    "VOTES_REVEALED",
    "AWAITING_ADMIN_VOTE_START",
]
TYPES_TO_ADMIN = [
    "CREATE_ROOM",
    "ROOM_CAPACITY_REACHED",
    "BEGIN_VOTING_PROMPT",
    "ASK_FOR_VOTE",
    "VOTING_COMPLETED",
    "REVEAL_VOTES_PROMPT",
    "VOTES_REVEALED",
]


@pytest.mark.parametrize("kind", TYPES_TO_OTHERS)
def test_an_event_sent_twice_is_caught(kind: str) -> None:
    check_only_the_repetition_is_caught(Play(twice(kind)).run(), to=1)


@pytest.mark.parametrize("kind", TYPES_TO_ADMIN)
def test_an_event_sent_twice_to_the_admin_is_caught(kind: str) -> None:
    check_only_the_repetition_is_caught(Play(twice(kind, to=0)).run(), to=0)


def check_only_the_repetition_is_caught(play: Play, *, to: int) -> None:
    assert play.rules == {"out-of-order"}
    assert not any(checker.violations for n, checker in enumerate(play.checkers) if n != to)
    assert all(checker.ended for checker in play.checkers)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ROOM_CAPACITY_REACHED", event("BEGIN_VOTING_PROMPT", message="Ticket?")),
        ("ROOM_JOIN_UPDATES", event("CREATE_ROOM", room_id="aB3xY9")),
        ("VOTES_REVEALED", event("REVEAL_VOTES_PROMPT", ticket_id="K-0", message="Reveal?")),
        ("VOTES_REVEALED", event("AWAITING_ADMIN_VOTE_START", message="Wait")),
        ("ASK_FOR_VOTE", event("AWAITING_ADMIN_VOTE_START", message="Wait")),
        ("ASK_FOR_VOTE", event("ROOM_JOIN_UPDATES", message="Bot m2 has come")),
        ("VOTING_COMPLETED", event("VOTES_REVEALED", ticket_id="K-0", client_vote_choice_map={})),
    ],
)
def test_an_event_out_of_place_is_caught(kind: str, message: str) -> None:
    assert "out-of-order" in Play(before(kind, message)).run().rules


def test_the_wait_is_not_for_the_admin() -> None:
    wait = event("AWAITING_ADMIN_VOTE_START", message="Wait")
    fault = before("BEGIN_VOTING_PROMPT", wait, to=0)

    assert Play(fault).run().rules == {"out-of-order"}


def test_a_vote_that_nobody_began_is_caught() -> None:
    play = Play()
    play.run()
    fresh = Play()
    fresh.checkers[1].phase = Phase.READY

    fresh.checkers[1].feed(event("ASK_FOR_VOTE", ticket_id="K-0"))

    assert fresh.rules == {"vote-unasked"}


def test_the_creator_must_hear_of_its_room_first() -> None:
    fault = instead("CREATE_ROOM", event("ROOM_JOIN_UPDATES", message="in room aB3xY9"), to=0)

    assert Play(fault).run().rules == {"out-of-order"}


def test_a_refusal_instead_of_a_room_is_caught() -> None:
    assert Play(instead("CREATE_ROOM", "! No.", to=0)).run().rules == {"unexpected-text"}


@pytest.mark.parametrize("room_id", ["short", "toolong", "aB3x-9", "aB3xYé"])
def test_a_room_id_of_another_form_is_caught(room_id: str) -> None:
    play = Play()
    play.room.room_id = room_id

    assert "room-id" in play.run().rules


# --- coming together ------------------------------------------------------------------------


def updates(change: Callable[[str], str | None], to: int = 3) -> Fault:
    def fault(delivery: Delivery) -> list[Message] | None:
        if delivery.kind != "ROOM_JOIN_UPDATES" or delivery.to != to:
            return None
        line = change(text_of(delivery)["message"])
        return [] if line is None else [event("ROOM_JOIN_UPDATES", message=line)]

    return fault


def test_a_welcome_without_the_room_is_caught() -> None:
    assert "welcome" in Play(updates(lambda line: line.replace("aB3xY9", ""))).run().rules


def test_a_missing_member_is_caught() -> None:
    fault = updates(lambda line: None if "m1" in line else line)
    found = {rule for seed in range(10) for rule in Play(fault, seed=seed).run().rules}

    assert found == {"not-named", "full-too-early"}


def test_a_member_named_twice_is_caught() -> None:
    def fault(delivery: Delivery) -> list[Message] | None:
        hit = delivery.to == 3 and "Bot m1" in delivery.text and "come" not in delivery.text
        return [delivery.text] * 2 if hit and delivery.kind == "ROOM_JOIN_UPDATES" else None

    assert "named-twice" in {r for seed in range(10) for r in Play(fault, seed=seed).run().rules}


@pytest.mark.parametrize("line", ["Somebody is here", "Bot m1 and Bot m2 are here"])
def test_a_line_about_nobody_or_two_is_caught(line: str) -> None:
    assert "who" in Play(updates(lambda old: line if "m1" in old else old)).run().rules


def test_an_unmarked_admin_is_caught() -> None:
    fault = updates(lambda line: line.replace(" (admin)", ""))
    found = [Play(fault, seed=seed).run().rules for seed in range(10)]

    assert {"admin-unmarked"} in found
    assert all(rules <= {"admin-unmarked"} for rules in found)


def test_a_member_announced_before_it_announced_itself_is_caught() -> None:
    play = Play()
    play.enter(0)
    play.settle()
    play.checkers[0].feed(event("ROOM_JOIN_UPDATES", message="Bot m1 has come"))

    assert play.rules == {"not-announced"}


def test_a_room_that_is_full_too_early_is_caught() -> None:
    play = Play()
    play.enter(0)
    play.settle()
    play.checkers[0].feed(event("ROOM_CAPACITY_REACHED", message="Full"))

    assert play.rules == {"full-too-early"}


# --- votes ----------------------------------------------------------------------------------


def leaking(delivery: Delivery) -> str:
    return f"{delivery.text}: {list(delivery.room.votes.values())[-1]}"


def test_a_leaked_vote_is_caught_whatever_the_card() -> None:
    play = Play(changed("text", leaking), tickets=60).run()

    leaks = [found for found in play.checkers[1].violations if found.rule == "leak"]
    assert play.rules == {"leak"}
    assert len(leaks) == 4 * 60


@pytest.mark.parametrize("kind", ["VOTING_COMPLETED", "REVEAL_VOTES_PROMPT"])
def test_a_leak_in_the_text_of_an_event_is_caught(kind: str) -> None:
    def leak(delivery: Delivery) -> str:
        card = delivery.room.votes[2]
        return event(kind, ticket_id=delivery.room.ticket, message=f"Bot m2 ({card}) was last")

    assert Play(changed(kind, leak, to=0), tickets=40).run().rules == {"leak"}


def test_a_value_in_a_vote_event_is_caught() -> None:
    def leak(delivery: Delivery) -> str:
        return event("MEMBER_VOTED", ticket_id=delivery.room.ticket, vote="5")

    assert "malformed" in Play(changed("text", leak)).run().rules


def test_a_vote_announced_twice_is_caught() -> None:
    assert Play(twice("text")).run().rules == {"vote-twice"}


def test_a_vote_that_was_never_sent_is_caught() -> None:
    play = Play(members=2, tickets=1)
    play.run()
    fresh = Play(members=2, tickets=1)
    fresh.table.rounds[0].begun = True
    fresh.checkers[1].phase = Phase.VOTING
    fresh.checkers[1].feed("* Bot m0 voted on K-0")

    assert fresh.rules == {"vote-unsent"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("* Somebody voted on K-0", "who"),
        ("* Bot m0 voted", "unexpected-text"),
        ("! The vote was refused.", "unexpected-text"),
    ],
)
def test_another_text_while_voting_is_caught(text: str, rule: str) -> None:
    # The vote that went missing is missed when the round is said to be complete.
    assert Play(instead("text", text)).run().rules == {rule, "completed-too-early"}


def test_a_text_at_any_other_time_is_caught() -> None:
    for kind in TYPES_TO_OTHERS[:2] + TYPES_TO_OTHERS[3:]:
        fault = before(kind, "* Bot m0 voted on K-0")
        assert "unexpected-text" in Play(fault).run().rules


def test_completion_before_all_votes_were_announced_is_caught() -> None:
    early = event("VOTING_COMPLETED", ticket_id="K-0", message="Done")

    assert "completed-too-early" in Play(before("text", early)).run().rules


@pytest.mark.parametrize("kind", ["ASK_FOR_VOTE", "VOTING_COMPLETED", "VOTES_REVEALED"])
@pytest.mark.parametrize("ticket", ["", "K-9"])
def test_another_ticket_is_caught(kind: str, ticket: str) -> None:
    def change(delivery: Delivery) -> str:
        return event(kind, **{**text_of(delivery), "ticket_id": ticket})

    assert Play(changed(kind, change)).run().rules == {"ticket"}


# --- the reveal -----------------------------------------------------------------------------


def revealed(change: Callable[[dict[str, Any]], None], *, from_round: int = 1) -> Fault:
    def alter(delivery: Delivery) -> str:
        data = text_of(delivery)
        if delivery.room.round >= from_round:
            change(data["client_vote_choice_map"])
        return event("VOTES_REVEALED", **data)

    return changed("VOTES_REVEALED", alter)


def swap_ids(votes: dict[str, Any]) -> None:
    first, second = votes["id0"], votes["id1"]
    first["MemberName"], second["MemberName"] = second["MemberName"], first["MemberName"]
    first["Value"], second["Value"] = second["Value"], first["Value"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda votes: votes.pop("id2"), "reveal-members"),
        (lambda votes: votes.clear(), "reveal-members"),
        (lambda votes: votes["id2"].update(MemberName="Bot m1"), "reveal-members"),
        (lambda votes: votes["id2"].update(MemberName="Eve"), "reveal-members"),
        (lambda votes: votes.update(x=votes["id1"] | {"MemberID": "x"}), "reveal-members"),
        (lambda votes: votes["id2"].update(Value="12"), "reveal-value"),
        (lambda votes: votes["id2"].update(Value=""), "malformed"),
        (lambda votes: votes["id2"].update(Value=5), "malformed"),
        (lambda votes: votes["id2"].update(MemberID="id1"), "malformed"),
        (lambda votes: votes["id2"].update(value="5"), "malformed"),
        (lambda votes: votes["id2"].pop("MemberName"), "malformed"),
        (lambda votes: votes.update(id2="5"), "malformed"),
    ],
)
def test_a_wrong_reveal_is_caught(change: Callable[[dict[str, Any]], None], rule: str) -> None:
    assert rule in Play(revealed(change)).run().rules


def test_member_ids_that_change_are_caught() -> None:
    assert Play(revealed(swap_ids, from_round=2)).run().rules == {"member-id"}


def test_a_list_instead_of_the_votes_is_caught() -> None:
    wrong = event("VOTES_REVEALED", ticket_id="K-0", client_vote_choice_map=[])

    assert Play(instead("VOTES_REVEALED", wrong)).run().rules >= {"malformed"}


def test_a_reveal_that_the_admin_did_not_ask_for_is_caught() -> None:
    fresh = Play(members=2, tickets=1)
    fresh.checkers[1].phase = Phase.REVEALING
    fresh.checkers[1].feed(event("VOTES_REVEALED", ticket_id="K-0", client_vote_choice_map={}))

    assert fresh.rules == {"reveal-unasked"}


# --- the end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "rule"),
    [
        (None, None, "no-close-frame"),
        (1000, "bye", "close-code"),
        (1011, "crash", "close-code"),
        (1005, None, "close-code"),
        (1001, None, "close-reason"),
        (1001, " ", "close-reason"),
    ],
)
def test_a_wrong_close_is_caught(code: int | None, reason: str | None, rule: str) -> None:
    play = Play().run()
    play.checkers[0].leave()
    play.checkers[1].closed(code, reason)

    assert play.rules == {rule}


@pytest.mark.parametrize(("code", "rule"), [(None, "no-close-frame"), (1011, "close-code")])
def test_a_wrong_answer_to_the_admins_close_is_caught(code: int | None, rule: str) -> None:
    play = Play().run()
    play.checkers[0].leave()
    play.checkers[0].closed(code, None)

    assert play.rules == {rule}


def test_a_close_while_the_admin_is_there_is_caught() -> None:
    play = Play().run()
    play.checkers[1].closed(1001, "going away")

    assert play.rules == {"closed-early"}


def test_a_third_farewell_is_caught() -> None:
    play = Play().run()
    play.checkers[0].leave()
    for _ in range(3):
        play.checkers[1].feed("* Bye.")

    assert play.rules == {"farewell"}


def test_a_farewell_while_the_admin_is_there_is_caught() -> None:
    play = Play().run()
    play.checkers[1].feed("* Bye.")

    assert play.rules == {"unexpected-text"}


def test_replies_name_what_they_are() -> None:
    play = Play()
    play.enter(0)
    play.receive(0)

    reply = play.outboxes[0][0]
    assert reply.act is Act.JOIN
    assert json.loads(reply.text) == {"type": "JOIN_ROOM", "data": {"room_id": "aB3xY9"}}
