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

from server.edge.closing import Cause
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
    "closed": "WebSocket connections closed or lost, by first cause.",
    "closed_unanswered": "Connections aborted because a close frame was not answered in time.",
    "writes_waiting_current": "Writes of rooms waiting for the database.",
    "writes_done": "Writes of rooms committed to the database.",
    "writes_dropped": "Writes of rooms given up: too many waited, or the database refused them.",
    "webhooks_waiting_current": "Events that wait for receivers of webhooks.",
    "webhooks_delivered": "Events that receivers of webhooks have taken.",
    "webhooks_retried": "Requests to receivers of webhooks that failed and will be tried again.",
    "webhooks_failed": "Events that were given up after all tries, or that nobody wants any more.",
    "webhooks_dropped": "Events that were never sent: too many waited for receivers of webhooks.",
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
            if name == "closed":
                continue
            family = GaugeMetricFamily if name.endswith("_current") else CounterMetricFamily
            yield family(f"parley_{name}", HELP.get(name, name.replace("_", " ")), value)
        closed = CounterMetricFamily("parley_closed", HELP["closed"], labels=["cause"])
        for cause in Cause:
            closed.add_metric([cause], self._counters.closed.get(cause, 0))
        yield closed


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
