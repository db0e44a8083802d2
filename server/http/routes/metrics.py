"""``GET /metrics``: the counters and the process in the text format of Prometheus."""

from collections.abc import Iterator
from typing import Final

import attrs
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from server.support.counters import Counters

HELP: Final = {
    "connections_current": "Open TCP connections of any kind.",
    "connections_accepted": "TCP connections accepted.",
    "connections_refused": "Connections refused: too many of them, or a bad or late first request.",
    "websockets_opened": "WebSocket handshakes completed.",
    "websockets_current": "Open WebSocket connections.",
    "rooms_opened": "Rooms opened.",
    "rooms_closed": "Rooms closed, for whatever reason.",
    "rooms_crashed": "Rooms closed because of a defect in the server.",
    "rooms_current": "Live rooms.",
    "members_current": "Connections in rooms, including those in the middle of a handshake.",
    "messages_received": "Messages received from members.",
    "messages_refused": "Messages refused as malformed, too frequent or against the rules.",
    "rounds_revealed": "Rounds of voting whose votes were revealed.",
    "chat_messages": "Messages sent in chat rooms.",
    "closed_too_slow": "Members disconnected because they did not read what they were sent.",
    "closed_silent": "Members disconnected because a ping was not answered in time.",
    "closed_unanswered": "Connections aborted because a close frame was not answered in time.",
    "writes_waiting_current": "Writes of rooms waiting for the database.",
    "writes_done": "Writes of rooms committed to the database.",
    "writes_dropped": "Writes of rooms given up: too many waited, or the database refused them.",
}
"""What each counter counts, for the people who read dashboards."""


class CountersCollector(Collector):
    """Reads the counters when it is asked, so that counting costs an addition and no more."""

    def __init__(self, counters: Counters, version: str) -> None:
        """Export ``counters``: those called current as gauges, all others as totals."""
        self._counters = counters
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Give all metrics with their present values."""
        yield InfoMetricFamily("parley", "The server and its version.", {"version": self._version})
        for name, value in attrs.asdict(self._counters).items():
            family = GaugeMetricFamily if name.endswith("_current") else CounterMetricFamily
            yield family(f"parley_{name}", HELP.get(name, name.replace("_", " ")), value)


def metrics_handler(counters: Counters, version: str) -> HTTPRouteHandler:
    """Make the handler of ``GET /metrics``, with a registry of its own."""
    registry = CollectorRegistry()
    registry.register(CountersCollector(counters, version))
    ProcessCollector(registry=registry)

    @get(
        "/metrics",
        operation_id="getMetrics",
        summary="Get metrics for Prometheus",
        tags=["server"],
        media_type="text/plain",
    )
    async def metrics() -> Response[bytes]:
        """The server's counters, and the memory, CPU time and open files of its process."""
        # Litestar would add a second charset to a media type.
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return metrics
