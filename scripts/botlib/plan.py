"""What is to be played, and how patiently."""

from typing import Final
from urllib.parse import SplitResult

import attrs

LONGEST_THOUGHT: Final = 5.0  # times the mean: bounds what the others have to wait for


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be played."""

    url: SplitResult
    rooms: int
    members: int
    tickets: int
    seed: int
    timeout: float
    connect_concurrency: int
    think_time: float
    send_rate: float
    """Messages a second that a member sends at the most; 0 for no bound."""
    send_burst: int
    deck: str

    @property
    def patience(self) -> float:
        """Seconds that a member waits for one message; others may think first."""
        return self.timeout + LONGEST_THOUGHT * self.think_time
