"""Who gives way when too much waits."""

from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from server.store.shares import Claim, Kind, Shares


def claim(payer: Hashable, load: int = 1, kind: Kind = Kind.RESULT) -> Claim:
    return Claim(payer, kind, load)


def test_chatter_gives_way_to_results_and_never_the_other_way_round() -> None:
    shares = Shares[Claim]()
    said = claim("talker", 1, Kind.CHATTER)
    shares.add(said)
    shares.add(claim("room", 1000))

    assert shares.give_way(claim("other room", 1)) is said
    assert shares.give_way(claim("talker", 1, Kind.CHATTER)) is None


def test_the_newest_of_whoever_has_most_gives_way_first() -> None:
    shares = Shares[Claim]()
    few = [claim("few") for _ in range(2)]
    many = [claim("many") for _ in range(8)]
    for each in (*few, *many):
        shares.add(each)

    given_up = [shares.give_way(claim("new")) for _ in range(5)]

    assert all(one is other for one, other in zip(given_up, many[:2:-1], strict=True))


def test_who_has_most_gives_way_to_nobody_but_itself() -> None:
    shares = Shares[Claim]()
    for _ in range(8):
        shares.add(claim("many"))
    shares.add(claim("few"))

    assert shares.give_way(claim("many")) is None
    assert shares.give_way(claim("new", 16)) is None


def test_what_is_being_written_cannot_give_way() -> None:
    shares = Shares[Claim]()
    first, second = claim("room"), claim("room")
    shares.add(first)
    shares.add(second)
    shares.remove_oldest(first)

    assert shares.give_way(claim("other", kind=Kind.RESULT)) is None
    shares.add(claim("room", 4))
    assert shares.give_way(claim("other")) is not first


steps = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(1, 9), st.sampled_from(Kind)), max_size=60
)


@given(steps, st.integers(1, 30))
def test_the_books_are_right_whatever_happens(
    steps: list[tuple[str, int, Kind]], most: int
) -> None:
    """Against a list that is searched: within the bound, fair, and nothing twice."""
    shares = Shares[Claim]()
    waiting: list[Claim] = []
    for payer, load, kind in steps:
        new = claim(payer, load, kind)
        while sum(each.load for each in waiting) + load > most:
            victim = shares.give_way(new)
            if victim is None:
                break
            assert victim.kind <= kind
            assert not any(each.kind < victim.kind for each in waiting)
            theirs = sum(each.load for each in waiting if is_like(each, victim))
            heaviest = max(
                sum(each.load for each in waiting if is_like(each, other))
                for other in waiting
                if other.kind == victim.kind
            )
            assert 2 * theirs > heaviest
            assert victim is [each for each in waiting if is_like(each, victim)][-1]
            waiting.remove(victim)
        else:
            shares.add(new)
            waiting.append(new)
        assert sum(each.load for each in waiting) <= most


def is_like(one: Claim, other: Claim) -> bool:
    return one.payer == other.payer and one.kind == other.kind
