"""Results as CSV: what was written can be read back, and no cell is a formula."""

import csv
import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.deck import Deck
from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from protocol.spreadsheet import SIGNS, harmless
from server.http.spreadsheet import COLUMNS, CsvForm
from server.store.estimations import NumberedRound, Session
from server.store.recording import RoomResults
from server.support.errors import StoreUnavailable

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
ROOM = RoomResults(session=Session(1, RoomId("a1B2c3"), "key", 0.0))
SEPARATORS = ",;|\t\n\r:^~/\\\"'"
UNSEEN = " \u00a0\u200b\u2060\ufeff\u00ad\u202e\u3000\u3164\u2800\ufe0f\u0301"


def to_csv(*rounds: NumberedRound) -> str:
    form = CsvForm()
    pieces = [form.head(ROOM), form.rounds(ROOM, rounds, first=True), form.tail(0, 0)]
    return b"".join(pieces).decode()


def one(name: str, ticket: str = "T", value: str = "3") -> NumberedRound:
    return 0, TicketResult(TicketId(ticket), (Vote(MemberId("m1"), name, value),), seconds=1.5)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_holds_a_vote_and_the_figures_of_its_round() -> None:
    votes = (Vote(MemberId("m1"), "Ada", "3"), Vote(MemberId("m2"), 'B,"ob"', "5"))

    text = to_csv((0, TicketResult(TicketId("T-1"), votes, 2.0)))

    more = '"classic",2,"","",2.0,1.0,0.5,"5","median","","no"'
    assert text.split("\r\n") == [
        ",".join(f'"{column}"' for column in COLUMNS),
        '"a1B2c3",1,"T-1",2.0,"m1","Ada","3",4.0,4.0,"","3 5",3.0,5.0,"no",' + more,
        '"a1B2c3",1,"T-1",2.0,"m2","B,""ob""","5",4.0,4.0,"","3 5",3.0,5.0,"no",' + more,
        "",
    ]


def test_cards_of_ones_own_are_no_formulas_wherever_they_stand() -> None:
    votes = (Vote(MemberId("m1"), "Ada", "=1+1"), Vote(MemberId("m2"), "Bob", "@x"))
    deck = Deck(["=1+1", "@x", "-"])

    row, _ = rows_of(to_csv((0, TicketResult(TicketId("T-1"), votes, 2.0, deck))))

    assert (row["vote"], row["median_card"], row["mode_cards"]) == ("'=1+1", "'@x", "'=1+1' @x")
    assert (row["deck_id"], row["suggestion"], row["rule"]) == ("custom", "'@x", "median")
    assert (row["count"], row["mean"], row["agreement"]) == ("2", "", "0.5")


def test_the_estimate_and_what_was_changed_after_the_reveal_are_told() -> None:
    votes = (Vote(MemberId("m1"), "Ada", "3"), Vote(MemberId("m2"), "Bob", "3", changed=True))

    rows = rows_of(to_csv((0, TicketResult(TicketId("T-1"), votes, 2.0, estimate="=3"))))

    assert [(row["estimate"], row["changed"]) for row in rows] == [("'=3", "no"), ("'=3", "yes")]


def test_a_round_without_votes_has_one_row() -> None:
    [row] = rows_of(to_csv((4, TicketResult(TicketId("T"), (), 1.0))))

    assert row["round"] == "5"
    assert (row["member_id"], row["name"], row["vote"]) == ("", "", "")
    assert (row["mean"], row["modes"], row["consensus"]) == ("", "", "no")


def test_a_room_without_rounds_has_a_header_only() -> None:
    assert rows_of(to_csv()) == []


def test_consensus_is_a_word() -> None:
    assert rows_of(to_csv(one("Ada")))[0]["consensus"] == "yes"


def test_what_is_missing_has_no_place_in_rows() -> None:
    with pytest.raises(StoreUnavailable):
        CsvForm().tail(0, 1)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ('@SUM(1)*cmd|"/c calc"!A1', """'@SUM(1)*cmd|"/c calc"!A1"""),
        ("\t=1", "'\t'=1"),
        ("\r1", "'\r1"),
        ("\n1", "'\n1"),
        ("  =1", "'  =1"),
        ("\u00a0@x", "'\u00a0@x"),
        ("\u200b=1+1", "'\u200b=1+1"),
        ("\u200b \u2060＝1", "'\u200b \u2060＝1"),  # noqa: RUF001
        ("\ufeff+1", "'\ufeff+1"),
        ("\u3164-1", "'\u3164-1"),
        ("＝1+1", "'＝1+1"),  # noqa: RUF001
        ("＋1", "'＋1"),  # noqa: RUF001
        ("﹣1", "'﹣1"),
        ("−1", "'−1"),  # noqa: RUF001
        (";=1+1;", ";'=1+1;"),
        ("x;\u200b=1", "x;'\u200b=1"),
        ("a;+1;@b|-c\t=d", "a;'+1;'@b|'-c\t'=d"),
        ("a,=1", "a,'=1"),
        ('";=1', "\";'=1"),
        ('x"=1', "x\"'=1"),
        ("x =1+1", "x' =1+1"),
        ("x -1+cmd", "x' -1+cmd"),
        ("x\u00a0@y", "x'\u00a0@y"),
        ("'=1", "''=1"),
    ],
)
def test_what_would_be_a_formula_gets_an_apostrophe(text: str, written: str) -> None:
    assert harmless(text) == written

    [row] = rows_of(to_csv(one(text, ticket=text, value=text)))
    assert row["name"] == row["ticket_id"] == row["vote"] == written


@pytest.mark.parametrize(
    "text",
    [
        "PAR-1",
        "Ada",
        "a - b",
        "C++",
        "x=1",
        "ada@example.org",
        "½",
        "2-4+1",
        "a -",
        "日本-東京",
        "½-1",
    ],
)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_every_sign_that_unicode_takes_for_one_is_known() -> None:
    plain = set("=+-@−")  # noqa: RUF001
    every = (char for char in map(chr, range(0x110000)) if unicodedata.category(char) != "Cs")
    alike = {char for char in every if unicodedata.normalize("NFKC", char) in plain}

    assert alike <= SIGNS


hostile = st.text(
    st.one_of(st.sampled_from([*SEPARATORS, *UNSEEN, *SIGNS, *"a1"]), st.characters(codec="utf-8")),
    max_size=30,
)


def shows(text: str) -> str:
    """Leave out in front what does not show."""
    return text.lstrip(UNSEEN)


@given(hostile)
def test_whatever_separates_cells_none_begins_like_a_formula(text: str) -> None:
    written = harmless(text)
    for cell in re.split(f"[{re.escape(SEPARATORS.replace(chr(39), ''))}]", written):
        assert shows(cell)[:1] not in SIGNS or cell == ""
    for separator in " \u00a0\u3000":
        for cell in written.split(separator):
            assert shows(cell)[:1] not in SIGNS or cell in SIGNS or cell == ""


@given(hostile)
def test_nothing_is_lost(text: str) -> None:
    assert harmless(text).replace("'", "") == text.replace("'", "")
    assert len(harmless(text)) >= len(text)


@given(name=TEXT, ticket=TEXT, value=TEXT)
def test_what_was_written_can_be_read_back(name: str, ticket: str, value: str) -> None:
    [row] = rows_of(to_csv(one(name, ticket, value)))

    assert row["name"] == harmless(name)
    assert row["ticket_id"] == harmless(ticket)
    assert row["vote"] == harmless(value)


@given(st.lists(TEXT, max_size=5))
def test_the_number_of_rows_is_the_number_of_votes(names: list[str]) -> None:
    votes = tuple(Vote(MemberId(f"m{n}"), name, "8") for n, name in enumerate(names))

    rows = rows_of(to_csv((0, TicketResult(TicketId("T"), votes, 1.0))))

    assert len(rows) == max(1, len(names))
    assert {len(row) for row in rows} == {len(COLUMNS)}
