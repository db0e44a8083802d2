"""The log of a room as JSON: there and back, and never anything but ``Unreadable`` otherwise."""

from typing import get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import MemberId, MemberName, RemarkText, RoomId
from protocol.journal import LOGGED, Entry, Unreadable, read_entries, write_entries
from protocol.lasting import (
    NOBODY,
    BeginRound,
    CastCard,
    ChangeRole,
    Claim,
    CloseRoom,
    Configure,
    Demote,
    Depart,
    Detach,
    ExtendTimer,
    HandOver,
    Join,
    Kick,
    Lock,
    Nudge,
    Numbered,
    Park,
    PauseTimer,
    Promote,
    RaiseCapacity,
    Rename,
    Request,
    Restart,
    ResumeTimer,
    Retract,
    Return,
    RevealRound,
    Role,
    SayHere,
    SealPasscode,
    SetEstimate,
    StartTimer,
    StopTimer,
    TimerKind,
    Unsay,
)
from protocol.messages import (
    Announce,
    BeginVoting,
    CastVote,
    Command,
    Enter,
    Leave,
    RevealVotes,
    TicketId,
    TimeUp,
)
from protocol.options import ClaimBy, OwnerAbsence, VotingEnds, Who

ANN = MemberId("ann")
TICKET = TicketId("Tür & Tor ½")
REQUESTS: list[Request] = [
    BeginRound(TICKET),
    CastCard(3, "½"),
    RevealRound(3),
    Retract(3),
    SetEstimate(3, "5"),
    SetEstimate(3, None),
    Configure(begin_by=Who.ALL, voting_ends=VotingEnds.REVEAL, voting_seconds=90),
    Configure(),
    StartTimer(60),
    StartTimer(60, TimerKind.VOTING),
    PauseTimer(),
    ResumeTimer(),
    ExtendTimer(-30),
    StopTimer(),
    SayHere(RemarkText("Grüße\nan alle")),
    Unsay(7),
    ChangeRole(role=Role.SPECTATOR),
    ChangeRole(role=Role.VOTER, member=ANN),
    Promote(ANN),
    Demote(ANN),
    HandOver(ANN),
    Claim(),
    Rename(MemberName("Änne")),
    RaiseCapacity(9),
    Nudge(ANN),
    SealPasscode("a seal"),
    SealPasscode(None),
    Lock(True),
    Kick(member=ANN, ban=True, address=False),
    Configure(owner_absence=OwnerAbsence.CLAIM, claim_by=ClaimBy.SIGNED_IN),
    CloseRoom(),
    Depart(),
]
COMMANDS: list[Command] = [
    Join(name="Ann", role=Role.SPECTATOR, owner=True, account=7),
    Join(name="Bob"),
    Detach(),
    Return(),
    Return(12, 3),
    Restart(),
    Park(),
    Enter("Eve"),
    Announce(RoomId("Room42")),
    BeginVoting(TICKET),
    CastVote(TICKET, "?"),
    RevealVotes(TICKET),
    Leave(),
    TimeUp(),
    *(Numbered(ref, request) for ref, request in enumerate(REQUESTS, 1)),
]


def test_every_command_that_is_logged_is_tried_here() -> None:
    assert {type(command) for command in COMMANDS} == LOGGED
    assert {type(request) for request in REQUESTS} == set(get_args(Request))


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_an_entry_is_read_as_it_was_written(command: Command) -> None:
    entry = Entry(1_764_036_000.123456, ANN, command)

    (again,) = read_entries(write_entries([entry]))

    assert again == entry
    assert repr(again) == repr(entry)  # a role is no string, a number no truth


def test_entries_keep_their_order() -> None:
    entries = [Entry(float(at), NOBODY, command) for at, command in enumerate(COMMANDS)]

    assert read_entries(write_entries(entries)) == entries
    assert read_entries(write_entries([])) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}x",
        b"null",
        b"7",
        b'"abc"',
        b"[7]",
        b"[[]]",
        b'[[1.0, "ann", "Leave"]]',
        b'[["1", "ann", "Leave", {}]]',
        b'[[null, "ann", "Leave", {}]]',
        b'[[1.0, 7, "Leave", {}]]',
        b'[[1.0, "ann", "Fly", {}]]',
        b'[[1.0, "ann", ["Leave"], {}]]',
        b'[[1.0, "ann", "Leave", {"far": true}]]',
        b'[[1.0, "ann", "Leave", null]]',
        b'[[1.0, "ann", "Leave", {}, 1]]',
        b'[[1.0, "ann", "leave", {}]]',
        b'[[1.0, "ann", "leave", {}, "1"]]',
        b'[[1.0, "ann", "leave", {}, true]]',
        b'[[1.0, "ann", "leave", {}, 1, 2]]',
        b'[[1.0, "ann", "vote", {"round": "1", "card": "5"}, 1]]',
        b'[[1.0, "ann", "Join", {"name": "Ann", "role": "boss"}]]',
        b'[[1.0, "ann", "Enter", {"name": "Ann"}], [1.0]]',
    ],
)
def test_anything_else_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable, match="cannot be read"):
        read_entries(data)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(["ann", "Leave", "vote", "Join", "name"]),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "x"]), inner),
    )
)
def test_any_json_is_read_or_unreadable(value: object) -> None:
    try:
        entries = read_entries(orjson.dumps(value))
    except Unreadable:
        return
    assert read_entries(write_entries(entries)) == entries


@given(st.binary())
def test_any_bytes_are_read_or_unreadable(data: bytes) -> None:
    try:
        entries = read_entries(data)
    except Unreadable:
        return
    assert entries == []
