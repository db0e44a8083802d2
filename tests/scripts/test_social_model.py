"""What the model lets pass of lists of posts and users, and what it does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from scripts.botlib.frames import Malformed
from scripts.botlib.social.model import Model, Post, read_post

START = datetime(2030, 1, 1, tzinfo=UTC)
TOLD = {
    "id": 5,
    "author": {"id": 1, "username": "Ann"},
    "text": "hello",
    "created_at": "2030-01-01T00:00:00Z",
}


def post(number: int, author: int = 1, *, after: int | None = None) -> Post:
    at = START + timedelta(seconds=number if after is None else after)
    return Post(number, author, {1: "Ann", 2: "Bo", 3: "Zoë"}[author], f"text {number}", at)


@pytest.fixture
def model() -> Model:
    """Ann follows Bo; each of the three has a post."""
    model = Model()
    for number, name in ((1, "Ann"), (2, "Bo"), (3, "Zoë")):
        model.add_user(number, name)
        model.posts[number] = post(number, number)
    model.following[1].add(2)
    return model


def rules(model: Model, *posts: Post, authors: set[int] | None = None) -> list[str]:
    found = model.judge_list("Ann", posts, model.shown_to(1), authors)
    return [rule for rule, _ in found]


# --- lists of posts ---------------------------------------------------------------------------


def test_the_right_timeline_passes(model: Model) -> None:
    assert rules(model, post(2, 2), post(1)) == []


@pytest.mark.parametrize(
    ("posts", "rule"),
    [
        ([post(2, 2)], "missing"),
        ([], "missing"),
        ([post(3, 3), post(2, 2), post(1)], "extra"),
        ([post(4, 1), post(2, 2), post(1)], "extra"),
        ([post(2, 2), post(2, 2), post(1)], "shown-twice"),
        ([post(1), post(2, 2)], "order"),
        ([attrs.evolve(post(2, 2), text="other"), post(1)], "changed"),
        ([attrs.evolve(post(2, 2), author="Ann"), post(1)], "changed"),
        ([attrs.evolve(post(2, 2), at=START + timedelta(hours=1)), post(1)], "changed"),
    ],
)
def test_a_wrong_timeline_is_noticed(model: Model, posts: list[Post], rule: str) -> None:
    assert rules(model, *posts) == [rule]


def test_posts_that_are_new_may_be_shown_while_others_write(model: Model) -> None:
    new = post(9, 2)

    assert rules(model, new, post(2, 2), post(1), authors={1, 2}) == []
    assert rules(model, post(9, 3), post(2, 2), post(1), authors={1, 2}) == ["extra"]
    assert rules(model, new, post(1), authors={1, 2}) == ["missing"]


def test_an_unfollowed_user_is_shown_no_longer(model: Model) -> None:
    model.following[1].discard(2)

    assert rules(model, post(2, 2), post(1)) == ["extra"]


def test_a_deleted_user_is_shown_no_longer(model: Model) -> None:
    model.remove_user(2)

    assert model.following[1] == set()
    assert rules(model, post(2, 2), post(1)) == ["extra"]


def test_posts_of_one_moment_have_one_order_for_all(model: Model) -> None:
    same = [post(7, 1, after=9), post(8, 2, after=9), post(9, 1, after=9)]
    model.posts |= {each.id: each for each in same}
    older = (post(2, 2), post(1))

    assert rules(model, *same, *older) == []
    assert rules(model, *same, *older) == []
    assert rules(model, same[2], same[1], same[0], *older) == ["total-order"]
    assert rules(model, same[1], same[2], same[0], *older) == ["total-order"]


# --- single posts -----------------------------------------------------------------------------


def test_a_new_post_is_noted(model: Model) -> None:
    assert list(model.judge_post(post(4), 1, "text 4")) == []
    assert model.posted_by(1) == {1, 4}


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"author_id": 2}, "author"),
        ({"author": "Bo"}, "author"),
        ({"text": "text 5"}, "text"),
        ({"id": 1}, "post-id"),
    ],
)
def test_a_wrong_answer_to_a_new_post_is_noticed(
    model: Model, changed: dict[str, Any], rule: str
) -> None:
    told = attrs.evolve(post(4), **changed)

    assert [each for each, _ in model.judge_post(told, 1, "text 4")] == [rule]


def test_a_post_is_read() -> None:
    assert read_post(TOLD) == Post(5, 1, "Ann", "hello", START)


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        TOLD | {"id": "5"},
        TOLD | {"id": True},
        TOLD | {"author": "Ann"},
        TOLD | {"author": {"id": 1}},
        TOLD | {"author": {"id": "1", "username": "Ann"}},
        TOLD | {"text": None},
        TOLD | {"created_at": None},
        TOLD | {"created_at": "soon"},
        TOLD | {"created_at": "2030-01-01T00:00:00"},
    ],
)
def test_what_is_no_post_is_malformed(told: Any) -> None:
    with pytest.raises(Malformed):
        read_post(told)


# --- follows ----------------------------------------------------------------------------------

BO = {"id": 2, "username": "Bo"}


@pytest.mark.parametrize(
    ("told", "rules"),
    [
        ([BO], []),
        ([], ["following"]),
        ([BO, {"id": 3, "username": "Zoë"}], ["following"]),
        ([BO, BO], ["followed-twice"]),
        ([BO | {"username": "Bob"}], ["username"]),
        ([BO | {"email": "bo@bots.example"}], ["email-told"]),
        ([{"id": "2", "username": "Bo"}], ["malformed"]),
        (["Bo"], ["malformed"]),
    ],
)
def test_whom_somebody_follows(model: Model, told: list[Any], rules: list[str]) -> None:
    assert [rule for rule, _ in model.judge_following(1, told)] == rules
