"""What is said of a request that is no acceptable HTTP: never what a programmer would say."""

import h11
import pytest

from server.support.malformed import NO_CONNECT, Unsupported, head_too_large, why_malformed


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00 garbage\r\n\r\n", "the request is not valid HTTP: illegal request line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "illegal header line"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "bad Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", "only chunked"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100, head_too_large(50)),
    ],
)
def test_the_words_of_the_parser_are_made_plain(data: bytes, why: str) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=50)
    connection.receive_data(data)

    with pytest.raises(h11.RemoteProtocolError) as caught:
        connection.next_event()

    told = why_malformed(caught.value, 50)
    assert why in told
    assert "bytearray" not in told


def test_what_we_refuse_ourselves_is_told_as_it_is() -> None:
    assert why_malformed(Unsupported(NO_CONNECT, error_status_hint=501), 50) == NO_CONNECT
