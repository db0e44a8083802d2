"""The opening handshake by itself: whether a request is valid, and how it is answered."""

import codecs

import pytest

from server.admission.handshake import (
    LONGEST_HOST,
    Handshake,
    asks_for_websocket,
    judge_handshake,
)
from server.support.errors import HttpRejection

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def headers(**changes: list[bytes]) -> dict[bytes, list[bytes]]:
    given = {
        b"host": [b"localhost"],
        b"upgrade": [b"websocket"],
        b"connection": [b"Upgrade"],
        b"sec-websocket-key": [KEY],
        b"sec-websocket-version": [b"13"],
    }
    return given | {name.replace("_", "-").encode(): values for name, values in changes.items()}


def judge(**changes: list[bytes]) -> Handshake:
    return judge_handshake(b"GET", b"1.1", headers(**changes))


def test_the_answer_is_that_of_the_standard() -> None:
    """RFC 6455 section 1.3 has both the key and what is made of it."""
    assert judge().answer() == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


def test_a_subprotocol_is_answered_only_if_it_is_selected() -> None:
    handshake = judge(sec_websocket_protocol=[b"chat, superchat"])
    assert handshake.subprotocols == ("chat", "superchat")
    assert b"Sec-WebSocket-Protocol" not in handshake.answer()
    assert b"\r\nSec-WebSocket-Protocol: superchat\r\n" in handshake.answer("superchat")


@pytest.mark.parametrize(
    ("values", "offered"),
    [
        ([], ()),
        ([b"a", b"b , c"], ("a", "b", "c")),
        ([b"a,,b b,\xff,c:d"], ("a",)),
        ([b""], ()),
    ],
)
def test_what_is_no_name_of_a_subprotocol_is_not_offered(
    values: list[bytes], offered: tuple[str, ...]
) -> None:
    assert judge(sec_websocket_protocol=values).subprotocols == offered


@pytest.mark.parametrize(
    "host",
    [
        *(b"localhost", b"localhost:8080", b"a.example.org.", b"xn--bcher-kva.example:80"),
        *(b"192.0.2.1:1", b"[::1]", b"[2001:db8::1]:8080", b"a_b.c-d", b"h:", b"a" * 63),
        b".".join([b"a" * 49] * 5),
    ],
)
def test_a_host_may_be_a_name_or_an_address(host: bytes) -> None:
    assert judge(host=[host]).key == KEY


@pytest.mark.parametrize(
    "host",
    [
        *(
            b"",
            b"\xff",
            b"xn--\xff",
            b"a b",
            b"a/b",
            b"user@host",
            b"..",
            b".a",
            b"a..b",
            b"a" * 64,
        ),
        *(b"h:123456", b"h:x", b"[::1", b"[zz]", b"[]", b"%61", b":80"),
        b".".join([b"a" * 50] * 6),
        b"xn--" + b"a" * 15_000,
    ],
)
def test_any_other_host_is_refused_by_its_bytes_alone(
    host: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(name: str) -> codecs.CodecInfo:
        raise AssertionError(f"the codec {name} was asked for")

    monkeypatch.setattr(codecs, "lookup", forbidden)
    with pytest.raises(HttpRejection, match="Host") as refused:
        judge(host=[host])
    assert refused.value.status == 400


def test_a_long_host_is_refused_for_its_length() -> None:
    with pytest.raises(HttpRejection, match=str(LONGEST_HOST)):
        judge(host=[b"xn--" + b"a" * 15_000])


@pytest.mark.parametrize("key", [b"", KEY[:-1], KEY + b"A", b"A" * 15_000, b"!" * 24, b"\xff" * 24])
def test_a_key_is_16_bytes(key: bytes) -> None:
    with pytest.raises(HttpRejection, match="16 bytes"):
        judge(sec_websocket_key=[key])


@pytest.mark.parametrize(
    ("upgrade", "connection", "asks"),
    [
        ([b"websocket"], [b"upgrade"], True),
        ([b"h2c", b"WebSocket"], [b"keep-alive, Upgrade"], True),
        ([b"websocket"], [b"close"], False),
        ([b"websockets"], [b"upgrade"], False),
        ([], [b"upgrade"], False),
    ],
)
def test_who_asks_for_a_websocket(
    upgrade: list[bytes], connection: list[bytes], asks: bool
) -> None:
    assert asks_for_websocket(headers(upgrade=upgrade, connection=connection)) is asks
