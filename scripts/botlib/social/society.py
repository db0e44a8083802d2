"""Lets all users act, one kind of act after the other, and checks everybody's view in between."""

import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio

from scripts.botlib.api import Api, Unexpected
from scripts.botlib.crowd import enrol
from scripts.botlib.failures import Unusable, leaves, worded
from scripts.botlib.moves import Violation
from scripts.botlib.social.model import Model
from scripts.botlib.social.plan import Plan, Tally
from scripts.botlib.social.user import User
from scripts.botlib.web import Client, Dial

_UNFOLLOWED: Final = 0.3
_DELETED_POSTS: Final = 0.25
_DELETED_ACCOUNTS: Final = 0.2
_LOGGED_OUT: Final = 0.3

Act = Callable[[User], Awaitable[None]]


async def live(plan: Plan, tally: Tally, dial: Dial | None = None) -> None:
    """Let everybody live; whatever goes wrong is put into ``tally``."""
    async with Client(plan.url, plan.timeout, plan.concurrency, dial) as client:
        api = Api(client)
        accounts = await enrol(api, tally, plan.users, seed=plan.seed)
        if accounts is None:
            return
        tally.accounts = len(accounts)
        dice, model = random.Random(plan.seed), Model()
        users = [
            User(api, model, tally, account, random.Random(f"{plan.seed} {number}"))
            for number, account in enumerate(accounts)
        ]
        try:
            await _live(_Society(plan, tally, model, users, dice))
        finally:
            tally.requests = api.requests


class _Society:
    """All users together."""

    def __init__(
        self, plan: Plan, tally: Tally, model: Model, users: Sequence[User], dice: random.Random
    ) -> None:
        self.model = model
        self.users = list(users)
        self.plan = plan
        self.tally = tally
        self.dice = dice
        self._gate = trio.CapacityLimiter(plan.concurrency)

    async def all_do(self, act: Act, users: Sequence[User] | None = None) -> None:
        """Let all users, or these, act at the same time."""
        async with trio.open_nursery() as nursery:
            for user in self.users if users is None else users:
                nursery.start_soon(self._do, act, user)

    async def _do(self, act: Act, user: User) -> None:
        """Let one user act; never raises anything but Cancelled."""
        name = user.account.name
        async with self._gate:
            try:
                await act(user)
            except* Unexpected as group:
                for each in leaves(group):
                    if isinstance(each, Unexpected):
                        self.tally.violation("social", Violation(each.rule, name, each.detail))
            except* Unusable as group:
                self.tally.stopped = "; ".join(worded(each) for each in leaves(group))
            except* Exception as group:  # noqa: BLE001 - others go on
                for error in leaves(group):
                    self.tally.error(f"{name}: {worded(error)}")

    def some(self, share: float) -> list[User]:
        """Choose some of the users, one at the least."""
        return self.dice.sample(self.users, max(1, round(share * len(self.users))))


async def _live(society: _Society) -> None:
    plan, model, dice, tally = society.plan, society.model, society.dice, society.tally

    async def follow(user: User) -> None:
        others = [each for each in model.users if each != user.account.id]
        await user.follow(dice.sample(others, min(plan.follows, len(others))))

    async def unfollow(user: User) -> None:
        followed = sorted(model.following[user.account.id])
        await user.unfollow(dice.sample(followed, round(_UNFOLLOWED * len(followed))))

    async def covet(user: User) -> None:
        others = [each.id for each in model.posts.values() if each.author_id != user.account.id]
        if others:
            await user.try_to_delete(dice.choice(others))

    async def write(user: User) -> None:
        try:
            await user.post(plan.posts)
        finally:
            tally.posts = len(model.posts)

    every: list[Act] = [
        follow,
        User.check_following,
        write,
        User.check_timeline,
        unfollow,
        User.check_following,
        User.check_timeline,
        covet,
        partial(User.delete_posts, share=_DELETED_POSTS),
        User.check_timeline,
    ]
    for act in every:
        await society.all_do(act)
    await society.all_do(User.log_out_and_in, society.some(_LOGGED_OUT))
    going = society.some(_DELETED_ACCOUNTS)[: plan.users - 1]
    society.users = [user for user in society.users if user not in going]
    witness = society.users[0].account
    await society.all_do(partial(User.delete_account, witness=witness), going)
    await society.all_do(User.check_following)
    await society.all_do(User.check_timeline)
