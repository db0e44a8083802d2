"""Compares all that the connections of one chat room were told, once it is over; no I/O.

The host comes first and goes last: what it was told from its own joining on is the reference,
of which everybody else must have been told one piece without a gap.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scripts.botlib.api import is_whole
from scripts.botlib.chat.checker import HISTORY, Checker
from scripts.botlib.chat.record import Record
from scripts.botlib.chat.wire import Notice, Said
from scripts.botlib.frames import shown

Finding = tuple[str, str]
"""Rule and detail."""


def judge_reference(host: Checker, visits: Mapping[str, int]) -> Iterator[Finding]:
    """Judge what the host was told.

    Args:
        host: who saw everything.
        visits: how often each of the others came and went.
    """
    reference = host.seen[host.history :]
    texts = {event.text for event in reference if isinstance(event, Said)}
    lost = [text for text in host.record.sent if text not in texts]
    if lost:
        yield "lost", f"{len(lost)} of {len(host.record.sent)} messages, such as {shown(lost[0])}"
    notices = Counter(
        (event.kind, event.username)
        for event in reference
        if isinstance(event, Notice) and event.username != host.name
    )
    for name, times in visits.items():
        for kind in ("join", "leave"):
            if notices[kind, name] != times:
                yield f"{kind}-notices", f"{notices[kind, name]} of {name}, who came {times} times"


def judge_visit(host: Checker, visitor: Checker, number: int) -> Iterator[Finding]:
    """Compare one connection with the host's.

    Args:
        host: who saw everything.
        visitor: who saw a part.
        number: of the visit of this person, from 0 on.
    """
    reference = host.seen[host.history :]
    if visitor.second:
        if not any(_fits(reference, visitor.seen, start) for start in _starts(reference, visitor)):
            yield "order", "what a second connection was told is no piece of what the host was"
        return
    own = Notice(host.record.room_id, "join", visitor.name)
    places = [place for place, event in enumerate(reference) if event == own]
    if number >= len(places):
        return  # a notice is missing, which is told elsewhere
    start = places[number]
    live = visitor.seen[visitor.history :]
    for place, event in enumerate(live, start):
        there = reference[place] if place < len(reference) else None
        if there != event:
            yield "order", f"{event} where the host was told {there}"
            return
    before = sum(isinstance(event, Said) for event in reference[:start])
    told = [event.seq for event in visitor.seen[: visitor.history] if isinstance(event, Said)]
    if max(told, default=0) != before:
        yield "history", f"ends at {max(told, default=0)}, but {before} had been said before it"


def judge_stored(record: Record, stored: Sequence[Any]) -> Iterator[Finding]:
    """Compare what the server keeps, the latest first, with what was heard."""
    for entry in stored:
        if not _is_entry(entry):
            yield "stored", f"not of the form of a kept message: {shown(repr(entry))}"
            return
    kept = [
        (each["seq"], each["author"], each["author_id"], each["text"], _moment(each["at"]))
        for each in stored
    ]
    heard = [
        (each.seq, each.username, each.user_id, each.text, _moment(each.at))
        for _, each in sorted(record.said.items(), reverse=True)
    ]
    if kept == heard:
        return
    for mine, theirs in zip(heard, kept, strict=False):
        if mine != theirs:
            yield "stored", f"{shown(repr(theirs))} is kept, {shown(repr(mine))} was heard"
            return
    yield "stored", f"{len(kept)} messages are kept, {len(heard)} were heard"


def judge_clients(accounts: Mapping[str, int], present: Iterable[Any]) -> Iterator[Finding]:
    """Compare who is said to be there with who is."""
    wanted = Counter((account, name) for name, account in accounts.items())
    told: Counter[tuple[Any, Any]] = Counter()
    for each in present:
        known = isinstance(each, dict) and is_whole(each.get("id"))
        if not known or not isinstance(each.get("username"), str):
            yield "clients", f"must have id and username: {shown(repr(each))}"
            return
        told[each["id"], each["username"]] += 1
    if told != wanted:
        missing, extra = sorted(wanted - told), sorted(told - wanted)
        yield "clients", f"missing {missing}, not there or twice {extra}"


def _starts(reference: Sequence[Said | Notice], visitor: Checker) -> Iterator[int]:
    """Find where in the reference a second connection may have come."""
    seqs = [event.seq for event in visitor.seen if isinstance(event, Said)]
    before = 0
    for start in range(len(reference) + 1):
        first = before - min(HISTORY, before) + 1
        if before >= visitor.floor and (not seqs or seqs[0] == first):
            yield start
        before += start < len(reference) and isinstance(reference[start], Said)


def _fits(reference: Sequence[Said | Notice], seen: Sequence[Said | Notice], start: int) -> bool:
    before = [event for event in reference[:start] if isinstance(event, Said)][-HISTORY:]
    wanted = [*before, *reference[start:]]
    return list(seen) == wanted[: len(seen)]  # it may have left in the midst of the history


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and is_whole(entry.get("seq"))
        and all(isinstance(entry.get(field), str) for field in ("author", "text", "at"))
        and "author_id" in entry
    )


def _moment(text: str) -> str:
    """Write a time in one form only, to the millisecond."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    return moment.isoformat(timespec="milliseconds")
