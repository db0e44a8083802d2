"""Bytes that were read already come first again."""

import pytest
import trio
import trio.testing

from server.edge.prefixed import PrefixedStream
from tests.server.harness import as_stream, local_pair


async def test_what_was_put_back_comes_first_in_any_portion() -> None:
    here, there = trio.testing.memory_stream_pair()
    stream = PrefixedStream(here, b"abcdef")
    await there.send_all(b"ghi")

    assert await stream.receive_some(2) == b"ab"
    assert await stream.receive_some(1) == b"c"
    assert await stream.receive_some() == b"def"
    assert await stream.receive_some() == b"ghi"
    await there.aclose()
    assert await stream.receive_some() == b""


async def test_it_can_be_written_to_and_closed_like_the_stream_below() -> None:
    here, there = trio.testing.memory_stream_pair()
    stream = PrefixedStream(here, b"")
    await stream.wait_send_all_might_not_block()
    await stream.send_all(b"abc")
    await stream.send_eof()
    assert await there.receive_some() == b"abc"
    assert await there.receive_some() == b""
    await stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_cancelled_read_loses_nothing() -> None:
    here, _ = trio.testing.memory_stream_pair()
    stream = PrefixedStream(here, b"abc")
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.receive_some()
    assert await stream.receive_some() == b"abc"


async def test_its_socket_is_that_of_the_stream_below() -> None:
    one, other = local_pair()
    with other:
        below = as_stream(one)
        assert PrefixedStream(below, b"").socket is below.socket
        await below.aclose()

    here, _ = trio.testing.memory_stream_pair()
    with pytest.raises(AttributeError, match="no socket"):
        _ = PrefixedStream(here, b"").socket
