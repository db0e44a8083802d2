"""Results as CSV: what was written can be read back, and no cell is a formula."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from server.http.report import RoomReport
from server.http.spreadsheet import COLUMNS, to_csv
from server.store.results import RoomResults

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
USERS = ("ticket_id", "member_id", "name", "vote")


def report(*tickets: TicketResult, forgotten: int = 0) -> RoomReport:
    return RoomReport.of(
        RoomResults(room_id=RoomId("a1B2c3"), opened_at=0, tickets=tickets, forgotten=forgotten)
    )


def one(name: str, ticket: str = "T", value: str = "3") -> RoomReport:
    return report(TicketResult(TicketId(ticket), (Vote(MemberId("m1"), name, value),), seconds=1.5))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_holds_a_vote_and_the_figures_of_its_round() -> None:
    votes = (Vote(MemberId("m1"), "Ada", "3"), Vote(MemberId("m2"), 'B,"ob"', "5"))

    text = to_csv(report(TicketResult(TicketId("T-1"), votes, 2.0)))

    assert text.split("\r\n") == [
        ",".join(f'"{column}"' for column in COLUMNS),
        '"a1B2c3",1,"T-1",2.0,"m1","Ada","3",4.0,4.0,"","3 5",3.0,5.0,"no"',
        '"a1B2c3",1,"T-1",2.0,"m2","B,""ob""","5",4.0,4.0,"","3 5",3.0,5.0,"no"',
        "",
    ]


def test_a_round_without_votes_has_one_row() -> None:
    [row] = rows_of(to_csv(report(TicketResult(TicketId("T"), (), 1.0), forgotten=4)))

    assert row["round"] == "5"
    assert (row["member_id"], row["name"], row["vote"]) == ("", "", "")
    assert (row["mean"], row["modes"], row["consensus"]) == ("", "", "no")


def test_a_room_without_rounds_has_a_header_only() -> None:
    assert rows_of(to_csv(report())) == []


def test_consensus_is_a_word() -> None:
    assert rows_of(to_csv(one("Ada")))[0]["consensus"] == "yes"


def test_what_would_be_a_formula_gets_an_apostrophe() -> None:
    for start in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "  =", "\u00a0@"):  # noqa: RUF001
        text = start + 'cmd|"/c calc"!A1'

        [row] = rows_of(to_csv(one(text, ticket=text, value=text)))

        assert row["name"] == row["ticket_id"] == row["vote"] == "'" + text


@given(name=TEXT, ticket=TEXT, value=TEXT)
def test_what_was_written_can_be_read_back(name: str, ticket: str, value: str) -> None:
    [row] = rows_of(to_csv(one(name, ticket, value)))

    assert row["name"].removeprefix("'") == name.removeprefix("'")
    assert row["ticket_id"].removeprefix("'") == ticket.removeprefix("'")
    assert row["vote"].removeprefix("'") == value.removeprefix("'")
    for column in USERS:
        assert row[column].lstrip()[:1] not in tuple("=+-@＝＋－＠")  # noqa: RUF001


@given(st.lists(TEXT, max_size=5))
def test_the_number_of_rows_is_the_number_of_votes(names: list[str]) -> None:
    votes = tuple(Vote(MemberId(f"m{n}"), name, "8") for n, name in enumerate(names))

    rows = rows_of(to_csv(report(TicketResult(TicketId("T"), votes, 1.0))))

    assert len(rows) == max(1, len(names))
    assert {len(row) for row in rows} == {len(COLUMNS)}
