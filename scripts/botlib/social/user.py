"""One user of the social routes: what it does, and what must come of it."""

import random
import secrets
from collections.abc import Iterable
from typing import Final

import trio

from scripts.botlib.api import PASSWORD, Account, Api, as_object
from scripts.botlib.moves import Violation
from scripts.botlib.pages import read_all
from scripts.botlib.social.model import Finding, Model, Post
from scripts.botlib.social.pages import posts_of, read_posts
from scripts.botlib.social.plan import Tally

_PIECES: Final = ("hello", "Zoë", "花子", "🂡", "a\nb", "\t", '{"id":1}', "<b>", "\\", "x" * 200)
_NOBODY: Final = 2**53 - 1  # the largest number that every JSON reader can tell
_MOST_PAGES: Final = 25  # that a list is cut into; reading is not all there is to do


class User:
    """One user."""

    def __init__(
        self, api: Api, model: Model, tally: Tally, account: Account, dice: random.Random
    ) -> None:
        """Act for ``account``, and keep ``model`` up to date."""
        self.account = account
        self._api = api
        self._model = model
        self._tally = tally
        self._dice = dice
        self._keyed: dict[str, Post] = {}
        model.add_user(account.id, account.name)

    # --- follows ----------------------------------------------------------------------------

    async def follow(self, others: Iterable[int]) -> None:
        """Follow these users, some of them twice; then nobody, and oneself, which is refused."""
        own, token = self.account.id, self.account.token
        for other in others:
            for _ in range(self._dice.choice((1, 1, 2))):
                await self._api.ask(
                    "POST", f"/follow?toFollowId={other}", 200, token=token, rule="follow"
                )
            self._model.following[own].add(other)
        for other, status in ((own, 409), (_NOBODY, 404)):
            path = f"/follow?toFollowId={other}"
            await self._api.ask("POST", path, status, token=token, rule="follow-refused")

    async def unfollow(self, others: Iterable[int]) -> None:
        """Follow these users no longer; twice each, which changes nothing."""
        own, token = self.account.id, self.account.token
        for other in others:
            for _ in range(2):
                await self._api.ask(
                    "POST", f"/unfollow?toUnfollowId={other}", 200, token=token, rule="unfollow"
                )
            self._model.following[own].discard(other)

    async def check_following(self) -> None:
        """Read whom one follows."""
        own = self.account.id
        limit = self._limit(len(self._model.following[own]))
        told = await read_all(self._api, f"/users/{own}/following", self.account.token, limit)
        self._note(self._model.judge_following(own, told))

    # --- posts ------------------------------------------------------------------------------

    async def post(self, count: int) -> None:
        """Write posts, and read timelines in between."""
        for number in range(count):
            way = self._dice.randrange(4)
            text = f"{self.account.name} #{number} " + "".join(self._dice.choices(_PIECES, k=2))
            key = None if way == 0 else secrets.token_hex(8)
            await self._write(text, key)
            if way == 2 and key:
                await self._write(text, key)
                await self._misuse(key)
            elif way == 3 and key:
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(self._write, text, key)
            if number % 10 == 5:
                await self.check_timeline(settled=False)

    async def _write(self, text: str, key: str | None) -> None:
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self._api.ask(
            "POST", "/posts", 201, token=self.account.token, json={"text": text}, headers=headers
        )
        [post] = posts_of([as_object(answer)])
        self._note(self._model.judge_post(post, self.account.id, text))
        first = self._keyed.setdefault(key, post) if key else post
        if first != post:
            self._note([("key-doubled", f"one key has made {first} and {post}")])

    async def _misuse(self, key: str) -> None:
        await self._api.ask(
            "POST",
            "/posts",
            409,
            token=self.account.token,
            json={"text": "something else"},
            headers={"Idempotency-Key": key},
            rule="key-reused",
        )

    async def delete_posts(self, share: float) -> None:
        """Delete some of one's own posts; somebody else's cannot be deleted."""
        token, model = self.account.token, self._model
        own = sorted(model.posted_by(self.account.id))
        for post_id in self._dice.sample(own, round(share * len(own))):
            await self._api.ask("DELETE", f"/posts/{post_id}", 204, token=token)
            del model.posts[post_id]
            for method in ("GET", "DELETE"):
                await self._api.ask(
                    method, f"/posts/{post_id}", 404, token=token, rule="deleted-there"
                )

    async def try_to_delete(self, post_id: int) -> None:
        """See that a post of somebody else stays."""
        path = f"/posts/{post_id}"
        await self._api.ask("DELETE", path, 403, token=self.account.token, rule="not-mine")

    async def check_timeline(self, *, settled: bool = True) -> None:
        """Read one's timeline and one's own posts to the end.

        Args:
            settled: nobody else changes anything meanwhile.
        """
        model, own = self._model, self.account.id
        authors = () if settled else {own, *model.following[own]}
        for path, required in (
            ("/timeline", model.shown_to(own)),
            (f"/users/{own}/posts", model.posted_by(own)),
        ):
            limit = self._limit(len(required))
            posts = await read_posts(self._api, path, self.account.token, limit)
            self._note(model.judge_list(f"{self.account.name} {path}", posts, required, authors))
        self._tally.timelines += 1

    # --- coming and going -------------------------------------------------------------------

    async def log_out_and_in(self) -> None:
        """Log out, see that the token is worth nothing any more, and log in again."""
        account, api = self.account, self._api
        other = await api.log_in(account.name, account.email)
        await api.ask("POST", "/logout", 202, token=account.token)
        await self._is_refused(account)
        # Only the token that was shown has ended.
        await api.ask("GET", "/timeline", 200, token=other.token, rule="other-token-ended")
        await api.ask("POST", "/logout", 202, token=other.token)
        await self._is_refused(other)
        self.account = await api.log_in(account.name, account.email)

    async def delete_account(self, witness: Account) -> None:
        """Delete one's account, and see with the eyes of ``witness`` that it is gone."""
        account, api = self.account, self._api
        posts = sorted(self._model.posted_by(account.id))
        await api.ask("DELETE", "/delete", 204, token=account.token)
        self._model.remove_user(account.id)
        await self._is_refused(account)
        body = {"email": account.email, "password": PASSWORD}
        await api.ask("POST", "/login", 401, json=body, rule="deleted-there")
        paths = [("GET", f"/users/{account.id}"), ("POST", f"/follow?toFollowId={account.id}")]
        paths += [("GET", f"/posts/{post_id}") for post_id in posts[:3]]
        for method, path in paths:
            await api.ask(method, path, 404, token=witness.token, rule="deleted-there")

    async def _is_refused(self, account: Account) -> None:
        for method, path in (("GET", "/timeline"), ("POST", "/logout")):
            await self._api.ask(method, path, 401, token=account.token, rule="token-alive")

    # --- small change -----------------------------------------------------------------------

    def _limit(self, entries: int) -> int:
        """Choose how long pages are."""
        return self._dice.randint(min(100, 1 + entries // _MOST_PAGES), 100)

    def _note(self, findings: Iterable[Finding]) -> None:
        for rule, detail in findings:
            self._tally.violation("social", Violation(rule, self.account.name, detail))
