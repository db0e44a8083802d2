"""Talks in all rooms at once, and judges what has become of it."""

import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import trio

from protocol.talking import Keeping
from scripts.botlib.api import Account, Api, Unexpected
from scripts.botlib.crowd import enrol
from scripts.botlib.failures import Broken, leaves, worded
from scripts.botlib.lasting.stage import OwnServerPlan, Stage, on_stage
from scripts.botlib.moves import Violation
from scripts.botlib.pages import read_all
from scripts.botlib.talking.judge import Kept, expected, judge_kept, judge_member
from scripts.botlib.talking.member import Talker
from scripts.botlib.talking.plan import TalkPlan
from scripts.botlib.talking.session import TalkSession
from scripts.botlib.talking.tally import TalkTally
from scripts.botlib.talking.witness import TalkWitness
from scripts.botlib.web import Client, NoAnswer

_AT_ONCE: Final = 20  # requests over HTTP
_AGAIN_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.5
_PAGE: Final = 200


async def talk(plan: TalkPlan, tally: TalkTally, where: str | OwnServerPlan) -> None:
    """Talk in all rooms; whatever goes wrong in one is put into ``tally``.

    Args:
        plan: what.
        tally: is told how it goes.
        where: the server's address, or what becomes of one that is started for it.
    """
    ready = False

    async def talk_in_rooms(stage: Stage) -> None:
        nonlocal ready
        async with Client(urlsplit(stage.url), plan.timeout, _AT_ONCE) as web:
            api = Api(web)
            accounts = await enrol(api, tally, plan.members, seed=plan.seed)
            if accounts is None:
                return
            tally.accounts = len(accounts)
            run = secrets.token_hex(5)
            rooms = [f"bots-{run}-{number}" for number in range(1, plan.rooms + 1)]
            for room_id in rooms:
                wanted = {"id": room_id, "name": room_id}
                await api.ask("POST", "/ws/createRoom", 200, token=accounts[0].token, json=wanted)
            ready = True
            async with trio.open_nursery() as nursery:
                for room_id in rooms:
                    nursery.start_soon(_run_room, plan, tally, stage, api, accounts, room_id)

    def done() -> float:  # nothing ends before there are accounts and rooms
        return tally.acknowledged / plan.total if ready else 0.0

    try:
        await on_stage(talk_in_rooms, tally, where, done=done, seed=plan.seed)
    except* (Unexpected, NoAnswer) as group:
        tally.stopped = worded(next(leaves(group)))


async def _run_room(
    plan: TalkPlan,
    tally: TalkTally,
    stage: Stage,
    api: Api,
    accounts: Sequence[Account],
    room_id: str,
) -> None:
    """Talk in one room; never raises anything but Cancelled."""

    def report(violation: Violation) -> None:
        tally.violation(room_id, violation)

    session = TalkSession(
        stage=stage,
        plan=plan,
        tally=tally,
        label=room_id.rpartition("-")[2],
        room_id=room_id,
        report=report,
        witness=TalkWitness(report),
    )
    talkers = [Talker(session, account) for account in accounts]
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, session, talkers)
            for talker in talkers:
                nursery.start_soon(talker.run)
            for talker in talkers:
                await talker.chat.entered.wait()
            async with trio.open_nursery() as speakers:
                for talker in talkers:
                    speakers.start_soon(talker.talk)
            await _judge(session, talkers, api, accounts[0])
            session.closing = True
            nursery.cancel_scope.cancel()
    except* Exception as group:  # noqa: BLE001 - the supervisor of this room; others go on
        for error in leaves(group):
            tally.error(f"{room_id}: {worded(error)}")
    else:
        tally.rooms_done += 1


async def _judge(
    session: TalkSession, talkers: Sequence[Talker], api: Api, reader: Account
) -> None:
    """Let everybody come to rest, and compare."""
    for talker in talkers:
        talker.wires.chaos = False
    last = 0
    for talker in talkers:
        await talker.chat.settled()
        last = max(last, talker.chat.picture.seq)
    names = sorted(talker.account.name for talker in talkers)
    for talker in talkers:
        await talker.chat.wait_for(
            lambda picture: (
                picture.seq >= last
                and sorted(each.name for each in picture.people if each.here) == names
            )
        )
    kept = await _read_kept(talkers[0])
    session.tally.kept += len(kept)
    wanted, faults = expected([each.account for each in talkers], session.witness.acked)
    there = {each.seq for each in kept}
    gone = sorted(set(session.witness.promised()) - there)
    faults += judge_kept(wanted, kept)
    if gone:
        faults.append(("saved-and-gone", f"{gone[:10]}"))
    by_http = await _count(session, api, reader)
    if by_http != len(kept):
        faults.append(("http", f"{by_http} messages over HTTP, {len(kept)} by the socket"))
    for rule, detail in faults:
        session.report(Violation(rule, "the room", detail))
    for talker in talkers:
        await _judge_member(session, talker, kept, names)


async def _judge_member(
    session: TalkSession, talker: Talker, kept: Sequence[Kept], names: Sequence[str]
) -> None:
    for (name, ref), detail in session.witness.changed.items():
        # Of the other requests only the last one counts, whatever it is answered.
        if name == talker.account.name and isinstance(talker.account.done.get(ref), Keeping):
            session.report(Violation("answer", name, detail))
    for rule, detail in judge_member(talker.account, talker.chat.picture, kept, names):
        session.report(Violation(rule, talker.account.name, detail))
    if kept:
        await talker.chat.read(kept[-1].seq)
        await talker.chat.wait_for(lambda picture: picture.mine.unread == 0)


async def _read_kept(talker: Talker) -> list[Kept]:
    kept: list[Kept] = []
    before, more = None, True
    while more:
        page = await talker.chat.history(before=before, limit=_PAGE)
        kept[:0] = [Kept(each.seq, each.author_id, each.text) for each in page.messages]
        more = page.more
        if more and not page.messages:
            raise Broken(f"an empty page below {before}, with more to come")
        before = kept[0].seq if kept else None
    return kept


async def _count(session: TalkSession, api: Api, reader: Account) -> int:
    """Count what is told over HTTP."""
    while True:  # whoever watches gives it up
        try:
            path = f"/rooms/{session.room_id}/messages"
            return len(await read_all(api, path, reader.token, 100))
        except NoAnswer:
            if not session.plan.chaos:
                raise
        except Unexpected as error:
            if not session.plan.chaos or error.status is None or error.status < 500:
                raise
        await trio.sleep(_AGAIN_SECONDS)


async def _watch(session: TalkSession, talkers: Sequence[Talker]) -> None:
    while session.stuck_for < session.plan.deadline:  # noqa: ASYNC110 - it looks at the clock
        await trio.sleep(_LOOK_SECONDS)
    for talker in talkers:
        chat = talker.chat
        waiting = ", ".join(f"{each.ref} {each.request}" for each in chat.pending)
        detail = f"asks {waiting or 'nothing'}; {chat.trouble}"
        session.report(Violation("stuck", talker.account.name, detail))
    raise Broken(f"nothing has gone on for {session.plan.deadline:g} s")
