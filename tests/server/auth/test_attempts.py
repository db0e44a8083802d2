"""What is remembered of attempts to log in, and how little that is."""

import pytest

from server.auth.attempts import KNOWN_ADDRESSES, Attempts
from server.support.errors import TooManyAttempts


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def is_let_in(attempts: Attempts, address: str, email: str) -> bool:
    """Tell whether a password would be judged, and leave nothing counted."""
    try:
        attempts.begin(address, email).undone()
    except TooManyAttempts:
        return False
    return True


def close(attempts: Attempts, email: str) -> None:
    """Fail from so many addresses that new ones are refused."""
    for number in range(3):
        attempts.begin(f"stranger-{number}", email).failed(1)
    assert not is_let_in(attempts, "stranger", email)


def test_the_latest_addresses_of_an_account_are_remembered_whatever_its_case() -> None:
    attempts = Attempts(1, 0, clock=Clock())
    addresses = [f"home-{number}" for number in range(KNOWN_ADDRESSES + 1)]
    for address in [*addresses, addresses[1]]:
        attempts.begin(address, "Ada@example.com").succeeded()

    close(attempts, "ada@example.com")

    known = [is_let_in(attempts, address, "ADA@example.com") for address in addresses]
    assert known == [False] + [True] * KNOWN_ADDRESSES


def test_an_address_is_known_for_one_account_alone() -> None:
    attempts = Attempts(1, 0, clock=Clock())
    attempts.remember("home", "ada@example.com")
    close(attempts, "bob@example.com")

    assert not is_let_in(attempts, "home", "bob@example.com")


def test_the_account_not_used_for_longest_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.auth.attempts.KNOWN_ACCOUNTS", 2)
    attempts = Attempts(1, 0, clock=Clock())
    for name in ("a", "b", "a", "c"):
        attempts.remember("home", f"{name}@x")
    for name in "abc":
        close(attempts, f"{name}@x")

    assert [is_let_in(attempts, "home", f"{name}@x") for name in "abc"] == [True, False, True]


def test_failures_are_forgotten_with_time() -> None:
    clock = Clock()
    attempts = Attempts(1, 0, clock=clock)
    close(attempts, "ada@example.com")

    clock.now = 20.0

    assert is_let_in(attempts, "stranger", "ada@example.com")


def test_a_refused_attempt_counts_nowhere() -> None:
    attempts = Attempts(1, 0, clock=Clock())
    close(attempts, "ada@example.com")
    for _ in range(20):
        assert not is_let_in(attempts, "stranger", "ada@example.com")

    assert is_let_in(attempts, "stranger", "bob@example.com")
    attempts.begin("stranger", "bob@example.com").failed(None)


def test_whatever_cannot_be_an_address_is_one_account() -> None:
    attempts = Attempts(1, 0, clock=Clock())

    attempts.begin("home", "x" * 255).failed(None)

    assert not is_let_in(attempts, "home", "y" * 60_000)
    assert is_let_in(attempts, "home", "y" * 254)
