"""Passwords: which are acceptable, how they are judged, and that the loop goes on meanwhile."""

import threading
from typing import Any

import argon2
import pytest
import trio
import trio.testing

from server.auth.passwords import (
    LONGEST,
    PARAMETERS,
    Passwords,
    prepare,
)
from server.support.errors import TooManyPasswords, UnfitPassword


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("correct horse", "correct horse"),
        (" kept as is ", " kept as is "),
        ("cafe\u0301 au lait", "caf\u00e9 au lait"),
        ("ideographic\u3000space", "ideographic space"),
        ("\uff21fullwidth", "\uff21fullwidth"),
        ("\U0001f389" * 8, "\U0001f389" * 8),
        ("x" * LONGEST, "x" * LONGEST),
    ],
)
def test_what_is_hashed_does_not_depend_on_the_keyboard(password: str, prepared: str) -> None:
    assert prepare(password) == prepared


@pytest.mark.parametrize(
    "password",
    ["", "seven77", "x" * (LONGEST + 1), "with\nline", "with\u0000zero", "half \ud800 pair"],
)  # fmt: skip
def test_an_unfit_password_is_refused_in_words(password: str) -> None:
    with pytest.raises(UnfitPassword, match="must"):
        prepare(password)


async def test_a_hash_is_argon2id_with_our_parameters_and_never_the_same_twice() -> None:
    passwords = Passwords()

    one, other = await passwords.hash("correct horse"), await passwords.hash("correct horse")

    assert one != other
    assert one.startswith("$argon2id$")
    assert argon2.extract_parameters(one) == PARAMETERS
    assert (await passwords.judge(one, "correct horse")).right
    assert not (await passwords.judge(one, "correct house")).right


async def test_a_hash_that_is_none_is_never_right() -> None:
    assert not (await Passwords().judge("nonsense", "correct horse")).right


async def test_an_unfit_password_is_not_hashed() -> None:
    with pytest.raises(UnfitPassword):
        await Passwords(Blocking()).hash("short")


class Blocking:
    """Hashes when it is told to, and knows how many threads were in it at once."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.inside = self.most = 0
        self._made = False

    def hash(self, _: str, /) -> str:
        if not self._made:  # the decoy
            self._made = True
            return "decoy"
        return self._work()

    def verify(self, _: str, __: str, /) -> Any:
        self._work()
        raise argon2.exceptions.VerifyMismatchError

    def check_needs_rehash(self, _: str, /) -> bool:
        return False

    def _work(self) -> str:
        self.inside += 1
        self.most = max(self.most, self.inside)
        assert self.go_on.wait(20)
        self.inside -= 1
        return "hash"


async def test_a_flood_waits_in_a_bounded_queue_and_the_loop_goes_on() -> None:
    hasher = Blocking()
    passwords = Passwords(hasher, threads=1, waiting=3)
    judged = 0

    async def log_in() -> None:
        nonlocal judged
        await passwords.judge(None, "correct horse")
        judged += 1

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(log_in)
            await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            with pytest.raises(TooManyPasswords):
                await passwords.judge(None, "correct horse")
            with pytest.raises(TooManyPasswords):
                await passwords.hash("correct horse")
        assert judged == 0
        hasher.go_on.set()

    assert judged == 4
    assert hasher.most == 1
