"""A client as a state machine: when it comes back, when it gives up, and what it keeps."""

from typing import Any

import attrs
import orjson
import pytest

from protocol.backoff import Backoff
from protocol.changes import Ack, Digest, Saved
from protocol.client import GREETING_SECONDS, SILENT_SECONDS
from protocol.client_estimation import EstimationClient
from protocol.client_happenings import (
    Again,
    Answered,
    Changed,
    Complained,
    Misunderstood,
    Over,
    Stored,
    Visible,
    Welcomed,
)
from protocol.client_outbox import MOST_WAITING, RETRY_SECONDS, TooManyWaiting
from protocol.client_states import Standing
from protocol.dialects.parley_v1 import CLOSE_CODES, PARLEY_V1, Error
from protocol.errors import IllegalMove
from protocol.estimation import Estimation
from protocol.farewell import Ending
from protocol.fold import digest
from protocol.greeting import Hello, Resume
from protocol.ids import MemberId, RoomId, TicketId
from protocol.lasting import BeginRound, CastCard, Join, Numbered, Retract
from tests.protocol.lossy_server import LossyServer, text_of

KEY = "key"
CODES = {code: ending for ending, code in CLOSE_CODES.items()}
ANN = MemberId("m1")


def said(kind: str, **fields: Any) -> str:
    return orjson.dumps({"type": kind, **fields}).decode()


def welcome(resumed: str = "no", *, lasting: bool = True, **more: Any) -> str:
    return said(
        "welcome",
        member=ANN,
        token="t",
        epoch="7.0",
        resumed=resumed,
        lasting=lasting,
        at=1.0,
        ping_seconds=25.0,
        limits={"message_bytes": 1, "rate": 1.0, "burst": 1, "window": 3, "new": 1},
        release="1",
        features=["more"],
        **more,
    )


def a_room() -> Estimation:
    room = Estimation(RoomId("Room42"), 5, keyed=True, grace_seconds=60.0)
    room.apply(Join(name="Ann", owner=True), ANN, 1.0)
    return room


def snapshot(room: Estimation) -> str:
    frame = PARLEY_V1.encode(room.snapshot_for(ANN))
    assert frame is not None
    return text_of(frame)


def new_client(hello: Hello | None = None) -> EstimationClient:
    return EstimationClient(hello or Hello(name="Ann", owner_key=KEY), lambda: 0.5)


def inside(*, lasting: bool = True) -> EstimationClient:
    """Give a client that knows a room in which round 1 runs."""
    room, client = a_room(), new_client()
    room.apply(Numbered(99, BeginRound(TicketId("T"))), ANN, 2.0)
    client.opened(0.0)
    client.to_send(0.0)
    client.receive(welcome(lasting=lasting), 0.0)
    client.receive(snapshot(room), 0.0)
    assert client.standing is Standing.INSIDE
    return client


def sent(client: EstimationClient, now: float = 0.0) -> list[dict[str, Any]]:
    return [orjson.loads(text) for text in client.to_send(now)]


def back(
    client: EstimationClient, *, code: int | None = None, now: float = 0.0
) -> list[dict[str, Any]]:
    """Close the connection and open another one; give what is said first."""
    assert isinstance(client.closed(code, now), Again)
    client.opened(now)
    return sent(client, now)


# --- coming and going back --------------------------------------------------------------------


def test_it_says_who_comes_and_later_that_it_is_back() -> None:
    client = new_client()
    assert sent(client) == []
    client.opened(0.0)
    hello = {"type": "hello", "name": "Ann", "role": "voter", "owner_key": KEY}
    assert sent(client) == [hello]
    assert sent(client) == []
    assert back(client) == [hello]
    (welcomed,) = client.receive(welcome(), 0.0)
    assert isinstance(welcomed, Welcomed)
    assert back(client) == [
        {"type": "hello", "role": "voter", "resume": {"token": "t", "epoch": "7.0"}}
    ]
    client.receive(welcome("snapshot"), 0.0)
    (changed,) = client.receive(snapshot(a_room()), 0.0)
    assert isinstance(changed, Changed)
    assert back(client)[0]["resume"] == {"token": "t", "epoch": "7.0", "seq": 1}


def test_a_seat_of_before_is_shown_without_a_number_that_nothing_is_known_of() -> None:
    client = new_client(Hello(resume=Resume(token="t", seq=7, epoch="7.0")))
    client.opened(0.0)
    assert sent(client)[0]["resume"] == {"token": "t", "epoch": "7.0"}


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1011, 4000, 4004, 4499, 5000])
def test_it_comes_back_after_most_ends(code: int | None) -> None:
    client = inside()
    assert client.closed(code, 7.0) == Again(0.1, CODES.get(code or 0), "")
    assert client.due == 7.1


@pytest.mark.parametrize("code", [4500, 4503, 4506, 4999])
def test_it_does_not_come_back_from_4500_on(code: int) -> None:
    client = inside()
    over = client.closed(code, 7.0)
    assert over == Over(CODES.get(code), "")
    assert client.due is None
    assert client.closed(None, 8.0) is over
    assert client.receive(welcome(), 8.0) == []
    assert sent(client) == []
    with pytest.raises(IllegalMove):
        client.opened(8.0)


@pytest.mark.parametrize(
    ("reason", "back_in", "expected"),
    [
        ("going_away", 3.5, Again(3.5, Ending.GOING_AWAY, "bye")),
        ("silent", None, Again(0.1, Ending.SILENT, "bye")),
        ("replaced", None, Over(Ending.REPLACED, "bye")),
    ],
)
def test_a_goodbye_says_more_than_a_close_code(
    reason: str, back_in: float | None, expected: Again | Over
) -> None:
    client = inside()
    client.receive(
        said("goodbye", reason=reason, text="bye", back_in=back_in, room_survives=True), 1.0
    )
    assert client.hang_up
    assert client.closed(1006, 1.0) == expected


def test_who_is_refused_at_the_door_is_told_why() -> None:
    client = new_client()
    client.opened(0.0)
    error = Error(code="malformed", text="name is too long", field="name")
    assert client.receive(
        said("error", code="malformed", text="name is too long", field="name"), 0.0
    ) == [Complained(error)]
    assert client.closed(CLOSE_CODES[Ending.REFUSED], 0.0) == Over(Ending.REFUSED, "", error)


def test_it_waits_longer_each_time_until_an_attempt_is_of_use() -> None:
    client = inside()
    delays = []
    for _ in range(9):
        again = client.closed(None, 0.0)
        assert isinstance(again, Again)
        delays.append(again.seconds)
        client.opened(0.0)
        client.receive(welcome("snapshot"), 0.0)
        client.receive(snapshot(a_room()), 0.0)
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    client.receive(said("ping", at=1.0), 0.0)
    assert client.closed(None, 0.0) == Again(0.1, None, "")


def test_delays_are_drawn_from_nothing_up_to_a_bound() -> None:
    drawn = iter([0.0, 0.999])
    backoff = Backoff(lambda: next(drawn))
    assert [backoff.next(), backoff.next()] == [0.0, pytest.approx(0.3996)]


def test_silence_is_the_end_of_a_connection() -> None:
    client = new_client()
    client.opened(5.0)
    client.to_send(5.0)
    assert client.due == 5.0 + GREETING_SECONDS
    client.receive(welcome(), 6.0)
    dead = 6.0 + 25.0 + SILENT_SECONDS
    assert client.due == dead
    sent(client, dead - 0.1)
    assert not client.hang_up
    sent(client, dead)
    assert client.hang_up


def test_a_member_that_a_crash_has_lost_comes_as_somebody_new() -> None:
    client = inside()
    assert isinstance(client.closed(None, 0.0), Again)
    client.opened(59.0)
    assert isinstance(client.closed(CLOSE_CODES[Ending.WRONG_KEY], 59.0), Again)
    client.opened(59.0)
    assert sent(client, 59.0)[0]["name"] == "Ann"


@pytest.mark.parametrize("shown", [True, False])
def test_so_does_one_whose_first_welcome_or_picture_was_lost_too(shown: bool) -> None:
    client = new_client()
    client.opened(0.0)
    client.to_send(0.0)
    assert back(client)[0]["name"] == "Ann"
    client.receive(welcome("snapshot"), 0.0)  # the same hello finds the seat that it took
    if shown:
        client.receive(snapshot(a_room()), 0.0)
    assert back(client)[0]["resume"]["token"] == "t"

    again = client.closed(CLOSE_CODES[Ending.WRONG_KEY], 0.0)

    assert isinstance(again, Again)
    client.opened(1.0)
    assert sent(client, 1.0)[0]["name"] == "Ann"


def test_one_that_had_a_seat_before_is_not_lost_but_out() -> None:
    client = new_client(Hello(resume=Resume(token="t")))
    client.opened(0.0)
    client.to_send(0.0)
    client.receive(welcome("snapshot"), 0.0)
    client.receive(snapshot(a_room()), 0.0)
    back(client)
    assert isinstance(client.closed(CLOSE_CODES[Ending.WRONG_KEY], 0.0), Over)


@pytest.mark.parametrize("saved", [True, False])
def test_one_whose_grace_is_over_does_not(saved: bool) -> None:
    client = inside()
    if saved:
        client.receive(said("saved", seq=2), 0.0)
    assert isinstance(client.closed(None, 0.0), Again)
    client.opened(60.0)
    now = 1.0 if saved else 60.0
    assert isinstance(client.closed(CLOSE_CODES[Ending.WRONG_KEY], now), Over)


# --- what it is told --------------------------------------------------------------------------


def test_a_gap_makes_it_ask_for_the_whole_room() -> None:
    client = inside()
    (happening,) = client.receive(said("away", seq=9, member=ANN, since=1.0), 0.0)
    assert isinstance(happening, Misunderstood)
    assert client.hang_up
    assert client.receive(said("ping", at=1.0), 0.0) == []
    assert "seq" not in back(client)[0]["resume"]


def test_what_a_newer_server_says_counts_if_it_is_numbered() -> None:
    client = inside()
    assert client.receive(said("weather", sun=True), 0.0) == []
    (changed,) = client.receive(said("moved", seq=3), 0.0)
    assert isinstance(changed, Changed)
    assert changed.picture.seq == 3
    client.receive(said("moved", seq=3), 0.0)
    assert client.hang_up


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "away", "seq": "x"}'])
def test_nonsense_is_told_and_does_no_harm(text: str) -> None:
    client = inside()
    (happening,) = client.receive(text, 0.0)
    assert isinstance(happening, Misunderstood)
    assert not client.hang_up
    stranger = new_client()
    stranger.opened(0.0)
    stranger.receive(text, 0.0)
    assert stranger.hang_up


@pytest.mark.parametrize(
    "text",
    [welcome("replayed"), snapshot(a_room()), said("away", seq=2, member=ANN, since=1.0)],
    ids=["replayed", "snapshot", "change"],
)
def test_what_makes_no_sense_at_first_ends_the_connection(text: str) -> None:
    client = new_client()
    client.opened(0.0)
    assert isinstance(client.receive(text, 0.0)[0], Misunderstood)
    assert client.hang_up


def test_a_second_welcome_ends_the_connection() -> None:
    client = inside()
    client.receive(welcome(), 0.0)
    assert client.hang_up


@pytest.mark.parametrize("right", [True, False])
def test_a_digest_is_compared_also_if_it_comes_before_the_change(right: bool) -> None:
    client = inside()
    picture = client.picture
    assert picture is not None
    expected = a_room()
    expected.apply(Numbered(99, BeginRound(TicketId("T"))), ANN, 2.0)
    expected.apply(Numbered(100, CastCard(1, "5")), ANN, 3.0)
    told = Digest(3, digest(expected.picture()) if right else "0" * 32)
    frame = PARLEY_V1.encode(told)
    assert frame is not None
    client.receive(text_of(frame), 0.0)
    assert not client.hang_up
    may = attrs.asdict(expected.picture().may)
    client.receive(said("voted", seq=3, member=ANN, complete=True, may=may), 0.0)
    assert client.hang_up is not right


def test_a_picture_of_another_history_is_no_start_even_if_the_new_one_never_comes() -> None:
    client = inside()
    back(client)
    client.receive(welcome("snapshot"), 0.0)
    assert "seq" not in back(client)[0]["resume"]


# --- requests ---------------------------------------------------------------------------------


def test_one_request_at_a_time_is_on_its_way() -> None:
    client = inside()
    assert [client.request(CastCard(1, card)) for card in ("5", "8")] == [1, 2]
    assert sent(client) == [{"type": "vote", "ref": 1, "round": 1, "card": "5"}]
    assert sent(client) == []
    assert [each.sent for each in client.pending] == [True, False]
    answered, *rest = client.receive(said("ack", ref=1, seq=3), 0.0)
    assert answered == Answered(1, CastCard(1, "5"), Ack(1, 3))
    assert rest == []
    assert client.mine is not None
    assert client.mine.card == "5"
    assert sent(client)[0]["ref"] == 2


def test_a_card_that_is_taken_back_is_not_on_the_table_whatever_is_told_of_it_later() -> None:
    client = inside()
    shown: list[str | None] = []
    requests: list[CastCard | Retract] = [CastCard(1, "5"), Retract(1), CastCard(1, "8")]

    def own_card() -> str | None:
        assert client.mine is not None
        return client.mine.card

    for ref, request in enumerate(requests, 1):
        client.request(request)
        sent(client)
        client.receive(said("ack", ref=ref, seq=2 + ref), 0.0)
        shown.append(own_card())
    assert shown == ["5", None, "8"]
    client.receive(said("voted", seq=3, member=ANN, complete=True, may=None), 0.0)
    client.receive(said("retracted", seq=4, member=ANN, may=None), 0.0)
    assert own_card() == "8"
    back(client)
    client.receive(welcome("replayed"), 0.0)
    for ref in (1, 2):
        sent(client)
        client.receive(said("ack", ref=ref, seq=2 + ref), 0.0)
    assert own_card() == "8"


def test_an_acknowledged_request_shows_when_its_change_is_told() -> None:
    client = inside()
    client.request(CastCard(1, "5"))
    sent(client)
    client.receive(said("ack", ref=1, seq=3), 0.0)
    changed, visible = client.receive(
        said("voted", seq=3, member=ANN, complete=True, may=None), 0.0
    )
    assert isinstance(changed, Changed)
    assert visible == Visible(1)


def test_what_is_not_saved_is_sent_again_in_order_and_answered_once() -> None:
    client = inside()
    for card in ("5", "8"):
        client.request(CastCard(1, card))
        sent(client)
        client.receive(said("ack", ref=client.pending[-1].ref, seq=2 + client.pending[-1].ref), 0.0)
    back(client)
    client.receive(welcome("replayed"), 0.0)
    assert sent(client)[0]["ref"] == 1
    assert client.receive(said("ack", ref=1, seq=3), 0.0) == []
    assert client.mine is not None
    assert client.mine.card == "8", "an older vote that is sent again is not the last one"
    assert client.receive(said("saved", seq=4), 0.0) == [Stored((1,))]
    assert sent(client)[0]["ref"] == 2
    assert not client.settled
    assert client.receive(said("ack", ref=2, seq=4), 0.0) == [Stored((2,))]
    assert client.settled


@pytest.mark.parametrize("who", [ANN, MemberId("m2")])
def test_a_card_of_ones_own_is_gone_when_one_only_watches(who: MemberId) -> None:
    client = inside()
    client.request(CastCard(1, "5"))
    sent(client)
    client.receive(said("ack", ref=1, seq=3), 0.0)
    client.receive(said("voted", seq=3, member=ANN, complete=True, may=None), 0.0)
    role = {"role": "spectator", "waiting_for": [], "complete": False, "may": None}
    client.receive(said("role", seq=4, member=who, **role), 0.0)
    assert client.mine is not None
    assert client.mine.card == (None if who == ANN else "5")
    back(client)
    client.receive(welcome("replayed"), 0.0)
    sent(client)
    client.receive(said("ack", ref=1, seq=3), 0.0)
    assert client.mine is not None
    assert client.mine.card == (None if who == ANN else "5"), "it was taken since"


def test_what_was_saved_of_another_history_counts_no_more() -> None:
    client = inside()
    client.receive(said("saved", seq=9), 0.0)
    client.request(CastCard(1, "5"))
    back(client)
    client.receive(welcome("snapshot"), 0.0)
    client.receive(snapshot(a_room()), 0.0)
    sent(client)
    (answered,) = client.receive(said("ack", ref=1, seq=3), 0.0)
    assert isinstance(answered, Answered)
    assert not client.settled


def test_what_was_acknowledged_in_another_history_shows_once_it_is_again() -> None:
    client = inside()
    client.request(CastCard(1, "5"))
    sent(client)
    client.receive(said("ack", ref=1, seq=3), 0.0)
    back(client)
    client.receive(welcome("snapshot"), 0.0)
    room = a_room()
    room.apply(Numbered(99, BeginRound(TicketId("T"))), ANN, 2.0)
    for ref in (100, 101):
        room.apply(Numbered(ref, CastCard(1, "8")), ANN, 3.0)
    (changed,) = client.receive(snapshot(room), 0.0)
    assert isinstance(changed, Changed)
    assert changed.picture.seq == 4
    assert sent(client)[0]["ref"] == 1
    assert client.receive(said("ack", ref=1, seq=5), 0.0) == []
    voted = said("voted", seq=5, member=ANN, complete=True, may=None)
    assert client.receive(voted, 0.0)[1:] == [Visible(1)]


def test_where_nothing_is_saved_an_answer_is_the_last_word() -> None:
    client = inside(lasting=False)
    for ref in range(1, 8):
        client.request(CastCard(1, "5"))
        assert sent(client)[0]["ref"] == ref
        client.receive(said("ack", ref=ref, seq=2 + ref), 0.0)
    assert client.settled


def test_no_more_wait_to_be_saved_than_the_server_remembers() -> None:
    client = inside()
    for ref in range(1, 5):
        client.request(CastCard(1, "5"))
        assert [each["ref"] for each in sent(client)] == ([ref] if ref < 4 else [])
        client.receive(said("ack", ref=ref, seq=2 + ref), 0.0)
    frame = PARLEY_V1.encode(Saved(3))
    assert frame is not None
    client.receive(text_of(frame), 0.0)
    assert sent(client)[0]["ref"] == 4


@pytest.mark.parametrize("numbered", [{"ref": 1}, {}])
def test_what_is_refused_for_the_moment_is_sent_again_before_what_follows(
    numbered: dict[str, int],
) -> None:
    client = inside()
    client.request(CastCard(1, "5"))
    client.request(CastCard(1, "8"))
    sent(client)
    error = said("error", code="too_fast", text="too fast", field=None, retry=True, **numbered)
    assert client.receive(error, 1.0) == []
    assert sent(client, 1.0) == []
    assert client.due == 1.0 + RETRY_SECONDS
    assert [each["ref"] for each in sent(client, 1.0 + RETRY_SECONDS)] == [1]


def test_a_refusal_is_an_answer_and_is_not_asked_again() -> None:
    client = inside()
    client.request(CastCard(1, "6"))
    sent(client)
    error = Error(code="not_in_deck", text="no card", field="card", ref=1)
    refused = said("error", code="not_in_deck", text="no card", field="card", ref=1)
    assert client.receive(refused, 0.0) == [Answered(1, CastCard(1, "6"), error)]
    assert client.receive(refused, 0.0) == []  # the request has arrived twice
    assert client.settled
    back(client)
    client.receive(welcome("replayed"), 0.0)
    assert sent(client) == []


def test_requests_do_not_pile_up_for_ever() -> None:
    client = new_client()
    for _ in range(MOST_WAITING):
        client.request(CastCard(1, "5"))
    with pytest.raises(TooManyWaiting):
        client.request(CastCard(1, "5"))


def test_the_server_of_these_tests_saves_nothing_by_itself() -> None:
    server = LossyServer()
    link = server.connect()
    link.up.append(said("hello", name="Ann", owner_key=KEY))
    server.hear(link)
    kinds = [orjson.loads(text)["type"] for text in link.down]
    assert kinds == ["welcome", "snapshot", "saved"]
    assert orjson.loads(link.down[-1])["seq"] == 0
