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

_HELP: Final = {
    "connections_current": "Open TCP connections of any kind",
    "connections_accepted": "TCP connections accepted",
    "connections_refused": "Connections turned away before they became anything",
    "websockets_opened": "WebSocket handshakes completed",
    "websockets_current": "Open WebSocket connections",
    "rooms_opened": "Rooms opened",
    "rooms_closed": "Rooms that have ended",
    "rooms_crashed": "Rooms that a fault of the server has ended",
    "rooms_current": "Live rooms",
    "members_current": "Connections that rooms own",
    "messages_received": "Messages from members",
    "messages_refused": "Messages that were malformed, too fast or against the rules",
    "rounds_revealed": "Rounds of voting that came to their end",
    "chat_messages": "Messages said in chat rooms",
    "closed": "WebSocket connections that have been closed or lost, by the first cause",
    "closed_unanswered": "Connections aborted because the close frame was not answered in time",
    "writes_waiting_current": "Writes of rooms that wait for the database",
    "writes_done": "Writes of rooms that are in the database",
    "writes_dropped": "Writes of rooms that never came into the database",
}


class CountersCollector(Collector):
    """Reads the counters when it is asked, so that counting costs an addition and no more."""

    def __init__(self, counters: Counters, version: str) -> None:
        """Export ``counters``; what is called current as gauges, all else as totals."""
        self._counters = counters
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Give all metrics with their values of this moment."""
        yield InfoMetricFamily("parley", "The server", {"version": self._version})
        for name, value in attrs.asdict(self._counters).items():
            if name == "closed":
                continue
            family = GaugeMetricFamily if name.endswith("_current") else CounterMetricFamily
            yield family(f"parley_{name}", _HELP.get(name, name.replace("_", " ")), value)
        closed = CounterMetricFamily("parley_closed", _HELP["closed"], labels=["cause"])
        for cause in Cause:
            closed.add_metric([cause], self._counters.closed.get(cause, 0))
        yield closed


def metrics_handler(counters: Counters, version: str) -> HTTPRouteHandler:
    """Make the handler of ``GET /metrics``, with a registry of its own."""
    registry = CollectorRegistry()
    registry.register(CountersCollector(counters, version))
    ProcessCollector(registry=registry)

    @get("/metrics", summary="Metrics", tags=["server"], media_type="text/plain")
    async def metrics() -> Response[bytes]:
        """Counters of the server and of its process, for Prometheus."""
        # Litestar would add a second charset to a media type.
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return metrics
