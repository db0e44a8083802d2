"""A token bucket, against the rule that it stands for."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from server.support.bucket import TokenBucket

EIGHTHS = st.integers(0, 80).map(lambda number: number / 8)  # exact as binary fractions


def test_it_is_full_at_first_and_filled_at_its_rate() -> None:
    bucket = TokenBucket(2, 3, now=100)
    assert [bucket.take(1, 100) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(1, now) for now in (100.5, 100.75, 101.0, 101.0)] == [
        True,
        False,
        True,
        False,
    ]


def test_it_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(2, 3, now=0)
    assert not bucket.take(4, 1_000_000)
    assert bucket.take(3, 1_000_000)
    assert not bucket.take(1, 1_000_000)


@given(
    st.integers(1, 8),
    st.integers(1, 20),
    st.lists(st.tuples(EIGHTHS, st.integers(0, 10)), max_size=50),
)
def test_it_does_what_exact_arithmetic_says(
    rate: int, burst: int, steps: list[tuple[float, int]]
) -> None:
    bucket = TokenBucket(rate, burst, now=0)
    now, tokens = 0.0, Fraction(burst)
    for pause, count in steps:
        now += pause
        tokens = min(Fraction(burst), tokens + rate * Fraction(pause))
        fits = tokens >= count
        assert bucket.take(count, now) is fits
        if fits:
            tokens -= count


def test_what_is_owed_is_paid_off_at_the_rate_before_anything_can_be_taken_again() -> None:
    bucket = TokenBucket(2, 3, now=0)
    assert bucket.owe(3, 0) == 0
    assert bucket.owe(5, 0) == 2.5
    assert not bucket.take(1, 2.5)
    assert bucket.take(1, 3)
    assert bucket.owe(3, 1_000_000) == 0
