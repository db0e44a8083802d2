"""Cursors as texts: what is written is read again, and nothing else is."""

import math
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.store.cursors import Cursor

times = st.floats(allow_nan=False, allow_infinity=False)
URL_SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(times, st.integers(-(2**63), 2**63 - 1))
def test_a_cursor_is_read_as_it_was_written(at: float, id_: int) -> None:
    text = Cursor(at, id_).encode()

    assert Cursor.decode(text) == Cursor(at, id_)
    assert set(text) <= URL_SAFE


@given(st.text())
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        cursor = Cursor.decode(text)
    except ValueError:
        return
    assert cursor.encode() == text


@given(st.binary(max_size=24))
def test_any_bytes_are_a_cursor_or_refused(packed: bytes) -> None:
    text = urlsafe_b64encode(packed).rstrip(b"=").decode()
    try:
        cursor = Cursor.decode(text)
    except ValueError:
        return
    assert math.isfinite(cursor.at)
    assert cursor.encode() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "é",
        Cursor(1.0, 2).encode() + "=",
        Cursor(1.0, 2).encode() + "A",
        Cursor(1.0, 2).encode()[:-1] + "B",  # other bits that mean nothing
        Cursor(math.nan, 2).encode(),
        Cursor(math.inf, 2).encode(),
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.decode(text)
