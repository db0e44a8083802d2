"""Files as Jira, Azure Boards, Thunderdome, Excel and LibreOffice write them, and any others.

The files are made up here. Their shape is that of: exports of Jira Cloud and Server as they stand
in public repositories (the names of columns, repeated ones, ragged rows); the examples in the
documentation of Azure Boards (bulk import of work items, flat and as a tree); Thunderdome's
``e2e/fixtures/csv-issues.csv`` and ``CsvImport.svelte``.
"""

import csv
import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.backlog import Backlog
from protocol.errors import ErrorCode, Refused
from protocol.limits import BACKLOG_TICKETS, IMPORT_BYTES
from protocol.ticket import Draft
from protocol.ticket_columns import FIELDS, Format
from protocol.ticket_import import read_file
from protocol.ticket_list import read_list, split_line
from protocol.ticket_preview import Column, DraftLine, Preview, RefusedLine


def drafts(preview: Preview) -> list[Draft]:
    return [each.draft for each in preview.drafts]


def fields(preview: Preview) -> dict[int, str]:
    return {column.number: column.field for column in preview.columns if column.field}


def complaint_of(data: bytes, **options: object) -> tuple[str | None, str]:
    with pytest.raises(Refused) as caught:
        read_file(data, **options)  # type: ignore[arg-type]
    assert caught.value.problem.code is ErrorCode.MALFORMED
    return caught.value.problem.field, caught.value.problem.message


# --- files of others ------------------------------------------------------------------------

JIRA = (
    "Summary,Issue key,Issue id,Issue Type,Status,Project key,Project name,Priority,Assignee,"
    "Created,Sprint,Sprint,Labels,Labels,Description,Custom field (Story Points),"
    "Custom field (Acceptance Criteria)\r\n"
    "Pay by card,SHOP-1,10001,Story,To Do,SHOP,Shop,High,ada,21/Jun/25 4:14 PM,Sprint 1,Sprint 2,"
    'payments,web,"h2. Goal\r\n* ""fast"", simple\r\n",5.0,Paid once\r\n'
    "Old bug,SHOP-2,10002,Bug,Done,SHOP,Shop,Medium,,21/Jun/25 4:15 PM,,,,,,,\r\n"
)


def test_jira_as_it_exports_all_fields() -> None:
    preview = read_file(JIRA.encode())

    assert (preview.format, preview.delimiter, preview.refused) == (Format.JIRA, ",", ())
    assert preview.drafts == (
        DraftLine(2, Draft(
            title="Pay by card", key="SHOP-1", type="Story", priority="High",
            description='h2. Goal\n* "fast", simple\n\n\nAcceptance criteria:\nPaid once',
        )),
        DraftLine(5, Draft(title="Old bug", key="SHOP-2", type="Bug", priority="Medium")),
    )  # fmt: skip
    assert fields(preview) == {
        1: "title", 2: "key", 4: "type", 8: "priority", 15: "description", 17: "acceptance",
    }  # fmt: skip
    assert preview.columns[10] == Column(number=11, name="Sprint", field=None, sample="Sprint 1")
    assert preview.columns[13] == Column(number=14, name="Labels", field=None, sample="web")


@pytest.mark.parametrize(
    "header",
    [
        "Issue Type,Issue key,Issue id,Summary",
        "issue type,key,x,summary",
        "Work type,Work item key,x,Summary",
        "Vorgangstyp,Vorgangsschlüssel:,Vorgangs-ID,Zusammenfassung",
        "Type de ticket,Clé de ticket,x,Résumé",
        "Tipo de Incidencia,Clave de incidencia,x,Resumen",
        "Typ zgłoszenia,Klucz zgłoszenia,Id. zgłoszenia,Podsumowanie",
    ],
)
def test_jira_by_its_other_names(header: str) -> None:
    preview = read_file(f"{header}\nBug,SHOP-2,10002,Old bug\n".encode())

    assert preview.format is Format.JIRA
    assert drafts(preview) == [Draft(title="Old bug", key="SHOP-2", type="Bug")]


def test_a_row_of_jira_that_is_wider_than_the_header_is_refused_alone() -> None:
    preview = read_file(b"Summary,Issue key,Labels\nA,K-1,one, two\nB,K-2,one\nC,K-3\nD,K-4,,,\n")

    assert preview.refused == (RefusedLine(2, None, "has 4 cells, where the file has 3 columns"),)
    assert [draft.key for draft in drafts(preview)] == ["K-2", "K-3", "K-4"]


AZURE = (
    "ID,Work Item Type,Title,Assigned To,State,Priority,Tags\n"
    '"16504","Issue","Fix issues with code",,"To Do","1",\n'
    ',"Epic","Track telemetry",,"To Do","2","a; b"\n'
)

AZURE_TREE = (
    "ID,Work Item Type,Title 1,Title 2,Title 3,Assigned To,State,Tags,Description\n"
    '"165","Epic","Track telemetry",,,,"To Do",,\n'
    '"166","Feature",,"Collect",,,"To Do",,\n'
    '"167","User Story",,,"As a user, I see what is sent",Ada <ada@example.org>,New,,'
    '"<div>Seen</div>"\n'
    ",Task,Track telemetry,Collect,,,,,\n"
)


def test_azure_boards_flat_and_as_a_tree() -> None:
    flat = read_file(AZURE.encode())
    assert flat.format is Format.AZURE
    assert drafts(flat) == [
        Draft(title="Fix issues with code", key="16504", type="Issue", priority="1"),
        Draft(title="Track telemetry", type="Epic", priority="2"),
    ]

    tree = read_file(AZURE_TREE.encode("utf-8-sig"))
    assert (tree.format, tree.refused) == (Format.AZURE, ())
    assert drafts(tree) == [
        Draft(title="Track telemetry", key="165", type="Epic"),
        Draft(title="Collect", key="166", type="Feature"),
        Draft(
            title="As a user, I see what is sent", key="167", type="User Story",
            description="<div>Seen</div>",
        ),
        Draft(title="Collect", type="Task"),
    ]  # fmt: skip
    assert [column.field for column in tree.columns[2:5]] == ["title"] * 3


THUNDERDOME = (
    'feature,Plan_1,REF001,http://example.com/test1,"Described, with a comma","Criteria 1"\n'
    "story,Plan_2,REF002,,,\n"
    "task,Plan_3,,http://example.com/test3,Described\n"
)


def test_thunderdome_whose_six_columns_have_no_names() -> None:
    preview = read_file(THUNDERDOME.encode())

    assert (preview.format, preview.refused) == (Format.THUNDERDOME, ())
    assert drafts(preview) == [
        Draft(
            title="Plan_1", key="REF001", link="http://example.com/test1", type="feature",
            description="Described, with a comma\n\nAcceptance criteria:\nCriteria 1",
        ),
        Draft(title="Plan_2", key="REF002", type="story"),
        Draft(
            title="Plan_3", link="http://example.com/test3", type="task", description="Described"
        ),
    ]  # fmt: skip
    assert {column.name for column in preview.columns} == {""}
    assert preview.columns[2].sample == "REF001"


def test_a_line_of_thunderdome_that_is_wrong_is_refused_alone() -> None:
    lines = THUNDERDOME.splitlines()
    rows = [lines[2], "bug,Plan_4,,n/a,,", "task,Plan_5,,,One, two,three,four", *lines[:2]]

    preview = read_file("\n".join(rows).encode())

    assert preview.format is Format.THUNDERDOME
    assert preview.refused == (
        RefusedLine(2, 4, "link must begin with http:// or https://"),
        RefusedLine(3, None, "has 8 cells, where the file has 6 columns"),
    )
    assert [draft.title for draft in drafts(preview)] == ["Plan_3", "Plan_1", "Plan_2"]
    assert preview.columns[5] == Column(number=6, name="", field="acceptance", sample="two")


def test_columns_whose_names_are_not_known_are_not_those_of_thunderdome() -> None:
    preview = read_file(f"Art,Aufgabe,Nr.,Verweis,Text,Mehr\n{THUNDERDOME}".encode())

    assert (preview.format, preview.drafts) == (Format.UNKNOWN, ())


def test_thunderdome_with_the_names_that_somebody_put_there() -> None:
    data = f"Type,Title,ReferenceId,Link,Description,AcceptanceCriteria\n{THUNDERDOME}".encode()

    preview = read_file(data)

    assert preview.format is Format.NAMED
    assert drafts(preview) == drafts(read_file(THUNDERDOME.encode()))


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [("utf-8-sig", ";"), ("utf-16", "\t"), ("utf-8", ","), ("utf-8", "\t")],
    ids=["excel", "excel unicode text", "libreoffice", "paste of cells"],
)
def test_spreadsheets_with_breaks_and_quotes_inside_of_cells(encoding: str, delimiter: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(["Titel", "Schlüssel", "Beschreibung", "Priorität"])
    writer.writerow(['Größe "XL"; 1,5 m', "ä-1", "eins\nzwei", "½"])
    writer.writerow(["", "", "", ""])
    writer.writerow(["Zweitens", "", "", ""])

    preview = read_file(out.getvalue().encode(encoding))

    assert (preview.format, preview.delimiter) == (Format.NAMED, delimiter)
    assert preview.drafts == (
        DraftLine(2, Draft(
            title='Größe "XL"; 1,5 m', key="ä-1", description="eins\nzwei", priority="½"
        )),
        DraftLine(5, Draft(title="Zweitens")),
    )  # fmt: skip


# --- what is refused, and what cannot be known ----------------------------------------------


def test_each_refused_line_is_named_with_its_column_and_why() -> None:
    data = "\n".join([
        "Key,Title,Link,Description,Type",
        ",,https://a.example,,",
        f"K-2,{'x' * 201},,,",
        "K-3,T,javascript:alert(1),,",
        f"K-4,T,,{'x' * 4001},",
        "K-5,T\x07,,,",
        f"K-6,T,,,{'x' * 51}",
        f"{'K' * 51},T,,,",
        '"K\n8",T,,,',
        "K-9,Fine,,,",
    ])  # fmt: skip

    preview = read_file(data.encode())

    assert preview.refused == (
        RefusedLine(2, 2, "title is missing"),
        RefusedLine(3, 2, "title must be at most 200 characters long"),
        RefusedLine(4, 3, "link must begin with http:// or https://"),
        RefusedLine(5, 4, "description must be at most 4000 characters long"),
        RefusedLine(6, 2, "title must not contain control characters"),
        RefusedLine(7, 5, "type must be at most 50 characters long"),
        RefusedLine(8, 1, "key must be at most 50 characters long"),
        RefusedLine(9, 1, "key must not contain control characters"),
    )
    assert preview.drafts == (DraftLine(11, Draft(title="Fine", key="K-9")),)


def test_a_key_counts_once_in_the_file_and_not_again_if_the_backlog_has_it() -> None:
    backlog = Backlog()
    backlog.add([Draft(title="There", key="shop-1")])

    preview = read_file(b"Title,Key\nA,SHOP-1\nB,S-2\nC,s-2\n,S-3\nD,S-3\nE,\nE,\n", backlog.keys())

    assert preview.refused == (
        RefusedLine(2, 2, "key SHOP-1 is already in the backlog"),
        RefusedLine(4, 2, "key s-2 is that of line 3 as well"),
        RefusedLine(5, 1, "title is missing"),
    )
    assert [draft.title for draft in drafts(preview)] == ["B", "D", "E", "E"]


def test_what_is_malformed_further_down_lets_nothing_in() -> None:
    rows = b"Title,Key\n" + b"T,\n" * 100
    assert complaint_of(rows + b'T,"') == (
        "file", "file: line 102, column 2: a quote is opened here and never closed",
    )  # fmt: skip
    unknown = b"a,b\n" * 100
    assert complaint_of(unknown + b'T,"')[1].startswith("file: line 101, column 2: a quote")


def test_a_file_has_something_in_it_and_not_too_much() -> None:
    assert complaint_of(b"") == ("file", "file: line 1: there is nothing in it")
    assert complaint_of(b"\xef\xbb\xbf\r\n,,\r\n")[1] == "file: line 1: there is nothing in it"
    most = b"Title\n" + b"T\n" * BACKLOG_TICKETS
    assert len(read_file(most).drafts) == BACKLOG_TICKETS
    assert complaint_of(most + b"T\n")[1] == "file: line 2002: these are more than 2000 tickets"
    refused = b"Key,Title\n" + b"T,\n" * BACKLOG_TICKETS
    assert len(read_file(refused).refused) == BACKLOG_TICKETS
    assert complaint_of(refused + b"T,\n")[1].startswith("file: line 2002: ")


def test_a_header_alone_brings_nothing() -> None:
    preview = read_file(b"Summary,Issue key\n")

    assert (preview.format, preview.drafts, preview.refused) == (Format.JIRA, (), ())


def test_of_columns_that_are_not_known_the_caller_is_told_and_nothing_is_imported() -> None:
    preview = read_file(b"Nr.,Aufgabe\n,\n,x\x07y\n1,Zahlen\n")

    assert (preview.format, preview.drafts, preview.refused) == (Format.UNKNOWN, (), ())
    assert preview.columns == (
        Column(number=1, name="", field=None, sample="Nr."),
        Column(number=2, name="", field=None, sample="Aufgabe"),
    )


def test_names_and_samples_are_cut_and_fit_to_be_shown() -> None:
    data = f'Title,"{"n" * 200}","a\n\u202eb"\nT,{"s" * 200},\n'.encode()

    columns = read_file(data).columns

    assert [column.name for column in columns] == ["Title", "n" * 100, "a  b"]
    assert [column.sample for column in columns] == ["T", "s" * 100, ""]


def test_a_single_column_without_a_name_is_read_like_a_list() -> None:
    preview = read_file(b'SHOP-1 Pay by card\n"Fix a, b"\nStory\n')

    assert preview.format is Format.TITLES
    assert drafts(preview) == [
        Draft(title="Pay by card", key="SHOP-1"), Draft(title="Fix a, b"), Draft(title="Story"),
    ]  # fmt: skip
    named = read_file(b"Title\nSHOP-1 Pay by card\n")
    assert named.format is Format.NAMED
    assert drafts(named) == [Draft(title="SHOP-1 Pay by card")]


# --- a mapping ------------------------------------------------------------------------------

NO_SUCH_NAME = "must be a column of the file; there is none of this name"

ODD = b"Nr.,Aufgabe,Kriterien\nA-1,Zahlen,schnell\nA-2,Liefern,\n"


def test_a_mapping_by_names_or_numbers_is_followed() -> None:
    expected = [
        Draft(title="Zahlen", key="A-1", description="Acceptance criteria:\nschnell"),
        Draft(title="Liefern", key="A-2"),
    ]
    for mapping in (
        {"title": "aufgabe ", "key": "Nr.", "acceptance": "Kriterien"},
        {"title": 2, "key": 1, "acceptance": 3},
    ):
        preview = read_file(ODD, mapping=mapping)
        assert (preview.format, drafts(preview)) == (Format.MAPPED, expected)
        assert fields(preview) == {1: "key", 2: "title", 3: "acceptance"}
        assert preview.columns[1].name == "Aufgabe"


def test_a_mapping_wins_over_what_is_recognised_and_may_say_that_there_are_no_names() -> None:
    preview = read_file(JIRA.encode(), mapping={"title": "Issue key"})
    assert [draft.title for draft in drafts(preview)] == ["SHOP-1", "SHOP-2"]

    preview = read_file(ODD, mapping={"title": 2}, header=False)
    assert [draft.title for draft in drafts(preview)] == ["Aufgabe", "Zahlen", "Liefern"]
    assert preview.columns[1].name == ""


@pytest.mark.parametrize("mapping", [{"title": "B", "key": "A"}, {"title": 2, "key": 1}])
def test_a_mapping_tells_what_the_columns_are_where_nothing_else_does(
    mapping: dict[str, object],
) -> None:
    preview = read_file(b"A, B\nK-1, one; two\n", mapping=mapping)

    assert preview.delimiter == ","
    assert drafts(preview) == [Draft(title="one; two", key="K-1")]


@pytest.mark.parametrize(
    ("mapping", "header", "field", "complaint"),
    [
        ({}, True, "title", "is missing"),
        ({"key": 1}, True, "title", "is missing"),
        ({"title": 0}, True, "title", "must be a column from 1 to 3"),
        ({"title": 4}, True, "title", "must be a column from 1 to 3"),
        ({"title": True}, True, "title", "must be the name or the number of a column"),
        ({"title": None}, True, "title", "must be the name or the number of a column"),
        ({"title": ["Nr."]}, True, "title", "must be the name or the number of a column"),
        ({"title": "Nein"}, True, "title", NO_SUCH_NAME),
        ({"title": "Nr."}, False, "title", NO_SUCH_NAME),
        ({"points": 1}, True, "points", f"is not known; it must be one of {', '.join(FIELDS)}"),
    ],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_is_refused(
    mapping: dict[str, object], header: bool, field: str, complaint: str
) -> None:
    assert complaint_of(ODD, mapping=mapping, header=header) == (
        f"mapping.{field}", f"mapping.{field} {complaint}",
    )  # fmt: skip


# --- a list ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Pay by card", {"title": "Pay by card"}),
        ("  - Pay by card ", {"title": "Pay by card"}),
        ("* [ ] Pay", {"title": "Pay"}),
        ("- [x] Pay", {"title": "Pay"}),
        ("12. Pay", {"title": "Pay"}),
        ("3) Pay", {"title": "Pay"}),
        ("• Pay", {"title": "Pay"}),
        ("-5 degrees", {"title": "-5 degrees"}),
        ("1.5 times", {"title": "1.5 times"}),
        ("SHOP-412 Pay", {"key": "SHOP-412", "title": "Pay"}),
        ("SHOP-412: Pay", {"key": "SHOP-412", "title": "Pay"}),
        ("SHOP-412 - Pay", {"key": "SHOP-412", "title": "Pay"}),
        ("SHOP-412\tPay", {"key": "SHOP-412", "title": "Pay"}),
        ("[SHOP-412] Pay", {"key": "SHOP-412", "title": "Pay"}),
        ("- shop_2-4 Pay", {"key": "shop_2-4", "title": "Pay"}),
        ("#12 Pay", {"key": "#12", "title": "Pay"}),
        ("SHOP-412", {"key": "SHOP-412", "title": "SHOP-412"}),
        ("SHOP-412:", {"key": "SHOP-412", "title": "SHOP-412"}),
        ("UTF-8-only files", {"title": "UTF-8-only files"}),
        ("Pay SHOP-412", {"title": "Pay SHOP-412"}),
        (
            "[Pay](https://a.example/x) now",
            {"title": "Pay now", "link": "https://a.example/x"},
        ),
        (
            "- [SHOP-1](https://a.example/SHOP-1) Pay",
            {"key": "SHOP-1", "title": "Pay", "link": "https://a.example/SHOP-1"},
        ),
        (
            "[Pay](<https://a.example/x_(y)>)",
            {"title": "Pay", "link": "https://a.example/x_(y)"},
        ),
        ("[](https://a.example/x)", {"title": "a.example/x", "link": "https://a.example/x"}),
        ("[a](b) c", {"title": "[a](b) c"}),
        (
            "SHOP-1 Pay https://a.example/SHOP-1.",
            {"key": "SHOP-1", "title": "Pay", "link": "https://a.example/SHOP-1"},
        ),
        ("Pay (https://a.example/x) by card", {"title": "Pay by card", "link": "https://a.example/x"}),
        ("https://a.example/x_(y) Pay", {"title": "Pay", "link": "https://a.example/x_(y)"}),
        ("<https://a.example/> Pay", {"title": "Pay", "link": "https://a.example/"}),
        (
            "https://jira.example/browse/SHOP-412?x=1",
            {"key": "SHOP-412", "title": "SHOP-412", "link": "https://jira.example/browse/SHOP-412?x=1"},
        ),
        (
            "* https://a.example/board",
            {"title": "a.example/board", "link": "https://a.example/board"},
        ),
        ("x" * 9_000, {"title": "x" * 9_000}),
    ],
)  # fmt: skip
def test_a_line_is_taken_apart(line: str, expected: dict[str, str]) -> None:
    assert split_line(line) == expected


def test_a_list_that_is_pasted_has_a_ticket_on_each_line_that_is_not_blank() -> None:
    preview = read_list("- A-1 One\r\n\r\n  \r2. Two\n* A-1 again\n\u200b\nB-2 known\n", {"b-2"})

    assert preview.format is Format.LIST
    assert preview.columns == ()
    assert preview.drafts == (
        DraftLine(1, Draft(title="One", key="A-1")), DraftLine(4, Draft(title="Two")),
    )  # fmt: skip
    assert preview.refused == (
        RefusedLine(5, None, "key A-1 is that of line 1 as well"),
        RefusedLine(6, None, "title must contain a visible character"),
        RefusedLine(7, None, "key B-2 is already in the backlog"),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: there is nothing in it"),
        (" \n\t\r\n", "line 1: there is nothing in it"),
        ("x" * (IMPORT_BYTES + 1), "must have at most 1048576 bytes"),
        ("€" * (IMPORT_BYTES // 3 + 1), "must have at most 1048576 bytes"),
        ("T\n" * (BACKLOG_TICKETS + 1), "line 2001: these are more than 2000 tickets"),
    ],
)
def test_a_list_has_something_in_it_and_not_too_much(text: str, complaint: str) -> None:
    with pytest.raises(Refused) as caught:
        read_list(text)

    assert caught.value.problem.message == f"file: {complaint}"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 6_000,
        "[](http://(" * 500,
        "http://" * 800,
        "- " * 3_000,
        "A-1" * 2_000,
        "\t" * 5_999 + "x",
    ],
)
def test_no_line_is_dear_to_take_apart(text: str) -> None:
    lines = "\n".join([text[:6_000]] * 160)

    preview = read_list(lines)  # were anything quadratic, it would take minutes

    assert len(preview.drafts) + len(preview.refused) == 160


HOSTILE = st.text(
    st.characters(codec=None) | st.sampled_from("[]()<>-*#1. :/AB\n\r\t"), max_size=60
) | st.lists(
    st.sampled_from(["[", "](", "https://a.example/", ")", "A-1", " ", "- ", "\n", "x", "<", ">"])
).map("".join)


def brings_something(preview: Preview, lines: int) -> None:
    numbers = sorted(
        [each.line for each in preview.drafts] + [each.line for each in preview.refused]
    )
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= lines for number in numbers)
    assert all(each.why for each in preview.refused)


@given(HOSTILE)
def test_any_list_at_all_brings_tickets_or_says_why_not(text: str) -> None:
    try:
        preview = read_list(text)
    except Refused:
        assert not text.strip()
        return
    brings_something(preview, 1 + text.count("\n") + text.count("\r"))
    assert len(preview.drafts) + len(preview.refused) > 0


def joined(rows: Iterable[Iterable[str]]) -> bytes:
    return "\n".join(",".join(row) for row in rows).encode(errors="surrogatepass")


NAMES = ["Summary", "Issue key", "Title", "Title 1", "Work Item Type", "Link", "ticket", "", "x"]
CELLS = st.sampled_from(["", "T", "K-1", "http://a", '"', '"a\nb"', "=1", "x" * 300, "\x07"])
FILES = st.builds(
    joined,
    st.tuples(
        st.lists(st.sampled_from(NAMES)), st.lists(st.lists(CELLS | st.text(max_size=4)))
    ).map(lambda parts: [parts[0], *parts[1]]),
)
MAPPINGS = st.none() | st.dictionaries(
    st.sampled_from(FIELDS) | st.text(max_size=3),
    st.sampled_from(NAMES) | st.integers(-1, 4) | st.none(),
    max_size=3,
)


@given(st.binary(max_size=200) | FILES, MAPPINGS, st.booleans())
def test_any_bytes_at_all_bring_tickets_or_are_refused(
    data: bytes, mapping: dict[str, object] | None, header: bool
) -> None:
    try:
        preview = read_file(data, {"k-1"}, mapping, header=header)
    except Refused as refused:
        field = refused.problem.field or ""
    else:
        field = "file"
        brings_something(preview, 1 + len(data))
    assert field.partition(".")[0] in {"file", "mapping"}
