"""The first message of a WebSocket: whole or in pieces, and all that it must not be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, Refused
from server.edge.accepted import AcceptedConnection
from server.edge.first_message import read_first_message
from tests.server.harness import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WIRES,
    Client,
    Cutter,
    Frame,
    Wire,
    make_peer,
    masked,
    masked_close,
    split,
    sweep,
)

HELLO = '{"type":"hello","name":"Ada"}'
LONGEST = 100
BOTH = pytest.mark.parametrize("wire", WIRES)


@attrs.define
class Ends:
    """Both ends of a connection."""

    peer: AcceptedConnection
    client: Client

    async def read(self, begun: bytes = b"") -> tuple[str, bytes] | None:
        with trio.fail_after(5):
            return await read_first_message(self.peer, begun, LONGEST)

    async def refusal(self) -> str:
        with pytest.raises(Refused) as caught:
            await self.read()
        assert caught.value.problem.code is ErrorCode.MALFORMED
        return caught.value.problem.message


@asynccontextmanager
async def ends(wire: Wire = "memory") -> AsyncIterator[Ends]:
    peer, client, _ = make_peer(wire)
    try:
        yield Ends(peer, client)
    finally:
        await peer.aclose()
        await trio.aclose_forcefully(client.stream)


@BOTH
async def test_what_comes_behind_the_message_is_not_lost(wire: Wire) -> None:
    behind = masked("one") + masked("two")[:-1]
    async with ends(wire) as it:
        await it.client.send(masked(HELLO) + behind)
        assert await it.read() == (HELLO, behind)


@BOTH
async def test_a_message_may_have_come_with_the_request(wire: Wire) -> None:
    async with ends(wire) as it:
        assert await it.read(masked(HELLO) + b"rest") == (HELLO, b"rest")
        await it.client.send(masked(HELLO)[9:])
        assert await it.read(masked(HELLO)[:9]) == (HELLO, b"")


@BOTH
@pytest.mark.parametrize("text", ["", "x" * LONGEST, "ä" * (LONGEST // 2), "\0"])
async def test_it_may_be_of_any_length_up_to_the_longest(wire: Wire, text: str) -> None:
    async with ends(wire) as it:
        await it.client.send(masked(text))
        assert await it.read() == (text, b"")


@given(st.lists(st.integers(1, 40), max_size=12), st.booleans())
def test_its_bytes_may_come_in_any_pieces(sizes: list[int], pinged: bool) -> None:
    data = (masked("why", PING) if pinged else b"") + masked(HELLO * 3) + masked("behind")
    received = b""

    async def main() -> None:
        nonlocal received
        async with ends() as it, trio.open_nursery() as nursery:

            async def feed() -> None:
                left = data
                for size in sizes:
                    await it.client.send(left[:size])
                    left = left[size:]
                    await trio.testing.wait_all_tasks_blocked()
                await it.client.send(left)

            nursery.start_soon(feed)
            found = await it.read()
            assert found is not None
            assert found[0] == HELLO * 3
            received = found[1]
            while len(received) < len(masked("behind")):
                received += await it.peer.receive(100)
            if pinged:
                assert split(await it.client.stream.receive_some(100)) == (  # type: ignore[arg-type]
                    [Frame(PONG, b"why")],
                    b"",
                )

    trio.run(main)
    assert received == masked("behind")


@BOTH
async def test_pings_before_it_are_answered_in_order(wire: Wire) -> None:
    async with ends(wire) as it:
        pings = b"".join(masked(str(number), PING) for number in range(10))
        await it.client.send(pings + masked("unasked", PONG) + masked(HELLO))
        assert await it.read() == (HELLO, b"")
        heard = [await it.client.frame() for _ in range(10)]
        assert heard == [Frame(PONG, b"%d" % number) for number in range(10)]


@BOTH
async def test_nobody_may_ping_for_ever(wire: Wire) -> None:
    async with ends(wire) as it:
        await it.client.send(masked("", PING) * 16 + masked(HELLO))
        assert "hello" in await it.refusal()


@BOTH
async def test_who_says_goodbye_before_it_is_answered(wire: Wire) -> None:
    async with ends(wire) as it:
        await it.client.send(masked_close(1001, "gone") + masked(HELLO))
        assert await it.read() is None
        assert (await it.client.frame()).code == 1000


@BOTH
@pytest.mark.parametrize("said", [b"", masked(HELLO)[:-1], masked("", PING), b"\x81"])
async def test_who_goes_without_a_word_is_gone(wire: Wire, said: bytes) -> None:
    async with ends(wire) as it:
        await it.client.send(said)
        await it.client.stream.send_eof()
        assert await it.read() is None


async def test_a_connection_that_breaks_is_broken() -> None:
    async with ends("socket") as it:
        tcp = make_peer("socket", tcp=True)
        tcp[1].reset()
        with pytest.raises(trio.BrokenResourceError):
            await read_first_message(tcp[0], b"", LONGEST)
        await tcp[0].aclose()
        assert it.peer.sock is not None


UNMASKED = bytes((0x80 | TEXT, len(HELLO))) + HELLO.encode()


@BOTH
@pytest.mark.parametrize(
    "said",
    [
        masked(HELLO, BINARY),
        masked(HELLO, fin=False),
        masked(HELLO, CONTINUATION),
        masked("", PING, fin=False),
        masked("x" * 126, PING),
        masked("x" * 126, CLOSE),
        masked(HELLO, 0x3),
        masked(HELLO, 0xB),
        bytes((masked(HELLO)[0] | 0x40,)) + masked(HELLO)[1:],
        UNMASKED,
        UNMASKED + bytes(4),
        bytes((0x80 | PING, 0)),
    ],
)
async def test_whatever_is_no_whole_text_is_refused(wire: Wire, said: bytes) -> None:
    async with ends(wire) as it:
        await it.client.send(said)
        assert await it.refusal() == "the first message must be a hello, in one whole text frame"


@BOTH
async def test_what_is_not_utf_8_is_refused(wire: Wire) -> None:
    async with ends(wire) as it:
        await it.client.send(masked(b'{"type":"hello","name":"\xff"}'))
        assert await it.refusal() == "the message is not UTF-8"


@BOTH
@pytest.mark.parametrize(
    "said",
    [
        masked("x" * (LONGEST + 1)),
        masked("x" * (LONGEST + 20))[:8],
        bytes((0x80 | TEXT, 0x80 | 127)) + (1 << 62).to_bytes(8, "big") + bytes(4),
        bytes((0x80 | TEXT, 0x80 | 127)) + (0xFF).to_bytes(1, "big") * 8 + bytes(4),
    ],
)
async def test_what_is_too_long_is_refused_before_all_of_it_is_there(
    wire: Wire, said: bytes
) -> None:
    async with ends(wire) as it:
        await it.client.send(said)
        assert await it.refusal() == f"the message has more than {LONGEST} bytes"


def test_it_may_be_cancelled_at_any_step() -> None:
    async def scenario(cutter: Cutter) -> None:
        async with ends("socket") as it:
            scope = trio.CancelScope()
            cutter.arm(scope)
            with scope:
                for piece in (masked("", PING), masked(HELLO)[:5], masked(HELLO)[5:]):
                    await it.client.send(piece)
                    await trio.lowlevel.checkpoint()
                assert await it.read() == (HELLO, b"")

    assert sweep(scenario, least=4) >= 4
