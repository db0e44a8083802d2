"""What goes wrong in the store, in words that say nothing of any database."""


class StoreUnavailable(Exception):
    """The database does not answer, or cannot write; the same may work in a moment."""


class DatabaseUnusable(Exception):
    """Without the operator this will never work; the message is one line that says why."""


class Taken(Exception):
    """Somebody else has what must be unique."""

    def __init__(self, field: str) -> None:
        """Name the field whose value is taken."""
        super().__init__(f"{field} is taken")
        self.field = field


class Missing(Exception):
    """What this would refer to does not exist, or no longer."""

    def __init__(self, what: str) -> None:
        """Name the kind of thing that is missing."""
        super().__init__(f"no such {what}")
        self.what = what
