"""Where a request comes from, which site it is of, and how often it may come."""

import re
import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from server.auth.emails import EMAIL_LENGTH, EMAIL_PATTERN, clean_email, email_key
from server.auth.origin import same_origin
from server.auth.proxies import HOPS, UNKNOWN, Proxies
from server.auth.throttle import Throttle
from server.settings.readers import (
    networks,
)
from server.support.errors import BadValue

TRUSTED = Proxies(networks("10.0.0.0/8, 2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("origin", "host", "fetch", "same"),
    [
        (None, "t", None, True),
        ("http://t", "t", None, True),
        ("http://t", "T", None, True),
        ("https://t", "t", None, True),
        ("http://t:80", "t", None, True),
        ("https://t", "t:443", None, True),
        ("http://t:8080", "t:8080", None, True),
        ("http://[::1]:8080", "[::1]:8080", None, True),
        ("http://t", "t", "cross-site", True),
        (None, "t", "same-origin", True),
        (None, "t", "none", True),
        (None, "t", "same-site", False),
        (None, "t", "cross-site", False),
        (None, "t", "", False),
        ("http://evil", "t", "same-origin", False),
        ("http://t:8081", "t:8080", None, False),
        ("http://t:8080", "t", None, False),
        ("http://t.evil", "t", None, False),
        ("http://evil.t", "t", None, False),
        ("http://t@evil", "t", None, False),
        ("http://t/", "t", None, False),
        ("ftp://t", "t", None, False),
        ("t", "t", None, False),
        ("null", "t", None, False),
        ("null", "null", None, False),
        ("", "t", None, False),
        ("http://t", None, None, False),
        ("http://t", "", None, False),
        ("http://", "", None, False),
    ],
)
def test_only_the_very_host_and_port_are_the_same_site(
    origin: str | None, host: str | None, fetch: str | None, same: bool
) -> None:
    pairs = ((b"origin", origin), (b"host", host), (b"sec-fetch-site", fetch))
    headers = [(name, value.encode()) for name, value in pairs if value is not None]

    assert same_origin(headers) is same


def test_two_origins_are_none() -> None:
    assert not same_origin([(b"origin", b"http://t"), (b"origin", b"http://t"), (b"host", b"t")])


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_whatever_a_header_holds_is_judged(origin: bytes, host: bytes) -> None:
    same_origin([(b"origin", origin), (b"host", host)])
    TRUSTED.client("10.0.0.1", [(b"x-forwarded-for", origin)])
    TRUSTED.secure("10.0.0.1", [(b"x-forwarded-proto", host)])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", '"[2001:db8:9:9::5]:80"', "2001:db8:9:9::/64"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fe80::1%eth0", None, "fe80::/64"),
        ("2001:db8:1::1", "2001:db8:2:3:4::5", "2001:db8:2:3::/64"),
        (None, "198.51.100.1", UNKNOWN),
        ("", None, UNKNOWN),
    ],
)
def test_only_trusted_proxies_say_who_is_behind_them(
    peer: str | None, forwarded: str | None, client: str
) -> None:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]

    assert TRUSTED.client(peer, headers) == client


def test_only_the_last_hops_are_looked_at() -> None:
    chain = ", ".join(["198.51.100.1", *["10.0.0.9"] * HOPS])
    nearer = ", ".join(["198.51.100.1", *["10.0.0.9"] * (HOPS - 1)])

    assert TRUSTED.client("10.0.0.1", [(b"x-forwarded-for", chain.encode())]) == "10.0.0.9"
    assert TRUSTED.client("10.0.0.1", [(b"x-forwarded-for", nearer.encode())]) == "198.51.100.1"
    assert TRUSTED.client("10.0.0.1", [(b"x-forwarded-for", b"1" * 16_000)]) == "10.0.0.1"


def warnings(proxies: Proxies, peer: str | None, *headers: tuple[bytes, bytes]) -> list[str]:
    """Give the peers that the log warns of when a request comes."""
    with capture_logs() as logs:
        proxies.client(peer, headers)
    assert all("--trusted-proxy" in each["remedy"] for each in logs)
    return [each["peer"] for each in logs]


def test_a_proxy_that_is_not_trusted_is_warned_of_once() -> None:
    clock = Clock()
    proxies = Proxies(networks("10.0.0.0/8"), clock=clock)
    forwarded = (b"x-forwarded-for", b"198.51.100.1")

    assert warnings(proxies, "192.0.2.1", (b"host", b"t")) == []
    assert warnings(proxies, "10.0.0.1", forwarded) == []
    assert warnings(proxies, None, forwarded) == []
    assert warnings(proxies, "192.0.2.1", (b"host", b"t"), forwarded) == ["192.0.2.1"]
    assert warnings(proxies, "192.0.2.200", forwarded) == []
    assert warnings(proxies, "2001:db8::1", forwarded) == ["2001:db8::1"]
    clock.now = 3601.0
    assert warnings(proxies, "192.0.2.1", forwarded) == ["192.0.2.1"]


def test_strangers_cannot_fill_the_log_with_such_headers() -> None:
    proxies = Proxies(clock=Clock())
    forwarded = (b"x-forwarded-for", b"198.51.100.1")

    warned = [warnings(proxies, f"192.0.{number}.1", forwarded) for number in range(100)]

    assert sum(map(len, warned)) == 10


def test_networks_are_read_from_text_or_refused_in_words() -> None:
    assert networks("none") == ()
    assert [str(each) for each in networks("10.0.0.1,fd00::/8")] == ["10.0.0.1/32", "fd00::/8"]
    for text in ("", "proxy", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1,"):
        with pytest.raises(BadValue, match="must be"):
            networks(text)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_so_many_at_once_and_so_many_in_a_time() -> None:
    clock = Clock()
    throttle = Throttle(10, 60.0, clock=clock)

    assert [throttle.take("a") for _ in range(10)] == [0.0] * 10
    assert throttle.take("a") == pytest.approx(6.0)
    assert throttle.take("b") == 0.0
    clock.now = 3.0
    assert throttle.take("a") == pytest.approx(3.0)
    clock.now = 6.1
    assert throttle.take("a") == 0.0
    assert throttle.take("a") > 0
    clock.now = 1000.0
    assert [throttle.take("a") > 0 for _ in range(11)] == [False] * 10 + [True]


def test_zero_is_no_limit() -> None:
    throttle = Throttle(0, 60.0, clock=Clock())

    assert {throttle.take("a") for _ in range(1000)} == {0.0}


def test_several_can_be_taken_at_once_and_no_more_than_there_ever_are() -> None:
    clock = Clock()
    throttle = Throttle(10, 10.0, clock=clock)

    assert throttle.take("a", 7) == 0.0
    assert throttle.take("a", 7) == pytest.approx(4.0)
    assert throttle.take("a", 3) == 0.0
    assert throttle.take("a", 1000) == pytest.approx(10.0)
    clock.now = 10.0
    assert throttle.take("a", 1000) == 0.0


def test_what_shall_not_count_is_given_back() -> None:
    throttle = Throttle(1, 60.0, clock=Clock())

    for _ in range(5):
        assert throttle.take("a") == 0.0
        throttle.give_back("a")
    throttle.give_back("a", 1000)
    throttle.give_back("unknown")
    assert throttle.take("a") == 0.0
    assert throttle.take("a") > 0


def test_one_can_ask_how_long_to_wait_without_being_counted() -> None:
    clock = Clock()
    throttle = Throttle(1, 60.0, clock=clock)

    assert throttle.wait("a") == 0.0
    throttle.take("a")
    clock.now = 15.0
    assert [throttle.wait("a") for _ in range(2)] == [pytest.approx(45.0)] * 2
    assert Throttle(0, 60.0, clock=clock).wait("a") == 0.0


def test_a_long_key_takes_no_more_memory_than_a_short_one() -> None:
    def cost(length: int) -> int:
        throttle = Throttle(10, 60.0, clock=Clock())
        tracemalloc.start()
        try:
            for number in range(100):
                throttle.take(f"{number:0{length}}")
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert cost(300_000) < cost(10) + 10_000
    assert cost(10) / 100 < 450


def test_half_a_surrogate_pair_is_a_key_like_any_other() -> None:
    throttle = Throttle(1, 60.0, clock=Clock())

    assert throttle.take("\ud800") == 0.0
    assert throttle.take("\ud800") > 0


def test_few_buckets_are_kept_the_least_used_go_first() -> None:
    throttle = Throttle(1, 60.0, kept=2, clock=Clock())
    for key in ("a", "b", "a", "c"):
        throttle.take(key)

    assert throttle.take("a") > 0
    assert throttle.take("b") == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.com", "ada@example.COM"),
        (" ada@example.com\n", "ada@example.com"),
        ("RENE\u0301@example.com", "ren\u00e9@example.com"),
    ],
)
def test_two_spellings_of_an_address_have_one_key(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    "address",
    ["a@b", "a.b+c@example.co.uk", "o'hara@x-y.example", "\u00fc@b\u00fccher.example"],
)
def test_an_address_is_left_as_it_is(address: str) -> None:
    assert clean_email(f" {address} ") == address


@pytest.mark.parametrize(
    "address",
    ["", "a", "@b", "a@", "a@b@c", ".a@b", "a.@b", "a..b@c", "a@b..c", "a@b.", "a@-b", "a@b-",
     "a b@c", "a@b c", "a\n@b", '"a"@b', "a@[127.0.0.1]", "a@b_c", "a\u2028@b", "a" * 253 + "@b",
     "a@" + "b" * 64],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        clean_email(address)


@given(
    st.from_regex(EMAIL_PATTERN.removesuffix("$") + r"\Z").filter(lambda a: len(a) <= EMAIL_LENGTH)
)
def test_what_the_pattern_allows_is_an_address_and_has_a_key(address: str) -> None:
    assert clean_email(address) == unicodedata.normalize("NFC", address)
    key = email_key(address)
    assert len(key) > EMAIL_LENGTH or email_key(key) == key  # some letters are longer in lower case


def test_normalising_brings_in_nothing_that_the_pattern_refuses() -> None:
    pattern = re.compile(EMAIL_PATTERN)
    for character in map(chr, range(0x80, 0x110000)):
        normal = unicodedata.normalize("NFC", character)
        if character != normal and pattern.fullmatch(f"{character}@a.{character}"):
            assert pattern.fullmatch(f"{normal}@a.{normal}")


def test_only_the_length_of_a_text_that_is_too_long_is_looked_at() -> None:
    marks = "e" + "\u0301" * EMAIL_LENGTH
    for judge in (clean_email, email_key):
        with pytest.raises(ValueError, match="at most 254 characters"):
            judge(marks)
