"""An application with every route there is, and the real rooms behind those of estimation rooms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.ids import RoomId
from server.admission.allowances import Allowances
from server.auth.bots import BotTokens
from server.auth.seats import SeatKeys
from server.auth.sources import Source
from server.http.application import make_application
from server.http.report import round_json
from server.http.routes.chat import chat_handlers
from server.http.routes.rooms import RoomsOverHttp, results_path
from server.http.routes.sessions import session_handlers
from server.http.routes.tokens import token_handlers
from server.http.routes.webhooks import WebhooksOverHttp
from server.http.serve import HttpServer
from server.http.social import Social
from server.rooms.backlogs import Backlogs
from server.rooms.hub import Hub
from server.rooms.imports import TicketImports
from server.rooms.journal import Logbook
from server.rooms.lasting import LastingRooms
from server.rooms.making import RoomMaker
from server.store import estimations
from server.store.database import Database
from server.store.results import DatabaseResults
from server.support.counters import Counters
from server.support.limits import Limits
from server.webhooks.addresses import Judge
from server.webhooks.reports import Reports, Telling
from tests.server.http.test_chat_routes import ChatWorld
from tests.server.http.world import UNLIMITED
from tests.server.http_client import UP, endpoints

HOSTS = {
    "receiver.example": ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "inside.example": ["93.184.215.14", "10.0.0.1"],
    "127.0.0.1": ["127.0.0.1"],
}
"""The hosts that there are."""


class WholeWorld(ChatWorld):
    """Whoever asks does so from ``source``."""

    def __init__(self, database: Database, nursery: trio.Nursery, **limited: Any) -> None:
        super().__init__(database, nursery)
        limits, counters = Limits(**limited), Counters()
        self.source = Source("192.0.2.1")
        self.results = DatabaseResults(database, self.writer)
        self.hub = Hub(nursery, limits=limits, results=self.results, counters=counters)
        self.reports = Reports(
            Telling(round=round_json, results=results_path), counters=counters, limits=limits
        )
        self.lasting = LastingRooms(
            self.hub,
            database=database,
            book=Logbook(self.writer, counters=counters, reports=self.reports),
            results=self.results,
            limits=limits,
            make_room=RoomMaker(limits=limits, counters=counters, dialect=PARLEY_V1),
        )
        self.keys = SeatKeys(b"secret")
        bots = BotTokens(
            database,
            self.accounts.revocations,
            most=limits.tokens_per_account,
            clock=lambda: self.now,
        )
        self.application = make_application(
            store=self.results,
            counters=counters,
            limits=limits,
            version="1.2.3",
            health=lambda: UP,
            websockets=endpoints(),
            social=Social(
                accounts=self.accounts,
                database=database,
                rules=UNLIMITED,
                more=[
                    *chat_handlers(database, self.rooms),
                    *session_handlers(database, limits),
                    *token_handlers(bots),
                ],
            ),
            rooms=RoomsOverHttp(
                rooms=self.lasting,
                stored=lambda room_id: database.run(partial(estimations.find, room_id=room_id)),
                allowances=Allowances(limits, is_live=self._is_live),
                keys=self.keys,
                backlogs=Backlogs(database, self.hub.find, limits),
                imports=TicketImports(self.lasting.wake),
                source=lambda _: self.source,
                limits=limits,
                webhooks=WebhooksOverHttp(
                    judge=Judge(lookup=self._look_up),
                    find=partial(self.reports.standing, database),
                    forget=partial(self.reports.remove, database),
                ),
            ),
        )
        self.server = HttpServer(self.application, limits)

    async def _look_up(self, host: str, port: int) -> list[str]:
        """Know some hosts, and ask nobody."""
        await trio.lowlevel.checkpoint()
        if host not in HOSTS:
            raise OSError("not known")
        return HOSTS[host]

    def _is_live(self, room_id: RoomId) -> bool:
        return self.hub.find(room_id) is not None or self.lasting.known(room_id)


@asynccontextmanager
async def whole_world(database: Database, **limited: Any) -> AsyncIterator[WholeWorld]:
    """Run one until the end of the block, which comes like a kill."""
    async with trio.open_nursery() as services:
        async with trio.open_nursery() as nursery:
            found = WholeWorld(database, nursery, **limited)
            await found.lasting.load()
            services.start_soon(found.writer.run)  # noqa: ASYNC113
            services.start_soon(found.rooms.run)  # noqa: ASYNC113
            yield found
            found.lasting.park_all("killed")
            nursery.cancel_scope.cancel()
        services.cancel_scope.cancel()
