"""What users, follows and posts there should be, and what anybody should be shown; no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import attrs

from scripts.botlib.api import is_whole
from scripts.botlib.frames import Malformed, shown

Finding = tuple[str, str]
"""Rule and detail."""


@attrs.frozen
class Post:
    """A post as the server tells of it."""

    id: int
    author_id: int
    author: str
    text: str
    at: datetime


def read_post(told: Any) -> Post:
    """Read one post.

    Raises:
        Malformed: if it is none.
    """
    author = told.get("author") if isinstance(told, dict) else None
    if (
        not isinstance(author, dict)
        or not is_whole(told.get("id"))
        or not is_whole(author.get("id"))
        or not isinstance(author.get("username"), str)
        or not isinstance(told.get("text"), str)
    ):
        raise Malformed(f"not of the form of a post: {shown(repr(told))}")
    try:
        at = datetime.fromisoformat(told["created_at"])
    except (KeyError, TypeError, ValueError):
        raise Malformed(f"created_at must be a time: {shown(repr(told))}") from None
    if at.tzinfo is None:
        raise Malformed(f"created_at must have a time zone: {shown(repr(told))}")
    return Post(told["id"], author["id"], author["username"], told["text"], at)


class Model:
    """What should be there; whoever changes the server's state changes this right after it."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.users: dict[int, str] = {}
        """Names of all users, by id."""
        self.following: dict[int, set[int]] = {}
        self.posts: dict[int, Post] = {}
        self._order: dict[tuple[int, int], str] = {}  # posts of one moment, and who has seen it

    def add_user(self, user_id: int, name: str) -> None:
        """Note a new account."""
        self.users[user_id] = name
        self.following[user_id] = set()

    def remove_user(self, user_id: int) -> None:
        """Note that an account is gone, with its posts and follows."""
        del self.users[user_id], self.following[user_id]
        for others in self.following.values():
            others.discard(user_id)
        self.posts = {each.id: each for each in self.posts.values() if each.author_id != user_id}

    def shown_to(self, user_id: int) -> set[int]:
        """List the posts that the timeline of a user must have."""
        authors = self.following[user_id] | {user_id}
        return {post.id for post in self.posts.values() if post.author_id in authors}

    def posted_by(self, user_id: int) -> set[int]:
        """List the posts of one user."""
        return {post.id for post in self.posts.values() if post.author_id == user_id}

    def judge_post(self, post: Post, author_id: int, text: str) -> Iterator[Finding]:
        """Judge the answer to writing a post, and note the post."""
        if (post.author_id, post.author) != (author_id, self.users[author_id]):
            yield "author", f"post {post.id} by {author_id} is said to be by {post.author_id}"
        if post.text != text:
            yield "text", f"post {post.id}: {shown(post.text)}, not {shown(text)}"
        known = self.posts.setdefault(post.id, post)
        if known != post:
            yield "post-id", f"the id {post.id} is that of {known} already"

    def judge_list(
        self,
        reader: str,
        posts: Sequence[Post],
        required: set[int],
        authors: Iterable[int] | None = None,
    ) -> Iterator[Finding]:
        """Judge a whole list of posts, such as a timeline.

        Args:
            reader: who reads it.
            posts: all of its pages together.
            required: ids of the posts that must be in it.
            authors: who else may have written a post by now; nobody if not given.
        """
        shown_ids = [post.id for post in posts]
        if len(set(shown_ids)) < len(shown_ids):
            twice = next(each for each in shown_ids if shown_ids.count(each) > 1)
            yield "shown-twice", f"post {twice}"
        missing = required.difference(shown_ids)
        if missing:
            yield "missing", f"{len(missing)} of {len(required)} posts, such as {min(missing)}"
        allowed = set(authors or ())
        for post in posts:
            if post.id not in required and post.author_id not in allowed:
                yield "extra", f"{post} does not belong there"
                break
        for post in posts:
            known = self.posts.get(post.id, post)
            if known != post:
                yield "changed", f"{post}, which was written as {known}"
                break
        yield from self._judge_order(reader, posts)

    def _judge_order(self, reader: str, posts: Sequence[Post]) -> Iterator[Finding]:
        for newer, older in pairwise(posts):
            if newer.at < older.at:
                yield "order", f"{newer} stands before {older}"
                return
        # Times are told to the millisecond: within one, any order will do, the same for all.
        for place, first in enumerate(posts):
            for other in posts[place + 1 :]:
                if other.at != first.at or other.id == first.id:
                    break
                self._order.setdefault((first.id, other.id), reader)
                before = self._order.get((other.id, first.id))
                if before is not None:
                    yield "total-order", f"{first.id} before {other.id}, not so for {before}"
                    return

    def judge_following(self, user_id: int, told: Sequence[Any]) -> Iterator[Finding]:
        """Judge the list of whom a user follows."""
        ids = []
        for each in told:
            if not isinstance(each, dict) or not is_whole(each.get("id")):
                yield "malformed", f"not of the form of a user: {shown(repr(each))}"
                return
            if "email" in each:
                yield "email-told", f"of user {each['id']}"
            if each.get("username") != self.users.get(each["id"]):
                yield "username", f"user {each['id']} is called {each.get('username')!r}"
            ids.append(each["id"])
        if len(set(ids)) < len(ids):
            yield "followed-twice", f"{sorted(ids)}"
        if set(ids) != self.following[user_id]:
            missing, extra = self.following[user_id].difference(ids), set(ids)
            yield "following", f"missing {sorted(missing)} of {sorted(extra | missing)}"
