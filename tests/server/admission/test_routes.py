"""The table of WebSocket endpoints: what a path leads to, and what stands in it."""

import pytest

from server.admission.routes import LONGEST_PARAMETER, RouteTable, Upgrade, WebSocketRoute


async def nowhere(upgrade: Upgrade) -> None:  # noqa: ASYNC124 - needs the clock
    raise AssertionError("nobody comes here")


def route(path: str, *subprotocols: str) -> WebSocketRoute:
    return WebSocketRoute(path=path, handler=nowhere, how=path, subprotocols=subprotocols)


TABLE = RouteTable(
    [route("/ws"), route("/ws/echo"), route("/ws/joinRoom/{roomId}"), route("/{a}/and/{b}.c")]
)


@pytest.mark.parametrize(
    ("path", "template", "parameters"),
    [
        ("/ws", "/ws", {}),
        ("/ws/echo", "/ws/echo", {}),
        ("/ws/joinRoom/lobby", "/ws/joinRoom/{roomId}", {"roomId": "lobby"}),
        ("/ws/joinRoom/a%2Fb%20%C3%A9", "/ws/joinRoom/{roomId}", {"roomId": "a/b é"}),
        ("/x/and/y.c", "/{a}/and/{b}.c", {"a": "x", "b": "y"}),
    ],
)
def test_a_path_leads_to_its_route(path: str, template: str, parameters: dict[str, str]) -> None:
    found = TABLE.find(path)
    assert found is not None
    assert (found[0].path, found[1]) == (template, parameters)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/ws/", "/WS", "/ws/joinRoom", "/ws/joinRoom/", "/ws/joinRoom/a/b"),
        *("/ws/other/x", "/x/and/yxc", "*", "ws", "/ws/joinRoom/" + "a" * (LONGEST_PARAMETER + 1)),
    ],
)
def test_any_other_path_leads_nowhere(path: str) -> None:
    assert TABLE.find(path) is None


def test_the_table_can_be_read() -> None:
    assert [each.path for each in TABLE][:2] == ["/ws", "/ws/echo"]


@pytest.mark.parametrize(
    ("spoken", "offered", "selected"),
    [
        ((), ("chat",), None),
        (("a", "b"), (), None),
        (("a", "b"), ("c",), None),
        (("a", "b"), ("b", "a"), "a"),
        (("a", "b"), ("c", "b"), "b"),
        (("a",), ("A",), None),
    ],
)
def test_a_route_selects_the_best_subprotocol_that_both_speak(
    spoken: tuple[str, ...], offered: tuple[str, ...], selected: str | None
) -> None:
    assert route("/ws", *spoken).select(offered) == selected
