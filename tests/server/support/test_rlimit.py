"""The limit on open files, against a fake system."""

import resource
import sys
from typing import Any

import pytest

from server.support.rlimit import raise_limit

INFINITE = resource.RLIM_INFINITY


class System:
    def __init__(self, soft: int, hard: int, error: Exception | None = None) -> None:
        self.limits = (soft, hard)
        self._error = error

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.limits

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        if self._error is not None:
            raise self._error
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "fit", "after"),
    [
        (1024, 4096, 500, 500, 1024),
        (1024, 4096, 2000, 2000, 2064),
        (1024, 4096, 20_000, 4032, 4096),
        (1024, INFINITE, 20_000, 20_000, 20_064),
        (1064, 1064, 1000, 1000, 1064),
        (1063, 1063, 1000, 999, 1063),
        (30, 30, 1000, 1, 30),
    ],
)
def test_the_limit_is_raised_as_far_as_wanted_and_allowed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, fit: int, after: int
) -> None:
    system = System(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", system.setrlimit)

    assert raise_limit(wanted) == (fit, after)
    assert system.limits == (after, hard)


def test_a_system_that_allows_any_number_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(INFINITE, INFINITE)
    monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", system.setrlimit)

    assert raise_limit(20_000) == (20_000, 20_064)
    assert system.limits == (INFINITE, INFINITE)


@pytest.mark.parametrize("error", [OSError(1, "no"), ValueError("no")])
def test_a_system_that_refuses_leaves_what_there_is(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    system = System(1024, INFINITE, error)
    monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", system.setrlimit)

    assert raise_limit(20_000) == (960, 1024)


def test_a_system_without_limits_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "resource", None)
    assert raise_limit(20_000) == (20_000, 20_064)
