"""Tickets: what each field takes, and that refusals name the field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, Refused
from protocol.limits import (
    TICKET_DESCRIPTION_LENGTH,
    TICKET_KEY_LENGTH,
    TICKET_LABEL_LENGTH,
    TICKET_LINK_LENGTH,
    TICKET_TITLE_LENGTH,
)
from protocol.ticket import CLEANERS, Draft, clean_fields, clean_link, make_draft, text_size

WHOLE = {
    "title": " Pay by card ",
    "key": "SHOP-412",
    "link": "https://jira.example.org/browse/SHOP-412",
    "description": "Given a cart\r\nwhen *paid*\rthen sent",
    "type": "Story",
    "priority": "High",
}


def refusal_of(fields: dict[str, object], path: str = "data") -> tuple[str | None, str]:
    with pytest.raises(Refused) as caught:
        make_draft(fields, path)
    assert caught.value.problem.code is ErrorCode.MALFORMED
    return caught.value.problem.field, caught.value.problem.message


def test_a_draft_is_made_of_clean_texts() -> None:
    assert make_draft(WHOLE) == Draft(
        title="Pay by card",
        key="SHOP-412",
        link="https://jira.example.org/browse/SHOP-412",
        description="Given a cart\nwhen *paid*\nthen sent",
        type="Story",
        priority="High",
    )


def test_all_but_the_title_may_be_missing_or_blank() -> None:
    blank = {name: " " for name in WHOLE if name != "title"}

    assert make_draft({"title": "T"}) == Draft(title="T") == make_draft({"title": "T", **blank})


@pytest.mark.parametrize("title", ["", " \t", "a\nb", "a\0", "a\u202eb", "\u200b", "a\ud800"])
def test_a_title_is_one_line_that_shows_something(title: str) -> None:
    field, message = refusal_of({"title": title})

    assert field == "data.title"
    assert message.startswith("data.title must ")


LONGEST = {
    "title": TICKET_TITLE_LENGTH,
    "key": TICKET_KEY_LENGTH,
    "description": TICKET_DESCRIPTION_LENGTH,
    "type": TICKET_LABEL_LENGTH,
    "priority": TICKET_LABEL_LENGTH,
}


@pytest.mark.parametrize("field", LONGEST)
def test_every_text_has_its_length(field: str) -> None:
    longest = "ä" * LONGEST[field]

    assert getattr(make_draft({**WHOLE, field: longest}), field) == longest
    for longer in (longest + "ä", " " * (LONGEST[field] + 1)):
        assert refusal_of({**WHOLE, field: longer}) == (
            f"data.{field}",
            f"data.{field} must be at most {LONGEST[field]} characters long",
        )


@pytest.mark.parametrize("field", ["key", "type", "priority"])
def test_what_is_shown_in_a_line_has_one_line(field: str) -> None:
    assert refusal_of({**WHOLE, field: "a\nb"})[0] == f"data.{field}"


@pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "a\x85b", "a\udc00", "a" + "\u0301" * 7])
def test_a_description_has_no_control_characters(bad: str) -> None:
    assert refusal_of({**WHOLE, "description": bad})[0] == "data.description"


@pytest.mark.parametrize("field", CLEANERS)
@pytest.mark.parametrize("value", [None, 1, True, ["a"], {}, b"a"])
def test_what_is_no_string_is_refused(field: str, value: object) -> None:
    assert refusal_of({**WHOLE, field: value}) == (
        f"data.{field}",
        f"data.{field} must be a string",
    )


def test_a_field_that_is_not_known_is_refused_and_cut() -> None:
    assert refusal_of({**WHOLE, "points": "5"}, "") == ("points", "points is not known")
    assert refusal_of({**WHOLE, "x" * 9_000: "5"}, "")[0] == "x" * 100


def test_a_title_that_is_missing_is_named() -> None:
    assert refusal_of({"key": "K"}, "data.tickets[3]") == (
        "data.tickets[3].title",
        "data.tickets[3].title is missing",
    )


def test_only_the_fields_given_are_cleaned() -> None:
    assert clean_fields({"key": " A-1 ", "link": ""}) == {"key": "A-1", "link": ""}
    assert clean_fields({}) == {}


@pytest.mark.parametrize(
    "link",
    [
        "http://a",
        "HTTPS://Example.ORG/",
        "https://example.org:8443/a/-/b?c=d&e=%20f#g",
        "https://10.0.0.1/x",
        "http://[::1]:80/",
        "https://xn--bcher-kva.example/",
        "https://medium.example/@ada",
        "https://a_b.example.",
        "https://e.example/a(b)'c,d;e*f!g~h[0]",
    ],
)
def test_links_of_the_web_are_taken_as_they_are(link: str) -> None:
    assert clean_link(f" {link} ") == link


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        *((link, "must begin with http") for link in (
            "javascript:alert(1)", "ftp://a", "data:text/html,x", "//a", "a.example", "http:/a",
            "http:\\\\a", "mailto:a@b", "file:///etc/passwd", "\u200bhttps://a", "\thttps://a",
        )),
        *((link, "in ASCII") for link in (
            "https://bücher.example/", "https://a/ü", "https://a b", "https://a/\tb", "https://a\\@b",
            "https://a/<script>", 'https://a/"', "https://a/\n", "https://a/%", "https://a/%0g",
            "https://a/\0", "https://a/|", "https://a/`", "https://a/{b}", "https://a/\u202e",
            "https://a/\ud800",
        )),
        *((link, "user name or password") for link in (
            "https://ada@a.example/", "https://ada:secret@a.example/", "https://:@a", "https://@a/",
        )),
        *((link, "valid host and port") for link in (
            "https://", "https:///a", "https://?a", "https://a:b/", "https://a:99999/", "https://[::1/",
            "https://[g]/", "https://a..b/", "https://.a/", "https://a%2Eb/", "https://:80/", "https://a,b/",
            "https://[::1]x/", "https://x[::1]/", "https://a:0/",
        )),
        ("https://a/" + "b" * TICKET_LINK_LENGTH, "at most 2000 characters"),
    ],
)  # fmt: skip
def test_anything_else_is_no_link(link: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        clean_link(link)


HOSTILE = st.text(
    st.characters(codec=None) | st.sampled_from("https://:@[]%0.\\\r\n\t "), max_size=40
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(CLEANERS, HOSTILE)))
def test_whatever_comes_is_cleaned_or_refused_and_what_is_clean_stays(
    fields: dict[str, str],
) -> None:
    try:
        draft = make_draft(fields)
    except Refused:
        return
    kept = {name: getattr(draft, name) for name in CLEANERS}
    assert make_draft(kept) == draft
    assert text_size(draft) == sum(len(text.encode()) for text in kept.values())


@given(HOSTILE)
def test_no_text_at_all_breaks_the_reading_of_links(rest: str) -> None:
    try:
        link = clean_link("https://" + rest)
    except ValueError:
        return
    assert link.isascii()
    assert link.isprintable()
    assert " " not in link
