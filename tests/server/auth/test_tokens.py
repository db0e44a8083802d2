"""Tokens: made at random, kept as digests, alive while used, and ended for all to hear."""

from server.auth.tokens import (
    Revocations,
    Revoked,
    TokenLifetime,
    digest_of,
    is_for_bots,
    looks_like_token,
    make_bot_token,
    make_token,
)
from server.support.limits import DAY


def test_a_token_is_256_random_bits_of_text_that_needs_no_quotes() -> None:
    tokens = {make_token().text for _ in range(100)}

    assert len(tokens) == 100
    assert all(looks_like_token(token) and len(token) == 43 for token in tokens)


def test_a_token_for_bots_is_as_random_and_is_known_by_its_beginning() -> None:
    tokens = {make_bot_token().text for _ in range(100)}

    assert len(tokens) == 100
    assert all(looks_like_token(token) and is_for_bots(token) for token in tokens)
    assert all(token.startswith("parley_") and len(token) == 50 for token in tokens)
    # A login may begin like that by chance.
    assert not is_for_bots("parley_" + "A" * 36)


def test_what_is_kept_does_not_tell_the_token() -> None:
    token = make_token()

    assert token.digest == digest_of(token.text)
    assert len(token.digest) == 32
    assert token.text not in repr(token)


def test_what_cannot_be_a_token_is_known_without_asking() -> None:
    for text in ("", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "\n", "\u0661" * 43):
        assert not looks_like_token(text)


def test_a_token_is_renewed_when_less_than_half_is_left() -> None:
    life = TokenLifetime(30 * DAY)
    end = life.end(0)

    assert end == 30 * DAY
    assert life.renewed(end, 15 * DAY) is None
    assert life.renewed(end, 15 * DAY + 1) == 45 * DAY + 1


def test_a_short_life_is_renewed_once_a_minute_at_the_most() -> None:
    life = TokenLifetime(90)

    assert life.renewed(90, 50) is None
    assert life.renewed(90, 60) == 150


def test_an_end_covers_one_token_or_all_or_all_but_one() -> None:
    one, other = b"1", b"2"

    assert Revoked(7, one).covers(7, one)
    assert not Revoked(7, one).covers(7, other)
    assert Revoked(7).covers(7, one)
    assert not Revoked(7, spared=one).covers(7, one)
    assert Revoked(7, spared=one).covers(7, other)
    assert not Revoked(7).covers(8, one)


def test_listeners_hear_of_every_end_until_they_have_enough() -> None:
    revocations = Revocations()
    heard: list[tuple[str, int]] = []

    def first(revoked: Revoked) -> None:
        heard.append(("first", revoked.user_id))
        stop()

    stop = revocations.subscribe(first)
    revocations.subscribe(lambda revoked: heard.append(("second", revoked.user_id)))
    revocations.publish(Revoked(1))
    revocations.publish(Revoked(2))
    stop()

    assert heard == [("first", 1), ("second", 1), ("second", 2)]
