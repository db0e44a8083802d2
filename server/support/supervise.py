"""The only broad catch of exceptions: what fails inside is logged once and ends there."""

from types import TracebackType

from server.support.observe import get_logger


class contain:  # noqa: N801 - reads as a statement, like contextlib.suppress
    """Keep a defect in one room or connection from reaching any other.

    A synchronous context manager around the whole life of one room, connection or request.
    :attr:`failed` tells afterwards. Cancellation and everything else that is no
    :class:`Exception` travels on, also in a group; the exceptions beside it are logged.
    """

    def __init__(self, component: str, /, **context: object) -> None:
        """Log failures as of ``component``, with ``context``."""
        self._component = component
        self._context = context
        self.failed = False

    def __enter__(self) -> "contain":
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Log and swallow an :class:`Exception`; of a mixed group, raise the rest."""
        if error is None:
            return False
        failures: Exception | None
        rest: BaseException | None
        if isinstance(error, BaseExceptionGroup):
            failures, rest = error.split(Exception)
        else:
            failures = error if isinstance(error, Exception) else None
            rest = None if failures else error
        if failures is None:
            return False
        self.failed = True
        get_logger(self._component).error("failed", exc_info=failures, **self._context)
        if rest is not None:
            raise rest
        return True
