"""What will happen to one connection, drawn before it is opened; without I/O."""

import random
from enum import StrEnum
from typing import Final

import attrs

_HANDSHAKE_AND_HELLO: Final = 700
"""Bytes, about, that a client has sent by the time it has said who comes."""

_WELCOME_AND_PICTURE: Final = 3500
"""Bytes, about, that a server has sent once a member knows its room."""

_MEAN_LIFE: Final = 4.0
_LONGEST_LIFE: Final = 20.0
_SILENCE: Final = (0.1, 1.5)
_HALF_OPEN: Final = (0.5, 6.0)


class Blow(StrEnum):
    """What hits a connection."""

    NONE = "none"
    ASKING = "asking"
    """It is cut when so many bytes have come from the client."""
    ANSWERING = "answering"
    """It is cut when so many bytes have come from the server."""
    TALKING = "talking"
    """It is cut after a while, in the middle of what is sent next."""
    STALL = "stall"
    """It goes silent after a while; then the client gives it up, and the server does not know."""


@attrs.frozen(kw_only=True)
class Fate:
    """What will happen to one connection."""

    blow: Blow = Blow.NONE
    bytes: int = 0
    """After which, in whichever direction it is about."""
    seconds: float = 0.0
    """After which."""
    silence: float = 0.0
    """Seconds of a stall before the client gives up."""
    half_open: float = 0.0
    """Seconds for which the server keeps its half."""
    reset_client: bool = False
    """The client is told by RST and not FIN."""
    reset_server: bool = False
    repeating: float = 0.0
    """How likely a request is sent again right after a request."""


PEACE: Final = Fate()


def draw(dice: random.Random) -> Fate:
    """Draw what happens to a connection."""
    blow = dice.choices(
        (Blow.ASKING, Blow.ANSWERING, Blow.TALKING, Blow.STALL, Blow.NONE),
        weights=(0.15, 0.2, 0.4, 0.15, 0.1),
    )[0]
    most = {Blow.ASKING: _HANDSHAKE_AND_HELLO, Blow.ANSWERING: _WELCOME_AND_PICTURE}
    return Fate(
        blow=blow,
        bytes=dice.randint(1, most.get(blow, 200)),
        seconds=min(dice.expovariate(1 / _MEAN_LIFE), _LONGEST_LIFE),
        silence=dice.uniform(*_SILENCE),
        half_open=dice.uniform(*_HALF_OPEN),
        reset_client=dice.random() < 0.5,
        reset_server=dice.random() < 0.5,
        repeating=0.15,
    )
