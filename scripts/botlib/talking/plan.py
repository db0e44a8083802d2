"""What members of chat rooms are to do that outlive their connections."""

import attrs


@attrs.frozen(kw_only=True)
class TalkPlan:
    """What is to be said."""

    rooms: int
    members: int
    """Of each room, the same accounts."""
    messages: int
    """That each member says in each room."""
    seed: int
    timeout: float
    """Seconds for one answer over HTTP."""
    deadline: float
    """Seconds in which something must go on in each room."""
    think_time: float
    """Mean seconds between two messages of a member."""
    chaos: bool

    @property
    def total(self) -> int:
        """Messages in all rooms."""
        return self.rooms * self.members * self.messages
