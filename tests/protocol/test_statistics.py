"""Figures of a round: published examples, cases by hand, and their plain definitions."""

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.deck import DECKS, DEFAULT_DECK, ESTIMATE, Deck
from protocol.statistics import Summary, summarize
from protocol.suggestion import Rule, Suggestion
from tests.protocol.drawn_decks import deck_and_cards

TSHIRT = DECKS["tshirt"]
DRAWN = deck_and_cards()
WITH_POINTS = DRAWN.filter(lambda drawn: not drawn[0].ordinal)
ORDINAL = st.lists(st.sampled_from(TSHIRT.labels), max_size=30)


def labels(numbers: str) -> tuple[list[str], Deck]:
    """Take numbers for cards of a deck that has them."""
    cards = numbers.split()
    return cards, Deck([*dict.fromkeys(cards), "another"])


def points_of(cards: list[str], deck: Deck) -> list[float]:
    worth = {card.label: card.value for card in deck.cards}
    return sorted(value for card in cards if (value := worth[card]) is not None)


def places_of(cards: list[str], deck: Deck) -> list[float]:
    """Give the estimates as places, of whichever kind the deck is."""
    if not deck.ordinal:
        return points_of(cards, deck)
    kinds = {card.label: card.kind for card in deck.cards}
    return sorted(float(deck.labels.index(card)) for card in cards if kinds[card] == ESTIMATE)


# --- published examples -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "mean", "median", "modes", "deviation"),
    [
        # Wikipedia, "Standard deviation", Population standard deviation of grades of eight students
        ("2 4 4 4 5 5 7 9", 5.0, 4.5, (4.0,), 2.0),
        # Wikipedia, "Median": finite data set of numbers, odd and even
        ("1 3 3 6 7 8 9", 37 / 7, 6.0, (3.0,), None),
        ("1 2 3 4 5 6 8 9", 4.75, 4.5, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0), None),
        # Wikipedia, "Mode (statistics)": mode of a sample, and a bimodal one
        ("1 3 6 6 6 6 7 7 12 12 17", 83 / 11, 6.0, (6.0,), None),
        ("1 1 2 4 4", 2.4, 2.0, (1.0, 4.0), None),
        # Python's documentation of the module statistics: median, mode, pstdev
        ("1 3 5", 3.0, 3.0, (1.0, 3.0, 5.0), None),
        ("1 3 5 7", 4.0, 4.0, (1.0, 3.0, 5.0, 7.0), None),
        ("1 1 2 3 3 3 3 4", 2.5, 3.0, (3.0,), None),
        ("1.5 2.5 2.5 2.75 3.25 4.75", 17.25 / 6, 2.625, (2.5,), 0.986893273527251),
    ],
)
def test_published_examples(
    numbers: str, mean: float, median: float, modes: tuple[float, ...], deviation: float | None
) -> None:
    summary = summarize(*labels(numbers))

    assert summary.mean == pytest.approx(mean, rel=1e-15)
    assert (summary.median, summary.modes) == (median, modes)
    if deviation is not None:
        assert summary.standard_deviation == pytest.approx(deviation, rel=1e-15)


@pytest.mark.parametrize(
    ("cards", "median"),
    [
        # Python's documentation of statistics.median_high, whose places these are
        ("XXS S L", "S"),
        ("XXS S L XXL", "L"),
    ],
)
def test_of_two_middle_cards_without_points_the_higher_one_is_the_median(
    cards: str, median: str
) -> None:
    assert summarize(cards.split(), TSHIRT).median_card == median


# --- by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize("deck", [DECKS["poker"], Deck(["S", "M", "?", "∞", "coffee"])])
@pytest.mark.parametrize("cards", [[], ["?"], ["?", "coffee", "∞", "?"]])
def test_without_an_estimate_there_are_no_figures(cards: list[str], deck: Deck) -> None:
    assert summarize(cards, deck) == Summary(
        count=0,
        mean=None,
        median=None,
        median_card=None,
        mode=None,
        modes=(),
        mode_cards=(),
        min=None,
        max=None,
        spread=None,
        standard_deviation=None,
        agreement=None,
        consensus=False,
        suggestion=None,
    )


def test_a_round_is_summed_up() -> None:
    assert summarize(["3", "5", "?", "5", "½", "coffee"]) == Summary(
        count=4,
        mean=3.375,
        median=4.0,
        median_card=None,
        mode=5.0,
        modes=(5.0,),
        mode_cards=(),
        min=0.5,
        max=5.0,
        spread=4.5,
        standard_deviation=math.sqrt((0.375**2 + 2 * 1.625**2 + 2.875**2) / 4),
        agreement=0.5,
        consensus=False,
        suggestion=Suggestion("5", Rule.MEDIAN),
    )


def test_a_round_of_t_shirts_is_summed_up_by_positions() -> None:
    assert summarize(["M", "S", "?", "XL", "M", "L"], TSHIRT) == Summary(
        count=5,
        mean=None,
        median=None,
        median_card="M",
        mode=None,
        modes=(),
        mode_cards=("M",),
        min=None,
        max=None,
        spread=None,
        standard_deviation=None,
        agreement=0.4,
        consensus=False,
        suggestion=Suggestion("M", Rule.MEDIAN),
    )


def test_a_single_vote_is_all_there_is() -> None:
    summary = summarize(["8"])

    assert (summary.mean, summary.median, summary.mode, summary.spread) == (8.0, 8.0, 8.0, 0.0)
    assert (summary.standard_deviation, summary.agreement, summary.consensus) == (0.0, 1.0, True)
    assert summary.suggestion == Suggestion("8", Rule.MODE)


def test_a_zero_counts_as_zero() -> None:
    summary = summarize(["0", "0", "3", "5"])

    assert (summary.count, summary.mean, summary.median, summary.min) == (4, 2.0, 1.5, 0.0)
    assert summarize(["0"]).mean == 0.0


def test_a_half_counts_as_a_half_and_is_suggested_as_it_is_printed() -> None:
    summary = summarize(["½", "½", "½", "1"])

    assert (summary.mean, summary.mode) == (0.625, 0.5)
    assert summary.suggestion == Suggestion("½", Rule.MODE)


def test_several_most_frequent_values_are_ascending_and_none_is_the_mode() -> None:
    summary = summarize(["8", "3", "8", "3", "1"])

    assert (summary.mode, summary.modes, summary.agreement) == (None, (3.0, 8.0), 0.4)
    assert summarize(["XL", "S", "S", "XL"], TSHIRT).mode_cards == ("S", "XL")


def test_cards_of_equal_points_are_the_same() -> None:
    summary = summarize(["0.5", "½"], Deck(["½", "0.5", "1"]))

    assert (summary.modes, summary.agreement, summary.consensus) == ((0.5,), 1.0, True)
    assert summary.suggestion == Suggestion("½", Rule.MODE)


@pytest.mark.parametrize(
    ("cards", "consensus"),
    [("5 5", True), ("5 5 ?", False), ("5 8", False), ("? ?", False)],
)
def test_there_is_consensus_if_nobody_puts_down_anything_else(cards: str, consensus: bool) -> None:
    assert summarize(cards.split()).consensus is consensus


def test_points_of_ones_own_count() -> None:
    deck = Deck(["S", "M", "L", "?"], {"S": 1.0, "M": 2.0, "L": 5.0})

    summary = summarize(["S", "M", "L", "?"], deck)

    assert (summary.count, summary.median, summary.median_card, summary.max) == (3, 2.0, None, 5.0)
    assert summary.suggestion == Suggestion("M", Rule.MEDIAN)


def test_a_card_that_the_deck_does_not_have_counts_nowhere() -> None:
    assert summarize(["5", "4"]).count == 1


# --- the suggestion -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "card", "rule"),
    [
        ("3 3 3 5 8", "3", Rule.MODE),  # just 60 %
        ("3 3 5 8 8", "5", Rule.MEDIAN),  # 40 %
        ("2 2 2 2 2 2 2 5 5 8 8 13", "2", Rule.MEDIAN),  # 58 %, and the median is the same card
        ("3 3 3 5 8 ? ? ? coffee", "3", Rule.MODE),  # 60 % of the estimates
        ("1 2", "2", Rule.MEDIAN),  # 1.5
        ("5 8", "8", Rule.MEDIAN),  # 6.5
        ("0 0 1 1", "½", Rule.MEDIAN),
        ("20 100", "100", Rule.MEDIAN),  # 60
        ("100", "100", Rule.MODE),
    ],
)
def test_a_clear_majority_or_else_the_median_rounded_up_is_suggested(
    cards: str, card: str, rule: Rule
) -> None:
    assert summarize(cards.split()).suggestion == Suggestion(card, rule)


def test_the_same_is_so_by_positions() -> None:
    assert summarize(["S", "S", "S", "M", "XL"], TSHIRT).suggestion == Suggestion("S", Rule.MODE)
    assert summarize(["S", "L"], TSHIRT).suggestion == Suggestion("L", Rule.MEDIAN)


@given(DRAWN)
def test_a_suggestion_is_an_estimate_of_the_deck_by_its_rule(drawn: tuple[Deck, list[str]]) -> None:
    deck, cards = drawn
    places = places_of(cards, deck)

    suggestion = summarize(cards, deck).suggestion

    if not places:
        assert suggestion is None
        return
    assert suggestion is not None
    [card] = (card for card in deck.cards if card.label == suggestion.card)
    assert card.kind == ESTIMATE
    [place] = places_of([card.label], deck)
    [(_, most)] = Counter(places).most_common(1)
    if Fraction(most, len(places)) >= Fraction(60, 100):
        assert (suggestion.rule, places.count(place)) == (Rule.MODE, most)
        return
    assert suggestion.rule is Rule.MEDIAN
    upper = places[len(places) // 2]
    middle = (places[(len(places) - 1) // 2] + upper) / 2
    every = places_of(list(deck.labels), deck)
    assert place == (upper if deck.ordinal else min(each for each in every if each >= middle))


# --- definitions --------------------------------------------------------------------------------


@given(WITH_POINTS)
def test_the_mean_is_the_sum_over_the_count(drawn: tuple[Deck, list[str]]) -> None:
    points, mean = points_of(drawn[1], drawn[0]), summarize(drawn[1], drawn[0]).mean

    if points:
        assert mean is not None
        assert math.isclose(mean * len(points), math.fsum(points), rel_tol=1e-12, abs_tol=1e-9)
    else:
        assert mean is None


@given(WITH_POINTS)
def test_the_deviation_is_the_root_of_the_mean_square_distance(
    drawn: tuple[Deck, list[str]],
) -> None:
    points = [Fraction(each) for each in points_of(drawn[1], drawn[0])]
    deviation = summarize(drawn[1], drawn[0]).standard_deviation

    if points:
        mean = sum(points) / len(points)
        variance = float(sum((each - mean) ** 2 for each in points) / len(points))
        assert deviation == pytest.approx(math.sqrt(variance), rel=1e-6, abs=1e-6)
    else:
        assert deviation is None


@given(WITH_POINTS)
def test_the_median_has_as_many_below_as_above_and_lies_between_the_extremes(
    drawn: tuple[Deck, list[str]],
) -> None:
    points, summary = points_of(drawn[1], drawn[0]), summarize(drawn[1], drawn[0])

    if not points:
        assert summary.median is None
        return
    assert summary.median is not None
    assert summary.min is not None
    assert summary.max is not None
    assert (summary.min, summary.max) == (points[0], points[-1])
    assert summary.spread == summary.max - summary.min
    assert summary.min <= summary.median <= summary.max
    assert 2 * sum(value < summary.median for value in points) <= len(points)
    assert 2 * sum(value > summary.median for value in points) <= len(points)
    middle = points[(len(points) - 1) // 2], points[len(points) // 2]
    assert summary.median == sum(middle) / 2


@given(DRAWN)
def test_the_modes_are_all_that_no_other_is_more_frequent_than(
    drawn: tuple[Deck, list[str]],
) -> None:
    deck, cards = drawn
    counts = Counter(places_of(cards, deck))
    most = max(counts.values(), default=0)
    expected = sorted(place for place, count in counts.items() if count == most)

    summary = summarize(cards, deck)

    if deck.ordinal:
        assert list(summary.mode_cards) == [deck.labels[int(place)] for place in expected]
        assert (summary.mode, summary.modes) == (None, ())
    else:
        assert list(summary.modes) == expected
        assert summary.mode == (expected[0] if len(expected) == 1 else None)
        assert summary.mode_cards == ()


@given(DRAWN)
def test_agreement_is_the_share_of_the_most_frequent(drawn: tuple[Deck, list[str]]) -> None:
    deck, cards = drawn
    counts = Counter(places_of(cards, deck))

    summary = summarize(cards, deck)

    assert summary.count == counts.total()
    if counts:
        assert summary.agreement == max(counts.values()) / counts.total()
        assert 0 < summary.agreement <= 1
    else:
        assert summary.agreement is None


@given(ORDINAL)
def test_the_median_of_t_shirts_is_the_higher_middle_one_by_position(cards: list[str]) -> None:
    places = places_of(cards, TSHIRT)
    median = summarize(cards, TSHIRT).median_card

    assert median == (TSHIRT.labels[int(places[len(places) // 2])] if places else None)


@given(DRAWN)
def test_there_is_consensus_if_all_that_was_put_down_is_one_estimate(
    drawn: tuple[Deck, list[str]],
) -> None:
    deck, cards = drawn
    places = places_of(cards, deck)
    expected = len(set(places)) == 1 and len(places) == len(cards)

    assert summarize(cards, deck).consensus is expected


@given(DRAWN, st.randoms())
def test_the_order_of_the_votes_does_not_matter(
    drawn: tuple[Deck, list[str]], random: object
) -> None:
    deck, cards = drawn
    shuffled = list(cards)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert summarize(shuffled, deck) == summarize(cards, deck)


def test_the_default_is_the_default_deck() -> None:
    assert summarize(["½", "55"]) == summarize(["½", "55"], DEFAULT_DECK)
