"""Units of work of webhooks, on either kind of database."""

import attrs
import sqlalchemy as sa

from protocol.ids import RoomId
from server.store import logbook, webhooks
from server.store.estimations import Session
from server.store.logbook import RoomSettings
from server.store.webhooks import KEPT_SECONDS, Due, Report, Webhook

HOOK = Webhook(url="https://a/", secret="s", events=("room.opened", "room.ended"))


def report(number: int, session: int = 1, *, own: bool = False, receiver: str = "a") -> Report:
    return Report(
        message_id=f"m{number}",
        session_id=session,
        own=own,
        receiver=receiver,
        event="room.opened",
        body="{}",
        at=float(number),
    )


def take(conn: sa.Connection, *reports: Report, room: int = 9, most: int = 99) -> int:
    return webhooks.enqueue(conn, reports, room=room, most=most)


def due(conn: sa.Connection, now: float = 100.0, **but: list[object]) -> Due:
    given: dict[str, list[object]] = {"underway": [], "busy": [], **but}
    return webhooks.due(conn, now, limit=9, **given)  # type: ignore[arg-type]


def ids(found: Due) -> list[str]:
    return [each.message_id for each in found.deliveries]


def test_each_room_and_receiver_has_its_order(conn: sa.Connection) -> None:
    take(conn, report(1), report(2), report(3, own=True), report(4, session=2))

    found = due(conn)
    assert (ids(found), found.waiting, found.later) == (["m1", "m3", "m4"], 4, None)
    webhooks.postpone(conn, found.deliveries[0].id, until=200.0, problem="p")
    webhooks.note_arrival(conn, found.deliveries[1].id)
    webhooks.give_up(conn, found.deliveries[2].id, now=100.0, problem="p")
    found = due(conn)
    assert (ids(found), found.waiting, found.later) == ([], 2, 200.0)
    found = due(conn, 200.0)
    assert (ids(found), found.deliveries[0].tries) == (["m1"], 1)


def test_what_is_underway_or_for_the_busy_is_not_due(conn: sa.Connection) -> None:
    take(conn, report(1), report(2, session=2, receiver="b"), report(3, session=3))

    first = due(conn).deliveries[0]
    assert ids(due(conn, underway=[first.id])) == ["m2", "m3"]
    assert ids(due(conn, busy=["a"])) == ["m2"]
    assert ids(due(conn, 2.0)) == ["m1", "m2"]


def test_the_same_report_waits_once(conn: sa.Connection) -> None:
    assert take(conn, report(1)) == take(conn, report(1)) == take(conn) == 0
    assert due(conn).waiting == 1


def test_there_is_room_for_so_many(conn: sa.Connection) -> None:
    assert take(conn, *(report(n) for n in range(5)), room=3) == 2
    assert take(conn, report(9), room=3) == 1
    assert take(conn, report(8, own=True), report(10, session=2), room=3, most=4) == 1
    assert due(conn).waiting == 4


def test_an_own_webhook_goes_along_as_long_as_there_is_one(conn: sa.Connection) -> None:
    webhooks.keep(conn, 1, HOOK)
    webhooks.keep(conn, 1, attrs.evolve(HOOK, url="https://b/"))
    take(conn, report(1, own=True), report(2))

    assert webhooks.hooked(conn) == [1]
    assert webhooks.of_sessions(conn, [1, 2]) == {1: HOOK}
    assert [(each.own, each.url, each.secret) for each in due(conn).deliveries] == [
        (True, "https://a/", "s"),
        (False, None, None),
    ]
    standing = webhooks.standing(conn, 1)
    assert standing is not None
    assert (standing.waiting, standing.failed, standing.problem) == (1, 0, None)
    assert webhooks.remove(conn, 1)
    assert not webhooks.remove(conn, 1)
    assert webhooks.standing(conn, 1) is None
    assert ids(due(conn)) == ["m2"]


def test_a_receiver_that_is_gone_gets_nothing_more(conn: sa.Connection) -> None:
    webhooks.keep(conn, 1, HOOK)
    take(conn, report(1, own=True), report(2, own=True), report(3), report(4, session=2))

    assert webhooks.give_up_all(conn, session_id=1, now=5.0, problem="gone") == 2
    assert webhooks.hooked(conn) == []
    assert ids(due(conn)) == ["m3", "m4"]
    assert webhooks.give_up_all(conn, session_id=None, now=5.0, problem="gone") == 2
    assert due(conn).waiting == 0


def test_what_is_old_is_forgotten_and_what_is_needed_is_not(conn: sa.Connection) -> None:
    live = Session(1, RoomId("aaaaaa"), "key", 1.0)
    logbook.open_room(conn, session=live, settings=RoomSettings(capacity=2).write(), claim=None)
    for session in (1, 2, 3):
        webhooks.keep(conn, session, HOOK)
    take(conn, report(1, 2, own=True), report(2, 3, own=True))
    failed = due(conn).deliveries[1].id
    webhooks.give_up(conn, failed, now=5.0, problem="p")
    standing = webhooks.standing(conn, 3)
    assert standing is not None
    assert (standing.waiting, standing.failed, standing.problem) == (0, 1, "p")

    assert webhooks.live(conn, [1, 2]) == [(live, 0)]
    assert not webhooks.forget_old(conn, 5.0 + KEPT_SECONDS - 1)
    assert sorted(webhooks.hooked(conn)) == [1, 2]
    assert not webhooks.forget_old(conn, 6.0 + KEPT_SECONDS)
    assert due(conn).waiting == 1
