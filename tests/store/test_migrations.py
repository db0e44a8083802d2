"""Migrations: what they make is what the code believes in."""

import os
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from protocol.deck import DEFAULT_DECK, Deck
from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from server.store import chat, estimations, logbook, migrate, urls
from server.store.database import Database
from server.store.engines import make_engine, make_patient_engine, writing
from server.store.schema import (
    estimation_sessions,
    lasting_rooms,
    metadata,
    room_people,
)
from server.support.errors import DatabaseUnusable


def execute(url: str, *statements: str) -> None:
    engine = make_patient_engine(urls.parse(url))
    with engine.begin() as conn:
        for statement in statements:
            conn.exec_driver_sql(statement)
    engine.dispose()


def test_an_empty_database_is_migrated_to_the_newest_revision(empty_url: str) -> None:
    database = Database(empty_url)

    assert database.current() is None
    database.upgrade()
    assert database.current() == migrate.newest()


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    database = Database(empty_url)
    database.upgrade()
    execute(empty_url, "INSERT INTO settings (key, value) VALUES ('a', 'b')")

    database.upgrade()

    engine = make_patient_engine(urls.parse(empty_url))
    with engine.begin() as conn:
        assert conn.exec_driver_sql("SELECT key, value FROM settings").all() == [("a", "b")]
    engine.dispose()


def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    command = [sys.executable, "-m", "server", "db", "upgrade", "--database-url", empty_url]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    told = [process.communicate(timeout=50) for process in processes]
    assert told == [(f"{migrate.newest()}\n", "")] * 3
    assert [process.returncode for process in processes] == [0, 0, 0]


def upgrade_to(url: str, revision: str) -> None:
    """Migrate to a revision that is not the newest."""
    engine = make_patient_engine(urls.parse(url))
    with writing(engine).begin() as conn:
        config = migrate.configuration()
        config.attributes["connection"] = conn
        command.upgrade(config, revision)
    engine.dispose()


def test_results_of_the_first_revision_are_kept_and_belong_to_their_rooms(empty_url: str) -> None:
    upgrade_to(empty_url, "0001")
    execute(
        empty_url,
        "INSERT INTO estimation_sessions VALUES ('bbbbbb', 5.5, NULL), ('aaaaaa', 7, 9)",
        "INSERT INTO estimation_rounds VALUES "
        "('aaaaaa', 0, 'T-1', 1.5), ('aaaaaa', 1, 'T-2', 2), ('bbbbbb', 0, 'T-1', 3)",
        "INSERT INTO estimation_votes VALUES ('aaaaaa', 0, 0, 'm1', 'Ada', '½'), "
        "('aaaaaa', 0, 1, 'm2', 'Bob', '8'), ('bbbbbb', 0, 0, 'm3', 'Cy', '?')",
    )

    Database(empty_url).upgrade()

    engine = make_engine(urls.parse(empty_url), 1)
    with writing(engine).begin() as conn:
        [ada], [bob] = (estimations.find(conn, room_id=RoomId(n * 6)) for n in "ab")
        assert (ada.session.key, ada.session.opened_at, ada.closed_at) == (None, 7, 9)
        assert (bob.session.key, bob.session.opened_at, bob.closed_at) == (None, 5.5, None)
        assert {ada.session.id, bob.session.id} == {1, 2}
        page = partial(estimations.page, conn, start=0, stop=9, rows=99)
        votes = (Vote(MemberId("m1"), "Ada", "½"), Vote(MemberId("m2"), "Bob", "8"))
        assert page(session_id=ada.session.id)[0] == [
            (0, TicketResult(TicketId("T-1"), votes, 1.5)),
            (1, TicketResult(TicketId("T-2"), (), 2)),
        ]
        vote = Vote(MemberId("m3"), "Cy", "?")
        result = TicketResult(TicketId("T-1"), (vote,), 3)
        assert page(session_id=bob.session.id)[0] == [(0, result)]
        # Rows still go with their sessions.
        conn.execute(sa.delete(estimation_sessions))
        assert page(session_id=ada.session.id)[0] == []
        assert conn.exec_driver_sql("SELECT count(*) FROM estimation_votes").scalar_one() == 0
    tables = sa.inspect(engine).get_table_names()
    assert [name for name in tables if name.startswith("old")] == []
    engine.dispose()


def test_messages_from_before_changes_were_kept_are_messages_that_nobody_has_changed(
    empty_url: str,
) -> None:
    upgrade_to(empty_url, "0005")
    execute(
        empty_url,
        "INSERT INTO chat_rooms (id, name, created_at) VALUES ('lobby', 'Lobby', 1)",
        "INSERT INTO chat_messages (room_id, seq, text, at) "
        "VALUES ('lobby', 1, 'one', 1), ('lobby', 2, 'two', 2)",
    )

    Database(empty_url).upgrade()

    engine = make_engine(urls.parse(empty_url), 1)
    with writing(engine).begin() as conn:
        found = chat.history(conn, "lobby", before_seq=None, limit=9)
        assert found == chat.changes_since(conn, "lobby", seq=0, limit=9)
        assert [(each.seq, each.text, each.changed_at) for each in found] == [
            (1, "one", None),
            (2, "two", None),
        ]
    engine.dispose()


def test_rooms_from_before_owners_were_known_have_none(empty_url: str) -> None:
    upgrade_to(empty_url, "0007")
    execute(
        empty_url,
        "INSERT INTO users (id, email, email_key, password_hash, username, created_at) "
        "VALUES (7, 'a', 'a', 'x', 'ann', 1)",
        "INSERT INTO estimation_sessions (id, room_id, opened_at) VALUES (1, 'aaaaaa', 1)",
        "INSERT INTO room_people (session_id, user_id, joined_at) VALUES (1, 7, 2.5)",
    )

    Database(empty_url).upgrade()

    engine = make_engine(urls.parse(empty_url), 1)
    with writing(engine).begin() as conn:
        assert conn.execute(sa.select(room_people)).all() == [(1, 7, 2.5, False, None)]
    engine.dispose()


def test_rounds_from_before_decks_were_kept_have_the_deck_of_their_room(empty_url: str) -> None:
    upgrade_to(empty_url, "0008")
    classic = '["0","½","1","2","3","5","8","13","20","21","34","40","55","100","?","coffee"]'
    settings = [
        '{"capacity":4,"name":"","cards":["S","M","?"],"grace_seconds":60.0,"most_rounds":9}',
        f'{{"capacity":4,"name":"","cards":{classic},"grace_seconds":60.0,"most_rounds":9}}',
        "nonsense",
    ]
    execute(
        empty_url,
        "INSERT INTO estimation_sessions (id, room_id, key, opened_at) VALUES "
        "(1, 'aaaaaa', 'k', 1), (2, 'bbbbbb', 'k', 1), "
        "(3, 'cccccc', 'k', 1), (4, 'dddddd', 'k', 1)",
        "INSERT INTO estimation_rounds VALUES (1, 0, 'T-1', 1), (1, 1, 'T-2', 1), "
        "(2, 0, 'T-1', 1), (3, 0, 'T-1', 1), (4, 0, 'T-1', 1)",
    )
    engine = make_engine(urls.parse(empty_url), 1)
    with writing(engine).begin() as conn:
        rooms = [
            {"session_id": id_, "room_id": str(id_), "settings": each, "snapshot_number": 0}
            for id_, each in enumerate(settings, 1)
        ]
        conn.execute(sa.insert(lasting_rooms), rooms)

    Database(empty_url).upgrade()

    with writing(engine).begin() as conn:
        found = [
            [
                result.deck
                for _, result in estimations.page(conn, session_id=id_, start=0, stop=9, rows=9)[0]
            ]
            for id_ in (1, 2, 3, 4)
        ]
        assert found == [[Deck(["S", "M", "?"])] * 2, *([[DEFAULT_DECK]] * 3)]
        assert logbook.RoomSettings.read(settings[0]).deck == Deck(["S", "M", "?"])
        assert logbook.RoomSettings.read(settings[1]).deck is DEFAULT_DECK
    engine.dispose()


def test_migrations_make_exactly_the_tables_of_the_schema(url: str) -> None:
    engine = make_patient_engine(urls.parse(url))
    with engine.begin() as conn:
        context = MigrationContext.configure(
            conn, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused_in_one_line(url: str) -> None:
    execute(url, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseUnusable, match=r"newer version.*9999") as unusable:
        Database(url).upgrade()

    assert str(unusable.value).isprintable()


def test_a_database_of_somebody_else_is_refused_and_not_changed(empty_url: str) -> None:
    execute(empty_url, "CREATE TABLE users (id INTEGER)")

    with pytest.raises(DatabaseUnusable, match=r"cannot be migrated.*users"):
        Database(empty_url).upgrade()

    engine = make_patient_engine(urls.parse(empty_url))
    assert set(sa.inspect(engine).get_table_names()) == {"users"}
    engine.dispose()


@pytest.mark.parametrize(
    "address",
    ["postgresql+psycopg://ann:secret@127.0.0.1:1/x", "sqlite:////nowhere/at/all/parley.db"],
)
def test_a_database_that_cannot_be_reached_is_named_in_one_line(address: str) -> None:
    database = Database(address)

    with pytest.raises(DatabaseUnusable, match="cannot be used") as unusable:
        database.upgrade()

    text = str(unusable.value)
    assert text.isprintable()
    assert "secret" not in text
    assert database.describe() in text


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all, but a longer text " * 100)

    with pytest.raises(DatabaseUnusable, match="not a database"):
        Database(f"sqlite:///{path}").upgrade()
    with pytest.raises(DatabaseUnusable, match="not a database"):
        Database(f"sqlite:///{path}").current()


def test_asking_for_the_revision_makes_no_file(tmp_path: Path) -> None:
    assert Database(f"sqlite:///{tmp_path}/a.db").current() is None
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Database(f"sqlite:///{tmp_path}/100%.db").upgrade()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "100%.db").stat().st_mode) == 0o600
