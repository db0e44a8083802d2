"""The judge of talking bots: what it accepts, and every way in which it finds fault."""

import attrs
import pytest

from protocol.chat_picture import Attendee, ChatPicture, Line, ReadMarker
from protocol.ids import RoomId
from protocol.talking import DeleteMessage, EditMessage, SayOnce
from scripts.botlib.lasting import line, wire
from scripts.botlib.moves import Violation
from scripts.botlib.talking.judge import Account, Kept, expected, judge_kept, judge_member
from scripts.botlib.talking.witness import TalkWitness

KEPT = [Kept(1, 1, "one"), Kept(2, 2, "two"), Kept(4, 1, "four")]
WANTED = {each.seq: each for each in KEPT}
NAMES = ["Ann", "Bob"]


def rules(faults: object) -> list[str]:
    return [rule for rule, _ in faults]  # type: ignore[attr-defined]


def picture(kept: list[Kept], *, unread: int = 1) -> ChatPicture:
    return ChatPicture(
        RoomId("room"),
        "Room",
        kept[-1].seq,
        tuple(Attendee(number, name, True, 0.0) for number, name in enumerate(NAMES, 1)),
        tuple(Line(each.seq, each.author_id, "", each.text, 0.0) for each in kept),
        ReadMarker(1, 1, unread),
    )


def ann(*heard: int, began: int = 0) -> Account:
    return Account("Ann", 1, heard=list(heard), began=began)


# --- what is kept ---------------------------------------------------------------------------


def test_what_was_acknowledged_is_expected_as_it_was_amended() -> None:
    first = Account("Ann", 1, done={1: SayOnce("one"), 2: SayOnce("x"), 3: EditMessage(4, "four")})
    second = Account("Bob", 2, done={1: SayOnce("two"), 2: DeleteMessage(2)})
    acked = {("Ann", 1): 1, ("Ann", 2): 4, ("Ann", 3): 5, ("Bob", 1): 2, ("Bob", 2): 6}
    kept, faults = expected([first, second], acked)
    assert kept == {1: KEPT[0], 2: Kept(2, 2, ""), 4: KEPT[2]}
    assert faults == []


def test_two_messages_of_one_number_and_an_amendment_of_nothing_are_faults() -> None:
    first = Account("Ann", 1, done={1: SayOnce("one")})
    second = Account("Bob", 2, done={1: SayOnce("two"), 2: DeleteMessage(7)})
    _, faults = expected([first, second], {("Ann", 1): 1, ("Bob", 1): 1, ("Bob", 2): 8})
    assert rules(faults) == ["number-shared", "amended-nothing"]


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (KEPT, []),
        (KEPT[:2], ["lost"]),
        ([*KEPT, Kept(5, 1, "one")], ["twice"]),
        ([KEPT[1], KEPT[0], KEPT[2]], ["kept-order"]),
        ([KEPT[0], KEPT[0], *KEPT[1:]], ["kept-order"]),
        ([*KEPT[:2], Kept(4, 1, "for")], ["kept-text"]),
        ([*KEPT[:2], Kept(4, 2, "four")], ["kept-text"]),
    ],
)
def test_what_is_kept_is_compared(found: list[Kept], rule: list[str]) -> None:
    assert rules(judge_kept(WANTED, found)) == rule


# --- what was seen --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "rule"),
    [
        (ann(1, 2, 4), []),
        (ann(1, 2, 3, 4), []),  # a server that died has lost 3
        (ann(2, 4, began=1), []),
        (ann(1, 4), ["not-heard"]),
        (ann(1, 4, 2), ["not-heard"]),
        (ann(1, 2, 2, 4), ["not-heard"]),
        (ann(began=2), ["not-heard"]),
    ],
)
def test_everybody_hears_everything_once_and_in_order(member: Account, rule: list[str]) -> None:
    assert rules(judge_member(member, picture(KEPT), KEPT, NAMES)) == rule


def test_a_picture_told_anew_takes_the_place_of_what_was_heard() -> None:
    member = ann(1)
    member.load(picture(KEPT[1:]))
    assert (member.heard, member.began) == ([2, 4], 1)
    member.load(attrs.evolve(picture(KEPT), messages=(), seq=9))
    assert (member.heard, member.began) == ([], 9)


def test_a_picture_that_is_not_what_is_kept_is_a_fault() -> None:
    other = [*KEPT[:2], Kept(4, 1, "for")]
    assert rules(judge_member(ann(1, 2, 4), picture(other), KEPT, NAMES)) == ["picture"]


def test_ghosts_and_those_who_are_missing_are_faults() -> None:
    assert rules(judge_member(ann(1, 2, 4), picture(KEPT), KEPT, ["Ann"])) == ["ghosts"]
    away = attrs.evolve(picture(KEPT).people[1], here=False)
    shown = attrs.evolve(picture(KEPT), people=(picture(KEPT).people[0], away))
    assert rules(judge_member(ann(1, 2, 4), shown, KEPT, NAMES)) == ["ghosts"]


def test_a_wrong_count_of_unread_messages_is_a_fault() -> None:
    shown = picture(KEPT, unread=2)
    assert rules(judge_member(ann(1, 2, 4), shown, KEPT, NAMES)) == ["unread"]


# --- what went over the wire ----------------------------------------------------------------


def heard(*frames: str) -> tuple[TalkWitness, list[Violation]]:
    faults: list[Violation] = []
    witness = TalkWitness(faults.append)
    here = line.Line("Ann")
    for frame in frames:
        witness.hear(here, wire.Frame(b"", frame.encode()))
    return witness, faults


SAID = '{"type":"said","seq":7,"author_id":1,"author":"Ann","text":"x","at":1.0}'


def test_a_number_that_means_two_things_is_a_fault() -> None:
    _, faults = heard(SAID, SAID)
    assert faults == []
    _, faults = heard(SAID, SAID.replace("1.0", "2.0"))
    assert [each.rule for each in faults] == ["number-twice"]
    page = '{"type":"history","ref":1,"messages":[{"seq":7,"author_id":2,"at":1.0}],"more":false}'
    _, faults = heard(SAID, page)
    assert [each.rule for each in faults] == ["number-twice"]


def test_what_was_told_and_then_saved_is_promised() -> None:
    welcome = '{"type":"welcome","epoch":"a"}'
    assert list(heard(welcome, SAID)[0].promised()) == []
    assert list(heard(welcome, SAID, '{"type":"saved","seq":6}')[0].promised()) == []
    assert list(heard(welcome, SAID, '{"type":"saved","seq":7}')[0].promised()) == [7]
    other = '{"type":"welcome","epoch":"b"}'
    assert list(heard(welcome, SAID, other, '{"type":"saved","seq":7}')[0].promised()) == []


def test_answers_are_remembered_and_compared() -> None:
    witness, _ = heard('{"type":"ack","ref":3,"seq":7}', '{"type":"ack","ref":3,"seq":7}')
    assert witness.acked == {("Ann", 3): 7}
    assert witness.changed == {}
    witness, _ = heard('{"type":"ack","ref":3,"seq":7}', '{"type":"ack","ref":3,"seq":8}')
    assert ("Ann", 3) in witness.changed


def test_what_is_no_message_is_left_to_others() -> None:
    witness, faults = heard("[", "[]", '{"type":"later","seq":1}')
    witness.hear_rest(line.Line("Ann"), b"x")
    assert (faults, witness.acked) == ([], {})
