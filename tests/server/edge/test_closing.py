"""Why connections end: the value, the tables, and the first cause of several."""

import pytest
import trio

from protocol.errors import CloseCode
from server.edge.closing import (
    CAUSE_OF_CODE,
    TOLD,
    Cause,
    CloseFrame,
    Closing,
    FirstCause,
)

OURS, THEIRS = CloseFrame(1001, "ours"), CloseFrame(1000, "theirs")


@pytest.mark.parametrize(
    ("closing", "decisive"),
    [
        (Closing(Cause.PEER_CLOSED, THEIRS, OURS), THEIRS),
        (Closing(Cause.PEER_CLOSED, THEIRS, None), THEIRS),
        (Closing(Cause.ROOM_ENDED, THEIRS, OURS), OURS),
        (Closing(Cause.ROOM_ENDED, None, OURS), OURS),
        (Closing(Cause.CUT, None, None), CloseFrame(1006, "")),
        (Closing(Cause.CUT, THEIRS, None), CloseFrame(1006, "")),
        # What was sent after the loss was for nobody.
        (Closing(Cause.PEER_LOST, None, OURS), CloseFrame(1006, "")),
    ],
)
def test_the_close_frame_that_decided_is_the_first_one(
    closing: Closing, decisive: CloseFrame
) -> None:
    assert closing.decisive == decisive
    assert closing.received_first == (closing.cause is Cause.PEER_CLOSED)


def test_every_close_code_has_a_cause_and_what_is_told_has_the_code_that_leads_back() -> None:
    assert set(CAUSE_OF_CODE) == set(CloseCode)
    for code, reason in TOLD.values():
        assert code in CAUSE_OF_CODE
        assert 0 < len(reason.encode()) <= 123


def test_only_the_first_cause_counts_and_once() -> None:
    totals = {"silent": 5}
    one, other = FirstCause(totals), FirstCause(totals)
    assert one.note(Cause.SILENT) is Cause.SILENT
    assert one.note(Cause.CUT) is Cause.SILENT
    assert other.note(Cause.CUT) is Cause.CUT
    assert totals == {"silent": 6, "cut": 1}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a defect"),
        ExceptionGroup("", [ValueError("a defect")]),
        BaseExceptionGroup("", [KeyboardInterrupt(), ValueError("a defect")]),
    ],
    ids=repr,
)
def test_an_exception_that_passes_through_is_our_fault(error: BaseException) -> None:
    totals: dict[str, int] = {}
    with pytest.raises(type(error)) as raised, FirstCause(totals):
        raise error
    assert raised.value is error
    assert totals == {"fault": 1}


async def test_being_cancelled_is_no_fault() -> None:
    totals: dict[str, int] = {}
    with trio.CancelScope() as scope, FirstCause(totals):
        scope.cancel()
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert totals == {}
