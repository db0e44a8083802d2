"""What the server counts; plain numbers that a hot path can afford to raise."""

import attrs


@attrs.define(slots=True)
class Counters:
    """Totals since the start, but for those called current; each is exported as a metric."""

    connections_current: int = 0
    """Open TCP connections, of any kind."""
    connections_accepted: int = 0
    connections_refused: int = 0
    """Turned away at the door: over the cap, bad or late first request, handshake refused."""
    websockets_opened: int = 0
    websockets_current: int = 0
    rooms_opened: int = 0
    rooms_closed: int = 0
    rooms_crashed: int = 0
    rooms_current: int = 0
    members_current: int = 0
    """Connections that rooms own, those in the middle of a handshake included."""
    messages_received: int = 0
    messages_refused: int = 0
    """Malformed, too fast or against the rules."""
    rounds_revealed: int = 0
    chat_messages: int = 0
    """Said in chat rooms."""
    closed: dict[str, int] = attrs.Factory(dict)
    """WebSocket connections that are being closed or have ended, by the first of
    ``server.edge.closing.Cause``."""
    closed_unanswered: int = 0
    """Aborted because the close frame was not answered in time."""
    writes_waiting_current: int = 0
    """Handed over by rooms, not yet in the database."""
    writes_done: int = 0
    writes_dropped: int = 0
    """Too many waited, they failed by themselves, or the server ended without a database."""
    webhooks_waiting_current: int = 0
    """Events that wait for receivers, in the store."""
    webhooks_delivered: int = 0
    webhooks_retried: int = 0
    """Tries in vain after which there will be another one."""
    webhooks_failed: int = 0
    """Given up: too many tries, too late, or the receiver wants nothing more."""
    webhooks_dropped: int = 0
    """Never tried: too many waited."""
