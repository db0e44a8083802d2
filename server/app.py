"""The composition root: the one file that knows all others, and the order in which they end."""

import contextlib
from collections.abc import Callable
from importlib.metadata import version

import trio

from server.admission import Admission
from server.config import Settings
from server.counters import Counters
from server.door import Door
from server.heartbeat import Heartbeat
from server.http.application import make_application
from server.http.health import Health
from server.http.serve import HttpServer
from server.hub import Hub
from server.lifecycle import Lifecycle
from server.listener import Listener, open_sockets
from server.observe import get_logger
from server.poller import Poller
from server.store.results import MemoryResults

_GOING_AWAY = "the server is shutting down"


async def serve(settings: Settings, announce: Callable[[str], None]) -> int:
    """Run the server until a signal ends it.

    Nurseries are nested in the order in which things end: accepting first, then the handlers
    of connections, then rooms, and last what all of them use.

    Args:
        settings: what the operator decided.
        announce: is told the address, once connections are accepted.

    Returns:
        The exit code: 0 after a drain, 128 plus its number after a second signal.

    Raises:
        OSError: if the address cannot be listened on.
    """
    limits = settings.limits
    counters = Counters()
    results = MemoryResults(limits.kept_results)
    lifecycle = Lifecycle()
    heartbeat = Heartbeat(limits.heartbeat_seconds, limits.heartbeat_timeout)
    started = trio.current_time()
    log = get_logger("server")
    sockets = open_sockets(settings.host, settings.port)
    with contextlib.ExitStack() as stack:
        for sock in sockets:
            stack.enter_context(sock)
        poller = stack.enter_context(Poller()) if Poller.available() else None
        http = HttpServer(
            make_application(
                store=results,
                counters=counters,
                limits=limits,
                version=version("parley-server"),
                health=lambda: Health(
                    status="draining" if lifecycle.draining.is_set() else "ok",
                    uptime=trio.current_time() - started,
                    rooms=counters.rooms_current,
                    connections=counters.connections_current,
                ),
                echo=settings.echo,
            ),
            limits,
        )
        work = trio.CancelScope()
        async with trio.open_nursery() as services:
            await services.start(lifecycle.watch, work.cancel)
            if poller is not None:
                services.start_soon(poller.run)
            services.start_soon(heartbeat.run)
            with work:
                async with trio.open_nursery() as rooms, trio.open_nursery() as handlers:
                    hub = Hub(rooms, limits=limits, results=results, counters=counters)
                    admission = Admission(
                        hub=hub,
                        limits=limits,
                        poller=poller,
                        heartbeat=heartbeat,
                        counters=counters,
                    )
                    door = Door(
                        limits=limits,
                        routes=admission.routes(echo=settings.echo),
                        http=http,
                        counters=counters,
                    )
                    listener = Listener(
                        door.serve, handlers, most=limits.connections, counters=counters
                    )
                    async with trio.open_nursery() as accepting:
                        for sock in sockets:
                            accepting.start_soon(listener.run, sock)
                        announce(_url(settings.host, sockets[0].getsockname()[1]))
                        await lifecycle.draining.wait()
                        accepting.cancel_scope.cancel()
                    work.deadline = trio.current_time() + limits.drain_seconds
                    door.drain()
                    hub.drain(_GOING_AWAY)
                    admission.drain(_GOING_AWAY)
                    await http.begin_drain()
            services.cancel_scope.cancel()
    log.info("stopped", late=work.cancelled_caught)
    return 0 if lifecycle.killed_by is None else 128 + lifecycle.killed_by


def _url(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host or "localhost"
    return f"http://{shown}:{port}"
