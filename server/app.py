"""The composition root: the one file that knows all others, and the order in which they end."""

import contextlib
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from typing import Final, Literal

import trio

from protocol.dialects.parley_v1 import PARLEY_V1
from server.admission.allowances import Allowances
from server.admission.door import Door
from server.admission.estimatex import Admission
from server.admission.gochat import ChatAdmission
from server.admission.lobby import Lobby
from server.admission.members import Members
from server.admission.parley_chats import ParleyChatAdmission
from server.admission.parley_v1 import ParleyAdmission
from server.admission.passcodes import Passcodes
from server.admission.routes import RouteTable
from server.auth.accounts import Accounts
from server.auth.bots import BotTokens
from server.auth.passwords import Passwords
from server.auth.proxies import Proxies
from server.auth.seats import SeatKeys
from server.auth.sources import Sources
from server.auth.tokens import Revoked, TokenLifetime
from server.edge.heartbeat import Heartbeat
from server.edge.listener import Listener, open_sockets
from server.edge.places import Places
from server.edge.poller import Poller
from server.http.access import AccessRules
from server.http.application import make_application
from server.http.report import round_json
from server.http.routes.chat import chat_handlers
from server.http.routes.health import Health
from server.http.routes.rooms import RoomsOverHttp, results_path
from server.http.routes.sessions import session_handlers
from server.http.routes.tokens import token_handlers
from server.http.routes.webhooks import WebhooksOverHttp
from server.http.serve import HttpServer
from server.http.slices import LongAnswers
from server.http.social import Social
from server.lifecycle import Lifecycle
from server.rooms.backlogs import Backlogs
from server.rooms.chat_directory import ChatRooms
from server.rooms.hub import Hub
from server.rooms.imports import TicketImports
from server.rooms.journal import Logbook
from server.rooms.lasting import LastingRooms
from server.rooms.making import RoomMaker
from server.settings.config import Settings
from server.store.database import Database
from server.store.estimations import find, forget_old
from server.store.housekeeping import Chore, prepare, tidy
from server.store.lease import Lease
from server.store.results import DatabaseResults
from server.store.resume_secret import resume_secret
from server.store.webhooks import Webhook
from server.store.webhooks import forget_old as forget_webhooks
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.errors import CannotListen, Ousted
from server.support.limits import DAY
from server.support.observe import get_logger
from server.support.rlimit import raise_limit
from server.support.stopping import exit_code
from server.webhooks.addresses import Judge
from server.webhooks.deliveries import Deliveries
from server.webhooks.events import EVERY
from server.webhooks.reports import Reports, Telling
from server.webhooks.sending import Sender

_GOING_AWAY: Final = "the server is shutting down"


async def serve(settings: Settings, announce: Callable[[str], None]) -> int:
    """Run the server until a signal ends it.

    Nurseries are nested in the order in which things end: accepting first, then the handlers
    of connections, then rooms, then what all of them use, and last the care for signals.

    Args:
        settings: what the operator decided.
        announce: is told the address, once connections are accepted.

    Returns:
        The exit code: 0 after a drain, 1 if writes were lost in it, 128 plus its number after a
        second signal, or after a first one while starting.

    Raises:
        ExceptionGroup: of

            CannotListen: if the address cannot be listened on.
            DatabaseUnusable: if the database cannot be reached or migrated, or another server owns
                it.
            Ousted: after a drain, if another server has taken over the database meanwhile.
            OSError: if the system refuses anything else.
    """
    limits = settings.limits
    lifecycle = Lifecycle(delay=limits.shutdown_delay, drain_seconds=limits.drain_seconds)
    lost = 0
    async with trio.open_nursery() as watching:
        await watching.start(lifecycle.watch)
        lost = await _serve(settings, lifecycle, announce)
        watching.cancel_scope.cancel()
    log = get_logger("server")
    late = lifecycle.work.cancelled_caught
    if lost:
        log.error("stopped, and writes of the last moments are lost", late=late, writes=lost)
    else:
        log.info("stopped", late=late)
    if lifecycle.killed_by is not None:
        return exit_code(lifecycle.killed_by)
    return 1 if lost else 0


async def _serve(settings: Settings, lifecycle: Lifecycle, announce: Callable[[str], None]) -> int:
    """Start, serve and drain; give the number of writes lost on the way out."""
    async with contextlib.AsyncExitStack() as stack:
        ground = _Services(settings, lifecycle)
        stack.push_async_callback(ground.database.aclose)
        sockets = _listen(settings.host, settings.port)
        for sock in sockets:
            stack.enter_context(sock)
        ground.poller = stack.enter_context(Poller()) if Poller.available() else None
        stack.push_async_callback(ground.lease.aclose)
        house: _Frontend | None = None
        lost = dropped = 0
        async with trio.open_nursery() as services:
            with lifecycle.work:
                await prepare(ground.database, ground.lease)
                services.start_soon(ground.lease.keep, lifecycle.leaving)
                for task in ground.tasks():
                    services.start_soon(task)
                secret = await ground.database.run(resume_secret, write=True)
                async with trio.open_nursery() as rooms, trio.open_nursery() as handlers:
                    house = _Frontend(settings, ground, rooms, secret)
                    await house.lasting.load()
                    listener = Listener(
                        house.door.serve,
                        handlers,
                        places=house.places,
                        sources=house.sources,
                        limits=settings.limits,
                        counters=ground.counters,
                    )
                    async with trio.open_nursery() as accepting:
                        for sock in sockets:
                            accepting.start_soon(listener.run, sock)
                        accepting.start_soon(house.chat.run)
                        accepting.start_soon(house.lasting.run)
                        announce(_url(settings.host, sockets[0].getsockname()[1]))
                        lifecycle.begin()
                        await lifecycle.leaving.wait()
                        house.http.end_connections()
                        await lifecycle.draining.wait()
                        dropped = ground.writer.dropped
                        accepting.cancel_scope.cancel()
                    await house.drain()
            if house is not None:
                house.chat.finish()
                await ground.writer.drain(lifecycle.seconds_to_write)
                lost = ground.writer.dropped - dropped
            services.cancel_scope.cancel()
    if ground.lease.lost:
        raise Ousted
    return lost


def _listen(host: str, port: int) -> list[socket.socket]:
    try:
        return open_sockets(host, port)
    except OSError as error:
        why = error.strerror or error
        raise CannotListen(f"cannot listen on {host}:{port}: {why}") from None


class _Services:
    """What everything else stands on, and what ends last."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        limits = settings.limits
        self.lifecycle = lifecycle
        self.counters = Counters()
        self.database = Database(settings.database_url)
        self.lease = Lease(self.database)
        self.writer = Writer(self.database, counters=self.counters)
        self.results = DatabaseResults(
            self.database,
            self.writer,
            room_bytes=limits.room_results_bytes,
            all_bytes=limits.results_bytes,
        )
        life = TokenLifetime(settings.token_days * DAY)
        self.accounts = Accounts(self.database, Passwords(), life=life)
        self.bots = BotTokens(
            self.database, self.accounts.revocations, most=limits.tokens_per_account
        )
        self.judge = Judge(settings.webhook_allow_private)
        self.reports = Reports(
            Telling(round=round_json, results=results_path),
            counters=self.counters,
            limits=limits,
            everywhere=Webhook(
                url=settings.webhook_url, secret=settings.webhook_secret, events=EVERY
            )
            if settings.webhook_url
            else None,
        )
        self.deliveries = Deliveries(
            self.database,
            self.reports,
            Sender(self.judge, seconds=limits.webhook_seconds, version=version("parley-server")),
            judge=self.judge,
            counters=self.counters,
        )
        self.book = Logbook(self.writer, counters=self.counters, reports=self.reports)
        self.heartbeat = Heartbeat(limits.heartbeat_seconds, limits.heartbeat_timeout_seconds)
        self.poller: Poller | None = None
        self._retention: list[Chore] = [
            partial(forget_old, seconds=limits.results_seconds),
            forget_webhooks,
        ]
        self._started = trio.current_time()

    def tasks(self) -> list[Callable[[], Awaitable[None]]]:
        """Say what must run as long as anything does."""
        poller = [self.poller.run] if self.poller is not None else []
        tasks = [self.heartbeat.run, self.writer.run, self.database.watch, self.deliveries.run]
        return [*poller, *tasks, partial(tidy, self.database, self._retention)]

    def health(self) -> Health:
        """Say how the server is at this moment."""
        status: Literal["ok", "degraded", "draining"] = "ok"
        if self.lifecycle.leaving.is_set():
            status = "draining"
        elif not self.database.available:
            status = "degraded"
        return Health(
            status=status,
            uptime=trio.current_time() - self._started,
            rooms=self.counters.rooms_current,
            connections=self.counters.connections_current,
            backlog=self.writer.backlog,
        )


class _Frontend:
    """The rooms, and the ways into them."""

    def __init__(
        self, settings: Settings, ground: _Services, rooms: trio.Nursery, secret: bytes
    ) -> None:
        limits, counters, database = settings.limits, ground.counters, ground.database
        proxies = Proxies(settings.trusted_proxy)
        self.sources = Sources(proxies, limits.unlimited_address)
        self.places = Places(most=raise_limit(limits.connections)[0], limits=limits)
        self.hub = Hub(rooms, limits=limits, results=ground.results, counters=counters)
        self.lasting = LastingRooms(
            self.hub,
            database=database,
            book=ground.book,
            results=ground.results,
            limits=limits,
            make_room=RoomMaker(limits=limits, counters=counters, dialect=PARLEY_V1),
        )
        self.chat = ChatRooms(
            rooms, database=database, writer=ground.writer, limits=limits, counters=counters
        )
        allowances = Allowances(
            limits,
            is_live=lambda room: self.hub.find(room) is not None or self.lasting.known(room),
        )
        members = Members(
            allowances=allowances,
            places=self.places,
            limits=limits,
            poller=ground.poller,
            heartbeat=ground.heartbeat,
            counters=counters,
        )
        self.admission = Admission(
            hub=self.hub,
            rooms=self.lasting,
            members=members,
            allowances=allowances,
            limits=limits,
            counters=counters,
        )
        chat_admission = ChatAdmission(
            accounts=ground.accounts, rooms=self.chat, members=members, allowances=allowances
        )
        self.keys = SeatKeys(secret)
        self.lobby = Lobby(
            members=members,
            allowances=allowances,
            accounts=ground.accounts,
            limits=limits,
            counters=counters,
            release=version("parley-server"),
        )
        parley_admission = ParleyAdmission(
            self.lobby,
            rooms=self.lasting,
            allowances=allowances,
            keys=self.keys,
            passcodes=Passcodes(self.keys, limits),
        )
        parley_chat_admission = ParleyChatAdmission(
            self.lobby, rooms=self.chat, allowances=allowances, keys=self.keys, limits=limits
        )
        routes = RouteTable(
            [
                *self.admission.routes(echo=settings.echo),
                *chat_admission.routes(),
                *parley_admission.routes(),
                *parley_chat_admission.routes(),
            ]
        )
        ground.accounts.revocations.subscribe(self._revoke)
        answers = LongAnswers(limits, proxies)
        application = make_application(
            store=ground.results,
            counters=counters,
            limits=limits,
            version=version("parley-server"),
            health=ground.health,
            websockets=routes,
            social=Social(
                accounts=ground.accounts,
                database=database,
                rules=AccessRules(
                    proxies=proxies,
                    secure_cookies=settings.secure_cookies,
                    login_limit=limits.login_limit,
                    register_limit=limits.register_limit,
                ),
                more=[
                    *chat_handlers(
                        database, self.chat, answers=answers, most_rooms=limits.rooms_per_account
                    ),
                    *session_handlers(database, limits),
                    *token_handlers(ground.bots),
                ],
            ),
            answers=answers,
            rooms=RoomsOverHttp(
                rooms=self.lasting,
                stored=lambda room_id: database.run(partial(find, room_id=room_id)),
                allowances=allowances,
                keys=self.keys,
                backlogs=Backlogs(database, self.hub.find, limits),
                imports=TicketImports(self.lasting.wake),
                source=lambda request: self.sources.of_request(
                    request.client.host if request.client else "", request.scope["headers"]
                ),
                limits=limits,
                webhooks=WebhooksOverHttp(
                    judge=ground.judge,
                    find=partial(ground.reports.standing, database),
                    forget=partial(ground.reports.remove, database),
                ),
            ),
        )
        self.http = HttpServer(application, limits, proxies=proxies)
        self.door = Door(
            limits=limits,
            routes=routes,
            http=self.http,
            places=self.places,
            sources=self.sources,
            counters=counters,
        )

    def _revoke(self, revoked: Revoked) -> None:
        if revoked.everything:  # the account is gone
            self.chat.anonymise(revoked.user_id)

    async def drain(self) -> None:
        """Let nobody in any more, and send everybody away."""
        self.door.drain()
        self.hub.drain(_GOING_AWAY)
        self.lasting.park_all(_GOING_AWAY)
        self.chat.drain(_GOING_AWAY)
        self.admission.drain(_GOING_AWAY)
        self.lobby.drain()
        await self.http.begin_drain()


def _url(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host or "localhost"
    return f"http://{shown}:{port}"
