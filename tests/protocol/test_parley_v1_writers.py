"""Messages of ``parley.v1`` that are put together by hand, since they are said most often."""

import orjson
import pytest

from protocol.changes import Ack, Voted
from protocol.codec import CONVERTER
from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.ids import MemberId
from protocol.picture import Stage, abilities
from tests.protocol.lossy_server import text_of

MAY = abilities(Stage.VOTING, votes=True, rounds=True)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("ack", Ack(2**53 - 1, 0)),
        ("voted", Voted(7, MemberId('a"\\ü'), complete=False, may=None)),
        ("voted", Voted(8, MemberId("ann"), complete=True, may=MAY)),
    ],
)
def test_they_are_what_the_classes_say(kind: str, event: Ack | Voted) -> None:
    frame = PARLEY_V1.encode(event)
    assert frame is not None
    assert orjson.loads(text_of(frame)) == {"type": kind, **CONVERTER.unstructure(event)}
