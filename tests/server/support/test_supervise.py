"""What fails inside is logged once and ends there; what is no failure travels on."""

from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from server.support.supervise import contain


def errors(logs: list[Any]) -> list[Any]:
    return [entry["exc_info"] for entry in logs if entry["event"] == "failed"]


def test_nothing_happens_if_nothing_fails() -> None:
    with capture_logs() as logs, contain("room", room="a") as it:
        assert not it.failed
    assert not it.failed
    assert logs == []


def test_an_exception_is_logged_once_with_its_context_and_swallowed() -> None:
    error = ValueError("x")
    with capture_logs() as logs, contain("room", room="a1B2c3") as it:
        raise error
    assert it.failed
    [entry] = logs
    assert entry["exc_info"] is error
    assert (entry["component"], entry["room"], entry["log_level"]) == ("room", "a1B2c3", "error")


def test_a_group_of_exceptions_is_logged_once_and_swallowed() -> None:
    error = ExceptionGroup("x", [ValueError(), ExceptionGroup("y", [KeyError()])])
    with capture_logs() as logs, contain("room") as it:
        raise error
    assert it.failed
    [logged] = errors(logs)
    assert isinstance(logged, ExceptionGroup)
    assert len(logged.exceptions) == 2


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_passes_unlogged(kind: type[BaseException]) -> None:
    it = contain("room")
    with capture_logs() as logs, pytest.raises(kind), it:
        raise kind
    assert not it.failed
    assert logs == []


def test_a_group_without_exceptions_passes_as_it_is() -> None:
    error = BaseExceptionGroup("x", [KeyboardInterrupt()])
    it = contain("room")
    with capture_logs() as logs, pytest.RaisesGroup(KeyboardInterrupt) as caught, it:
        raise error
    assert caught.value is error
    assert not it.failed
    assert logs == []


def test_of_a_mixed_group_the_rest_passes() -> None:
    it = contain("room")
    with (
        capture_logs() as logs,
        pytest.RaisesGroup(KeyboardInterrupt),
        it,
    ):
        raise BaseExceptionGroup("x", [KeyboardInterrupt(), ValueError("y")])
    assert it.failed
    [logged] = errors(logs)
    assert isinstance(logged, ExceptionGroup)


async def test_cancellation_passes_and_what_failed_beside_it_is_logged() -> None:
    async def fail() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while cleaning up")

    with capture_logs() as logs, trio.CancelScope() as scope:
        with contain("room") as it:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)
                nursery.start_soon(trio.sleep_forever)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
                await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        raise AssertionError("unreachable")

    assert scope.cancelled_caught
    assert it.failed
    assert len(errors(logs)) == 1
