"""Webhooks of rooms, as they are wished and shown; the routes are with those of the rooms."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Self

import attrs
from litestar.params import Parameter
from litestar.status_codes import HTTP_422_UNPROCESSABLE_ENTITY

from server.http.bodies import Strict
from server.http.errors import RequestFailed, unauthorized
from server.store.estimations import Session
from server.store.records import User
from server.store.webhooks import Standing, Webhook
from server.support.errors import AddressRefused, BadValue
from server.webhooks.addresses import LONGEST_URL, Judge, place_of
from server.webhooks.events import EVERY, Event
from server.webhooks.signing import FORM, check_secret, new_secret

_URL: Final = Parameter(description="Where events are sent, by POST")
_EVENTS: Final = Parameter(description="Which events are sent")


@attrs.frozen(kw_only=True)
class NewWebhook(Strict):
    """Where to tell what happens in a room."""

    url: Annotated[
        str,
        Parameter(
            description="Where to send events, by POST: `https` or `http`, without a user or a "
            "fragment; in a network that the operator allows, usually all of the internet",
            min_length=1,
            max_length=LONGEST_URL,
        ),
    ]
    secret: Annotated[
        str | None,
        Parameter(
            description=f"By which what is sent is signed: `whsec_…`, that is {FORM}. If none is "
            "given, one is made",
            max_length=100,
        ),
    ] = attrs.field(default=None, repr=False)
    events: Annotated[
        list[Event] | None,
        Parameter(
            description="Which events to send; all if not given",
            min_items=1,
            max_items=len(EVERY),
            schema_extra={"unique_items": True},
        ),
    ] = None


@attrs.frozen(kw_only=True)
class MadeWebhook:
    """A webhook that a room has been given."""

    url: Annotated[str, _URL]
    events: Annotated[list[str], _EVENTS]
    secret: Annotated[
        str, Parameter(description="By which what is sent is signed; not shown again")
    ] = attrs.field(repr=False)

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        """Tell of a webhook to whoever has asked for it."""
        return cls(url=webhook.url, events=list(webhook.events), secret=webhook.secret)


@attrs.frozen(kw_only=True)
class WebhookStanding:
    """A room's webhook, and how it does."""

    url: Annotated[str, _URL]
    events: Annotated[list[str], _EVENTS]
    waiting: Annotated[
        int, Parameter(description="Events that have not arrived, and will be tried again")
    ]
    failed: Annotated[int, Parameter(description="Events that were given up in the last 7 days")]
    problem: Annotated[
        str | None,
        Parameter(description="Why the latest of these did not arrive; null if all have"),
    ]

    @classmethod
    def of(cls, standing: Standing) -> Self:
        """Tell how a webhook does."""
        return cls(
            url=standing.webhook.url,
            events=list(standing.webhook.events),
            waiting=standing.waiting,
            failed=standing.failed,
            problem=standing.problem,
        )


@attrs.frozen(kw_only=True)
class WebhooksOverHttp:
    """What the routes of rooms need for their webhooks."""

    judge: Judge
    find: Callable[[int], Awaitable[Standing | None]]
    """Tells how the webhook of a session does."""
    forget: Callable[[int], Awaitable[bool]]
    """Takes the webhook of a session away; tells whether it had one."""

    def wished(self, wish: NewWebhook, user: User | None) -> Webhook:
        """Judge the form of what somebody wants; where it leads is for :meth:`check`.

        Raises:
            RequestFailed: 401 to somebody without an account; 422, naming the field.
        """
        if user is None:
            raise unauthorized("log in, or show a token for bots, to give a room a webhook")
        events = EVERY if wish.events is None else tuple(wish.events)
        if not events or len(set(events)) < len(events):
            raise _unfit("events", "must have one at least, and none twice")
        try:
            place_of(wish.url)
        except BadValue as bad:
            raise _unfit("url", str(bad)) from None
        try:
            secret = new_secret() if wish.secret is None else check_secret(wish.secret)
        except BadValue as bad:
            raise _unfit("secret", str(bad)) from None
        return Webhook(url=wish.url, secret=secret, events=events)

    async def check(self, webhook: Webhook) -> None:
        """Judge where a webhook leads.

        Raises:
            RequestFailed: 422.
        """
        try:
            await self.judge.addresses(place_of(webhook.url))
        except AddressRefused as refused:
            raise _unfit("url", str(refused)) from None

    async def of(self, session: Session) -> Webhook | None:
        """Find the webhook of a room that was opened before.

        Raises:
            StoreUnavailable: if the database does not answer.
        """
        standing = await self.find(session.id)
        return None if standing is None else standing.webhook

    def is_same(self, wish: NewWebhook | None, webhook: Webhook | None) -> bool:
        """Tell whether somebody wants what is there; a secret may be as it was made."""
        if wish is None or webhook is None:
            return wish is None and webhook is None
        events = EVERY if wish.events is None else tuple(wish.events)
        same = wish.url == webhook.url and set(events) == set(webhook.events)
        return same and wish.secret in (None, webhook.secret)


def _unfit(field: str, message: str) -> RequestFailed:
    return RequestFailed(HTTP_422_UNPROCESSABLE_ENTITY, message, field=f"webhook.{field}")
