"""Figures of a round, against their plain definitions."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.deck import DEFAULT_DECK, card_value
from protocol.statistics import Summary, summarize

CARDS = st.lists(st.sampled_from(DEFAULT_DECK.cards), max_size=30)
NOTHING = Summary(None, None, None, (), None, None, consensus=False)


def points_of(cards: list[str]) -> list[float]:
    return sorted(value for card in cards if (value := card_value(card)) is not None)


@pytest.mark.parametrize("cards", [[], ["?"], ["?", "coffee", "?"]])
def test_without_a_number_there_are_no_figures(cards: list[str]) -> None:
    assert summarize(cards) == NOTHING


def test_a_round_is_summed_up() -> None:
    assert summarize(["3", "5", "?", "5", "½", "coffee"]) == Summary(
        mean=3.375, median=4.0, mode=5.0, modes=(5.0,), min=0.5, max=5.0, consensus=False
    )


def test_several_most_frequent_values_are_ascending_and_none_is_the_mode() -> None:
    summary = summarize(["8", "3", "8", "3", "1"])

    assert (summary.mode, summary.modes) == (None, (3.0, 8.0))


@given(CARDS)
def test_the_mean_is_the_sum_over_the_count(cards: list[str]) -> None:
    points = points_of(cards)
    mean = summarize(cards).mean

    if points:
        assert mean is not None
        assert math.isclose(mean * len(points), math.fsum(points), abs_tol=1e-9)
    else:
        assert mean is None


@given(CARDS.filter(points_of))
def test_as_many_values_are_below_the_median_as_above(cards: list[str]) -> None:
    points = points_of(cards)
    median = summarize(cards).median

    assert median is not None
    assert 2 * sum(value < median for value in points) <= len(points)
    assert 2 * sum(value > median for value in points) <= len(points)
    middle = points[(len(points) - 1) // 2], points[len(points) // 2]
    assert median == sum(middle) / 2


@given(CARDS)
def test_the_modes_are_all_the_values_that_no_other_is_more_frequent_than(
    cards: list[str],
) -> None:
    counts = Counter(points_of(cards))
    most = max(counts.values(), default=0)
    expected = sorted(value for value, count in counts.items() if count == most)

    summary = summarize(cards)

    assert list(summary.modes) == expected
    assert summary.mode == (expected[0] if len(expected) == 1 else None)


@given(CARDS.filter(points_of))
def test_the_extremes_are_the_first_and_the_last_in_order(cards: list[str]) -> None:
    summary = summarize(cards)
    points = points_of(cards)

    assert (summary.min, summary.max) == (points[0], points[-1])


@given(CARDS)
def test_consensus_is_one_card_for_all_that_is_a_number(cards: list[str]) -> None:
    expected = len(set(cards)) == 1 and card_value(cards[0]) is not None

    assert summarize(cards).consensus is expected


@given(CARDS, st.randoms())
def test_the_order_of_the_votes_does_not_matter(cards: list[str], random: object) -> None:
    shuffled = list(cards)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert summarize(shuffled) == summarize(cards)
