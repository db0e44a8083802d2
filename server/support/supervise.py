"""The only broad catch of exceptions: what fails inside is logged once and ends there."""

from collections.abc import Callable, Mapping
from types import TracebackType

from server.support.observe import get_logger


class contain:  # noqa: N801 - reads as a statement, like contextlib.suppress
    """Keep a defect in one room or connection from reaching any other.

    A synchronous context manager around the whole life of one room, connection or request.
    :attr:`failed` tells afterwards. Cancellation and everything else that is no
    :class:`Exception` travels on, also in a group; the exceptions beside it are logged.
    """

    __slots__ = ("_component", "_context", "_describe", "failed")

    def __init__(
        self,
        component: str,
        /,
        describe: Callable[[], Mapping[str, object]] | None = None,
        **context: object,
    ) -> None:
        """Name what may fail.

        Args:
            component: the part of the server that failures are logged for.
            describe: gives more context once something has failed; cheaper than keeping it.
            context: is logged with a failure.
        """
        self._component = component
        self._describe = describe
        self._context = context or None  # most have none, and there are many
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
        context = {**(self._context or {}), **(self._describe() if self._describe else {})}
        get_logger(self._component).error("failed", exc_info=failures, **context)
        if rest is not None:
            raise rest
        return True
