"""The accounts of a run: made-up people who register or log in."""

import random
import secrets
from typing import Final

from scripts.botlib.api import Account, Api, Unexpected
from scripts.botlib.failures import Unusable, worded
from scripts.botlib.findings import Findings
from scripts.botlib.web import NoAnswer

# With accents, other scripts, quotes and astral characters: texts must survive the server.
FIRST_NAMES: Final = ("Ann", "Zoë", "Łukasz", "花子", "O'Neil", 'Q"t', "<b>", "Bo\\b", "🂡")


async def enrol(
    api: Api, findings: Findings, count: int, *, seed: int = 0, known: str = ""
) -> list[Account] | None:
    """Register people with different names, one after the other: the server has to hash much.

    Args:
        api: of the server.
        findings: is told why it cannot be done.
        count: how many.
        seed: for their names.
        known: accounts of this name are used if they are there; empty for new ones.

    Returns:
        The accounts; ``None`` if there is nothing to go on with.
    """
    # Accounts that are there already have their names.
    dice = random.Random(known or seed)
    wanted = [f"{dice.choice(FIRST_NAMES)} {number}" for number in range(1, count + 1)]
    run = known or secrets.token_hex(5)
    enter = api.log_in_or_register if known else api.register
    try:
        return [
            await enter(name, f"{run}-{number}@bots.example")
            for number, name in enumerate(wanted, 1)
        ]
    except (Unusable, Unexpected, NoAnswer) as error:
        findings.stopped = worded(error)
        return None
