"""CSV files of others: what is read as it stands, and where a malformed one is refused."""

import csv
import io
import zipfile
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.csv_file import Record, Sheet, decode, read_sheet
from protocol.errors import ErrorCode, Refused
from protocol.limits import IMPORT_BYTES, IMPORT_COLUMNS


def is_header(names: Sequence[str]) -> bool:
    return "Title" in names


def read(data: bytes) -> tuple[str, list[Record]]:
    sheet: Sheet = read_sheet(data, is_header)
    return sheet.delimiter, list(sheet.records)


def cells(data: bytes) -> list[list[str]]:
    return [record.cells for record in read(data)[1]]


def complaint_of(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        read(data)
    problem = caught.value.problem
    assert (problem.code, problem.field) == (ErrorCode.MALFORMED, "file")
    return problem.message.removeprefix("file: ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_programs_write_is_read_as_it_stands(encoding: str, end: str, delimiter: str) -> None:
    rows = [
        ["Title", "Notes"],
        ["Größe, Höhe", f"one{end}two"],
        ['say "hi"; or\tnot', ""],
        ["C", "½"],
    ]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(rows)

    found, records = read(out.getvalue().encode(encoding))

    assert found == delimiter
    assert [record.cells for record in records] == rows
    assert [record.line for record in records] == [1, 2, 4, 5]


def test_a_record_begins_where_its_first_line_is_and_blank_rows_count_as_lines() -> None:
    data = b'Title,B\n\n"a\nb\nc",d\n,\n  ,\t\ne,f'

    assert read(data)[1] == [
        Record(1, ["Title", "B"]),
        Record(3, ["a\nb\nc", "d"]),
        Record(8, ["e", "f"]),
    ]


@pytest.mark.parametrize(
    ("data", "delimiter"),
    [
        (b"Title;Key\na, b, c;d\ne, f;g", ";"),
        (b"Title,Key\na;b;c,d\ne;f,g", ","),
        (b"Title\tKey\na, b; c\td", "\t"),
        (b"No names;here\na, b;c\nd;e", ";"),
        (b'"a;b","c;d"\n"e","f"', ","),
        (b"Title\nFix a, b and c\nFix d\nFix e; f", "\t"),
        (b"Fix a, b\nFix c\nFix d\nFix e", ";"),
        (b"Title\nOne", ","),
        (b"As a user, I pay\nAs a user, I send, and wait", ";"),
        (b"Title, Key\nA, b", ","),
        (b"a,b\nc, d", ","),
        (b"a,b,c,d,e\nf,g,h,i,j,k\nl,m,n", ","),
        (b"a,,\nb,,\n", ","),
        (b"a;b;c\nd;e;f\ng;h;i;j\n", ";"),
        (b'Title;Notes\nA;"1,2\n3,4,5\n6,7"\n', ";"),
    ],
)
def test_the_delimiter_is_found(data: bytes, delimiter: str) -> None:
    assert read(data)[0] == delimiter


def test_a_row_that_is_too_long_to_be_looked_at_whole_decides_nothing() -> None:
    long = b"long, " * 12_000

    assert cells(b'x;y\n"' + long + b'";z') == [["x", "y"], [long.decode(), "z"]]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("line", [b"sep=;", b'"sep=;"', b"SEP=;"])
def test_the_delimiter_may_be_declared_as_excel_does(line: bytes, end: bytes) -> None:
    data = b"\xef\xbb\xbf" + line + end + b"Title,a;b" + end + b"c;d"

    assert read(data) == (";", [Record(2, ["Title,a", "b"]), Record(3, ["c", "d"])])


def test_what_is_declared_counts_for_lines_that_are_named_and_must_be_a_delimiter() -> None:
    assert complaint_of(b'sep=|\na|b\n"c|d').startswith("line 3, column 1: a quote is opened")
    assert complaint_of(b"sep=x\naxb") == "line 1: cells must not be separated by 'x'"
    assert cells(b"sep=;") == []


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"Title\nGr\xf6\xdfe", "line 2: byte 9 (0xF6) is not UTF-8; save it as CSV in UTF-8"),
        (b"\xef\xbb\xbfA\r\nB\r\n\xff", "line 3: byte 10 (0xFF) is not UTF-8;"),
        (b"A\xe2\x82", "line 1: byte 2 (0xE2) is not UTF-8;"),
        (b"A\ra\r\xed\xa0\x80", "line 3: byte 5 (0xED) is not UTF-8;"),
        (b"\xff\xfeA\0\0\xd8B\0", "byte 5 does not belong to UTF-16"),
        (b"\xfe\xff\0A\0", "byte 5 does not belong to UTF-16"),
        (b"Title\nA\0B", "line 2: there is a NUL, so this is no text in UTF-8;"),
        ("Title\r\nA".encode("utf-16-le"), "line 1: there is a NUL, so this is no text"),
        ("Title".encode("utf-32"), "this is UTF-32; save it as CSV in UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an old Excel workbook;"),
        (b"\x1f\x8b\x08", "this is compressed by gzip;"),
        (b"%PDF-1.7", "this is a PDF;"),
        (b"a" * (IMPORT_BYTES + 1), "must have at most 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_text_in_utf_8_is_refused_and_named(data: bytes, complaint: str) -> None:
    assert complaint_of(data).startswith(complaint)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["[Content_Types].xml", "xl/workbook.xml"], "an Excel workbook"),
        (["mimetype"], "a LibreOffice spreadsheet"),
        (["issues.csv"], "a zip archive"),
        ([], "a zip archive"),
    ],
)
def test_a_zip_is_called_what_it_is(names: list[str], what: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(
                name,
                "application/vnd.oasis.opendocument.spreadsheet"[: 60 if name == "mimetype" else 0],
            )

    assert complaint_of(packed.getvalue()) == f"this is {what}; save it as CSV in UTF-8"


LONG = "a cell has more than 131072 characters"
NEVER = "a quote is opened here and never closed"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b'Title,B\na,"b', f"line 2, column 2: {NEVER}"),
        (b'Title,B\n"a","b\n\nc\nd', f"line 2, column 2: {NEVER}"),
        (b'Title,B,C\n"a\nb\r\nc","d ""e""\n","f""', f"line 5, column 3: {NEVER}"),
        (b'Title\n"', f"line 2, column 1: {NEVER}"),
        (b'Title,B\n1,"5" pipe"\n', "line 2, column 2: the quote that is opened here is closed in"
         " the middle of the cell, in line 2"),
        (b'Title,B\n1,"open\n2,"x"\n', "line 2, column 2: the quote that is opened here is closed"
         " in the middle of the cell, in line 3"),
        (b'Title,B\n"a\nb","c"d', "line 3, column 2: the quote that is opened here is closed in"
         " the middle of the cell, in line 3"),
        (b"Title,B\na," + b"x" * 140_000 + b"\n", f"line 2, column 2: {LONG}"),
        (b'Title,B\na,"' + b"x" * 140_000 + b'"\n', f"line 2, column 2: {LONG}"),
        (b"Title,B\na," + b"x" * 140_000, f"line 2, column 2: {LONG}"),
    ],
)  # fmt: skip
def test_a_broken_record_is_named_by_the_line_and_column_of_its_cell(
    data: bytes, complaint: str
) -> None:
    assert complaint_of(data).startswith(complaint)


def test_a_quote_inside_of_a_cell_is_none() -> None:
    assert cells(b'Title,B\n5" pipe,a "b" c') == [["Title", "B"], ['5" pipe', 'a "b" c']]


def test_many_columns_are_read_and_too_many_refused_also_further_down() -> None:
    wide = b",".join([b"Title"] * IMPORT_COLUMNS)
    assert len(cells(wide)[0]) == IMPORT_COLUMNS
    too_many = "has 1001 columns, and at most 1000 are read"
    assert complaint_of(wide + b",x") == f"line 1: {too_many}"
    assert complaint_of(b"Title,B\n" + wide + b",x") == f"line 2: {too_many}"


@pytest.mark.parametrize(
    "data",
    [
        b",".join([b"Column"] * 10_000),
        b"," * IMPORT_BYTES,
        b";" * IMPORT_BYTES,
        b'"' * (IMPORT_BYTES - 1),
        b'"' + b"\n" * (IMPORT_BYTES - 1),
        b'""\n"' + b'""' * (IMPORT_BYTES // 2 - 3),
        b'"a"b' + b"\n" * (IMPORT_BYTES - 4),
        b"Title\n" * (IMPORT_BYTES // 6 - 1) + b'"',
    ],
    ids=range(8),
)
def test_the_worst_of_files_are_refused(data: bytes) -> None:
    assert complaint_of(data)  # in 0.5 s at most; were anything quadratic, it would take minutes


@given(st.binary(max_size=60) | st.text('",;\t\r\nab=sep\ufeff', max_size=40).map(str.encode))
def test_any_bytes_at_all_are_read_or_refused(data: bytes) -> None:
    try:
        _, records = read(data)
    except Refused as refused:
        message = refused.problem.message
    else:
        message = ""
        assert all(any(record.cells) for record in records)
        lines = [record.line for record in records]
        assert lines == sorted(set(lines))
        assert all(1 <= line <= 1 + len(decode(data)) for line in lines)
    assert message == "" or message.startswith("file: ")


ROWS = st.lists(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
        min_size=2,
        max_size=2,
    ),
    max_size=6,
)


@given(rows=ROWS, delimiter=st.sampled_from(",;\t"), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_whatever_was_written_under_a_header_is_read_again(
    rows: list[list[str]], delimiter: str, end: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["Title", "B"], *rows])

    found, records = read(out.getvalue().encode())

    assert found == delimiter
    kept = [row for row in rows if any(cell and not cell.isspace() for cell in row)]
    assert [record.cells for record in records] == [["Title", "B"], *kept]
