"""Chat rooms and their messages."""

import contextlib
from functools import partial

import attrs
import pytest
import sqlalchemy as sa
import trio

from protocol.chat import DELETED_USER
from server.store import chat, users
from server.store.cursors import RoomCursor
from server.store.database import Database
from server.store.records import ChatKind, ChatMessage, ChatRoom, User
from server.support.errors import Taken, TooMany
from tests.store.people import add_user, message


def add_room(
    conn: sa.Connection, room_id: str = "lobby", creator: User | None = None, at: float = 1.0
) -> ChatRoom:
    creator_id = creator.id if creator else None
    return chat.create_room(conn, id=room_id, name="The lobby", creator_id=creator_id, now=at)


def test_a_room_is_found_by_its_id(conn: sa.Connection) -> None:
    ann = add_user(conn)

    room = add_room(conn, creator=ann)

    assert room == ChatRoom("lobby", "The lobby", ann.id, 1.0)
    assert chat.room(conn, "lobby") == room
    assert chat.rooms(conn, before=None, limit=9) == [room]


@pytest.mark.parametrize("room_id", ["", "Lobby", "a\0b", "\udcff"])
def test_no_room_is_found_where_none_is(conn: sa.Connection, room_id: str) -> None:
    add_room(conn)

    assert chat.room(conn, room_id) is None
    assert chat.delete_room(conn, room_id) is False


def test_the_id_of_a_room_can_be_taken(conn: sa.Connection) -> None:
    add_room(conn)

    with pytest.raises(Taken, match="id"):
        add_room(conn)


def test_a_room_outlives_its_creator(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn, creator=ann)
    users.delete(conn, ann.id)

    assert chat.room(conn, "lobby") == ChatRoom("lobby", "The lobby", None, 1.0)
    assert add_room(conn, "other", ann).creator_id is None


def test_rooms_come_in_pages_the_latest_first(conn: sa.Connection) -> None:
    made = [add_room(conn, f"room{n}", at=n // 2) for n in range(5)]
    seen: list[ChatRoom] = []
    before: RoomCursor | None = None
    while page := chat.rooms(conn, before=before, limit=2):
        seen += page
        before = page[-1].cursor

    assert seen == made[::-1]


async def test_an_account_has_no_more_rooms_than_it_may_have_however_it_asks(
    database: Database,
) -> None:
    ann, bob = await database.run(lambda conn: (add_user(conn), add_user(conn, "bob")), write=True)
    made: list[str] = []

    async def create(name: str, creator: User) -> None:
        def work(conn: sa.Connection) -> ChatRoom:
            return chat.create_room(
                conn, id=name, name=name, creator_id=creator.id, now=1.0, most=3
            )

        with contextlib.suppress(TooMany):
            made.append((await database.run(work, write=True)).id)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(create, f"ann{number}", ann)
        nursery.start_soon(create, "bob", bob)

    assert len(made) == 4
    assert "bob" in made
    await database.run(lambda conn: chat.delete_room(conn, made[0]), write=True)
    await create("again", ann if made[0] != "bob" else bob)
    assert "again" in made


def test_messages_are_read_in_the_order_in_which_they_were_said(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    said = [message(seq, f"m{seq}", author=ann) for seq in range(1, 8)]
    chat.append(conn, said)

    assert chat.last_seq(conn, "lobby") == 7
    assert chat.history(conn, "lobby", before_seq=None, limit=3) == said[-3:]
    assert chat.history(conn, "lobby", before_seq=5, limit=3) == said[1:4]
    assert chat.history(conn, "lobby", before_seq=1, limit=3) == []


def test_a_room_in_which_nothing_was_said_has_no_last_message(conn: sa.Connection) -> None:
    assert chat.last_seq(conn, "lobby") == 0
    assert chat.history(conn, "lobby", before_seq=None, limit=3) == []


def test_a_room_goes_on_above_every_number_that_may_have_been_told(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    assert chat.wake_room(conn, "lobby", block=10, limit=3) == chat.WokenRoom(
        "The lobby", 1.0, 0, 10, []
    )
    said = [message(seq, f"m{seq}", author=ann) for seq in range(1, 6)]
    chat.append(conn, said)

    # It is woken again although it has not been put to sleep: somebody was killed.
    assert chat.wake_room(conn, "lobby", block=10, limit=3) == chat.WokenRoom(
        "The lobby", 1.0, 10, 20, said[-3:]
    )
    chat.grant_numbers(conn, room_id="lobby", up_to=30)
    chat.grant_numbers(conn, room_id="lobby", up_to=25)
    assert chat.wake_room(conn, "lobby", block=10, limit=0) == chat.WokenRoom(
        "The lobby", 1.0, 30, 40, []
    )


def test_numbers_that_nobody_was_told_are_given_out_later(conn: sa.Connection) -> None:
    for room_id in ("lobby", "attic", "cellar"):
        add_room(conn, room_id)
        chat.wake_room(conn, room_id, block=10, limit=0)

    chat.release_numbers(conn, numbers=[("lobby", 3), ("attic", 0), ("gone", 7)])

    woken = [chat.wake_room(conn, each, block=5, limit=0) for each in ("lobby", "attic", "cellar")]
    assert woken == [
        chat.WokenRoom("The lobby", 1.0, *each, []) for each in ((3, 8), (0, 5), (10, 15))
    ]


def test_a_room_from_before_the_record_goes_on_above_its_messages(conn: sa.Connection) -> None:
    add_room(conn)
    chat.append(conn, [message(seq) for seq in range(1, 8)])

    woken = chat.wake_room(conn, "lobby", block=10, limit=0)

    assert woken == chat.WokenRoom("The lobby", 1.0, 7, 17, [])


@pytest.mark.parametrize("room_id", ["", "Lobby", "a\0b", "\udcff"])
def test_a_room_that_is_not_there_is_not_woken(conn: sa.Connection, room_id: str) -> None:
    add_room(conn)

    assert chat.wake_room(conn, room_id, block=10, limit=3) is None
    chat.release_numbers(conn, numbers=[("gone", 1)])
    chat.grant_numbers(conn, room_id="gone", up_to=1)


def test_messages_that_are_there_are_not_written_again(conn: sa.Connection) -> None:
    add_room(conn)
    chat.append(conn, [message(1, "first"), message(2, "second")])

    chat.append(conn, [message(2, "other"), message(3, "third"), message(3, "twice")])

    texts = [each.text for each in chat.history(conn, "lobby", before_seq=None, limit=9)]
    assert texts == ["first", "second", "third"]


def test_messages_of_rooms_and_authors_that_are_gone_do_no_harm(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    users.delete(conn, ann.id)

    chat.append(conn, [message(1, room="gone"), message(1, author=ann)])
    chat.append(conn, [message(1, room="gone")])
    chat.append(conn, [])

    assert chat.history(conn, "lobby", before_seq=None, limit=9) == [
        ChatMessage("lobby", 1, None, DELETED_USER, "hi", 1.0)
    ]
    assert chat.last_seq(conn, "gone") == 0


def test_messages_lose_their_author_and_keep_their_text(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    chat.append(conn, [message(1, author=ann)])
    users.rename(conn, ann.id, "anna")

    [before] = chat.history(conn, "lobby", before_seq=None, limit=9)
    users.delete(conn, ann.id)
    [after] = chat.history(conn, "lobby", before_seq=None, limit=9)

    assert (before.author, before.author_id) == ("anna", ann.id)
    assert (after.author, after.author_id, after.text) == (DELETED_USER, None, "hi")


def test_with_a_room_go_its_messages(conn: sa.Connection) -> None:
    add_room(conn)
    chat.append(conn, [message(1)])

    assert chat.delete_room(conn, "lobby") is True
    assert chat.delete_room(conn, "lobby") is False
    assert chat.last_seq(conn, "lobby") == 0


async def test_deleting_a_user_and_a_room_where_people_talk_leaves_no_orphans(
    database: Database,
) -> None:
    ann = await database.run(add_user, write=True)
    for room_id in ("lobby", "other"):
        await database.run(partial(add_room, room_id=room_id, creator=ann), write=True)

    async def talk(first: int) -> None:
        said = [
            message(first + seq, room=room_id, author=ann)
            for seq in range(5)
            for room_id in ("other", "lobby")
        ]
        await database.run(partial(chat.append, messages=said), write=True)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(talk, 10 * number)
            if number == 7:
                gone = partial(users.delete, id=ann.id)
                nursery.start_soon(partial(database.run, gone, write=True))
            if number == 12:
                ended = partial(chat.delete_room, id="other")
                nursery.start_soon(partial(database.run, ended, write=True))

    kept = await database.run(partial(chat.history, room_id="lobby", before_seq=None, limit=1000))
    assert len(kept) == 100
    assert {(each.author, each.author_id) for each in kept} == {(DELETED_USER, None)}
    assert await database.run(partial(chat.last_seq, room_id="other")) == 0


# --- changes of messages ----------------------------------------------------------------------


def change(
    seq: int, target: int, text: str, author: User, *, member: str | None = None, ref: int = 0
) -> ChatMessage:
    return ChatMessage(
        "lobby",
        seq,
        author.id,
        author.username,
        text,
        float(seq),
        kind=ChatKind.EDIT if text else ChatKind.DELETE,
        target=target,
        member=member,
        ref=ref if member else None,
    )


def texts(conn: sa.Connection) -> dict[int, str]:
    """Look at all that is kept, changes too."""
    rows = conn.exec_driver_sql("SELECT seq, text FROM chat_messages ORDER BY seq").all()
    return {int(seq): str(text) for seq, text in rows}


def test_an_edit_changes_the_message_and_is_kept_as_what_has_happened(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    chat.append(conn, [message(1, "helo", author=ann), message(2, "you", author=ann)])
    chat.append(conn, [change(3, 1, "hello", ann)])

    found = chat.history(conn, "lobby", before_seq=None, limit=9)
    assert [(each.seq, each.text, each.changed_at) for each in found] == [
        (1, "hello", 3.0),
        (2, "you", None),
    ]
    [edit] = chat.changes_since(conn, "lobby", seq=2, limit=9)
    assert edit == attrs.evolve(change(3, 1, "hello", ann), changed_at=None)
    assert chat.last_seq(conn, "lobby") == 3
    assert chat.message(conn, "lobby", 3) == edit
    assert chat.message(conn, "lobby", 4) is None


def test_nothing_is_left_of_what_a_message_was_before(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    chat.append(conn, [message(1, "first", author=ann), change(2, 1, "second", ann)])
    assert texts(conn) == {1: "second", 2: "second"}
    chat.append(conn, [change(3, 1, "third", ann)])
    assert texts(conn) == {1: "third", 2: "third", 3: "third"}
    chat.append(conn, [change(4, 1, "", ann)])
    assert texts(conn) == {1: "", 2: "", 3: "", 4: ""}
    kinds = [each.kind for each in chat.changes_since(conn, "lobby", seq=0, limit=9)]
    assert kinds == [ChatKind.MESSAGE, ChatKind.EDIT, ChatKind.EDIT, ChatKind.DELETE]


def test_changes_that_are_written_again_undo_nothing(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    rows = [
        message(1, "one", author=ann),
        message(2, "two", author=ann),
        change(3, 1, "one!", ann),
        change(4, 1, "one!!", ann),
        change(5, 2, "two!", ann),
        change(6, 2, "", ann),
    ]
    chat.append(conn, rows)
    expected = texts(conn)
    for part in (rows, rows[:3], rows[4:5], rows):
        chat.append(conn, part)
        assert texts(conn) == expected == {1: "one!!", 2: "", 3: "one!!", 4: "one!!", 5: "", 6: ""}


def test_a_change_of_one_room_changes_no_other(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    add_room(conn, "other")
    chat.append(conn, [message(1, "a", author=ann), message(1, "b", room="other", author=ann)])
    chat.append(conn, [change(2, 1, "", ann)])
    [kept] = chat.history(conn, "other", before_seq=None, limit=9)
    assert (kept.text, kept.changed_at) == ("b", None)


def test_a_deleted_account_is_in_none_of_it(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    chat.append(conn, [message(1, "a", author=ann), change(2, 1, "b", ann)])
    chat.mark_read(conn, [(ann.id, "lobby", 2)])
    users.delete(conn, ann.id)
    for each in chat.changes_since(conn, "lobby", seq=0, limit=9):
        assert (each.author_id, each.author, each.text) == (None, DELETED_USER, "b")
    assert conn.exec_driver_sql("SELECT count(*) FROM chat_reads").scalar_one() == 0


# --- what is asked twice ----------------------------------------------------------------------


def test_a_members_latest_requests_are_found(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    add_room(conn, "other")
    said = [attrs.evolve(message(n, author=ann), member="m1", ref=10 * n) for n in range(1, 6)]
    elsewhere = attrs.evolve(message(1, room="other", author=ann), member="m1", ref=99)
    chat.append(conn, [*said, change(6, 1, "x", ann, member="m2", ref=7), elsewhere])

    assert chat.answers(conn, "lobby", "m1", limit=3) == [(30, 3), (40, 4), (50, 5)]
    assert chat.answers(conn, "lobby", "m2", limit=3) == [(7, 6)]
    assert chat.answers(conn, "lobby", "m3", limit=3) == []


def test_a_request_leaves_one_thing_whatever_is_written(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    first, again = (attrs.evolve(message(n, author=ann), member="m1", ref=1) for n in (1, 2))
    other = message(3, author=ann)
    chat.append(conn, [first])
    chat.append(conn, [again, other])
    assert list(texts(conn)) == [1, 3]


# --- how far people have read -----------------------------------------------------------------


def test_a_mark_only_moves_forward(conn: sa.Connection) -> None:
    ann, bob = add_user(conn), add_user(conn, "bob")
    add_room(conn)
    add_room(conn, "other")
    assert chat.read_up_to(conn, "lobby", ann.id) == 0
    chat.mark_read(conn, [(ann.id, "lobby", 5), (bob.id, "lobby", 1), (ann.id, "lobby", 3)])
    chat.mark_read(conn, [(ann.id, "lobby", 4), (ann.id, "other", 2)])
    assert chat.read_up_to(conn, "lobby", ann.id) == 5
    assert chat.read_up_to(conn, "other", ann.id) == 2
    assert chat.read_up_to(conn, "lobby", bob.id) == 1
    chat.mark_read(conn, [(ann.id, "lobby", 6)])
    assert chat.read_up_to(conn, "lobby", ann.id) == 6


def test_marks_of_rooms_and_people_that_are_gone_do_no_harm(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    chat.mark_read(conn, [(ann.id, "nowhere", 1), (ann.id + 1, "lobby", 1), (ann.id, "lobby", 1)])
    assert chat.read_up_to(conn, "lobby", ann.id) == 1
    chat.delete_room(conn, "lobby")
    assert chat.read_up_to(conn, "lobby", ann.id) == 0


def test_messages_of_others_are_unread(conn: sa.Connection) -> None:
    ann, bob = add_user(conn), add_user(conn, "bob")
    add_room(conn)
    said = [message(n, author=ann if n % 2 else bob) for n in range(1, 9)]
    nobody = message(9)
    chat.append(conn, [*said, nobody, change(10, 2, "x", bob)])

    def count(above: int, up_to: int = 99, most: int = 99) -> int:
        return chat.count_unread(conn, "lobby", ann.id, above=above, up_to=up_to, most=most)

    assert [count(0), count(4), count(9)] == [5, 3, 0]
    assert count(0, up_to=4) == 2
    assert count(0, most=3) == 3


def test_changes_come_in_pages_the_oldest_first(conn: sa.Connection) -> None:
    ann = add_user(conn)
    add_room(conn)
    chat.append(conn, [message(n, author=ann) for n in range(1, 8)])
    pages = [chat.changes_since(conn, "lobby", seq=seq, limit=3) for seq in (0, 3, 6, 7)]
    assert [[each.seq for each in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], []]
