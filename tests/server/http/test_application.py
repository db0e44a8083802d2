"""What is answered over HTTP: the real application behind the real Hypercorn.

Requests are raw bytes on Trio memory streams, parsed on the other side by h11; no port is opened.
"""

import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.errors import ErrorCode, Refused
from protocol.ids import RoomId
from protocol.picture import Picture
from server.admission.allowances import Allowances
from server.auth.seats import SeatKeys
from server.auth.sources import Source
from server.edge.closing import Cause
from server.http.routes.health import Health
from server.http.routes.metrics import HELP
from server.http.routes.rooms import RoomsOverHttp
from server.http.routes.webhooks import WebhooksOverHttp
from server.http.serve import HttpServer
from server.rooms.lasting import Opened
from server.store.estimations import Session, StoredSession
from server.store.logbook import RoomSettings
from server.store.recording import RoomResults
from server.store.webhooks import Webhook
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.rationed import LINES_AT_ONCE, LONGEST
from server.webhooks.addresses import Judge
from tests.server.http_client import Answer, connect, make_server
from tests.server.memory_results import MemoryResults

ROOM = RoomId("a1B2c3")


async def ask(server: Any, target: str, method: str = "GET", *, head: str = "") -> Answer:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, server)
        answer = await client.ask(target, method, head=head + "Connection: close\r\n")
        assert await client.ended() == b""
    return answer


async def test_the_index_says_what_is_here() -> None:
    answer = await ask(make_server(), "/")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["name"] == "Parley"
    assert answer.json["version"] == "1.2.3"
    assert answer.json["links"] == {
        "asyncapi": "/schema/asyncapi.json",
        "documentation": "/schema",
        "getHealth": "/health",
        "getIndex": "/",
        "getLive": "/live",
        "getMetrics": "/metrics",
        "getReady": "/ready",
        "getResults": "/rooms/{room_id}/results{?key,format}",
        "openEstimationRoom": "/ws{?action,name,max_room_capacity,room_id}",
        "openapi": "/schema/openapi.json",
        "openapiYaml": "/schema/openapi.yaml",
        "parleyV1": "/schema/parley-v1.json",
    }


@pytest.mark.parametrize(
    "target",
    ["/", "/nope", "/rooms/x/results?format=x", "/ws", "/schema", "/metrics", "/schema/assets/x"],
)
async def test_every_answer_forbids_sniffing_and_caching_and_names_no_server(target: str) -> None:
    answer = await ask(make_server(), target)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert "date" in answer.headers


async def test_health_is_200_while_all_is_well() -> None:
    answer = await ask(make_server(), "/health")

    assert answer.status == 200
    assert answer.json == {
        "status": "ok",
        "uptime": 1.5,
        "rooms": 2,
        "connections": 3,
        "backlog": 0,
    }
    assert answer.headers["cache-control"] == "no-store"


async def test_health_is_503_while_draining() -> None:
    draining = Health(status="draining", uptime=9.0, rooms=0, connections=1)

    answer = await ask(make_server(health=draining), "/health")

    assert answer.status == 503
    assert answer.json["status"] == "draining"


async def test_health_is_200_and_degraded_while_the_database_is_gone() -> None:
    degraded = Health(status="degraded", uptime=9.0, rooms=0, connections=1, backlog=7)

    answer = await ask(make_server(health=degraded), "/health")

    assert answer.status == 200
    assert (answer.json["status"], answer.json["backlog"]) == ("degraded", 7)


async def test_metrics_show_the_counters_of_this_moment() -> None:
    counters = Counters()
    server = make_server(counters=counters)
    counters.rooms_current = 7
    counters.rooms_opened = 9
    counters.closed["too_slow"] = 3

    answer = await ask(server, "/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["content-type"].count("charset") == 1
    lines = answer.body.decode().splitlines()
    assert "# TYPE parley_rooms_current gauge" in lines
    assert "parley_rooms_current 7.0" in lines
    assert "# TYPE parley_rooms_opened_total counter" in lines
    assert "parley_rooms_opened_total 9.0" in lines
    assert "# TYPE parley_closed_total counter" in lines
    assert {line for line in lines if line.startswith("parley_closed_total")} == {
        f'parley_closed_total{{cause="{cause}"}} {3 * (cause is Cause.TOO_SLOW):.1f}'
        for cause in Cause
    }
    assert 'parley_info{version="1.2.3"} 1.0' in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


async def test_every_counter_is_a_metric_with_a_text_of_its_own() -> None:
    names = {field.name for field in attrs.fields(Counters)}

    answer = await ask(make_server(), "/metrics")

    families = {
        family.name: family for family in text_string_to_metric_families(answer.body.decode())
    }
    assert set(HELP) == names
    for name in names:
        family = families[f"parley_{name}"]
        assert family.documentation == HELP[name]
        assert {sample.value for sample in family.samples} == {0}


async def test_metrics_are_named_as_prometheus_recommends() -> None:
    answer = await ask(make_server(), "/metrics")

    for family in text_string_to_metric_families(answer.body.decode()):
        assert re.fullmatch(r"(parley|process)_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith(".")
        totals = [sample.name.endswith("_total") for sample in family.samples]
        assert totals == [family.type == "counter"] * len(totals)


async def test_a_websocket_endpoint_without_upgrade_is_426_and_says_how() -> None:
    answer = await ask(make_server(), "/ws?action=CREATE_ROOM&name=Ada")

    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert "upgrade" in answer.headers["connection"]
    assert "JOIN_ROOM" in answer.json["error"]


async def test_the_way_into_a_chat_room_without_upgrade_is_426_too() -> None:
    answer = await ask(make_server(chat=True), "/ws/joinRoom/lobby")

    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"


@pytest.mark.parametrize(("echo", "status"), [(True, 426), (False, 404)])
async def test_the_echo_endpoint_exists_only_when_it_is_on(echo: bool, status: int) -> None:
    answer = await ask(make_server(echo=echo), "/ws/echo")

    assert answer.status == status


async def test_an_unknown_path_is_404_in_json() -> None:
    for target in ("/nope", "/schema/nope", "/schema/nope.json", "/rooms/a/b/c", "/%ff%00"):
        answer = await ask(make_server(), target)

        assert answer.status == 404
        assert set(answer.json) == {"error"}


@pytest.mark.parametrize("method", ["POST", "DELETE", "BREW"])
async def test_a_wrong_method_is_405_and_says_what_is_allowed(method: str) -> None:
    answer = await ask(make_server(), "/health", method)

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert method in answer.json["error"]


async def test_options_says_what_is_allowed() -> None:
    for target in ("/health", "*"):
        answer = await ask(make_server(), target, "OPTIONS")

        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_head_is_get_without_the_body() -> None:
    server = make_server()

    with_body = await ask(server, "/health")
    without = await ask(server, "/health", "HEAD")

    assert (without.status, without.body) == (200, b"")
    assert without.headers["content-length"] == str(len(with_body.body))


async def test_an_absolute_target_is_understood() -> None:
    answer = await ask(make_server(), "http://t/health")

    assert answer.status == 200


async def test_an_unusable_host_is_400() -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send("GET / HTTP/1.1\r\nHost: a<b>\r\nConnection: close\r\n\r\n")
        answer = await client.answer()

    assert answer.status == 400
    assert set(answer.json) == {"error"}


class BrokenStore(MemoryResults):
    async def find(self, room_id: RoomId, key: str | None) -> RoomResults | None:
        await trio.lowlevel.checkpoint()
        raise LookupError("the secret cause")


async def test_a_fault_of_ours_is_a_bare_500_and_one_logged_error() -> None:
    with capture_logs() as logs:
        answer = await ask(make_server(BrokenStore()), f"/rooms/{ROOM}/results?format=json")

    assert answer.status == 500
    assert answer.json == {"error": "something went wrong on the server"}
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(errors) == 1
    assert isinstance(errors[0]["exc_info"], LookupError)
    assert errors[0]["path"] == f"/rooms/{ROOM}/results"


async def test_a_flood_of_faults_is_a_few_short_lines(autojump_clock: MockClock) -> None:
    server = make_server(BrokenStore(), limits=Limits(lookup_limit=0))
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            client = connect(nursery, server)
            for _ in range(LINES_AT_ONCE + 5):
                assert (await client.ask(f"/rooms/{'x' * 5000}/results")).status == 500
            await client.stream.aclose()

    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(errors) == LINES_AT_ONCE
    assert all(len(entry["path"]) < LONGEST + 50 for entry in errors)


async def test_requests_are_logged_at_debug_only() -> None:
    with capture_logs() as logs:
        await ask(make_server(), "/health")

    assert [(each["log_level"], each["path"], each["status"]) for each in logs] == [
        ("debug", "/health", 200)
    ]


async def test_a_server_without_accounts_has_none_in_its_document() -> None:
    document = (await ask(make_server(echo=True), "/schema/openapi.json")).json

    assert set(document["paths"]) == {
        *("/", "/health", "/live", "/metrics", "/ready", "/rooms/{room_id}/results"),
        *("/ws", "/ws/echo"),
    }


class OnlyRoom:
    """A fake: it has one room, which is opened and ended, and one that nobody may end."""

    def __init__(self) -> None:
        self.asked: list[RoomSettings] = []
        self.claims: list[str] = []
        self.refuses: ErrorCode | None = None

    async def claimed(self, claim: str) -> Opened | None:
        await trio.lowlevel.checkpoint()
        self.claims.append(claim)
        return None

    async def open(
        self,
        settings: RoomSettings,
        claim: str | None = None,
        owner: int | None = None,
        webhook: Webhook | None = None,
    ) -> Opened:
        await trio.lowlevel.checkpoint()
        assert (owner, webhook) == (None, None)
        if self.refuses is not None:
            raise Refused(self.refuses, "it is refused")
        self.asked.append(settings)
        return Opened(ROOM, Session(1, ROOM, "key1", 1.5), settings, fresh=True, ended=False)

    async def look(self, room_id: RoomId) -> Picture | None:
        await trio.lowlevel.checkpoint()
        return None

    def session(self, room_id: RoomId) -> Session | None:
        return Session(1, ROOM, "key1", 1.5) if room_id == ROOM else None

    async def close(self, room_id: RoomId, may: Callable[[int], bool]) -> bool | None:
        await trio.lowlevel.checkpoint()
        return may(1) if room_id == ROOM else None


def server_of(rooms: OnlyRoom) -> HttpServer:
    limits = Limits()

    async def nothing(_: RoomId) -> list[StoredSession]:
        await trio.lowlevel.checkpoint()
        return []

    async def no_webhook(_: int) -> None:
        await trio.lowlevel.checkpoint()

    async def none_to_forget(_: int) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    return make_server(
        rooms=RoomsOverHttp(
            rooms=rooms,
            stored=nothing,
            allowances=Allowances(limits, is_live=lambda _: True),
            keys=SeatKeys(b"secret"),
            source=lambda _: Source("192.0.2.1"),
            limits=limits,
            webhooks=WebhooksOverHttp(judge=Judge(), find=no_webhook, forget=none_to_forget),
        )
    )


async def open_room(server: HttpServer, *, head: str = "") -> Answer:
    body = '{"capacity": 3}'
    fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{head}"
    async with trio.open_nursery() as nursery:
        client = connect(nursery, server)
        await client.send(f"POST /v1/rooms HTTP/1.1\r\nHost: t\r\n{fields}\r\n{body}")
        answer = await client.answer()
        await client.stream.aclose()
    return answer


async def test_rooms_are_opened_and_ended_by_whoever_keeps_them() -> None:
    rooms = OnlyRoom()
    server = server_of(rooms)
    links = (await ask(server, "/")).json["links"]
    assert (links["openRoom"], links["endRoom"]) == ("/v1/rooms", "/v1/rooms/{room_id}")

    made = await open_room(server, head="Idempotency-Key: once\r\n")
    assert (made.status, made.json["id"], made.json["opened_at"]) == (
        201,
        ROOM,
        "1970-01-01T00:00:01.500000Z",
    )
    assert rooms.asked == [RoomSettings(capacity=3, most_capacity=500)]
    # No address, and no key in plain sight, is in what the store keeps.
    [claim] = rooms.claims
    assert re.fullmatch("[0-9a-f]{64}", claim)

    key = f"Authorization: Bearer {made.json['owner_key']}\r\n"
    assert (await ask(server, f"/v1/rooms/{ROOM}", "DELETE", head=key)).status == 204
    assert (await ask(server, "/v1/rooms/other1", "DELETE", head=key)).status == 404
    assert (await ask(server, f"/v1/rooms/{ROOM}", "DELETE")).status == 401


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.TOO_MANY, 429),
        (ErrorCode.TOO_MANY_ROOMS, 503),
        (ErrorCode.SHUTTING_DOWN, 503),
    ],
)
async def test_what_the_rooms_refuse_is_told_with_when_to_come_again(
    code: ErrorCode, status: int
) -> None:
    rooms = OnlyRoom()
    rooms.refuses = code

    answer = await open_room(server_of(rooms))

    assert (answer.status, answer.json) == (status, {"error": "it is refused"})
    assert int(answer.headers["retry-after"]) > 0


async def test_a_small_body_is_accepted_and_a_large_one_is_413() -> None:
    limits = Limits(body_bytes=10)
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server(limits=limits))
        await client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n" + "x" * 10)
        small = await client.answer()
        await client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n" + "x" * 11)
        large = await client.answer()
        assert await client.ended() == b""

    assert small.status == 405
    assert large.status == 413
    assert large.headers["connection"] == "close"
    assert large.headers["x-content-type-options"] == "nosniff"
    assert set(large.json) == {"error"}
