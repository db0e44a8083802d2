"""Members of chat rooms that come back, in any interleaving, over crashes too, against a model."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.chat_fold import fold_chat
from protocol.chat_records import ChatMessage
from protocol.errors import ErrorCode
from protocol.ids import MemberId
from protocol.talking import (
    DeleteMessage,
    EditMessage,
    MarkRead,
    ReadHistory,
    SayOnce,
    TalkRequest,
    Typing,
    Unavailable,
)
from tests.protocol.talk_audience import Kept, Store, TalkAudience, account

MEMBERS = ["a1", "a2", "b1", "b2", "c1"]
OLD = ["x", "y"]
SOMEBODY = st.sampled_from(MEMBERS)
FORGETTABLE = (ErrorCode.NOT_NOW, ErrorCode.TOO_FAST)

TEXTS = st.sampled_from(["one", "two", " ", "long " * 9000])


class Talking(RuleBasedStateMachine):
    """A room and its lives.

    The model is what was kept, and what each member was answered. The audience itself compares
    every folded picture with the server's, after each command.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room = TalkAudience(granted=10**9)
        self.refs = dict.fromkeys(MEMBERS, 0)
        self.asked: dict[tuple[str, int], TalkRequest] = {}
        self.answered: dict[tuple[str, int], int | ErrorCode] = {}
        self.written = 0  # rows that a crash leaves
        self.woken_at = 0

    def here(self, member: str) -> bool:
        guest = self.room.guests.get(member)
        return guest is not None and guest.attends and guest.connected

    def wake(self, store: Store, last_seq: int) -> None:
        """Begin another life; those who were here come back to it, as to a room without them."""
        before = self.room
        self.room = TalkAudience(granted=10**9, store=store, last_seq=last_seq)
        self.room.now = before.now
        for member, guest in before.guests.items():
            if guest.lasting:
                self.return_to_another_life(member, before)

    def return_to_another_life(self, member: str, before: TalkAudience) -> None:
        """Do as an admission does: read what was missed, unless there is more than was kept."""
        guest, store = before.guests[member], self.room.store
        picture = guest.picture
        known = picture is not None and (
            not picture.seq or any(row.seq == picture.seq for row in store.rows)
        )
        if picture is None or not known:
            self.room.join(member)
            return
        for change in store.missed(picture.seq):
            picture = fold_chat(picture, change)
        again = self.room.guests[member] = guest
        again.picture = picture
        self.room.join(member, self.room.rules.seq, self.room.rules.generation)

    # --- what may happen --------------------------------------------------------------------

    @rule(member=SOMEBODY)
    def join(self, member: str) -> None:
        if member not in self.room.guests and account(member) not in self.room.store.gone:
            self.room.join(member)

    @rule(member=st.sampled_from(OLD))
    def enter_or_leave(self, member: str) -> None:
        if member in self.room.guests:
            self.room.leave(member)
            self.see_to_sleep()
        elif account(member) not in self.room.store.gone:
            self.room.enter(member)

    @rule(member=SOMEBODY)
    def lose_the_connection(self, member: str) -> None:
        if self.here(member):
            self.room.detach(member)

    @rule(member=SOMEBODY, forgetful=st.booleans())
    def come_back(self, member: str, forgetful: bool) -> None:
        if member in self.room.guests:
            self.room.come_back(member, forgetful=forgetful)
            assert self.here(member)

    @rule(data=st.data())
    def run_out_of_patience(self, data: st.DataObject) -> None:
        if self.room.timers:
            member = data.draw(st.sampled_from(sorted(self.room.timers)))
            self.room.let_grace_pass(member)
            assert member not in self.room.guests
            self.see_to_sleep()

    @rule(member=SOMEBODY, text=TEXTS)
    def say(self, member: str, text: str) -> None:
        self.ask(member, SayOnce(text))

    @rule(member=st.sampled_from(OLD), count=st.integers(1, 60))
    def chatter(self, member: str, count: int) -> None:
        if member in self.room.guests:
            self.room.say(member, *(f"{n}" for n in range(count)))

    @rule(member=SOMEBODY, back=st.integers(-1, 70), text=TEXTS | st.none())
    def change(self, member: str, back: int, text: str | None) -> None:
        seq = self.room.rules.seq - back
        self.ask(member, DeleteMessage(seq) if text is None else EditMessage(seq, text))

    @rule(member=SOMEBODY, back=st.integers(-1, 70))
    def read(self, member: str, back: int) -> None:
        self.ask(member, MarkRead(self.room.rules.seq - back))

    @rule(member=SOMEBODY)
    def write_something(self, member: str) -> None:
        self.ask(member, Typing())

    @rule(member=SOMEBODY, back=st.integers(-1, 70), limit=st.integers(-1, 99))
    def look_back(self, member: str, back: int, limit: int) -> None:
        self.ask(member, ReadHistory(self.room.rules.seq - back, limit))

    @rule(member=SOMEBODY, data=st.data())
    def ask_again(self, member: str, data: st.DataObject) -> None:
        """Repeat a request of the last ones, whether it was answered or not."""
        if self.here(member) and self.refs[member]:
            latest = self.refs[member]
            ref = data.draw(st.integers(max(1, latest - 5), latest))
            before = len(self.room.store.rows)
            done = self.row_of(member, ref) is not None
            self.room.ask(member, ref, self.asked[member, ref])
            assert not done or len(self.room.store.rows) == before

    def ask(self, member: str, request: TalkRequest) -> None:
        if self.here(member):
            self.refs[member] += 1
            self.asked[member, self.refs[member]] = request
            self.room.ask(member, self.refs[member], request)

    @precondition(lambda self: self.room.inquiries)
    @rule(gone=st.booleans())
    def hear_from_the_store(self, gone: bool) -> None:
        self.room.answer(Unavailable() if gone else None)

    @rule(member=st.sampled_from(["c1", "y"]))
    def delete_account(self, member: str) -> None:
        if account(member) not in self.room.store.gone:
            if member in OLD and member in self.room.guests:
                self.room.leave(member)
                self.see_to_sleep()
            self.room.delete_account(member[0])
            assert member not in self.room.guests
            self.see_to_sleep()

    @rule()
    def write(self) -> None:
        self.written = len(self.room.store.rows)

    @rule(seconds=st.sampled_from([0.5, 3.0, -1.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.room.now += seconds

    @rule()
    def crash(self) -> None:
        """Lose what is not written; numbers go on above all that were told."""
        store = self.room.store
        lost = store.rows[self.written :]
        store.rows = store.rows[: self.written]
        for row in lost:
            if row.asked is not None:
                self.answered.pop((row.asked.member, row.asked.ref), None)
        self.wake(store, self.room.rules.seq + 100)

    def see_to_sleep(self) -> None:
        if self.room.asleep:
            self.written = len(self.room.store.rows)
            self.wake(self.room.store, self.room.rules.seq)

    # --- what must hold ---------------------------------------------------------------------

    def row_of(self, member: str, ref: int) -> Kept | None:
        found = [
            row
            for row in self.room.store.rows
            if row.asked is not None and (row.asked.member, row.asked.ref) == (member, ref)
        ]
        assert len(found) <= 1, "carried out twice"
        return found[0] if found else None

    @invariant()
    def numbers_ascend(self) -> None:
        numbers = [row.seq for row in self.room.store.rows]
        assert numbers == sorted(set(numbers))

    @invariant()
    def answers_tell_what_has_become_of_requests(self) -> None:
        for member, guest in self.room.guests.items():
            for ref, answer in guest.answers.items():
                request = self.asked[member, ref] if guest.lasting else None
                if not isinstance(request, SayOnce | EditMessage | DeleteMessage):
                    continue
                row = self.row_of(member, ref)
                if isinstance(answer, int):
                    # Lost by a crash, as long as it is not asked for again.
                    assert row is None or row.seq == answer
                elif answer is not ErrorCode.FORGOTTEN:
                    assert row is None

    @invariant()
    def the_room_shows_what_is_kept(self) -> None:
        shown = self.room.rules.recent
        kept = self.room.store.messages()
        assert list(shown) == kept[len(kept) - len(shown) :]
        assert all(isinstance(each, ChatMessage) for each in shown)

    @invariant()
    def unread_is_what_others_have_said_since(self) -> None:
        if self.room.inquiries:
            return
        for member, guest in self.room.guests.items():
            if guest.lasting:
                mine = self.room.rules.snapshot_for(MemberId(member)).picture.mine
                assert mine.unread == self.room.store.count(mine.user_id, mine.seq)


TestTalking = Talking.TestCase
TestTalking.settings = settings(max_examples=200, stateful_step_count=60)
