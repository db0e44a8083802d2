"""What can go wrong for somebody who uses the client library."""

from protocol.client_happenings import Over
from protocol.dialects.parley_v1 import Error
from protocol.errors import ParleyError


class Declined(ParleyError):
    """The room refuses a request; nothing has changed."""

    def __init__(self, error: Error) -> None:
        """Carry what the server says about it: its ``code``, and the ``field`` at fault."""
        super().__init__(f"{error.code}: {error.text}")
        self.error = error


class RoomOver(ParleyError):
    """This member is not in the room any more, or was not let in."""

    def __init__(self, over: Over) -> None:
        """Carry the reason."""
        super().__init__(over.text or f"the connection is over: {over.reason or 'unknown'}")
        self.over = over


class NotReached(ParleyError):
    """No server has let this member in, for as long as it was to be tried."""


class Lagging(ParleyError):
    """So much has happened since this was last asked for that some of it is forgotten."""


class CannotCreate(ParleyError):
    """The server has not opened a room."""

    def __init__(self, status: int | None, message: str) -> None:
        """Say why; ``status`` is that of its answer, if there was one."""
        super().__init__(message)
        self.status = status
