"""Every bound of the server that an operator may move."""

import ipaddress
from typing import Final

import attrs

from protocol.limits import (
    ANNOUNCE_SECONDS,
    CHAT_BYTES_BURST,
    CHAT_BYTES_RATE,
    GRACE_SECONDS,
    KIB,
    MIB,
    ROUNDS,
    SEATS_PER_ACCOUNT,
)

DAY: Final = 86_400.0
"""Seconds."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

THIS_MACHINE: Final[tuple[Network, ...]] = (
    ipaddress.IPv4Network("127.0.0.1"),
    ipaddress.IPv6Network("::1"),
)


@attrs.frozen(kw_only=True)
class Limits:
    """Every bound that an operator may move; each default is the documented one."""

    first_request_seconds: float = 5.0
    """From accepting a connection to the end of its first request's head (slowloris)."""

    head_bytes: int = 16 * KIB
    """Bytes in the head of a request."""

    body_bytes: int = 64 * KIB
    """Bytes in the body of an HTTP request."""

    bodies_bytes: int = 32 * MIB
    """Bytes of all HTTP bodies in flight, from the first byte to the answer; above it 503."""

    client_bodies_bytes: int = 1 * MIB
    """The same for one address (IPv6: one /64); above it 429."""

    message_bytes: int = 16 * KIB
    """Bytes in one inbound WebSocket message; a larger one closes with 1009."""

    message_fragments: int = 512
    """Frames of one inbound WebSocket message; more close with 1008."""

    echo_message_bytes: int = 16 * MIB
    """Bytes in one message on the diagnostic route ``/ws/echo``."""

    inbound_rate: float = 20.0
    """Messages a second that a member may send for ever."""

    inbound_burst: int = 40
    """Messages that a member who was quiet may send at once."""

    frame_rate: float = 200.0
    """Frames a second, beside whole text messages, that a peer may send for ever: pings,
    fragments, binary ones. Above it the connection is closed with 1008."""

    frame_burst: int = 400
    """The same at once."""

    strikes: int = 10
    """Refused messages (malformed, binary, too fast) that close with 1008."""

    strike_seconds: float = 10.0
    """In which so many strikes must fall."""

    announce_seconds: float = ANNOUNCE_SECONDS
    """From taking a seat to announcing oneself in the room; then the seat is given up."""

    grace_seconds: float = GRACE_SECONDS
    """For which a member of parley.v1 without a connection keeps its seat, where the creator of the
    room says nothing else."""

    digests: bool = False
    """For diagnosis: after each change, members of parley.v1 are told a digest of the room's state,
    which costs time that grows with the room."""

    heartbeat_seconds: float = 25.0
    """Between pings; idle proxies cut at 60 s."""

    heartbeat_timeout_seconds: float = 10.0
    """A peer that sends nothing, not even a pong, for so long after a ping is dead."""

    outbox_bytes: int = 1 * MIB
    """Waiting for one member's socket; above it the member is closed as too slow."""

    room_rate: int = 1 * MIB
    """Bytes a second that a room says to each of its members for ever; a room that is asked to
    say more takes its time. Who takes as much as this is never closed as too slow for what the
    others say."""

    write_seconds: float = 10.0
    """In which a socket must take what was handed to it; else it is closed as too slow."""

    close_seconds: float = 2.0
    """In which a peer must answer a close frame; then its socket is aborted."""

    inbox_commands: int = 1024
    """Waiting for one room; above it its members' sockets are not read."""

    room_capacity: int = 500
    """Seats that the creator of a room may ask for."""

    rooms: int = 10_000
    """Live estimation rooms, and as many chat rooms that are awake; a further one is refused."""

    rounds: int = ROUNDS
    """Rounds that are revealed in one estimation room; then no vote begins in it."""

    rooms_per_account: int = 100
    """Chat rooms that one account may have."""

    tokens_per_account: int = 50
    """Tokens for bots that one account may have."""

    seats_per_account: int = SEATS_PER_ACCOUNT
    """Connections of one account in one chat room; a further one is closed with 1008."""

    chat_bytes_rate: float = CHAT_BYTES_RATE
    """Bytes a second, as JSON, that a member of a chat room may make each of the others receive;
    what is above it is refused."""

    chat_bytes_burst: int = CHAT_BYTES_BURST
    """The same at once, by a member that was quiet."""

    results_days: float = 180.0
    """How long results are kept after the end of their room; 0 for ever."""

    results_bytes: int = 16 * MIB
    """Results of live rooms that are in memory, to be read while the database is gone."""

    room_results_bytes: int = 16 * KIB
    """The same of one room: its latest rounds."""

    lookup_limit: int = 60
    """Look-ups of results that fail or need no key, and guesses at rooms that do not exist: each a
    minute and address; 0 for no limit."""

    passcode_limit: int = 10
    """Wrong passcodes, each a minute, address and room; 0 for no limit."""

    login_limit: int = 10
    """Wrong passwords a minute for one address and account; 0 for no limit."""

    register_limit: int = 60
    """Registrations in 30 minutes for each address; 0 for no limit."""

    long_answers: int = 64
    """HTTP answers above 64 KiB that are being sent at once."""

    long_answers_per_address: int = 4
    """The same to one address."""

    connections: int = 20_000
    """Open connections of any kind, if the system allows as many open files; above it one without
    a seat in a room gives way, or the new one is answered 503."""

    address_connections: int = 600
    """Open connections of one address; of IPv6, of one network of 64 bits. All that follow here
    are generous enough for an office behind one address."""

    address_rate: float = 50.0
    """New connections a second that one address may make for ever."""

    address_burst: int = 400
    """New connections that an address which made none for a while may make at once."""

    address_rooms: int = 100
    """Live estimation rooms that connections of one address have created."""

    address_seats: int = 600
    """Connections of one address that are in rooms of any kind."""

    account_seats: int = 32
    """Connections of one account that are in chat rooms; so many rooms at the most does it keep
    awake."""

    webhook_seconds: float = 10.0
    """For one request to the receiver of a webhook, from the look-up of its name to the head of its
    answer."""

    webhooks_waiting: int = 10_000
    """Events that wait for receivers of webhooks, in the store; further ones are not told."""

    room_webhooks_waiting: int = 500
    """The same of one room, for each of its receivers."""

    unlimited_address: tuple[Network, ...] = THIS_MACHINE
    """Networks for whose addresses the bounds for each address do not hold."""

    shutdown_delay: float = 0.0
    """Seconds from the first stop signal to the end of accepting, for load balancers to notice."""

    drain_seconds: float = 30.0
    """Seconds from there to the end of the process; for the last writes, never less than 1."""

    @property
    def results_seconds(self) -> float | None:
        """How long results are kept after the end of their room; ``None`` for ever."""
        return self.results_days * DAY if self.results_days else None

    def results_end(self, closed_at: float | None) -> float | None:
        """Say until when a room's results are kept; ``None`` while it lives, or for ever."""
        seconds = self.results_seconds
        return None if closed_at is None or seconds is None else closed_at + seconds
