"""What the members of one chat room share."""

from collections.abc import Callable

import attrs

from scripts.botlib.lasting.stage import Watched
from scripts.botlib.moves import Violation
from scripts.botlib.talking.plan import TalkPlan
from scripts.botlib.talking.tally import TalkTally
from scripts.botlib.talking.witness import TalkWitness


@attrs.define(eq=False, kw_only=True)
class TalkSession(Watched):
    """One room, as long as there is talk in it."""

    plan: TalkPlan
    tally: TalkTally
    label: str
    room_id: str
    report: Callable[[Violation], None]
    witness: TalkWitness
