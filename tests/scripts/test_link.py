"""What the second look at a server's bytes sees, in whatever pieces they come."""

import random

import pytest
import trio
import trio.testing

from scripts.botlib.link import FrameWatch, HandshakeCut, Tap

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frame(opcode: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([0x80 | opcode, len(payload)]) + payload
    if len(payload) < 65536:
        return bytes([0x80 | opcode, 126]) + len(payload).to_bytes(2, "big") + payload
    return bytes([0x80 | opcode, 127]) + len(payload).to_bytes(8, "big") + payload


# Payloads full of bytes that look like the head of a close frame.
TALK = b"".join(frame(1, b"\x88\x00" * (size // 2)) for size in (0, 2, 124, 126, 300, 70_000))
CLOSE = frame(8, b"\x03\xe9bye")


@pytest.mark.parametrize("seed", range(8))
def test_a_close_frame_is_seen_in_any_pieces(seed: int) -> None:
    dice = random.Random(seed)
    data = HEAD + TALK + CLOSE
    watch = FrameWatch()
    while data:
        assert not watch.closes
        size = dice.choice((1, 2, 3, 50, 1000, 100_000))
        watch.feed(data[:size])
        data = data[size:]

    assert watch.closes == 1
    assert watch.bytes_after_close == 0


def test_talk_without_a_close_frame_is_none() -> None:
    watch = FrameWatch()
    watch.feed(HEAD + TALK + CLOSE[:-1])

    assert watch.upgraded
    assert watch.closes == 0


def test_what_comes_after_the_close_frame_is_counted() -> None:
    watch = FrameWatch()
    watch.feed(HEAD + CLOSE + b"abc")
    watch.feed(b"de")

    assert watch.bytes_after_close == 5


def test_a_refused_handshake_is_no_upgrade() -> None:
    watch = FrameWatch()
    watch.feed(b"HTTP/1.1 404 Not Found\r\n\r\n" + CLOSE)

    assert not watch.upgraded
    assert not watch.closes


async def test_an_end_before_the_upgrade_is_an_error() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    tap = Tap(ours)
    await theirs.send_all(b"HTTP/1.1 101")
    await theirs.aclose()

    assert await tap.receive_some() == b"HTTP/1.1 101"
    with pytest.raises(HandshakeCut):
        await tap.receive_some()
    await tap.aclose()


async def test_an_end_after_the_upgrade_is_noted() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    tap = Tap(ours)
    await theirs.send_all(HEAD)
    await tap.receive_some()
    assert not tap.ended.is_set()
    await theirs.aclose()

    assert await tap.receive_some() == b""
    assert tap.ended.is_set()
    await tap.aclose()
