"""``/v1/decks``: the decks that have a name; and how a request says which cards it wants."""

from collections.abc import Sequence
from typing import Annotated, Final

import attrs
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example, OpenAPIType, Schema
from litestar.params import Parameter
from litestar.status_codes import HTTP_422_UNPROCESSABLE_ENTITY

from protocol.deck import DECKS, DEFAULT_DECK, Card, Deck
from protocol.deck_choice import MOST_POINTS, named_deck, own_deck
from protocol.errors import Refused
from protocol.limits import CARD_LENGTH, MOST_CARDS
from protocol.text import LINE_PATTERN
from server.http.bodies import Strict
from server.http.errors import RequestFailed

# They change with the release alone; whoever asks within the hour after may see those of before.
_AN_HOUR: Final = {"Cache-Control": "public, max-age=3600"}


Label = Annotated[
    str,
    Parameter(description="What is on a card", max_length=CARD_LENGTH, pattern=LINE_PATTERN),
]


@attrs.frozen
class OwnCard(Strict):
    """A card of one's own."""

    label: Label
    value: Annotated[
        float | int | None,
        Parameter(
            description="What it counts in points; if it is not given, the label says so",
            # An integer is a number, so it would be two of the forms that are found by themselves.
            schema_extra={
                "one_of": [
                    Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=MOST_POINTS),
                    Schema(type=OpenAPIType.NULL),
                ]
            },
        ),
    ] = None


DeckChoice = Annotated[
    Annotated[str, Parameter(schema_extra={"enum": list(DECKS)})]
    | Annotated[
        list[Label | OwnCard],
        Parameter(min_items=2, max_items=MOST_CARDS, schema_extra={"unique_items": True}),
    ]
    | None,
    Parameter(
        description="The id of a deck (see `/v1/decks`), or a list of cards, each a label or an "
        f"object: 2 to {MOST_CARDS} different cards of up to {CARD_LENGTH} characters, in order. "
        "Labels that are whole numbers, decimals or fractions count as points. If no card has "
        "points, as with T-shirts, the order of the cards counts",
        examples=[
            Example(value="fibonacci"),
            Example(value=["1", "2", {"label": "big", "value": 5}, "?"]),
        ],
    ),
]


@attrs.frozen
class RoomCard:
    """A card of a deck."""

    label: Annotated[str, Parameter(description="What is on it")]
    value: Annotated[
        float | None, Parameter(description="What it counts in points; null if it has none")
    ]
    kind: Annotated[
        str, Parameter(description="`estimate`, `unsure` or `break`; only the first one counts")
    ]

    @classmethod
    def all_of(cls, cards: Sequence[Card]) -> "list[RoomCard]":
        """Show cards."""
        return [cls(each.label, each.value, each.kind) for each in cards]


@attrs.frozen(kw_only=True)
class NamedDeck:
    """A deck that has a name."""

    id: Annotated[str, Parameter(description="By which it can be chosen")]
    default: Annotated[bool, Parameter(description="Whether rooms have it if nothing is said")]
    cards: Annotated[list[RoomCard], Parameter(description="In order")]


def deck_wished(choice: str | list[str | OwnCard] | None) -> Deck:
    """Judge a choice.

    Raises:
        RequestFailed: 422, naming the field.
    """
    if choice is None:
        return DEFAULT_DECK
    try:
        if isinstance(choice, str):
            return named_deck(choice)
        return own_deck(
            [each if isinstance(each, str) else (each.label, each.value) for each in choice]
        )
    except Refused as refused:
        field = refused.problem.field or "deck"
        message = refused.problem.message.removeprefix(f"{field} ")
        raise RequestFailed(HTTP_422_UNPROCESSABLE_ENTITY, message, field=field) from None


def decks_handler() -> HTTPRouteHandler:
    """Make the handler that lists the decks, which anybody may ask for."""
    shown = [
        NamedDeck(id=id_, default=deck is DEFAULT_DECK, cards=RoomCard.all_of(deck.cards))
        for id_, deck in DECKS.items()
    ]

    @get(
        "/v1/decks",
        operation_id="listDecks",
        summary="List the decks that have a name",
        tags=["rooms"],
        sync_to_thread=False,
    )
    def decks() -> Response[list[NamedDeck]]:
        """Each can be chosen by its id when a room is opened."""
        return Response(shown, headers=_AN_HOUR)

    return decks
