"""Structured logs: one line on standard error for each event, ours and the libraries' alike."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Final, Literal, cast

import orjson
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

_LEVELS: Final[dict[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

CHATTY: Final = ("trio-websocket", "wsproto", "h11", "hpack")
"""Loggers that write a line for each frame when they are let below warning."""

# What could end a line, move a cursor, or show text in another order than it has: C0 and C1
# controls, line and paragraph separators, bidirectional marks; and halves of surrogate pairs,
# which cannot be written at all.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_BARE = re.compile(r"[^\s\"'=\\]+")


def get_logger(component: str) -> FilteringBoundLogger:
    """Make a logger whose events say which component of the server they are of.

    Where calls below the level are frequent, keep what ``bind()`` returns: then such a call
    costs as much as an empty function.
    """
    return cast("FilteringBoundLogger", structlog.get_logger(component=component))


def configure_logging(level: Level, fmt: Format) -> None:
    """Send all logs of the process to standard error, from ``level`` upwards, as ``fmt``.

    Times are ISO 8601 in UTC. Logs of the standard library, hence of Hypercorn and
    trio-websocket, come out in the same form. May be called again.
    """
    threshold = _LEVELS[level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering = _JSON if fmt == "json" else _TEXT
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _StandardError(),
        # A cached logger would never see a later configuration.
        cache_logger_on_first_use=False,
    )
    handler = _StandardErrorHandler()
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*shared, _component_of_record],
            processors=[ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _StandardErrorHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(threshold)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def _write(line: str) -> None:
    # Looked up each time, as the standard library's own last resort does. Whoever reads our
    # standard error may be gone, which is no reason to fail.
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


class _StandardError:
    """What structlog hands its finished lines to."""

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = error = critical = msg


class _StandardErrorHandler(logging.Handler):
    """The same for the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        _write(self.format(record))


def _component_of_record(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["component"] = event["_record"].name
    return event


def _visible(text: str) -> str:
    """Replace what does not print by the escapes of JSON."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    try:
        line = orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        # What orjson cannot say: half a surrogate pair, an integer above 64 bits.
        line = json.dumps(event, default=repr, skipkeys=True)
    # Inside of strings only, as everything that is replaced can occur nowhere else.
    return _visible(line)


def _render_text(_: WrappedLogger, __: str, event: EventDict) -> str:
    exception = event.pop("exception", None)
    time, level = event.pop("timestamp"), event.pop("level")
    component, message = event.pop("component", "-"), event.pop("event")
    fields = (f"{_visible(str(name))}={_quoted(value)}" for name, value in event.items())
    line = " ".join((f"{time} {level:<7} {component}: {_visible(str(message))}", *fields))
    return "\n".join((line, *_indented(exception))) if exception else line


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    if not _BARE.fullmatch(text):
        text = json.dumps(text, ensure_ascii=False)
    return _visible(text)


def _indented(traceback: str) -> Iterator[str]:
    # The message of an exception may quote a user: no line of it begins like a line of the log.
    return (f"    | {_visible(line)}" for line in traceback.splitlines())


_JSON: Final[list[Processor]] = [
    structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    _render_json,
]
_TEXT: Final[list[Processor]] = [structlog.processors.format_exc_info, _render_text]
