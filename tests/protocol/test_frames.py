"""Frames and the splitter of the fast lane, against wsproto.

The splitter must be invisible: whoever reads the fast texts, and gives the slow bytes to a
WebSocket library, sees the same messages in the same order, and the same failure, as the
library alone would have seen.
"""

from collections import deque

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Pong,
    TextMessage,
)

from protocol.frames import (
    PING,
    Excess,
    Splitter,
    decode_close,
    encode_binary,
    encode_close,
    encode_frame,
    encode_text,
    is_close,
    unmask,
)

LONGEST = 64
FRAGMENTS = 1000
FIN = 0x80
CONTINUATION, TEXT, BINARY, CLOSE, PING_CODE, PONG_CODE = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

LENGTHS = [0, 1, 124, 125, 126, 127, 255, 256, 65_534, 65_535, 65_536, 65_537, 1 << 20]


# --- encoding -------------------------------------------------------------------------------


def as_client(data: bytes) -> list[object]:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    return list(client.events())


@pytest.mark.parametrize("length", LENGTHS)
def test_a_data_frame_of_any_length_is_what_wsproto_makes_and_reads(length: int) -> None:
    text, data = "x" * length, bytes(length)
    server = Connection(ConnectionType.SERVER)

    assert encode_text(text.encode()) == server.send(Message(text))
    assert encode_binary(data) == server.send(Message(data))
    heard = as_client(encode_text(text.encode()) + encode_binary(data))
    assert heard == [TextMessage(text), BytesMessage(data)]


def test_control_frames_are_what_wsproto_makes() -> None:
    server = Connection(ConnectionType.SERVER)

    assert server.send(Ping()) == PING
    assert encode_frame(b"x", PONG_CODE) == server.send(Pong(b"x"))
    assert encode_close(1001, "why") == server.send(CloseConnection(1001, "why"))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 200))
def test_a_close_reason_is_cut_to_what_fits_and_never_inside_a_character(
    text: str, length: int
) -> None:
    reason = "a" * length + text
    frame = encode_close(1008, reason)

    (close,) = as_client(frame)
    assert isinstance(close, CloseConnection)
    assert close.code == 1008
    kept = close.reason or ""
    assert reason.startswith(kept)
    assert len(frame) <= 2 + 125
    # Not one character more would have fitted.
    assert kept == reason or len(reason[: len(kept) + 1].encode()) > 123


def test_a_close_frame_is_told_by_its_first_byte() -> None:
    assert is_close(encode_close(1000, ""))
    assert is_close(memoryview(encode_close(1000, "") + PING))
    assert is_close(bytearray(b"\x88"))
    assert not any(is_close(frame) for frame in (b"", PING, encode_text(b"\x88"), b"\x08\x00"))


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_is_as_the_rfc_says_and_its_own_inverse(payload: bytes, mask: bytes) -> None:
    masked = unmask(payload, mask)

    assert masked == bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert unmask(masked, mask) == payload


# --- making input ---------------------------------------------------------------------------


def client_frame(
    first: int,
    payload: bytes,
    *,
    mask: bytes | None = b"\x11\x22\xf3\x44",
    width: int = 0,
    claim: int | None = None,
) -> bytes:
    """Make a frame, right or wrong.

    Args:
        first: byte, with opcode and flags.
        payload: before masking.
        mask: of the payload; ``None`` leaves it out.
        width: bytes of the length at the least: 0, 2 or 8.
        claim: a length that is not the payload's.
    """
    size = len(payload) if claim is None else claim
    flag = 0 if mask is None else 0x80
    if width == 8 or size > 0xFFFF:
        head = bytes((first, flag | 127)) + size.to_bytes(8, "big")
    elif width == 2 or size > 125:
        head = bytes((first, flag | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, flag | size))
    return head + (payload if mask is None else mask + unmask(payload, mask))


# Half of the masks look like the beginnings of texts and pongs, for whoever loses the thread.
LURES = st.sampled_from([b"\x81\x80\x81\x80", b"\x80\x81\x80\x81", b"\x8a\x80\x8a\x80", bytes(4)])
MASKS = st.binary(min_size=4, max_size=4) | LURES
SMALL = st.text("aé€😀", max_size=8).map(str.encode)
LARGE = st.integers(LONGEST - 2, 300).map(lambda size: b"y" * size)
BAD_UTF_8 = st.sampled_from([b"\xff", b"a\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"])
PAYLOADS = SMALL | SMALL | LARGE
CLOSES = st.sampled_from(
    [
        b"",
        b"\x03\xe8",
        b"\x03\xe8bye",
        b"\x03\xf0" + b"r" * 123,
        b"\x03",
        b"\x03\xed",
        b"\x03\xe8\xff",
    ]
)


@st.composite
def good(draw: st.DrawFn) -> list[bytes]:
    """One message, perhaps in fragments with control frames between, or one control frame."""
    opcode = draw(st.sampled_from([TEXT, TEXT, TEXT, BINARY, PING_CODE, PONG_CODE]))
    if opcode in {PING_CODE, PONG_CODE}:
        return [client_frame(FIN | opcode, draw(st.binary(max_size=6)), mask=draw(MASKS))]
    pieces = draw(st.just(1) | st.integers(1, 4))
    payload = draw(PAYLOADS)
    cuts = sorted(
        draw(st.lists(st.integers(0, len(payload)), min_size=pieces - 1, max_size=pieces - 1))
    )
    frames = []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
        first = (CONTINUATION if number else opcode) | (FIN if number == pieces - 1 else 0)
        frames.append(client_frame(first, payload[start:end], mask=draw(MASKS)))
        if draw(st.integers(0, 5)) == 5:
            between = draw(st.sampled_from([PING_CODE, PONG_CODE]))
            frames.append(client_frame(FIN | between, b"between", mask=draw(MASKS)))
    return frames


@st.composite
def odd(draw: st.DrawFn) -> list[bytes]:
    """A frame that is mostly a violation, a close frame, or an end in the middle of something."""
    mask = draw(MASKS)
    payload = draw(SMALL)
    opcode = draw(st.sampled_from([TEXT, BINARY, CONTINUATION, CLOSE, PING_CODE, PONG_CODE]))
    first = FIN | opcode
    match draw(st.integers(0, 9)):
        case 0:
            return [client_frame(FIN | CLOSE, draw(CLOSES), mask=mask)]
        case 1:
            return [client_frame(FIN | TEXT, draw(BAD_UTF_8), mask=mask)]
        case 2:
            return [client_frame(TEXT, draw(BAD_UTF_8), mask=mask)]
        case 3:
            return [client_frame(first, payload, mask=None)]
        case 4:
            return [
                client_frame(first | draw(st.sampled_from([0x10, 0x20, 0x40])), payload, mask=mask)
            ]
        case 5:
            return [client_frame(first, payload, mask=mask, width=draw(st.sampled_from([2, 8])))]
        case 6:
            return [client_frame(FIN | draw(st.sampled_from([3, 7, 11, 15])), payload, mask=mask)]
        case 7:
            claim = draw(st.sampled_from([1 << 16, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]))
            return [client_frame(first, payload, mask=mask, claim=claim)]
        case 8:
            return [client_frame(first, b"z" * draw(st.integers(120, 130)), mask=mask)]
        case _:
            return [client_frame(opcode, payload, mask=mask)]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A client's bytes: mostly in order, sometimes not, sometimes cut off."""
    messages = draw(st.lists(good(), max_size=8))
    for _ in range(draw(st.just(0) | st.integers(0, 2))):
        messages.insert(draw(st.integers(0, len(messages))), draw(odd()))
    data = b"".join(frame for message in messages for frame in message)
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 5)) == 5 else data


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut bytes anywhere: rarely, often, or into single bytes."""
    if draw(st.integers(0, 6)) == 6:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


STREAMS = streams().flatmap(lambda data: st.tuples(st.just(data), chunked(data)))


# --- receivers ------------------------------------------------------------------------------


class Receiver:
    """A wsproto server connection, and the whole messages that came out of it."""

    def __init__(self) -> None:
        self.messages: deque[str | bytes] = deque()
        self.failure: int | None = None
        self.pings = 0
        self._connection = Connection(ConnectionType.SERVER)
        self._parts: list[str] | list[bytes] = []

    def receive(self, data: bytes) -> None:
        if not data:
            return
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, CloseConnection):
                self.failure = int(event.code)
            elif isinstance(event, Ping):
                self.pings += 1
            elif isinstance(event, (TextMessage, BytesMessage)):
                self._parts.append(event.data)  # type: ignore[arg-type] # never of both kinds
                if event.message_finished:
                    empty = "" if isinstance(event, TextMessage) else b""
                    self.messages.append(empty.join(self._parts))  # type: ignore[arg-type]
                    self._parts = []


@attrs.define
class Outcome:
    """What the user of a splitter and a library sees."""

    messages: list[str | bytes]
    failure: int | None
    pings: int
    closed: bool
    slow: bytes
    fast: int


def alone(data: bytes) -> Receiver:
    receiver = Receiver()
    receiver.receive(data)
    return receiver


def split(chunks: list[bytes], delays: list[int]) -> Outcome:
    """Do as the lane does; slow messages wait some chunks before they are dealt with."""
    splitter, library = Splitter(LONGEST, FRAGMENTS), Receiver()
    order: list[str | bytes] = []
    slow_bytes, fast, patience = b"", 0, deque(delays)

    def deal(most: int) -> None:
        for _ in range(min(most, len(library.messages))):
            order.append(library.messages.popleft())
            splitter.dealt_with()

    for chunk in chunks:
        was_closed = splitter.closed
        texts, slow = splitter.feed(chunk)
        if texts:
            assert not library.messages, "a text overtakes a slow message"
            assert library.failure is None, "a text after a close frame or a violation"
            assert not was_closed, "a text after a close frame"
        order += texts
        fast += len(texts)
        slow_bytes += slow
        library.receive(slow)
        deal(patience.popleft() if patience else 1)
    deal(len(library.messages))
    return Outcome(order, library.failure, library.pings, splitter.closed, slow_bytes, fast)


DELAYS = st.lists(st.integers(0, 3), max_size=20)


# --- properties -----------------------------------------------------------------------------


@pytest.mark.timeout(180)
@settings(max_examples=5 * settings().max_examples)
@given(STREAMS, DELAYS)
def test_fast_and_slow_together_are_what_the_library_alone_would_see(
    stream: tuple[bytes, list[bytes]], delays: list[int]
) -> None:
    data, chunks = stream
    expected = alone(data)

    seen = split(chunks, delays)

    assert seen.messages == list(expected.messages)
    assert seen.failure == expected.failure
    assert seen.pings == expected.pings


@given(STREAMS, DELAYS, st.data())
def test_the_cutting_changes_nothing_but_what_is_slow(
    stream: tuple[bytes, list[bytes]], delays: list[int], more: st.DataObject
) -> None:
    data, chunks = stream
    once = split([data], [])

    seen = split(chunks, delays)
    again = split(more.draw(chunked(data)), delays)

    for other in (seen, again):
        assert other.messages == once.messages
        assert other.failure == once.failure
        assert other.closed == once.closed


@given(STREAMS, DELAYS)
def test_slow_bytes_are_the_input_without_whole_frames_and_in_order(
    stream: tuple[bytes, list[bytes]], delays: list[int]
) -> None:
    data, chunks = stream

    slow = split(chunks, delays).slow

    rest = iter(data)
    assert all(byte in rest for byte in slow), "not a subsequence"
    assert len(slow) <= len(data)


@given(st.lists(SMALL, min_size=1, max_size=20), MASKS)
def test_whole_small_texts_are_fast_when_nothing_slow_is_pending(
    payloads: list[bytes], mask: bytes
) -> None:
    pong = client_frame(FIN | PONG_CODE, b"pong", mask=mask)
    data = b"".join(client_frame(FIN | TEXT, payload, mask=mask) + pong for payload in payloads)

    texts, slow = Splitter(LONGEST, FRAGMENTS).feed(data)

    assert texts == [payload.decode() for payload in payloads]
    assert slow == b""


@given(streams(), st.lists(SMALL, min_size=1, max_size=3))
def test_texts_are_fast_again_once_all_slow_ones_are_dealt_with(
    data: bytes, payloads: list[bytes]
) -> None:
    splitter, library = Splitter(LONGEST, FRAGMENTS), Receiver()
    _, slow = splitter.feed(data)
    library.receive(slow)
    for _ in library.messages:
        splitter.dealt_with()
    probe = b"".join(client_frame(FIN | TEXT, payload) for payload in payloads)
    whole = alone(data + probe)
    at_a_boundary = list(whole.messages)[-len(payloads) :] == [p.decode() for p in payloads]
    undisturbed = len(whole.messages) == len(alone(data).messages) + len(payloads)

    texts, slow = splitter.feed(probe)

    if whole.failure is None and at_a_boundary and undisturbed:
        assert (texts, slow) == ([payload.decode() for payload in payloads], b"")
    else:
        assert (texts, slow) == ([], probe)


def head_of_first_close(data: bytes) -> int | None:
    """Say where the head of the first well-formed close frame ends, if one comes in order.

    A walk over RFC 6455 section 5.2 of its own: anything that is not allowed ends it.
    """
    at, within = 0, False
    while len(data) - at >= 2:
        first, second = data[at], data[at + 1]
        width = {126: 2, 127: 8}.get(second & 0x7F, 0)
        if second < 0x80 or len(data) - at < 6 + width:
            return None
        size = int.from_bytes(data[at + 2 : at + 2 + width], "big") if width else second & 0x7F
        opcode, final = first & 0x0F, first >= 0x80
        control = opcode >= CLOSE
        if (
            first & 0x70
            or opcode not in {CONTINUATION, TEXT, BINARY, CLOSE, PING_CODE, PONG_CODE}
            or (width == 2 and size < 126)
            or (width == 8 and not 1 << 16 <= size < 1 << 63)
            or (control and (not final or size > 125))
            or (not control and (opcode == CONTINUATION) != within)
        ):
            return None
        at += 6 + width
        if opcode == CLOSE:
            return at
        if not control:
            within = not final
        at += size
    return None


@settings(max_examples=3 * settings().max_examples)
@given(STREAMS)
def test_closed_is_set_exactly_when_the_head_of_a_close_frame_has_passed(
    stream: tuple[bytes, list[bytes]],
) -> None:
    data, chunks = stream
    end = head_of_first_close(data)
    splitter, fed = Splitter(LONGEST, FRAGMENTS), 0

    for chunk in chunks:
        splitter.feed(chunk)
        fed += len(chunk)
        assert splitter.closed == (end is not None and fed >= end)


# --- single cases ---------------------------------------------------------------------------

TEXT_FRAME = client_frame(FIN | TEXT, b"hello")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 200])
def test_texts_are_fast_up_to_the_limit_in_either_form_of_length(size: int) -> None:
    at_limit = client_frame(FIN | TEXT, b"a" * size)

    assert Splitter(size, FRAGMENTS).feed(at_limit) == (["a" * size], b"")
    if size:
        assert Splitter(size - 1, FRAGMENTS).feed(at_limit) == ([], at_limit)


def test_the_64_bit_form_of_length_is_never_fast_and_is_followed_to_its_end() -> None:
    long = client_frame(FIN | TEXT, b"a" * 70_000)
    splitter = Splitter(1 << 20, FRAGMENTS)

    assert splitter.feed(long + TEXT_FRAME) == ([], long + TEXT_FRAME)
    splitter.dealt_with()
    splitter.dealt_with()
    assert splitter.feed(TEXT_FRAME) == (["hello"], b"")


@pytest.mark.parametrize("cut", range(1, len(TEXT_FRAME)))
def test_a_text_that_comes_in_two_parts_is_slow(cut: int) -> None:
    splitter = Splitter(LONGEST, FRAGMENTS)

    assert splitter.feed(TEXT_FRAME[:cut]) == ([], TEXT_FRAME[:cut])
    assert splitter.feed(TEXT_FRAME[cut:] + TEXT_FRAME) == ([], TEXT_FRAME[cut:] + TEXT_FRAME)
    splitter.dealt_with()
    assert splitter.feed(TEXT_FRAME) == ([], TEXT_FRAME)
    splitter.dealt_with()
    splitter.dealt_with()
    assert splitter.feed(TEXT_FRAME) == (["hello"], b"")


def test_a_text_stays_fast_before_and_behind_a_ping() -> None:
    ping = client_frame(FIN | PING_CODE, b"hi")

    assert Splitter(LONGEST, FRAGMENTS).feed(TEXT_FRAME + ping + TEXT_FRAME) == (
        ["hello", "hello"],
        ping,
    )


def test_pongs_are_dropped_also_inside_a_fragmented_message() -> None:
    pong = client_frame(FIN | PONG_CODE, b"hi")
    first, last = client_frame(TEXT, b"a"), client_frame(FIN | CONTINUATION, b"b")

    assert Splitter(LONGEST, FRAGMENTS).feed(first + pong + last + pong) == ([], first + last)


def test_what_looks_like_a_frame_inside_a_slow_payload_is_payload() -> None:
    pong = client_frame(FIN | PONG_CODE, b"")
    binary = client_frame(FIN | BINARY, TEXT_FRAME + pong, mask=bytes(4))
    splitter = Splitter(LONGEST, FRAGMENTS)

    for at in range(len(binary)):
        assert splitter.feed(binary[at : at + 1]) == ([], binary[at : at + 1])


@pytest.mark.parametrize(
    "mask", [b"\x80abc", b"\x81\x80ab", b"a\x81\x80b", b"ab\x81\x80", b"abc\x81"]
)
@pytest.mark.parametrize(
    ("opcode", "size"), [(TEXT, 1), (BINARY, 10), (TEXT, 126), (BINARY, 0x8180)]
)
def test_what_looks_like_a_frame_inside_a_head_cut_in_two_is_head(
    opcode: int, size: int, mask: bytes
) -> None:
    frame = client_frame(FIN | opcode, bytes(size), mask=mask)

    for cut in range(1, min(8, len(frame))):
        splitter = Splitter(LONGEST, FRAGMENTS)
        assert splitter.feed(frame[:cut]) == ([], frame[:cut])
        assert splitter.feed(frame[cut:]) == ([], frame[cut:])


VIOLATIONS = {
    "unmasked": client_frame(FIN | TEXT, b"a", mask=None),
    "unmasked ping": client_frame(FIN | PING_CODE, b"", mask=None),
    "unmasked and 64 bits long": client_frame(FIN | TEXT, b"", mask=None, claim=1 << 20),
    "reserved bit": client_frame(FIN | 0x40 | TEXT, b"a"),
    "reserved bit on a pong": client_frame(FIN | 0x10 | PONG_CODE, b"a"),
    "reserved opcode": client_frame(FIN | 3, b"a"),
    "reserved control opcode": client_frame(FIN | 11, b""),
    "length in 16 bits needlessly": client_frame(FIN | TEXT, b"a", width=2),
    "length in 64 bits needlessly": client_frame(FIN | BINARY, b"a", width=8),
    "length above 63 bits": client_frame(FIN | TEXT, b"a", claim=1 << 63),
    "continuation of nothing": client_frame(FIN | CONTINUATION, b"a"),
    "message inside a message": client_frame(TEXT, b"a") + client_frame(FIN | TEXT, b"a"),
    "fragmented ping": client_frame(PING_CODE, b""),
    "fragmented pong": client_frame(PONG_CODE, b""),
    "long ping": client_frame(FIN | PING_CODE, b"a" * 126),
    "long pong": client_frame(FIN | PONG_CODE, b"a" * 126),
    "fragmented close": client_frame(CLOSE, b""),
    "long close": client_frame(FIN | CLOSE, b"\x03\xe8" + b"a" * 124),
    "unmasked close": client_frame(FIN | CLOSE, b"", mask=None),
    "reserved bit on a close": client_frame(FIN | 0x20 | CLOSE, b""),
}


@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS)
def test_after_a_violation_everything_is_slow_for_ever_and_it_is_no_close(violation: bytes) -> None:
    pong = client_frame(FIN | PONG_CODE, b"")
    splitter = Splitter(LONGEST, FRAGMENTS)

    assert splitter.feed(TEXT_FRAME + violation + TEXT_FRAME) == (["hello"], violation + TEXT_FRAME)
    assert alone(violation).failure == 1002
    splitter.dealt_with()
    for more in (TEXT_FRAME, pong, TEXT_FRAME):
        assert splitter.feed(more) == ([], more)
    assert not splitter.closed


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xe8" + b"a" * 123])
def test_after_a_close_frame_everything_is_slow_for_ever(payload: bytes) -> None:
    close = client_frame(FIN | CLOSE, payload)
    splitter = Splitter(LONGEST, FRAGMENTS)

    assert splitter.feed(TEXT_FRAME + close + TEXT_FRAME) == (["hello"], close + TEXT_FRAME)
    assert splitter.closed
    assert splitter.feed(TEXT_FRAME) == ([], TEXT_FRAME)


@pytest.mark.parametrize("bad", [b"\xff", b"a\xc3", b"\xed\xa0\x80"])
def test_a_text_that_is_no_utf_8_is_for_the_library_to_fail(bad: bytes) -> None:
    frame = client_frame(FIN | TEXT, bad)
    splitter = Splitter(LONGEST, FRAGMENTS)

    assert splitter.feed(frame + TEXT_FRAME) == ([], frame + TEXT_FRAME)
    assert alone(frame).failure == 1007
    assert splitter.feed(TEXT_FRAME) == ([], TEXT_FRAME)


@settings(max_examples=3 * settings().max_examples)
@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_at_all_are_followed_without_a_complaint(chunks: list[bytes]) -> None:
    seen = split(chunks, [])

    expected = alone(b"".join(chunks))
    assert (seen.messages, seen.failure) == (list(expected.messages), expected.failure)


# --- what is too much -----------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("claim", [LONGEST + 1, 1 << 16, 1 << 40, (1 << 63) - 1])
def test_a_message_that_announces_too_many_bytes_is_told_by_its_head(
    opcode: int, claim: int
) -> None:
    head = client_frame(FIN | opcode, b"", claim=claim)
    splitter = Splitter(LONGEST, FRAGMENTS)

    splitter.feed(head[:-1])
    assert splitter.excess is None
    assert splitter.feed(head[-1:]) == ([], head[-1:])
    assert splitter.excess is Excess.BYTES


def test_the_bytes_of_all_fragments_count_together_and_those_of_another_message_do_not() -> None:
    half = b"x" * (LONGEST // 2)
    splitter = Splitter(LONGEST, FRAGMENTS)

    for _ in range(3):
        splitter.feed(client_frame(TEXT, half) + client_frame(CONTINUATION, half))
        splitter.feed(client_frame(FIN | PING_CODE, half))
        splitter.feed(client_frame(FIN | CONTINUATION, b""))
        assert splitter.excess is None
    splitter.feed(client_frame(TEXT, half) + client_frame(CONTINUATION, half))
    splitter.feed(client_frame(CONTINUATION, b"", claim=1))
    assert splitter.excess is Excess.BYTES


def test_bytes_count_and_not_characters() -> None:
    euros = "€".encode() * (LONGEST // 3)
    splitter = Splitter(LONGEST, FRAGMENTS)

    splitter.feed(client_frame(TEXT, euros))
    assert splitter.excess is None
    splitter.feed(client_frame(FIN | CONTINUATION, "€".encode()))
    assert splitter.excess is Excess.BYTES


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_too_many_fragments_are_too_much_however_small_they_are(payload: bytes) -> None:
    splitter = Splitter(LONGEST, 10)

    for _ in range(3):
        splitter.feed(client_frame(BINARY, b"") + client_frame(CONTINUATION, payload) * 8)
        splitter.feed(client_frame(FIN | CONTINUATION, b""))
        assert splitter.excess is None
    splitter.feed(client_frame(BINARY, b"") + client_frame(CONTINUATION, payload) * 9)
    assert splitter.excess is None
    splitter.feed(client_frame(CONTINUATION, payload))
    assert splitter.excess is Excess.FRAGMENTS


@pytest.mark.parametrize(
    "violation",
    [
        client_frame(FIN | TEXT, b"", claim=1 << 63),
        client_frame(FIN | 0x40 | TEXT, b"", claim=1 << 20),
        client_frame(FIN | TEXT, b"", claim=1 << 20, mask=None),
        client_frame(FIN | CONTINUATION, b"x", claim=1 << 20),
    ],
)
def test_what_is_no_frame_is_not_measured(violation: bytes) -> None:
    splitter = Splitter(LONGEST, FRAGMENTS)

    splitter.feed(violation)
    assert splitter.excess is None
    assert alone(violation).failure == 1002


@pytest.mark.parametrize("cut", range(1, 13))
def test_a_close_frame_is_read_once_it_is_complete_wherever_it_is_cut(cut: int) -> None:
    close = client_frame(FIN | CLOSE, b"\x03\xe8b\xc3\xa9ye")
    splitter = Splitter(LONGEST, FRAGMENTS)

    splitter.feed(close[:cut])
    assert splitter.close is None
    splitter.feed(close[cut:] + TEXT_FRAME)
    assert splitter.close == (1000, "béye")


@pytest.mark.parametrize(
    ("payload", "close"),
    [(b"", (1005, "")), (b"\x03", None), (b"\x0f\xa0", (4000, "")), (b"\x03\xe8\xff", (1000, "�"))],
)
def test_a_close_frame_is_read_as_it_is(payload: bytes, close: tuple[int, str] | None) -> None:
    splitter = Splitter(LONGEST, FRAGMENTS)

    splitter.feed(client_frame(FIN | CLOSE, payload))
    assert splitter.close == close


def test_our_own_close_frames_can_be_read() -> None:
    assert decode_close(encode_close(1008, "why")) == (1008, "why")
