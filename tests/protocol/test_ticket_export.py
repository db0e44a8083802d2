"""Tickets going out: what is written can be read again, and means nothing to who displays it."""

import csv
import io
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from protocol.codec import dumps, loads
from protocol.errors import Refused
from protocol.ids import TicketNumber
from protocol.spreadsheet import SIGNS, as_typed, harmless
from protocol.ticket import CLEANERS, Draft, Ticket, TicketStatus, clean_fields, make_draft
from protocol.ticket_columns import EXPORT_COLUMNS, Format
from protocol.ticket_export import (
    ExportedRound,
    ExportedTicket,
    ExportedVote,
    to_csv,
    to_plain,
)
from protocol.ticket_import import read_file
from protocol.ticket_markdown import escape, to_markdown

TICKET = Ticket(
    id=TicketNumber(7),
    title="Pay, by card",
    key="SHOP-412",
    link="https://a.example/-/SHOP-412",
    description="one\ntwo",
    type="Story",
    priority="High",
    status=TicketStatus.ESTIMATED,
    estimate="½",
)
ROUNDS = (
    ExportedRound(
        number=3,
        deck="fibonacci",
        seconds=12.5,
        votes=(ExportedVote("Ada", "1", "why not"), ExportedVote("Bob", "=2")),
        figures={"mean": 1.5, "modes": "1 2", "consensus": False, "mode": None},
    ),
    ExportedRound(number=4, deck="=x", seconds=0.25, votes=(), estimate="½"),
)
WHOLE = ExportedTicket(TICKET, ROUNDS)
FIGURES = ("mean", "modes", "consensus", "mode")


def rows_of(*tickets: ExportedTicket, figures: tuple[str, ...] = ()) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(to_csv(tickets, figures)), newline="")))


# --- CSV ------------------------------------------------------------------------------------


def test_a_row_is_a_vote_with_its_round_and_ticket_and_the_description_comes_once() -> None:
    text = "".join(to_csv([WHOLE], FIGURES))

    ticket = '7,"Pay, by card","SHOP-412","https://a.example/%2D/SHOP-412",'
    rest = '"Story","High","estimated","½",'
    assert text.split("\r\n") == [
        ",".join(f'"{name}"' for name in (*EXPORT_COLUMNS, *FIGURES)),
        ticket + '"one\ntwo",' + rest
        + '3,"fibonacci",12.5,"","Ada","1","why not",1.5,"1 2","no",""',
        ticket + '"",' + rest + """3,"fibonacci",12.5,"","Bob","'=2","",1.5,"1 2","no","\"""",
        ticket + '"",' + rest + """4,"'=x",0.25,"½","","","","","","","\"""",
        "",
    ]  # fmt: skip


def test_what_has_no_votes_rounds_or_ticket_has_a_row_all_the_same() -> None:
    vote = ExportedRound(number=1, deck="d", seconds=1.0, votes=(ExportedVote(None, "5"),))

    alone, without = rows_of(
        ExportedTicket(Ticket(id=TicketNumber(1), title="T")), ExportedTicket(None, (vote,))
    )

    assert (alone["ticket"], alone["title"], alone["status"]) == ("1", "T", "open")
    assert (alone["round"], alone["vote"]) == ("", "")
    assert (without["ticket"], without["title"], without["status"]) == ("", "", "")
    assert (without["round"], without["name"], without["vote"]) == ("1", "", "5")


def test_no_figure_and_no_name_of_one_is_a_formula() -> None:
    one = ExportedRound(number=1, deck="d", seconds=1.0, votes=(), figures={"=a": "=1", "b": True})

    [row] = rows_of(ExportedTicket(TICKET, (one,)), figures=("=a", "b"))

    assert (row["'=a"], row["b"]) == ("'=1", "yes")


def test_a_piece_is_a_ticket() -> None:
    assert len(list(to_csv([WHOLE] * 3, FIGURES))) == 4


# --- and back -------------------------------------------------------------------------------

HOSTILE = st.text(
    st.sampled_from([*"=+-@'\"|;,\t\n a1\u200b\u00a0*_`<&]\\#½", "＝"])  # noqa: RUF001
    | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=20,
)
LINKS = st.from_regex(r"\Ahttps://[a-z]{1,5}/[-+@=a-z0-9/?&.,;:'()*!$~%]{0,20}\Z").filter(
    lambda link: re.search("%(?![0-9A-F]{2})", link) is None
)


def cleaned(name: str, text: str) -> str:
    try:
        return clean_fields({name: text})[name]
    except Refused:
        return "T" if name == "title" else ""


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    texts = {name: draw(LINKS if name == "link" else HOSTILE) for name in CLEANERS}
    return make_draft({name: cleaned(name, text) for name, text in texts.items()})


@given(st.lists(drafts(), min_size=1, max_size=5))
def test_what_was_exported_is_imported_as_it_was_whatever_is_in_it(given_: list[Draft]) -> None:
    tickets = [
        ExportedTicket(
            Ticket(
                id=TicketNumber(number),
                title=draft.title,
                key=f"{draft.key}K-{number}",
                link=draft.link,
                description=draft.description,
                type=draft.type,
                priority=draft.priority,
            ),
            ROUNDS[: number % 3],
        )
        for number, draft in enumerate(given_, 1)
    ]

    preview = read_file("".join(to_csv(tickets, FIGURES)).encode())

    assert (preview.format, preview.refused) == (Format.PARLEY, ())
    assert len(preview.drafts) == len(tickets)
    for line, exported in zip(preview.drafts, tickets, strict=True):
        before, after = exported.ticket, line.draft
        assert before is not None
        for name in ("title", "key", "description", "type", "priority"):
            text = getattr(before, name)
            # The one thing that is lost, see as_typed.
            if not re.match(r"[\t\r\n]*'[\t\r\n]", text):
                assert getattr(after, name) == text
        assert unquote(after.link) == unquote(before.link)


@given(HOSTILE)
def test_an_apostrophe_that_was_put_in_is_taken_out_and_no_other_one(text: str) -> None:
    if re.match(r"[\t\r\n]*'[\t\r\n]", text):
        assert as_typed(harmless(text)) != text
    else:
        assert as_typed(harmless(text)) == text


def test_a_text_of_many_line_breaks_is_made_harmless_as_well() -> None:
    breaks = "\n\t" * 2_000

    assert harmless(breaks + "=1") == "'\n'\t" * 2_000 + "'=1"
    assert as_typed(harmless(breaks + "=1")) == breaks + "=1"


def test_no_more_of_a_link_is_encoded_than_must_be() -> None:
    link = "https://a.example/-/x?a=-1&b==+@-c&@d='e"

    [row] = rows_of(ExportedTicket(Ticket(id=TicketNumber(1), title="T", link=link)))

    assert row["link"] == "https://a.example/%2D/x?a=-1&b==+@-c&%40d='e"


@given(LINKS)
def test_a_link_stays_one_and_nothing_in_it_is_a_formula(link: str) -> None:
    [row] = rows_of(ExportedTicket(Ticket(id=TicketNumber(1), title="T", link=link)))

    written = row["link"]
    assert unquote(written) == unquote(link)
    # An apostrophe is part of links, but none was put in.
    assert harmless(written) == written
    assert written[0] not in SIGNS


def test_an_export_of_many_votes_is_imported_again_though_it_has_many_rows() -> None:
    votes = tuple(ExportedVote(f"M{number}", "5") for number in range(40))
    one = ExportedRound(number=1, deck="d", seconds=1.0, votes=votes)
    tickets = [
        ExportedTicket(Ticket(id=TicketNumber(number), title="T"), (one,))
        for number in range(1, 101)
    ]

    text = "".join(to_csv([*tickets, ExportedTicket(None, (one,))], ()))

    preview = read_file(text.encode())
    assert (len(preview.drafts), preview.refused) == (100, ())


# --- JSON -----------------------------------------------------------------------------------


def test_plain_data_can_be_written_as_json() -> None:
    plain = to_plain(WHOLE)

    assert loads(dumps(plain).decode()) == plain
    assert plain["ticket"] == {
        "id": 7,
        "title": "Pay, by card",
        "key": "SHOP-412",
        "link": "https://a.example/-/SHOP-412",
        "description": "one\ntwo",
        "type": "Story",
        "priority": "High",
        "status": "estimated",
        "estimate": "½",
    }
    assert plain["rounds"][0] == {
        "number": 3,
        "deck": "fibonacci",
        "seconds": 12.5,
        "votes": [
            {"name": "Ada", "card": "1", "comment": "why not"},
            {"name": "Bob", "card": "=2", "comment": ""},
        ],
        "figures": {"mean": 1.5, "modes": "1 2", "consensus": False, "mode": None},
        "estimate": None,
    }
    assert to_plain(ExportedTicket(None)) == {"ticket": None, "rounds": []}


# --- Markdown -------------------------------------------------------------------------------

RENDERER = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table")


def plain_of(html: str) -> str:
    assert re.sub(r"</?(table|thead|tbody|tr|t[dh])>", "", html).count("<") == 0, html
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        html = html.replace(entity, char)
    return html


def test_a_table_of_tickets_and_then_each_round() -> None:
    assert "".join(to_markdown([WHOLE, ExportedTicket(None, ROUNDS[1:])])) == (
        "| # | Key | Ticket | Type | Priority | Status | Estimate | Rounds | Seconds |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| 7 | SHOP\\-412 | [Pay, by card](<https://a.example/-/SHOP-412>) | Story | High"
        " | estimated | ½ | 2 | 13 |\n"
        "\n## SHOP\\-412 Pay, by card\n"
        "\n```\none\ntwo\n```\n"
        "\n### Round 3\n\n"
        "| Name | Vote | Comment |\n| --- | --- | --- |\n"
        "| Ada | 1 | why not |\n| Bob | \\=2 |  |\n"
        "\n- Deck: fibonacci\n- Seconds: 12\n- Estimate: –\n"  # noqa: RUF001
        "- mean: 1.5\n- modes: 1 2\n- consensus: no\n- mode: –\n"  # noqa: RUF001
        "\n### Round 4\n\n"
        "| Name | Vote | Comment |\n| --- | --- | --- |\n"
        "\n- Deck: \\=x\n- Seconds: 0\n- Estimate: ½\n"
        "\n## Without a ticket\n"
        "\n### Round 4\n\n"
        "| Name | Vote | Comment |\n| --- | --- | --- |\n"
        "\n- Deck: \\=x\n- Seconds: 0\n- Estimate: ½\n"
    )


def test_who_voted_anonymously_has_no_name() -> None:
    one = ExportedRound(
        number=1, deck="d", seconds=1, votes=(ExportedVote(None, "5"),), figures={"n": 3}
    )

    text = "".join(to_markdown([ExportedTicket(TICKET, (one,))]))

    assert "| (anonymous) | 5 |  |\n" in text
    assert "- n: 3\n" in text


def test_a_ticket_of_which_there_is_nothing_more_to_say_has_no_section() -> None:
    pieces = list(to_markdown([ExportedTicket(Ticket(id=TicketNumber(1), title="T"))]))

    assert len(pieces) == 2
    assert pieces[1] == ""


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "&lt;", "a | b", "a \\| b", "\\", "a\\", "**b** _i_ ~~s~~", "`c`",
     "[l](http://x)", "![i](x)", "<http://x>", "# h", "- l", "1. l", "> q", "---", "[x]: y", "==="],
)  # fmt: skip
def test_markdown_in_a_text_is_shown_as_it_was_typed(text: str) -> None:
    html = RENDERER.render("".join(to_markdown([ExportedTicket(
        Ticket(id=TicketNumber(1), title=text), (ExportedRound(
            number=1, deck=text, seconds=1, votes=(ExportedVote(text, "5", text),)
        ),)
    )])))  # fmt: skip

    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"<h2>{shown}</h2>" in html
    assert f"<li>Deck: {shown}</li>" in html
    assert html.count(f"<td>{shown}</td>") == 3


@given(st.lists(HOSTILE, min_size=3, max_size=3))
def test_every_cell_of_a_table_shows_its_text(texts: list[str]) -> None:
    cells = " | ".join(map(escape, texts))

    html = RENDERER.render(f"| a | b | c |\n|---|---|---|\n| {cells} |\n")

    assert re.findall(r"<td>(.*?)</td>", plain_of(html)) == [
        re.sub("[^\\S\u00a0]+", " ", " ".join(text.split())) for text in texts
    ]


@pytest.mark.parametrize("ticks", ["", "`", "```", "````", "``` x\n`````", "~~~"])
def test_a_description_stands_in_a_block_that_it_cannot_leave(ticks: str) -> None:
    description = f"a <b>\n{ticks}\n# c"

    html = RENDERER.render("".join(to_markdown([ExportedTicket(
        Ticket(id=TicketNumber(1), title="T", description=description)
    )])))  # fmt: skip

    shown = description.replace("<", "&lt;").replace(">", "&gt;")
    assert html.endswith(f"<h2>T</h2>\n<pre><code>{shown}\n</code></pre>\n")
