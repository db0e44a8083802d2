"""Resume tokens and owner keys: each opens one thing, and what is made up opens nothing."""

import re
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import MemberId
from server.auth.seats import SECRET_BYTES, SeatKeys

KEYS = SeatKeys(b"s" * SECRET_BYTES)
ADA, BOB = MemberId("0a1b2c3d4e5f6071"), MemberId("1a1b2c3d4e5f6071")


def test_a_token_opens_its_own_seat_also_after_a_restart() -> None:
    token = KEYS.token(7, ADA)
    assert re.fullmatch(rf"{ADA}\.[\w-]{{24}}", token, re.ASCII)
    assert SeatKeys(b"s" * SECRET_BYTES).member(7, token) == ADA


def test_a_token_opens_nothing_else() -> None:
    token = KEYS.token(7, ADA)
    assert KEYS.member(8, token) is None
    assert SeatKeys(b"t" * SECRET_BYTES).member(7, token) is None
    assert KEYS.member(7, token.replace(ADA, BOB)) is None


def test_tokens_and_owner_keys_are_all_different() -> None:
    made = [
        *(KEYS.token(session, member) for session, member in product((1, 11, 111), (ADA, BOB))),
        *(KEYS.owner_key(session) for session in (1, 11, 111)),
    ]
    codes = [each.rpartition(".")[2] for each in made]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + "=",
        lambda token: token + "A",
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: token.upper(),
        lambda token: token.replace(".", ""),
        lambda token: token.replace(".", ".."),
        lambda token: token.partition(".")[2],
        lambda token: "." + token.partition(".")[2],
        lambda token: token.partition(".")[0] + ".",
        lambda token: token[:-1] + "ä",
        lambda token: " " + token,
        lambda token: "\0" + token,
        lambda token: ADA + "." + KEYS.owner_key(7),
        lambda token: "." + KEYS.owner_key(7),
        lambda token: "",
        lambda token: ".",
    ],
)
def test_what_is_almost_a_token_is_none(change: Callable[[str], str]) -> None:
    assert KEYS.member(7, change(KEYS.token(7, ADA))) is None


@given(st.text())
def test_nothing_that_is_made_up_opens_anything(text: str) -> None:
    assert KEYS.member(7, text) is None
    assert KEYS.member(7, f"{ADA}.{text}") is None
    assert not KEYS.is_owner_key(7, text)


def test_an_owner_key_opens_its_own_room_only() -> None:
    key = KEYS.owner_key(7)
    assert re.fullmatch(r"[\w-]{24}", key, re.ASCII)
    assert SeatKeys(b"s" * SECRET_BYTES).is_owner_key(7, key)
    assert not KEYS.is_owner_key(8, key)
    assert not KEYS.is_owner_key(7, key[:-1])
    assert not KEYS.is_owner_key(7, KEYS.token(7, MemberId("")).rpartition(".")[2])
