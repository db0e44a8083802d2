"""One seat at a terminal: what is shown and sent for what is heard and typed."""

import json

import pytest

from server.terminal.dialogue import LEAVE, REVEAL, Asked, Dialogue, Turn


def heard(dialogue: Dialogue, kind: str, **data: object) -> Turn:
    return dialogue.hear(json.dumps({"type": kind, "data": data}))


def sent(turn: Turn) -> list[tuple[str, dict[str, str]]]:
    return [(event["type"], event["data"]) for event in map(json.loads, turn.send)]


def leader() -> Dialogue:
    dialogue = Dialogue(None)
    heard(dialogue, "CREATE_ROOM", room_id="R")
    return dialogue


def voting(*, leads: bool = True) -> Dialogue:
    dialogue = leader() if leads else Dialogue("R")
    heard(dialogue, "ASK_FOR_VOTE", ticket_id="T")
    return dialogue


def test_who_joins_says_so_at_once() -> None:
    assert sent(Dialogue("R").begin()) == [("JOIN_ROOM", {"room_id": "R"})]


def test_who_leads_says_so_when_the_room_is_known_and_can_invite_others() -> None:
    dialogue = Dialogue(None, invitation=" ws://h")
    assert dialogue.begin() == Turn()

    turn = heard(dialogue, "CREATE_ROOM", room_id="R")

    assert sent(turn) == [("JOIN_ROOM", {"room_id": "R"})]
    assert turn.show[0].endswith("parley join R --name NAME ws://h")
    assert dialogue.inside


def test_a_round_from_the_ticket_to_the_result() -> None:
    dialogue = leader()
    heard(dialogue, "BEGIN_VOTING_PROMPT", message="who cares")
    asked = [dialogue.asked]
    assert sent(dialogue.type("T-1\n")) == [("BEGIN_VOTING", {"ticket_id": "T-1"})]
    asked.append(dialogue.asked)

    turn = heard(dialogue, "ASK_FOR_VOTE", ticket_id="T-1")
    assert "Your vote on T-1?" in turn.show[0]
    assert sent(dialogue.type("5")) == [("MEMBER_VOTED", {"ticket_id": "T-1", "vote": "5"})]

    heard(dialogue, "VOTING_COMPLETED", ticket_id="T-1", message="all")
    heard(dialogue, "REVEAL_VOTES_PROMPT", ticket_id="T-1", message="who cares")
    asked.append(dialogue.asked)
    assert sent(dialogue.type("")) == [("REVEAL_VOTES", {"ticket_id": "T-1"})]

    votes = {
        str(number): {"Value": vote, "MemberID": str(number), "MemberName": name}
        for number, (name, vote) in enumerate((("Bob", "8"), ("Annabel", "5")))
    }
    turn = heard(dialogue, "VOTES_REVEALED", ticket_id="T-1", client_vote_choice_map=votes)
    assert turn.show == (
        "The votes on T-1:",
        "  Annabel  5",
        "  Bob      8",
        "Mean 6.5, median 6.5, suggested: 8.",
    )
    assert [*asked, dialogue.asked] == [Asked.TICKET, None, Asked.REVEAL, None]


@pytest.mark.parametrize(
    ("cards", "last"), [(["5", "5"], "All agree."), (["?", "coffee"], "  B  coffee")]
)
def test_what_the_team_thinks_is_said_if_it_thinks_anything(cards: list[str], last: str) -> None:
    pairs = zip("AB", cards, strict=True)
    votes = {name: {"MemberName": name, "Value": card} for name, card in pairs}
    turn = heard(voting(), "VOTES_REVEALED", ticket_id="T", client_vote_choice_map=votes)
    assert turn.show[-1] == last


def test_other_cards_of_a_room_are_asked_for_and_judged_by() -> None:
    dialogue = Dialogue("R")
    heard(dialogue, "ROOM_JOIN_UPDATES", message="in", cards=["S", "M", "L", "c"])
    heard(dialogue, "ROOM_JOIN_UPDATES", message="Bob has joined")

    turn = heard(dialogue, "ASK_FOR_VOTE", ticket_id="T")
    assert turn.show == ("Your vote on T? (S M L c)",)
    assert sent(dialogue.type("c"))[0][1]["vote"] == "c"

    votes = {name: {"MemberName": name, "Value": card} for name, card in (("A", "S"), ("B", "M"))}
    turn = heard(dialogue, "VOTES_REVEALED", ticket_id="T", client_vote_choice_map=votes)
    assert turn.show[-1] == "Median M, suggested: M."


def test_cards_that_are_not_understood_are_not_taken() -> None:
    dialogue = Dialogue("R")
    heard(dialogue, "ROOM_JOIN_UPDATES", message="in", cards=[{"label": "S"}])

    assert "(0 ½ 1 2" in heard(dialogue, "ASK_FOR_VOTE", ticket_id="T").show[0]


def test_a_vote_may_be_changed_until_the_reveal() -> None:
    dialogue = voting()
    dialogue.type("5")
    assert sent(dialogue.type("8"))[0][1]["vote"] == "8"
    heard(dialogue, "REVEAL_VOTES_PROMPT", ticket_id="T", message="")
    assert sent(dialogue.type("13"))[0][1]["vote"] == "13"
    assert sent(dialogue.type(REVEAL)) == [("REVEAL_VOTES", {"ticket_id": "T"})]


@pytest.mark.parametrize("typed", ["1/2", "0.5", "½"])
def test_a_card_that_no_keyboard_has_may_be_typed_as_a_number(typed: str) -> None:
    assert sent(voting().type(typed))[0][1]["vote"] == "½"


@pytest.mark.parametrize("asked", [Asked.TICKET, Asked.VOTE])
def test_after_a_refusal_the_same_is_asked_again(asked: Asked) -> None:
    dialogue = leader() if asked is Asked.TICKET else voting()
    if asked is Asked.TICKET:
        heard(dialogue, "BEGIN_VOTING_PROMPT", message="")
    dialogue.type("nonsense")
    before = dialogue.asked

    turn = dialogue.hear("! No.")

    assert (before, dialogue.asked) == (None, asked)
    assert turn.show == ("! No.",)


def test_text_about_others_asks_nothing() -> None:
    dialogue = voting()
    dialogue.type("5")
    dialogue.hear("* Bob has voted")
    assert dialogue.asked is None


def test_a_ticket_needs_a_name() -> None:
    dialogue = leader()
    heard(dialogue, "BEGIN_VOTING_PROMPT", message="")
    assert dialogue.type("  ").send == ()
    assert dialogue.asked is Asked.TICKET


@pytest.mark.parametrize("line", ["5", REVEAL])
def test_while_nothing_is_asked_nothing_is_sent(line: str) -> None:
    turn = leader().type(line)
    assert turn.send == ()
    assert turn.show


def test_an_empty_line_is_no_vote() -> None:
    assert voting().type("").send == ()
    assert leader().type("") == Turn()


def test_one_may_leave_at_any_time() -> None:
    assert voting().type(f" {LEAVE} \n").leave


@pytest.mark.parametrize(
    "message",
    [
        "{}",
        '{"type": "NEW", "data": {}}',
        '{"type": 5}',
        '{"type": "ASK_FOR_VOTE"}',
        '{"type": "ASK_FOR_VOTE", "data": []}',
        '{"type": "VOTES_REVEALED", "data": {"client_vote_choice_map": 5}}',
        '{"type": "VOTES_REVEALED", "data": {"client_vote_choice_map": {"a": 5, "b": {}}}}',
        '{"type": "CREATE_ROOM", "data": {"room_id": 5}}',
        "",
        b"\xff",
    ],
)
def test_what_is_not_understood_ends_nothing(message: str | bytes) -> None:
    turn = voting().hear(message)
    assert not turn.leave


@pytest.mark.parametrize("evil", ["\x1b[2J", "a\r\nb", "\u202e", "\x07"])
def test_what_others_have_chosen_cannot_steer_the_terminal(evil: str) -> None:
    votes = {"1": {"MemberName": evil, "Value": evil}}
    dialogue = leader()
    shown = [
        *dialogue.hear(evil).show,
        *heard(dialogue, "ROOM_JOIN_UPDATES", message=evil).show,
        *heard(dialogue, "ASK_FOR_VOTE", ticket_id=evil).show,
        *heard(dialogue, "CREATE_ROOM", room_id=evil).show,
        *heard(dialogue, "VOTES_REVEALED", ticket_id=evil, client_vote_choice_map=votes).show,
    ]
    assert len(shown) == 6
    assert all(line.isprintable() for line in shown)
