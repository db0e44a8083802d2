"""Rooms and seats as the generator remembers them."""

import socket
from typing import Protocol

import attrs


class Misbehaved(Exception):
    """The server did something that makes a measurement worthless."""


@attrs.define(eq=False)
class Seat:
    """One member's connection."""

    room: "Room"
    index: int
    """0 is the admin."""
    sock: socket.socket
    name: bytes
    """By which the announcement of its vote is known."""
    rest: bytes = b""
    asked: int = 0
    """The last ticket it was asked about."""
    voted: int = 0
    """The last ticket it voted on; kept in open loops only."""
    due: float = 0.0
    """When its vote was due, while the announcement of that vote is awaited; else 0."""
    closed: bool = False
    """The server's close frame has come."""
    token: str = ""
    """Opens the seat again, where members outlive their connections; and what is known of it:"""
    epoch: str = ""
    seq: int = 0


@attrs.define(eq=False)
class Room:
    """A room as the generator sees it."""

    id: str = ""
    seats: list[Seat] = attrs.Factory(list)
    ticket: int = 0
    """The last one begun."""
    revealed: int = 0
    """The last one whose reveal was asked for."""
    done: int = 0
    """The last one that came to its end."""
    prompted: bool = False
    """Everybody is there and a round can begin."""
    path: str = ""
    """Of its sockets, where it was opened over HTTP; and what makes a member its owner:"""
    owner_key: str = ""


class Player(Protocol):
    """Decides what the members answer."""

    def react(self, seat: Seat, seen: int) -> None:
        """Answer what :func:`~scripts.benchlib.wire.scan` has seen, by ``Crowd.say``."""

    def watch(self, seat: Seat, data: bytes) -> None:
        """Look at what came, before anything is answered."""
