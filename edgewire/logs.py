"""Writes structured logs: one event and its fields a line, readable on a terminal, JSON elsewhere."""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, TextIO

import structlog

from edgewire.redact import hide_secrets, hide_urls

LogFormat = Literal["auto", "text", "json"]


class _LineWriter:
    """Writes lines to a file that may go away: a terminal that was closed or a disk that is full ends no run."""

    def __init__(self, file: TextIO, write_line: Callable[[str], None] | None = None) -> None:
        self._file = file
        self._write_line = write_line

    def msg(self, message: str) -> None:
        """Write a line, or lose it."""
        if self._write_line:
            self._write_line(message)
            return
        # `ValueError` is what a file that was closed raises.
        with suppress(OSError, ValueError):
            self._file.write(message + "\n")
            self._file.flush()

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = err = msg


class _LastResort(logging.StreamHandler[TextIO]):
    """Writes what libraries log and nobody takes, on stderr as Python does, but without secrets."""

    def __init__(self, level: int) -> None:
        super().__init__(sys.stderr)
        self.setLevel(level)

    def format(self, record: logging.LogRecord) -> str:
        return hide_urls(super().format(record))


def _hide_secrets(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Hide what no line should have got: whoever logs knows no better than the error that it logs."""
    return hide_secrets(event)


def configure(
    level: str = "info", fmt: LogFormat = "auto", write_line: Callable[[str], None] | None = None, **fields: object
) -> None:
    """Set up logging for the process; `auto` is text on a terminal and JSON lines otherwise. Logs go to stderr,
    or, line by line, to `write_line`.

    Every line has these `fields`, such as the number of the process among its like.
    """

    def add_fields(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        return {**fields, **event}

    logging.lastResort = _LastResort(logging.WARNING)
    as_json = fmt == "json" or (fmt == "auto" and not sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_fields,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _hide_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _LineWriter(sys.stderr, write_line),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry `component=name`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=name)
    return logger
