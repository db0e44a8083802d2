"""Talks in all chat rooms at once; whatever goes wrong in one stays in it."""

import math
import random
import secrets
from collections.abc import Sequence
from typing import Final

import trio

from scripts.botlib.api import (
    Account,
    Api,
    Unexpected,
    as_json,
    as_list,
    as_object,
)
from scripts.botlib.chat.checker import Checker
from scripts.botlib.chat.member import Member, Role, Room, host
from scripts.botlib.chat.plan import Plan, Tally
from scripts.botlib.chat.record import Record
from scripts.botlib.chat.verdict import judge_reference, judge_stored, judge_visit
from scripts.botlib.chat.visit import Visit
from scripts.botlib.crowd import enrol
from scripts.botlib.failures import leaves, worded
from scripts.botlib.moves import Violation
from scripts.botlib.pages import read_all
from scripts.botlib.web import Client

# Texts must come back as they are: scripts, lines, blanks at the end, what looks like JSON.
_PIECES: Final = (
    "hello", "Zoë", "花子", "🂡 ok", "\n", "\t", '{"type":"leave"}', "<b>&amp;</b>", "\\u0041",
    "'; --", "  ", "\u202eabc", "e\u0301", "x" * 400,
)  # fmt: skip
_PAGES: Final = (7, 20, 100)


async def talk(plan: Plan, tally: Tally) -> None:
    """Talk in all rooms at once; whatever goes wrong in one is put into ``tally``."""
    async with Client(plan.url, plan.timeout, plan.connect_concurrency) as client:
        api = Api(client)
        accounts = await enrol(api, tally, plan.members, seed=plan.seed, known=plan.accounts)
        if accounts is None:
            return
        tally.accounts = len(accounts)
        gate = trio.CapacityLimiter(plan.connect_concurrency)
        async with trio.open_nursery() as nursery:
            for number in range(1, plan.rooms + 1):
                nursery.start_soon(_run_room, plan, tally, gate, api, accounts, number)


async def _run_room(
    plan: Plan,
    tally: Tally,
    gate: trio.CapacityLimiter,
    api: Api,
    accounts: Sequence[Account],
    number: int,
) -> None:
    """Hold one session; never raises anything but Cancelled."""
    label = f"room {number}"
    record = Record(
        f"bots-{secrets.token_hex(5)}-{number}", {each.name: each.id for each in accounts}
    )
    first = accounts[0]
    visit = Visit(plan, tally, gate, first, Checker(record, first.name))
    room = Room(plan, tally, gate, api, record, 0, visit)
    try:
        await _open(api, first, record.room_id, f"Room {number}")
        await _hold(room, accounts, random.Random(f"{plan.seed} {number}"))
        _judge(room)
        await _check_kept(room, first)
    except* Unexpected as group:
        for each in leaves(group):
            if isinstance(each, Unexpected):
                tally.violation(label, Violation(each.rule, "HTTP", each.detail))
    except* Exception as group:  # noqa: BLE001 - the supervisor of this room; others go on
        for error in leaves(group):
            tally.error(f"{label}: {worded(error)}")
    else:
        tally.rooms_done += 1
    finally:
        every = [visit.checker, *room.seconds]
        every += [checker for checkers in room.visits.values() for checker in checkers]
        for checker in every:
            for violation in checker.violations:
                tally.violation(label, violation)


async def _open(api: Api, account: Account, room_id: str, name: str) -> None:
    wanted = {"id": room_id, "name": name}
    answer = await api.ask("POST", "/ws/createRoom", 200, token=account.token, json=wanted)
    if as_object(answer) != wanted:
        raise Unexpected("room-told", f"{as_json(answer)}, not {wanted}")
    rooms = as_list(await api.ask("GET", "/ws/getRooms", 200, token=account.token))
    if rooms.count(wanted) != 1:
        raise Unexpected("room-listed", f"{room_id} is listed {rooms.count(wanted)} times")
    await api.ask(
        "POST", "/ws/createRoom", 409, token=account.token, json=wanted, rule="room-taken"
    )


async def _hold(room: Room, accounts: Sequence[Account], dice: random.Random) -> None:
    plan = room.plan
    roles = _roles(plan, dice)
    room.early = plan.messages * (1 + sum(not role.late for role in roles))
    async with trio.open_nursery() as nursery:
        for account, role in zip(accounts[1:], roles, strict=True):
            own = random.Random(dice.random())
            member = Member(room, account, role, _texts(room, account, own), own)
            nursery.start_soon(member.run)
        await host(room, accounts[0], _texts(room, accounts[0], dice))


def _roles(plan: Plan, dice: random.Random) -> list[Role]:
    """Choose, for each kind, as many as planned."""
    others = range(plan.members - 1)

    def choose(share: float) -> set[int]:
        return set(dice.sample(others, math.ceil(share * len(others))))

    late, rejoin, second = (choose(share) for share in (plan.late, plan.rejoin, plan.second))
    return [Role(each in late, each in rejoin, each in second) for each in others]


def _texts(room: Room, account: Account, dice: random.Random) -> list[str]:
    return [
        f"{account.name} #{number} " + "".join(dice.choices(_PIECES, k=dice.randint(0, 4)))
        for number in range(1, room.plan.messages + 1)
    ]


def _judge(room: Room) -> None:
    first = room.host.checker
    visits = {name: len(checkers) for name, checkers in room.visits.items()}
    for rule, detail in judge_reference(first, visits):
        first.fault(rule, detail)
    for checkers in room.visits.values():
        for number, checker in enumerate(checkers):
            for rule, detail in judge_visit(first, checker, number):
                checker.fault(rule, detail)
    for checker in room.seconds:
        for rule, detail in judge_visit(first, checker, 0):
            checker.fault(rule, detail)


async def _check_kept(room: Room, account: Account) -> None:
    """Read page by page what the server has kept."""
    for limit in _PAGES:
        path = f"/rooms/{room.record.room_id}/messages"
        kept = await read_all(room.api, path, account.token, limit)
        for rule, detail in judge_stored(room.record, kept):
            room.host.checker.fault(rule, detail)
