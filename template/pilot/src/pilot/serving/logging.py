"""Logs: one JSON object a line, from every source, with names from one list; never contents, never secrets.

What a line may hold is decided in `line`, which every line of the process passes, so no logger, child or library can go
round it. A field that is not in FIELDS is left out and counted in `dropped`. The words of a library's message are left
out, since they may quote anything; the place in the code is logged instead. Of an error the
kind and the frames are kept.
"""

from __future__ import annotations

import io
import logging
import re
import select
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

import orjson
import structlog

FIELDS = frozenset(
    """
    timestamp level logger event where request_id route method status milliseconds item items mode reason version count
    error frames database address port seconds rows dropped role origin head name share
    """.split()  # noqa: SIM905
)
# The server's own messages, by their templates.
SERVER = {
    "Started server process [%d]": "server_started",
    "Waiting for application startup.": "server_starting",
    "Application startup complete.": "server_ready",
    "Shutting down": "server_stopping",
    "Waiting for application shutdown.": "server_draining",
    "Application shutdown complete.": "server_drained",
    "Finished server process [%d]": "server_stopped",
    "Invalid HTTP request received.": "request_unreadable",
    "Exception in ASGI application\n": "request_failed",
    "crash": "crash",
    "printed": "printed",
}
_EVENT = re.compile(r"[a-z0-9_.]{1,64}")
_LONGEST = 200
MOST_WAITING = 10_000


def line(event: Mapping[str, Any]) -> str:
    """The line for an event: what the list allows, strings cut to 200 characters, an error as kind and frames."""
    kept: dict[str, Any] = {}
    dropped = 0
    for name, value in event.items():
        if name == "exc_info":
            kept.update(_error(value))
        elif name not in FIELDS or not (value is None or isinstance(value, str | int | float)):
            dropped += 1
        else:
            kept[name] = value[:_LONGEST] if isinstance(value, str) else value
    if not _EVENT.fullmatch(str(kept.get("event"))):
        kept["event"] = "log"
    if dropped:
        kept["dropped"] = dropped
    try:
        return orjson.dumps(kept).decode()
    except (TypeError, ValueError):  # a number or a text that JSON cannot hold
        return orjson.dumps({name: value for name, value in kept.items() if name in _ALWAYS}).decode()


_ALWAYS = ("timestamp", "level", "logger", "event", "request_id")


def _error(given: Any) -> dict[str, Any]:
    """The kind of an error and where it came from; its message may quote what it failed on."""
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if not isinstance(error, BaseException):
        return {}
    kinds = [type(error).__name__, *([type(error.__cause__).__name__] if error.__cause__ else [])]
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}:{frame.name}" for frame in frames]
    return {"error": " from ".join(kinds), "frames": places}


class _Stream:
    """Where the lines go, one at a time. A line that cannot be written, on a full disk or into a pipe that nobody reads
    any more, is lost: its event has happened, and the caller must not see an error. While a pipe is full because its
    reader hangs, lines wait and nobody else does; beyond MOST_WAITING the oldest are lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._ready = _writable(stream)
        self.lost = 0

    def write(self, text: str) -> None:
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(text + "\n")
            while self._waiting and self._ready():
                try:
                    self._stream.write(self._waiting.popleft())
                    self._stream.flush()
                except OSError:
                    self.lost += 1


def _writable(stream: TextIO) -> Callable[[], bool]:
    """Whether a line can be written without waiting for a reader. What is no file always can."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError, ValueError):
        return lambda: True
    return lambda: bool(poll.poll(0))


def lost() -> int:
    """How many lines of this process were lost."""
    return _lines.lost if _lines else 0


class _Printed(io.TextIOBase):
    """Replaces standard output and error: what others print becomes a line without its words."""

    def write(self, text: str) -> int:
        if text.strip():
            logging.getLogger("print").warning("printed", stacklevel=2)
        return len(text)

    def writable(self) -> bool:
        return True


@contextmanager
def catching_prints() -> Iterator[None]:
    """Within it, what any code prints is a line of the log. `configure` comes first."""
    out, err = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = _Printed()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


class _Own:
    """What structlog writes to: the stream, under the logger's name."""

    def __init__(self, stream: _Stream, name: str = "pilot") -> None:
        self.name = name
        self.msg = stream.write

    debug = info = warning = error = critical = exception = property(lambda self: self.msg)


class _Foreign(logging.Handler):
    """What the standard library's loggers write to."""

    def __init__(self, stream: _Stream) -> None:
        super().__init__()
        self._write = stream.write

    def emit(self, record: logging.LogRecord) -> None:
        event: MutableMapping[str, Any] = {
            "event": SERVER.get(record.msg, "library") if isinstance(record.msg, str) else "library",
            "logger": record.name,
            "level": record.levelname.lower(),
            "where": f"{record.module}:{record.lineno}",
            "exc_info": record.exc_info,
        }
        self._write(line(_stamp(None, "", structlog.contextvars.merge_contextvars(None, "", event))))


_lines: _Stream | None = None
_stamp: Any = structlog.processors.TimeStamper(fmt="iso", utc=True)


def _named(logger: _Own, _: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["logger"] = logger.name
    return event


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Sends every line of this process through `line`, to `stream` or standard output: its own lines, those of
    libraries, warnings, crashes."""
    global _lines
    lines = _lines = _Stream(stream or sys.stdout)
    root = logging.getLogger()
    root.handlers = [_Foreign(lines)]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "sqlalchemy", "httpx", "httpx2", "openai"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(level.upper() if name.startswith("uvicorn") else logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True  # the middleware writes that line, with the request's id
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamp,
            _named,
            lambda _, __, event: line(event),
        ],
        logger_factory=lambda *names: _Own(lines, *names),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    sys.excepthook = _crash
    threading.excepthook = sys.unraisablehook = _uncaught


def start_refused(error: Exception) -> str:
    """The line that a service leaves which does not start: here the whole message, which quotes no values."""
    event = {"event": "start_refused", "level": "critical", "logger": "pilot.server", "message": str(error)}
    return orjson.dumps(_stamp(None, "", event)).decode()


def _crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("pilot").critical("crash", exc_info=(kind, error, trace))


def _uncaught(args: sys.UnraisableHookArgs | threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _crash(args.exc_type, args.exc_value, args.exc_traceback)
