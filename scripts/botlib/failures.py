"""What can end a bot before its time, and how it is put into a line."""

from collections.abc import Iterator

from trio_websocket import ConnectionRejected

from scripts.botlib.web import NoAnswer


class Broken(Exception):
    """A session cannot go on."""


class Unusable(Exception):
    """The server does not allow a run like this at all; the text is the one line to show."""


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Take an exception group apart."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def worded(error: BaseException) -> str:
    """Say in a line what has happened."""
    match error:
        case Broken() | Unusable() | NoAnswer():
            return str(error)
        case ConnectionRejected():
            return f"the server answered the handshake with HTTP {error.status_code}"
        case OSError():
            return f"no connection: {error}"
        case _:
            return f"{type(error).__name__}: {error}"
