"""Delivers reports from the store: a few at once, later again what fails, each room's in order.

::

    waiting ── 2xx ──▶ deleted
       │  ▲
       │  └── any other answer, or none: later
       └── 12 tries, a day, or 410: given up
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import sqlalchemy as sa
import trio

from server.store import webhooks
from server.store.database import Database
from server.store.webhooks import Delivery
from server.support.counters import Counters
from server.support.errors import AddressRefused, NotDelivered, Ousted, StoreUnavailable
from server.support.limits import DAY
from server.support.observe import Level, get_logger
from server.support.supervise import contain
from server.webhooks.addresses import Judge, place_of
from server.webhooks.reports import Reports
from server.webhooks.sending import Answer, Send
from server.webhooks.signing import signed

AT_ONCE: Final = 16
"""Requests to all receivers."""

AT_ONCE_PER_RECEIVER: Final = 2
"""Requests to one scheme, host and port."""

TRIES: Final = 12
LONGEST_SECONDS: Final = DAY
"""From an event to the last try."""

FIRST_DELAY: Final = 5.0
GROWTH: Final = 4.0
LONGEST_DELAY: Final = 3600.0

GONE: Final = 410

Result = TypeVar("Result")

_LOOK_SECONDS: Final = 1200.0  # the longest between two looks while something waits
_SOON_SECONDS: Final = 0.05  # the shortest: clocks differ in the last digits
_REST_SECONDS: Final = 5.0  # after the database was gone


class Deliveries:
    """The one task that looks what is due, and a task for each request."""

    def __init__(
        self,
        database: Database,
        reports: Reports,
        send: Send,
        *,
        judge: Judge,
        counters: Counters,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Deliver what ``reports`` has written.

        Args:
            database: where it waits.
            reports: wakes us, and knows what is told of all rooms.
            send: how it gets to a receiver.
            judge: says where receivers may be.
            counters: where deliveries are counted.
            clock: Unix time in seconds.
            draw: gives numbers from 0 up to, but not including, 1.
        """
        self._database = database
        self._reports = reports
        self._send = send
        self._judge = judge
        self._counters = counters
        self._clock = clock
        self._draw = draw
        self._underway: dict[int, str] = {}  # the receivers, by ids of deliveries
        self._news = trio.Event()
        self._log = get_logger("webhooks")
        reports.subscribe(lambda: self._news.set())

    async def run(self) -> None:
        """Deliver until cancelled; what is cut off then is tried again after the next start."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._check_everywhere)
            while True:
                self._news = trio.Event()
                seconds = await self._start_due(nursery)
                with trio.move_on_after(seconds):
                    await self._news.wait()

    async def _start_due(self, nursery: trio.Nursery) -> float:
        """Begin with what is due; tell in how many seconds to look again, if nobody wakes us."""
        now = self._clock()
        count = Counter(self._underway.values())
        look = partial(
            webhooks.due,
            now=now,
            underway=list(self._underway),
            busy=[receiver for receiver, n in count.items() if n >= AT_ONCE_PER_RECEIVER],
            limit=AT_ONCE,
        )
        try:
            due = await self._database.run(look)
        except StoreUnavailable:
            return _REST_SECONDS
        self._counters.webhooks_waiting_current = due.waiting
        skipped = False
        for each in due.deliveries:
            if len(self._underway) == AT_ONCE:
                break
            if count[each.receiver] == AT_ONCE_PER_RECEIVER:
                skipped = True
                continue
            count[each.receiver] += 1
            self._underway[each.id] = each.receiver
            nursery.start_soon(self._deliver, each)
        if skipped and len(self._underway) < AT_ONCE:
            return 0.0  # a receiver that has enough to do hides others that have not
        if due.later is None:
            return _LOOK_SECONDS if due.waiting else math.inf
        return min(_LOOK_SECONDS, max(_SOON_SECONDS, due.later - now))

    async def _deliver(self, delivery: Delivery) -> None:
        """Try once, and note what came of it."""
        with contain("webhooks", receiver=delivery.receiver) as containment:
            await self._try(delivery)
        if not containment.failed:  # else it would be tried again at once, and for ever
            del self._underway[delivery.id]
        self._news.set()

    async def _try(self, delivery: Delivery) -> None:
        everywhere = self._reports.everywhere
        if delivery.own:
            url, secret = delivery.url, delivery.secret
        else:
            url, secret = (everywhere.url, everywhere.secret) if everywhere else (None, None)
        if url is None or secret is None:
            await self._give_up(delivery, "nobody wants it any more")
            return
        answer, problem = await self._ask(delivery, url, secret)
        if answer is not None and 200 <= answer.status < 300:
            await self._write(partial(webhooks.note_arrival, delivery_id=delivery.id))
            self._counters.webhooks_delivered += 1
        elif answer is not None and answer.status == GONE:
            await self._give_up_all(delivery)
        else:
            await self._postpone(delivery, problem, answer.retry_after if answer else None)

    async def _ask(self, delivery: Delivery, url: str, secret: str) -> tuple[Answer | None, str]:
        """Send a report; give the answer, or why there is none."""
        body = delivery.body.encode()
        headers = signed(secret, delivery.message_id, self._clock(), body)
        problem = "the server could not send it"
        with contain("webhooks", receiver=delivery.receiver):
            try:
                answer = await self._send(place_of(url), headers, body)
                return answer, f"it was answered {answer.status}"
            except NotDelivered as failed:
                problem = str(failed)
        return None, problem

    async def _postpone(self, delivery: Delivery, problem: str, retry_after: float | None) -> None:
        now, end = self._clock(), delivery.created_at + LONGEST_SECONDS
        if delivery.tries + 1 >= TRIES or now >= end:
            await self._give_up(delivery, problem)
            return
        delay = max(backoff(delivery.tries, self._draw()), retry_after or 0.0)
        until = min(now + delay, end)
        await self._write(
            partial(webhooks.postpone, delivery_id=delivery.id, until=until, problem=problem)
        )
        self._counters.webhooks_retried += 1
        self._tell("debug", "not delivered, and will be tried again", delivery, problem)

    async def _give_up(self, delivery: Delivery, problem: str) -> None:
        now = self._clock()
        await self._write(
            partial(webhooks.give_up, delivery_id=delivery.id, now=now, problem=problem)
        )
        self._counters.webhooks_failed += 1
        self._tell("warning", "not delivered, and given up", delivery, problem)

    async def _give_up_all(self, delivery: Delivery) -> None:
        """The receiver has said that it wants nothing more."""
        if delivery.own:
            self._reports.unhook(delivery.session_id)
        else:
            self._reports.everywhere = None
        problem = "the receiver wants nothing more (410)"
        self._counters.webhooks_failed += await self._write(
            partial(
                webhooks.give_up_all,
                session_id=delivery.session_id if delivery.own else None,
                now=self._clock(),
                problem=problem,
            )
        )
        self._tell("warning", "no more is delivered", delivery, problem)

    async def _write(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Note something, however long it takes: what has arrived must not be sent again.

        Once the database is another server's, this sleeps until the end.
        """
        while True:
            try:
                return await self._database.run(work, write=True)
            except Ousted:
                await trio.sleep_forever()
            except StoreUnavailable:
                await trio.sleep(_REST_SECONDS)

    async def _check_everywhere(self) -> None:
        """Tell the operator at once where nothing will ever be told."""
        everywhere = self._reports.everywhere
        if everywhere is not None:
            place = place_of(everywhere.url)
            try:
                await self._judge.addresses(place)
            except AddressRefused as refused:
                self._log.warning(
                    f"the address of --webhook-url {refused}", receiver=place.receiver
                )

    def _tell(self, level: Level, event: str, delivery: Delivery, reason: str) -> None:
        log = self._log.warning if level == "warning" else self._log.debug
        log(
            event,
            receiver=delivery.receiver,
            type=delivery.event,
            message=delivery.message_id,
            tries=delivery.tries + 1,
            reason=reason,
        )


def backoff(tries: int, drawn: float) -> float:
    """Say in how many seconds to try again.

    Args:
        tries: that were in vain before the last one.
        drawn: from 0 to 1: receivers that failed together are not tried again together.
    """
    return min(FIRST_DELAY * GROWTH**tries, LONGEST_DELAY) * (1 + drawn) / 2
