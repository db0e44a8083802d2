"""What a change does to a picture of a chat room: the one definition, for both sides."""

from collections.abc import Callable
from typing import Any, Final

import attrs

from protocol.chat_changes import (
    AuthorGone,
    ChatChange,
    Deleted,
    Edited,
    IsTyping,
    PersonAway,
    PersonGone,
    PersonHere,
    Present,
    ReadUpTo,
    Said,
)
from protocol.chat_picture import ChatPicture, Line, ReadMarker
from protocol.chat_window import DELETED_USER, HISTORY_BYTES, text_size
from protocol.fold import OutOfOrder
from protocol.limits import CHAT_HISTORY, UNREAD_MOST


def fold_chat(picture: ChatPicture, change: ChatChange) -> ChatPicture:
    """Give the picture after a change.

    Raises:
        OutOfOrder: if it has been seen already, by its number.
    """
    if isinstance(change, Said | Edited | Deleted) and change.seq <= picture.seq:
        raise OutOfOrder(f"after {picture.seq} comes a higher number, not {change.seq}")
    return _FOLDS[type(change)](picture, change)


def _said(picture: ChatPicture, change: Said) -> ChatPicture:
    said = Line(change.seq, change.author_id, change.author, change.text, change.at)
    mine = picture.mine
    if change.author_id != mine.user_id:
        mine = attrs.evolve(mine, unread=min(mine.unread + 1, UNREAD_MOST))
    messages = _latest((*picture.messages, said))
    return attrs.evolve(picture, seq=change.seq, messages=messages, mine=mine)


def _edited(picture: ChatPicture, change: Edited) -> ChatPicture:
    return _changed(picture, change.seq, change.target, change.text, change.at)


def _deleted(picture: ChatPicture, change: Deleted) -> ChatPicture:
    return _changed(picture, change.seq, change.target, "", change.at)


def _person_here(picture: ChatPicture, change: PersonHere) -> ChatPicture:
    person = change.person
    if all(each.user_id != person.user_id for each in picture.people):
        return attrs.evolve(picture, people=(*picture.people, person))
    people = tuple(person if each.user_id == person.user_id else each for each in picture.people)
    return attrs.evolve(picture, people=people)


def _person_away(picture: ChatPicture, change: PersonAway) -> ChatPicture:
    people = tuple(
        attrs.evolve(each, here=False, since=change.since)
        if each.user_id == change.user_id
        else each
        for each in picture.people
    )
    return attrs.evolve(picture, people=people)


def _person_gone(picture: ChatPicture, change: PersonGone) -> ChatPicture:
    people = tuple(each for each in picture.people if each.user_id != change.user_id)
    return attrs.evolve(picture, people=people)


def _author_gone(picture: ChatPicture, change: AuthorGone) -> ChatPicture:
    messages = tuple(
        attrs.evolve(each, author_id=None, author=DELETED_USER)
        if each.author_id == change.user_id
        else each
        for each in picture.messages
    )
    return attrs.evolve(picture, messages=messages)


def _is_typing(picture: ChatPicture, change: IsTyping) -> ChatPicture:
    return picture


def _read_up_to(picture: ChatPicture, change: ReadUpTo) -> ChatPicture:
    mine = ReadMarker(picture.mine.user_id, change.seq, change.unread)
    return attrs.evolve(picture, mine=mine)


def _present(picture: ChatPicture, change: Present) -> ChatPicture:
    mine = ReadMarker(picture.mine.user_id, change.read, change.unread)
    return attrs.evolve(picture, seq=change.seq, people=change.people, mine=mine)


_FOLDS: Final[dict[type, Callable[[ChatPicture, Any], ChatPicture]]] = {
    Said: _said,
    Edited: _edited,
    Deleted: _deleted,
    PersonHere: _person_here,
    PersonAway: _person_away,
    PersonGone: _person_gone,
    AuthorGone: _author_gone,
    IsTyping: _is_typing,
    ReadUpTo: _read_up_to,
    Present: _present,
}


def _changed(picture: ChatPicture, seq: int, target: int, text: str, at: float) -> ChatPicture:
    messages = tuple(
        attrs.evolve(each, text=text, changed_at=at) if each.seq == target else each
        for each in picture.messages
    )
    return attrs.evolve(picture, seq=seq, messages=_latest(messages))


def _latest(messages: tuple[Line, ...]) -> tuple[Line, ...]:
    """Keep as many messages as the room does for newcomers."""
    messages = messages[-CHAT_HISTORY:]
    size = sum(text_size(each.text) for each in messages)
    first = 0
    while size > HISTORY_BYTES and first < len(messages) - 1:
        size -= text_size(messages[first].text)
        first += 1
    return messages[first:]
