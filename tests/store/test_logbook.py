"""What is kept of rooms that outlive the server."""

import pytest
import sqlalchemy as sa

from protocol.deck import Deck
from protocol.ids import MemberId, RoomId
from protocol.journal import Entry, Unreadable, read_entries
from protocol.lasting import CastCard, Join, Numbered
from protocol.messages import TicketId, TicketResult, Vote
from server.store import estimations, logbook, users
from server.store.estimations import Round, Session
from server.store.logbook import Chunk, Opening, RoomSettings, StoredLog
from server.store.resume_secret import SECRET_BYTES, resume_secret
from server.store.schema import (
    estimation_sessions,
    lasting_rooms,
    room_log,
    room_people,
)
from tests.store.people import add_user

A, B = RoomId("aaaaaa"), RoomId("bbbbbb")
ONE, TWO = Session(1, A, "key1", 1.5), Session(2, B, "key2", 2.5)
SETTINGS = RoomSettings(capacity=8, name="Refinement", deck=Deck(("1", "2")), grace_seconds=5)


def open_room(conn: sa.Connection, session: Session, claim: str | None = None) -> Opening:
    return logbook.open_room(conn, session=session, settings=SETTINGS.write(), claim=claim)


def entries(*cards: str) -> list[logbook.Applied]:
    return [
        (float(n), MemberId(f"m{n}"), Numbered(1 + n, CastCard(1, card)))
        for n, card in enumerate(cards)
    ]


def revealed(session: Session, number: int) -> Round:
    vote = Vote(MemberId("m1"), "Ada", "2")
    return Round(session, number, TicketResult(TicketId(f"T-{number}"), (vote,), 1.0))


def load(conn: sa.Connection, session: Session = ONE) -> StoredLog:
    stored = logbook.load(conn, session_id=session.id)
    assert stored is not None
    return stored


def count(conn: sa.Connection, table: sa.Table) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_a_room_that_was_opened_is_parked_with_its_settings(conn: sa.Connection) -> None:
    opening = open_room(conn, ONE)

    assert (opening.session, opening.closed_at, opening.fresh) == (ONE, None, True)
    assert logbook.parked(conn) == [ONE]
    stored = load(conn)
    assert stored == StoredLog(
        session=ONE, settings=opening.settings, snapshot=None, number=0, rows=[], rounds=0
    )
    assert RoomSettings.read(stored.settings) == SETTINGS


@pytest.mark.parametrize(
    "text", ["", "{", "5", "[]", "{}", '{"capacity":"8"}', '{"capacity":8,"x":1}']
)
def test_settings_that_are_none_are_told_apart(text: str) -> None:
    with pytest.raises(Unreadable, match="settings"):
        RoomSettings.read(text)


def test_a_claim_opens_one_room_however_often(conn: sa.Connection) -> None:
    assert open_room(conn, ONE, "claim").fresh

    again = open_room(conn, TWO, "claim")

    assert (again.session, again.fresh) == (ONE, False)
    assert logbook.parked(conn) == [ONE]
    assert count(conn, estimation_sessions) == 1
    assert open_room(conn, ONE, "claim").fresh  # the same once more, since its answer was lost
    assert open_room(conn, TWO, "another").fresh


def test_a_claim_is_honoured_after_the_end_and_forgotten_in_time(conn: sa.Connection) -> None:
    open_room(conn, ONE, "claim")
    logbook.append(conn, [Chunk(session_id=1, number=1, rounds=[revealed(ONE, 0)])])
    logbook.close(conn, [(1, 9.0)])

    again = open_room(conn, TWO, "claim")
    assert (again.session, again.closed_at, again.fresh) == (ONE, 9.0, False)

    logbook.forget_claims(conn, ONE.opened_at)
    assert not open_room(conn, TWO, "claim").fresh
    logbook.forget_claims(conn, ONE.opened_at + 0.1)
    assert open_room(conn, TWO, "claim").fresh


def test_a_log_is_read_as_it_was_written(conn: sa.Connection) -> None:
    open_room(conn, ONE)
    open_room(conn, TWO)
    chunks = [
        Chunk(session_id=1, number=1, entries=entries("1", "2")),
        Chunk(session_id=2, number=1, entries=entries("5")),
        Chunk(session_id=1, number=2, entries=entries("8"), rounds=[revealed(ONE, 0)]),
    ]

    logbook.append(conn, chunks[:2])
    for _ in range(2):  # the answer to a commit may be missing
        logbook.append(conn, chunks[2:])

    stored = load(conn)
    assert (stored.snapshot, stored.number, stored.rounds) == (None, 0, 1)
    assert [(number, read_entries(data)) for number, data in stored.rows] == [
        (1, [Entry(at, MemberId(m), command) for at, m, command in entries("1", "2")]),
        (2, [Entry(at, MemberId(m), command) for at, m, command in entries("8")]),
    ]
    page, _ = estimations.page(conn, session_id=1, start=0, stop=9, rows=9)
    assert page == [(0, revealed(ONE, 0).result)]
    assert len(load(conn, TWO).rows) == 1


def test_a_snapshot_takes_the_place_of_what_came_before_it(conn: sa.Connection) -> None:
    open_room(conn, ONE)
    open_room(conn, TWO)
    logbook.append(conn, [Chunk(session_id=2, number=1, entries=entries("5"))])
    chunks = [
        Chunk(session_id=1, number=1, entries=entries("1")),
        Chunk(session_id=1, number=2, snapshot=b"first"),
        Chunk(session_id=1, number=3, entries=entries("2")),
        Chunk(session_id=1, number=4, snapshot=b"second"),
        Chunk(session_id=1, number=5, entries=entries("3")),
    ]

    for _ in range(2):
        logbook.append(conn, chunks)

    stored = load(conn)
    assert (stored.snapshot, stored.number) == (b"second", 4)
    assert [number for number, _ in stored.rows] == [5]
    assert len(load(conn, TWO).rows) == 1
    assert count(conn, room_log) == 2


def test_of_a_room_that_has_ended_the_results_stay_alone(conn: sa.Connection) -> None:
    open_room(conn, ONE)
    logbook.append(
        conn,
        [
            Chunk(session_id=1, number=1, snapshot=b"all"),
            Chunk(session_id=1, number=2, entries=entries("1"), rounds=[revealed(ONE, 0)]),
        ],
    )
    for _ in range(2):
        logbook.append(
            conn, [Chunk(session_id=1, number=2, rounds=[revealed(ONE, 1)], closed_at=7.5)]
        )

    assert logbook.parked(conn) == []
    assert logbook.load(conn, session_id=1) is None
    assert count(conn, room_log) == 0
    assert conn.execute(sa.select(lasting_rooms.c.snapshot)).scalars().all() == [None]
    [found] = estimations.find(conn, room_id=A)
    assert (found.session, found.closed_at, found.rounds) == (ONE, 7.5, 2)
    # Another one may have the id.
    assert open_room(conn, Session(3, A, "key3", 9.0)).fresh


def test_a_room_that_has_ended_without_a_reveal_leaves_nothing(conn: sa.Connection) -> None:
    open_room(conn, ONE)
    open_room(conn, TWO)
    logbook.append(conn, [Chunk(session_id=1, number=1, entries=entries("1"))])

    logbook.close(conn, [(1, 5.0)])

    assert estimations.find(conn, room_id=A) == []
    assert (count(conn, room_log), count(conn, lasting_rooms)) == (0, 1)
    assert logbook.parked(conn) == [TWO]


def test_accounts_are_noted_once_unless_they_are_gone(conn: sa.Connection) -> None:
    ann, bob = add_user(conn, "ann"), add_user(conn, "bob")
    open_room(conn, ONE)
    chunk = Chunk(session_id=1, number=1, people=[(ann.id, 3.5), (bob.id, 4.5), (999, 5.5)])

    logbook.append(conn, [chunk])
    logbook.append(conn, [Chunk(session_id=1, number=1, people=[(ann.id, 8.5)])])
    users.delete(conn, bob.id)

    assert conn.execute(sa.select(room_people)).all() == [(1, ann.id, 3.5, False, None)]
    logbook.close(conn, [(1, 9.0)])
    assert count(conn, room_people) == 0


def test_what_is_written_of_a_room_that_is_gone_is_refused(conn: sa.Connection) -> None:
    with pytest.raises(sa.exc.IntegrityError), conn.begin_nested():
        logbook.append(conn, [Chunk(session_id=1, number=1, entries=entries("1"))])


def test_after_a_kill_rooms_that_last_are_not_ended(conn: sa.Connection) -> None:
    open_room(conn, ONE)
    estimations.record(conn, [revealed(TWO, 0)])

    assert estimations.close_left_open(conn, at=9.0) == 1

    assert logbook.parked(conn) == [ONE]
    assert [each.closed_at for each in estimations.find(conn, room_id=A)] == [None]
    assert [each.closed_at for each in estimations.find(conn, room_id=B)] == [9.0]


def test_the_secret_is_made_once(conn: sa.Connection) -> None:
    secret = resume_secret(conn)

    assert len(secret) == SECRET_BYTES
    assert resume_secret(conn) == secret


def test_entries_of_members_are_numbered_commands_and_joins(conn: sa.Connection) -> None:
    open_room(conn, ONE)
    joined = (2.5, MemberId("m1"), Join(name="Ada", owner=True, account=3))

    logbook.append(conn, [Chunk(session_id=1, number=1, entries=[joined])])

    [(_, data)] = load(conn).rows
    assert read_entries(data) == [Entry(2.5, MemberId("m1"), joined[2])]


def test_the_room_of_a_claim_is_found(conn: sa.Connection) -> None:
    opening = open_room(conn, ONE, "claim")
    open_room(conn, TWO)

    found = logbook.claimed(conn, claim="claim")

    assert found == Opening(ONE, opening.settings, None, fresh=False)
    assert logbook.claimed(conn, claim="another") is None
    logbook.append(conn, [Chunk(session_id=1, number=1, rounds=[revealed(ONE, 0)], closed_at=9.0)])
    assert logbook.claimed(conn, claim="claim") == Opening(ONE, opening.settings, 9.0, fresh=False)
