"""The backlog: its order, its bounds, and that each change can be told and taken back."""

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.backlog import Added, Backlog, Moved, Removed, Replaced
from protocol.codec import CONVERTER, loads
from protocol.errors import ErrorCode, Refused
from protocol.ids import TicketNumber
from protocol.limits import BACKLOG_BYTES, BACKLOG_TICKETS, TICKET_DESCRIPTION_LENGTH
from protocol.ticket import CLEANERS, Draft, Ticket, TicketStatus, text_size


def n(number: int) -> TicketNumber:
    return TicketNumber(number)


def filled(count: int) -> Backlog:
    backlog = Backlog()
    if count:
        backlog.add(
            [Draft(title=f"T{number}", key=f"K-{number}") for number in range(1, count + 1)]
        )
    return backlog


def order(backlog: Backlog) -> list[int]:
    return [ticket.id for ticket in backlog.tickets]


def state(backlog: Backlog) -> tuple[TicketStatus, str | None]:
    return backlog.tickets[0].status, backlog.tickets[0].estimate


def problem_of(deed: Callable[[], object]) -> tuple[ErrorCode, str, str | None]:
    with pytest.raises(Refused) as caught:
        deed()
    problem = caught.value.problem
    return problem.code, problem.message, problem.field


def test_tickets_are_added_at_the_end_or_before_another_one_and_numbered() -> None:
    backlog = filled(2)

    added = backlog.add([Draft(title="A"), Draft(title="B")], before=n(2))

    assert added == Added((Ticket(id=n(3), title="A"), Ticket(id=n(4), title="B")), n(2))
    assert order(backlog) == [1, 3, 4, 2]
    assert backlog.find(n(4)) == added.tickets[1]
    assert backlog.find(n(5)) is None


def test_a_number_is_never_given_twice() -> None:
    backlog = filled(2)
    backlog.remove(n(2))

    assert backlog.add([Draft(title="A")]).tickets[0].id == 3


def test_nothing_is_added_before_what_is_not_there() -> None:
    backlog = filled(1)
    before = attrs.evolve(backlog)

    assert problem_of(lambda: backlog.add([Draft(title="A")], before=n(9))) == (
        ErrorCode.NO_SUCH_TICKET,
        "there is no ticket 9 in the backlog",
        "before",
    )
    assert backlog == before


def test_as_many_as_one_file_brings_fit_and_none_of_what_is_too_many() -> None:
    backlog = filled(BACKLOG_TICKETS - 1)

    code, message, _ = problem_of(lambda: backlog.add([Draft(title="A"), Draft(title="B")]))
    assert (code, message) == (ErrorCode.BACKLOG_FULL, "a backlog has at most 2000 tickets")
    backlog.add([Draft(title="A")])
    assert len(backlog.tickets) == BACKLOG_TICKETS
    removed = backlog.remove(n(1))
    backlog.add([Draft(title="B")])
    assert problem_of(lambda: backlog.put_back(removed))[0] is ErrorCode.BACKLOG_FULL


def test_the_texts_are_bounded_in_bytes_and_count_whatever_changes_them() -> None:
    longest = "€" * TICKET_DESCRIPTION_LENGTH
    size = text_size(Draft(title="T", description=longest))
    backlog = Backlog()
    backlog.add([Draft(title="T", description=longest)] * (BACKLOG_BYTES // size))
    left = BACKLOG_BYTES - backlog.size
    assert left < size

    code, message, _ = problem_of(lambda: backlog.add([Draft(title="T", description=longest)]))
    assert (code, message) == (
        ErrorCode.BACKLOG_FULL,
        "the texts of a backlog have at most 1048576 bytes in UTF-8",
    )
    backlog.add([Draft(title="x" * left)] if left < 200 else [Draft(title="x")])
    full = backlog.size
    last = backlog.tickets[-1].id
    code, *_ = problem_of(lambda: backlog.edit(last, {"description": longest}))
    assert code is ErrorCode.BACKLOG_FULL
    assert backlog.size == full
    backlog.edit(n(1), {"description": ""})
    assert backlog.size == full - len(longest.encode())
    backlog.edit(last, {"description": longest})
    assert backlog.size == full
    removed = backlog.remove(last)
    assert backlog.size == full - text_size(removed.ticket)


def test_what_is_full_by_an_older_bound_may_still_shrink() -> None:
    tickets = tuple(
        Ticket(id=n(number), title="T", description="x" * 4_000) for number in range(1, 302)
    )
    backlog = Backlog(tickets, 301)
    assert backlog.size > BACKLOG_BYTES

    assert backlog.edit(n(1), {"description": "y"}) is not None


def test_an_edit_changes_the_fields_given_and_tells_what_was() -> None:
    backlog = filled(2)

    assert backlog.edit(n(1), {"title": "New", "priority": "P1"}) == Replaced(
        Ticket(id=n(1), title="T1", key="K-1"),
        Ticket(id=n(1), title="New", key="K-1", priority="P1"),
    )
    assert backlog.edit(n(1), {"title": "New"}) is None
    assert order(backlog) == [1, 2]


def test_skipping_keeps_the_estimate() -> None:
    backlog = filled(1)

    assert backlog.skip(n(1)) is not None
    assert backlog.skip(n(1)) is None
    assert state(backlog) == (TicketStatus.SKIPPED, None)
    backlog.unskip(n(1))
    assert state(backlog) == (TicketStatus.OPEN, None)
    backlog.estimate(n(1), "½")
    backlog.skip(n(1))
    assert state(backlog) == (TicketStatus.SKIPPED, "½")
    backlog.unskip(n(1))
    assert state(backlog) == (TicketStatus.ESTIMATED, "½")
    assert backlog.unskip(n(1)) is None


def test_an_estimate_is_set_and_taken_away() -> None:
    backlog = filled(1)

    changed = backlog.estimate(n(1), "5")
    assert changed is not None
    assert (changed.new.status, changed.new.estimate) == (TicketStatus.ESTIMATED, "5")
    assert backlog.restore(changed.old) == Replaced(changed.new, changed.old)
    backlog.estimate(n(1), "8")
    backlog.estimate(n(1), None)
    assert state(backlog) == (TicketStatus.OPEN, None)


@pytest.mark.parametrize(
    ("ticket", "before", "after"),
    [
        (1, None, [2, 3, 4, 1]),
        (1, 3, [2, 1, 3, 4]),
        (1, 4, [2, 3, 1, 4]),
        (4, 1, [4, 1, 2, 3]),
        (3, 2, [1, 3, 2, 4]),
        (2, None, [1, 3, 4, 2]),
    ],
)
def test_a_ticket_is_moved_and_moved_back(
    ticket: int, before: int | None, after: list[int]
) -> None:
    backlog = filled(4)
    target = None if before is None else n(before)

    moved = backlog.move(n(ticket), target)

    assert order(backlog) == after
    follower = None if ticket == 4 else n(ticket + 1)
    assert moved == Moved(n(ticket), target, follower)
    assert backlog.move(n(ticket), moved.was_before) is not None
    assert order(backlog) == [1, 2, 3, 4]


@pytest.mark.parametrize(("ticket", "before"), [(4, None), (2, 2), (2, 3)])
def test_a_ticket_that_stands_there_already_is_not_moved(ticket: int, before: int | None) -> None:
    backlog = filled(4)

    assert backlog.move(n(ticket), None if before is None else n(before)) is None
    assert order(backlog) == [1, 2, 3, 4]


@pytest.mark.parametrize("ticket", [1, 2, 3])
def test_what_was_removed_is_put_back_where_it_was(ticket: int) -> None:
    backlog = filled(3)
    backlog.estimate(n(ticket), "5")
    whole = attrs.evolve(backlog)

    removed = backlog.remove(n(ticket))

    assert removed == Removed(whole.tickets[ticket - 1], n(ticket + 1) if ticket < 3 else None)
    assert ticket not in order(backlog)
    assert backlog.put_back(removed) == Added((removed.ticket,), removed.was_before)
    assert backlog == whole
    assert problem_of(lambda: backlog.put_back(removed))[1] == f"ticket {ticket} is in the backlog"


def test_what_was_removed_before_something_that_is_gone_comes_to_the_end() -> None:
    backlog = filled(3)
    first = backlog.remove(n(1))
    backlog.remove(n(2))

    assert backlog.put_back(first).before is None
    assert order(backlog) == [3, 1]


@pytest.mark.parametrize(
    "deed",
    [
        lambda it: it.edit(n(9), {"title": "T"}),
        lambda it: it.skip(n(9)),
        lambda it: it.unskip(n(9)),
        lambda it: it.estimate(n(9), "5"),
        lambda it: it.restore(Ticket(id=n(9), title="T")),
        lambda it: it.move(n(9)),
        lambda it: it.remove(n(9)),
    ],
)
def test_a_ticket_that_does_not_exist_is_named(deed: Callable[[Backlog], object]) -> None:
    assert problem_of(lambda: deed(filled(2))) == (
        ErrorCode.NO_SUCH_TICKET,
        "there is no ticket 9 in the backlog",
        "ticket",
    )


def test_the_next_open_ticket_is_further_down_and_then_from_the_top() -> None:
    backlog = filled(4)
    backlog.estimate(n(2), "5")
    backlog.skip(n(3))

    def after(number: int | None) -> int | None:
        ticket = backlog.next_open(None if number is None else n(number))
        return None if ticket is None else ticket.id

    assert [after(number) for number in (None, 1, 2, 3, 4, 99)] == [1, 4, 4, 4, 1, 1]
    backlog.estimate(n(1), "1")
    assert after(4) == 4
    backlog.estimate(n(4), "1")
    assert after(4) is None
    assert Backlog().next_open() is None


def test_keys_are_the_same_in_any_case() -> None:
    backlog = Backlog()
    backlog.add([Draft(title="A", key="Shop-1"), Draft(title="B")])

    assert backlog.keys() == {"shop-1"}


def test_a_backlog_is_stored_and_read_as_json() -> None:
    backlog = filled(2)
    backlog.estimate(n(2), "½")

    plain = CONVERTER.unstructure(backlog)
    assert set(plain) == {"tickets", "last_id"}
    assert CONVERTER.structure(loads(CONVERTER.dumps(backlog).decode()), Backlog) == backlog


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), min_size=6, max_size=6))
def test_no_snapshot_is_larger_than_the_limits_say(texts: list[str]) -> None:
    title, *others = texts
    drafted = Draft(title=title, **dict(zip(list(CLEANERS)[1:], others, strict=True)))
    ticket = Ticket(id=n(BACKLOG_TICKETS), **attrs.asdict(drafted))
    json = len(CONVERTER.dumps(ticket))

    # Of control characters there are but tab and LF, two bytes each as JSON.
    controls = sum(ord(char) < 32 for text in texts for char in text)
    assert json - 4 * controls <= 2 * text_size(ticket) + 250
    assert 2 * BACKLOG_BYTES + 250 * BACKLOG_TICKETS < 2.5 * 1024 * 1024


class Orders(RuleBasedStateMachine):
    """Any changes, one after the other, against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.model: list[int] = []
        self.removed: list[Removed] = []

    def pick(self, data: st.DataObject) -> TicketNumber:
        return n(data.draw(st.sampled_from([*self.model, 999])))

    @rule(data=st.data(), count=st.integers(1, 3))
    def add(self, data: st.DataObject, count: int) -> None:
        before = data.draw(st.sampled_from([None, *self.model]))
        added = self.backlog.add([Draft(title="T")] * count, None if before is None else n(before))
        place = len(self.model) if before is None else self.model.index(before)
        self.model[place:place] = [ticket.id for ticket in added.tickets]

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        ticket, before = self.pick(data), data.draw(st.sampled_from([None, *self.model]))
        ids = sorted(self.model)
        try:
            moved = self.backlog.move(ticket, None if before is None else n(before))
        except Refused:
            assert ticket == 999
            return
        if moved is not None:
            self.model.remove(ticket)
            place = len(self.model) if before is None else self.model.index(before)
            self.model.insert(place, ticket)
        assert sorted(order(self.backlog)) == ids

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        ticket = self.pick(data)
        try:
            self.removed.append(self.backlog.remove(ticket))
        except Refused:
            assert ticket == 999
        else:
            self.model.remove(ticket)

    @rule()
    def undo(self) -> None:
        if self.removed:
            added = self.backlog.put_back(self.removed.pop())
            place = len(self.model) if added.before is None else self.model.index(added.before)
            self.model.insert(place, added.tickets[0].id)

    @rule(data=st.data(), title=st.text("ab€", min_size=1, max_size=5))
    def change(self, data: st.DataObject, title: str) -> None:
        ticket = self.pick(data)
        if ticket != 999:
            self.backlog.edit(ticket, {"title": title})
            self.backlog.skip(ticket)
            self.backlog.estimate(ticket, data.draw(st.sampled_from([None, "5"])))

    @invariant()
    def the_order_and_the_count_are_right(self) -> None:
        assert order(self.backlog) == self.model
        assert self.backlog.size == sum(map(text_size, self.backlog.tickets))
        assert self.backlog.last_id >= max(self.model, default=0)


TestOrders = Orders.TestCase
TestOrders.settings = settings(stateful_step_count=20)
