"""The table of all options: name, meaning, unit and range; the settings know the defaults."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import attrs

from protocol.limits import KIB, LONGEST_GRACE_SECONDS, MIB, SMALLEST_CAPACITY
from server.settings.config import Settings
from server.settings.readers import (
    NONE,
    choice,
    host,
    networks,
    number,
    secret,
    switch,
    whole,
)
from server.store import urls
from server.support.errors import BadValue
from server.support.limits import Limits
from server.webhooks.addresses import place_of
from server.webhooks.signing import FORM, check_secret

PREFIX: Final = "PARLEY_"

OF_LIMITS: Final = frozenset(field.name for field in attrs.fields(Limits))
"""The fields that ``Limits`` has; all others are those of ``Settings``."""

_DEFAULTS: Final = Settings()
_DAY: Final = 86_400
_MANY: Final = 10_000_000


class Group(Enum):
    """Headings of the help."""

    SERVER = "server"
    ROOMS = "rooms"
    MESSAGES = "messages"
    CONNECTIONS = "connections"
    HTTP = "HTTP requests"
    ACCOUNTS = "accounts"
    WEBHOOKS = "webhooks"


@attrs.frozen(kw_only=True)
class Option:
    """One setting as an operator meets it."""

    name: str
    """As in ``--max-rooms`` and ``PARLEY_MAX_ROOMS``, but written ``max_rooms``."""
    field: str
    """Of ``Settings`` or of ``Limits``: the name, there without ``max_`` before it."""
    group: Group
    meaning: str
    unit: str
    """What the value is counted in; empty for a switch, which takes none."""
    read: Callable[[str], Any]
    """Turns text into a value, or raises ``BadValue``."""

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()

    @property
    def default(self) -> Any:
        """The value of its field where nobody gives one."""
        return getattr(_DEFAULTS.limits if self.field in OF_LIMITS else _DEFAULTS, self.field)

    @property
    def shown_default(self) -> str:
        """Its default as an operator would write it."""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, tuple):
            return (
                ",".join(
                    str(each).removesuffix("/32").removesuffix("/128") for each in self.default
                )
                or NONE
            )
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default) or NONE


def database_url(text: str) -> str:
    """Read the address of a database; whether it is there shows at the start."""
    try:
        urls.parse(text)
    except ValueError as bad:
        raise BadValue(str(bad)) from None
    return text


def webhook_url(text: str) -> str:
    """Read the address of a receiver, or none; where it leads is judged when something is sent."""
    if text.lower() == NONE:
        return ""
    place_of(text)
    return text


def _settings(group: Group, *rows: tuple[str, str, str, Callable[[str], Any]]) -> list[Option]:
    """Make options of settings from rows of name, meaning, unit and reader."""
    return [
        Option(name=name, field=name, group=group, meaning=meaning, unit=unit, read=read)
        for name, meaning, unit, read in rows
    ]


def _limits(group: Group, *rows: tuple[str, str, str, str, Callable[[str], Any]]) -> list[Option]:
    """Make options of limits from rows of name, field, meaning, unit and reader."""
    return [
        Option(name=name, field=field, group=group, meaning=meaning, unit=unit, read=read)
        for name, field, meaning, unit, read in rows
    ]


_SECONDS: Final = number(0, _DAY)
_MESSAGE: Final = whole(KIB, 64 * MIB)

# fmt: off
OPTIONS: Final[tuple[Option, ...]] = (
    *_settings(
        Group.SERVER,
        ("host", "address to listen on; empty for all of IPv4 and IPv6", "ADDRESS", host),
        ("port", "TCP port; 0 for any free one", "PORT", whole(0, 65_535)),
        ("database_url", "where accounts, rooms and results are kept: sqlite:///FILE, relative "
         "to the working directory, or postgresql://USER:PASSWORD@HOST/DATABASE",
         "URL", database_url),
        ("log_level", "debug, info, warning or error",
         "LEVEL", choice("debug", "info", "warning", "error")),
        ("log_format", "text or json", "FORMAT", choice("text", "json")),
        ("echo", "serve /ws/echo, which returns every message, for diagnosis", "", switch),
    ),
    *_limits(
        Group.SERVER,
        ("shutdown_delay", "shutdown_delay",
         "from the first stop signal to the end of accepting; until then /ready answers 503 and "
         "everything else is served, so that load balancers can go elsewhere",
         "SECONDS", number(0, _DAY, exclusive=False)),
        ("drain_seconds", "drain_seconds",
         "from there to the end of the process at the most; for the last writes never less than 1",
         "SECONDS", number(0, _DAY, exclusive=False)),
    ),
    *_limits(
        Group.ROOMS,
        ("max_room_capacity", "room_capacity",
         "seats that the creator of a room may ask for",
         "SEATS", whole(SMALLEST_CAPACITY, 100_000)),
        ("max_rooms", "rooms", "live rooms", "ROOMS", whole(1, _MANY)),
        ("max_rounds", "rounds",
         "rounds revealed in one estimation room; then no vote begins in it",
         "ROUNDS", whole(1, _MANY)),
        ("max_rooms_per_account", "rooms_per_account",
         "chat rooms that one account may have", "ROOMS", whole(1, _MANY)),
        ("lookup_limit", "lookup_limit",
         "look-ups of rooms and results that fail, a minute and address; 0 for no limit",
         "ATTEMPTS", whole(0, _MANY)),
        ("passcode_limit", "passcode_limit",
         "wrong passcodes, a minute, address and room; 0 for no limit",
         "ATTEMPTS", whole(0, _MANY)),
        ("results_days", "results_days",
         "results are kept so long after the end of their room; 0 for ever",
         "DAYS", number(0, 36_500, exclusive=False)),
        ("max_results_bytes", "results_bytes",
         "results of live rooms in memory, which can be read while the database is gone",
         "BYTES", whole(0, 64 * 1024 * MIB)),
        ("max_room_results_bytes", "room_results_bytes",
         "the same of one room; it keeps its latest rounds", "BYTES", whole(0, 1024 * MIB)),
        ("max_inbox_commands", "inbox_commands",
         "commands waiting for one room; above it its members are not read",
         "COMMANDS", whole(1, _MANY)),
        ("announce_seconds", "announce_seconds",
         "from taking a seat to sending JOIN_ROOM; then the seat is given up",
         "SECONDS", _SECONDS),
        ("grace_seconds", "grace_seconds",
         "for which a member of parley.v1 without a connection keeps its seat, where the creator "
         "of the room says nothing else",
         "SECONDS", number(0, LONGEST_GRACE_SECONDS, exclusive=False)),
        ("seats_per_account", "seats_per_account",
         "connections of one account in one chat room", "SEATS", whole(1, _MANY)),
        ("digests", "digests",
         "for diagnosis: tell members of parley.v1 after each change a digest of the room's state",
         "", switch),
    ),
    *_limits(
        Group.MESSAGES,
        ("max_message_bytes", "message_bytes",
         "largest WebSocket message; a larger one closes with 1009", "BYTES", _MESSAGE),
        ("max_message_fragments", "message_fragments",
         "frames of one WebSocket message; more close with 1008", "FRAMES", whole(1, _MANY)),
        ("max_echo_message_bytes", "echo_message_bytes",
         "largest message on /ws/echo", "BYTES", _MESSAGE),
        ("inbound_rate", "inbound_rate",
         "messages a second that a member may send for ever", "MESSAGES", number(0, 1e6)),
        ("inbound_burst", "inbound_burst",
         "messages that a member who was quiet may send at once", "MESSAGES", whole(1, _MANY)),
        ("chat_bytes_rate", "chat_bytes_rate",
         "bytes a second, as JSON, that a member of a chat room may make each of the others "
         "receive for ever", "BYTES", number(0, 1e9)),
        ("chat_bytes_burst", "chat_bytes_burst", "the same at once, by one that was quiet",
         "BYTES", whole(KIB, 1024 * MIB)),
        ("frame_rate", "frame_rate",
         "frames a second that are no whole text message: pings, fragments, binary ones; more "
         "close with 1008", "FRAMES", number(0, 1e6)),
        ("frame_burst", "frame_burst", "the same at once", "FRAMES", whole(1, _MANY)),
        ("max_strikes", "strikes",
         "refused messages within --strike-seconds that close with 1008",
         "MESSAGES", whole(1, _MANY)),
        ("strike_seconds", "strike_seconds", "see --max-strikes", "SECONDS", _SECONDS),
        ("max_outbox_bytes", "outbox_bytes",
         "waiting for one member's socket; above it the member is closed as too slow. Not given, "
         "it grows with --max-room-capacity", "BYTES", whole(4 * KIB, 1024 * MIB)),
        ("room_rate", "room_rate",
         "bytes a second that a room says to each of its members for ever; who takes as much is "
         "never closed as too slow for what others say", "BYTES", whole(1 * KIB, 1024 * MIB)),
    ),
    *_limits(
        Group.CONNECTIONS,
        ("max_connections", "connections", "open connections", "CONNECTIONS", whole(1, _MANY)),
        ("max_address_connections", "address_connections",
         "open connections of one IPv4 address, or of one IPv6 network of 64 bits",
         "CONNECTIONS", whole(1, _MANY)),
        ("address_rate", "address_rate",
         "new connections a second that one address may make for ever",
         "CONNECTIONS", number(0, 1e6)),
        ("address_burst", "address_burst",
         "new connections that an address which made none for a while may make at once",
         "CONNECTIONS", whole(1, _MANY)),
        ("max_address_rooms", "address_rooms",
         "live rooms created from one address", "ROOMS", whole(1, _MANY)),
        ("max_address_seats", "address_seats",
         "seats in rooms held from one address", "SEATS", whole(1, _MANY)),
        ("unlimited_address", "unlimited_address",
         "addresses or networks, with commas between them, for which no bound of one address "
         "holds; by default this machine itself", "ADDRESSES", networks),
        ("first_request_seconds", "first_request_seconds",
         "from accepting a connection to the end of its first request's head",
         "SECONDS", _SECONDS),
        ("heartbeat_seconds", "heartbeat_seconds",
         "between pings; idle proxies often cut at 60", "SECONDS", _SECONDS),
        ("heartbeat_timeout_seconds", "heartbeat_timeout_seconds",
         "a peer that sends nothing for so long after a ping is dead", "SECONDS", _SECONDS),
        ("write_seconds", "write_seconds",
         "in which a socket must take what it was given; else it is closed as too slow",
         "SECONDS", _SECONDS),
        ("close_seconds", "close_seconds",
         "in which a peer must answer a close frame; then it is cut off", "SECONDS", _SECONDS),
    ),
    *_limits(
        Group.HTTP,
        ("max_head_bytes", "head_bytes",
         "largest head of a request", "BYTES", whole(KIB, MIB)),
        ("max_body_bytes", "body_bytes",
         "largest body of a request; a larger one is answered 413", "BYTES", whole(0, 64 * MIB)),
        ("max_bodies_bytes", "bodies_bytes",
         "all bodies that are being read or answered; above it 503", "BYTES",
         whole(0, 64 * 1024 * MIB)),
        ("max_client_bodies_bytes", "client_bodies_bytes",
         "the same for one address; above it 429", "BYTES", whole(0, 64 * 1024 * MIB)),
        ("max_long_answers", "long_answers",
         "answers above 64 KiB that are being sent at once; above it they are answered 503",
         "ANSWERS", whole(1, _MANY)),
        ("max_long_answers_per_address", "long_answers_per_address",
         "the same to one address; above it they are answered 429", "ANSWERS", whole(1, _MANY)),
    ),
    *_limits(
        Group.ACCOUNTS,
        ("login_limit", "login_limit",
         "wrong passwords a minute, for one address and account; three times as many for one "
         "account from new addresses, ten times for one address; 0 for no limit",
         "ATTEMPTS", whole(0, _MANY)),
        ("register_limit", "register_limit",
         "registrations in 30 minutes, for each address; 0 for no limit",
         "ATTEMPTS", whole(0, _MANY)),
    ),
    *_settings(
        Group.ACCOUNTS,
        ("token_days", "days after its last use at which a login ends", "DAYS", number(0, 3650)),
        ("secure_cookies",
         "whether browsers send the cookie by HTTPS alone: on, off, or auto, which is on "
         "where a trusted proxy says in X-Forwarded-Proto that the browser came by HTTPS",
         "WHEN", choice("on", "off", "auto")),
        ("trusted_proxy",
         "addresses or networks of reverse proxies, with commas between them, whose "
         "X-Forwarded-For and X-Forwarded-Proto are believed; Host must be passed on",
         "ADDRESSES", networks),
    ),
    *_limits(
        Group.ACCOUNTS,
        ("max_tokens_per_account", "tokens_per_account",
         "tokens for bots that one account may have", "TOKENS", whole(1, _MANY)),
        ("max_account_seats", "account_seats",
         "connections of one account that are in chat rooms", "CONNECTIONS", whole(1, _MANY)),
    ),
    *_settings(
        Group.WEBHOOKS,
        ("webhook_url",
         "where the events of all rooms that were opened by POST /v1/rooms are told, with those "
         "that a room's own webhook is told; needs --webhook-secret", "URL", webhook_url),
        ("webhook_secret",
         f"by which they are signed: {FORM}; or the name of a file with it, since others can read "
         "the command line", "SECRET|FILE", secret(check_secret, FORM)),
        ("webhook_allow_private",
         "addresses or networks, with commas between them, in which receivers may be although "
         "they are not public", "ADDRESSES", networks),
    ),
    *_limits(
        Group.WEBHOOKS,
        ("webhook_seconds", "webhook_seconds",
         "for one request, from the look-up of the receiver's name to the head of its answer",
         "SECONDS", number(0, 600)),
        ("max_webhooks_waiting", "webhooks_waiting",
         "events that wait for receivers; further ones are not told", "EVENTS", whole(1, _MANY)),
        ("max_room_webhooks_waiting", "room_webhooks_waiting",
         "the same of one room, for each of its receivers", "EVENTS", whole(1, _MANY)),
    ),
)
# fmt: on
