"""Which accounts were in which rooms: lists, names, and how rooms leave them."""

from functools import partial
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from protocol.ids import RoomId
from server.store import estimations, logbook, users
from server.store import visits as store
from server.store.cursors import Cursor
from server.store.estimations import Session
from server.store.logbook import Chunk
from server.store.schema import (
    estimation_rounds,
    estimation_sessions,
    estimation_votes,
    room_people,
)
from server.store.visits import Removal, VisitedRoom
from tests.store.people import add_user, add_users
from tests.store.test_logbook import ONE, SETTINGS, TWO, count, revealed


def visited(session: Session, **more: Any) -> VisitedRoom:
    usual = {"title": None, "owner": False, "joined_at": 0.0, "closed_at": None, "rounds": 0}
    return VisitedRoom(session=session, settings=SETTINGS, **{**usual, **more})


def visits(conn: sa.Connection, user_id: int, limit: int = 9, **more: Cursor) -> list[VisitedRoom]:
    return store.visited(conn, user_id=user_id, before=more.get("before"), limit=limit)


def open_room(conn: sa.Connection, session: Session, owner: int | None = None) -> None:
    text = SETTINGS.write()
    opening = logbook.open_room(conn, session=session, settings=text, claim=None, owner=owner)
    assert opening.fresh


def play(conn: sa.Connection, session: Session, *people: int, closed_at: float = 7.5) -> None:
    """Let people come, reveal a round, and end."""
    chunk = Chunk(
        session_id=session.id,
        number=1,
        people=[(each, 3.5) for each in people],
        rounds=[revealed(session, 0)],
        closed_at=closed_at,
    )
    logbook.append(conn, [chunk])


def test_the_rooms_of_an_account_are_listed_with_what_has_become_of_them(
    conn: sa.Connection,
) -> None:
    ann, bob = add_user(conn, "ann"), add_user(conn, "bob")
    open_room(conn, ONE)
    open_room(conn, TWO)
    logbook.append(
        conn,
        [
            Chunk(session_id=1, number=1, people=[(ann.id, 3.5), (bob.id, 9.5)]),
            Chunk(session_id=2, number=1, people=[(ann.id, 4.5)]),
            Chunk(session_id=1, number=2, rounds=[revealed(ONE, 0), revealed(ONE, 1)]),
        ],
    )
    logbook.close(conn, [(1, 7.5)])

    assert visits(conn, ann.id) == [
        visited(TWO, joined_at=4.5),
        visited(ONE, joined_at=3.5, closed_at=7.5, rounds=2),
    ]
    assert [each.joined_at for each in visits(conn, bob.id)] == [9.5]
    assert visits(conn, 999) == []


def test_the_rooms_of_an_account_are_listed_page_by_page(conn: sa.Connection) -> None:
    ann = add_user(conn, "ann")
    come = {1: 5.0, 2: 8.0, 3: 5.0, 4: 2.0, 5: 5.0}
    for number, at in come.items():
        open_room(conn, Session(number, RoomId(f"room{number}"), f"key{number}", 1.0))
        logbook.append(conn, [Chunk(session_id=number, number=1, people=[(ann.id, at)])])

    seen: list[int] = []
    page = visits(conn, ann.id, limit=2)
    while page:
        seen += [each.session.id for each in page]
        page = visits(conn, ann.id, limit=2, before=page[-1].cursor)

    assert seen == [2, 5, 3, 1, 4]
    for id_ in (-(2**63), 2**63 - 1):  # no cursor of ours, but one that can be read
        assert visits(conn, ann.id, before=Cursor(-1e308, id_)) == []
        assert len(visits(conn, ann.id, before=Cursor(1e308, id_))) == 5


def test_who_opens_a_room_has_it_in_the_list_and_owns_it(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    open_room(conn, ONE, ann.id)
    open_room(conn, TWO, 999)  # an account that is gone meanwhile

    assert visits(conn, ann.id) == [visited(ONE, owner=True, joined_at=1.5)]
    play(conn, ONE, ann.id, bob.id)
    ended = {"closed_at": 7.5, "rounds": 1}
    # Coming in later changes nothing.
    assert visits(conn, ann.id) == [visited(ONE, owner=True, joined_at=1.5, **ended)]
    assert visits(conn, bob.id) == [visited(ONE, joined_at=3.5, **ended)]
    assert visits(conn, 999) == []


def test_an_owners_name_is_everybodys_who_has_none(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    open_room(conn, ONE, ann.id)
    open_room(conn, TWO)
    play(conn, ONE, bob.id)
    name = partial(store.rename, conn, session_id=1)

    def names() -> list[str | None]:
        return [visits(conn, each.id)[0].title for each in (ann, bob)]

    assert name(user_id=ann.id, title="ours") == visits(conn, ann.id)[0]
    assert names() == ["ours", "ours"]
    assert name(user_id=bob.id, title="mine") == visits(conn, bob.id)[0]
    assert names() == ["ours", "mine"]
    name(user_id=ann.id, title=None)
    assert names() == [None, "mine"]
    name(user_id=ann.id, title="again")
    name(user_id=bob.id, title=None)
    assert names() == ["again", "again"]
    users.delete(conn, ann.id)
    assert visits(conn, bob.id)[0].title is None


@pytest.mark.parametrize("session_id", [2, 3, 0, -1, 2**70])
def test_only_what_is_in_the_list_is_renamed_or_removed(
    conn: sa.Connection, session_id: int
) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    open_room(conn, ONE, ann.id)
    open_room(conn, TWO, bob.id)

    assert store.rename(conn, user_id=ann.id, session_id=session_id, title="x") is None
    found = store.remove(conn, user_id=ann.id, session_id=session_id)
    assert found is Removal.NOTHING_THERE
    assert visits(conn, bob.id) == [visited(TWO, owner=True, joined_at=2.5)]


def test_who_owns_nothing_takes_a_room_off_its_own_list_alone(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    open_room(conn, ONE, ann.id)
    play(conn, ONE, bob.id)

    assert store.remove(conn, user_id=bob.id, session_id=1) is Removal.OFF_THE_LIST
    assert store.remove(conn, user_id=bob.id, session_id=1) is Removal.NOTHING_THERE
    assert visits(conn, bob.id) == []
    assert len(visits(conn, ann.id)) == 1
    assert len(estimations.find(conn, room_id=ONE.room_id)) == 1


def test_an_owner_deletes_a_room_that_has_ended_for_everybody(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    open_room(conn, ONE, ann.id)
    assert store.remove(conn, user_id=ann.id, session_id=1) is Removal.LIVE
    assert len(visits(conn, ann.id)) == 1
    play(conn, ONE, bob.id)

    assert store.remove(conn, user_id=ann.id, session_id=1) is Removal.DELETED

    assert visits(conn, ann.id) == visits(conn, bob.id) == []
    assert estimations.find(conn, room_id=ONE.room_id) == []


@pytest.mark.parametrize("seconds", [None, 1e6])
def test_what_was_deleted_goes_at_once_however_long_results_are_kept(
    conn: sa.Connection, seconds: float | None
) -> None:
    ann = add_user(conn)
    open_room(conn, ONE, ann.id)
    open_room(conn, TWO, ann.id)
    for session in (ONE, TWO):
        play(conn, session)
    store.remove(conn, user_id=ann.id, session_id=1)

    while estimations.forget_old(conn, 1e3, seconds=seconds):
        pass

    tables = (estimation_sessions, estimation_rounds, estimation_votes, room_people)
    assert [count(conn, table) for table in tables] == [1, 1, 1, 1]
    assert [each.session for each in visits(conn, ann.id)] == [TWO]


def test_what_is_gone_in_part_is_not_listed(conn: sa.Connection) -> None:
    ann = add_user(conn)
    open_room(conn, ONE, ann.id)
    play(conn, ONE)
    more = attrs.evolve(revealed(ONE, 1))
    estimations.insert_rounds(conn, [more])

    assert estimations.forget_old(conn, 1e9, seconds=1.0, rows=1)

    assert count(conn, estimation_votes) == 1
    assert visits(conn, ann.id) == []
    assert store.rename(conn, user_id=ann.id, session_id=1, title="x") is None


def test_two_rooms_of_one_id_are_two_sessions(conn: sa.Connection) -> None:
    ann = add_user(conn)
    open_room(conn, ONE, ann.id)
    play(conn, ONE)
    later = Session(3, RoomId(ONE.room_id), "key3", 9.5)
    open_room(conn, later, ann.id)
    play(conn, later)

    store.remove(conn, user_id=ann.id, session_id=1)

    assert [each.session for each in visits(conn, ann.id)] == [later]
    assert [each.session for each in estimations.find(conn, room_id=ONE.room_id)] == [later]
