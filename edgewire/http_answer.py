"""Reads what a server answers to a blocking `http.client`, within limits of size and time, and finds doubts in it.

A timeout of a socket is one of each read alone: a server that sends a byte now and then, or `100 Continue` for ever,
would be listened to without end.
"""

import http.client
import socket
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

_ERRORS = ("errors", "error", "haserrors", "has_errors")
_REFUSED = ("failed", "failures", "rejected", "dropped")
"""Counts or lists, where nothing says of which message."""
_SUCCESS = ("success", "ok", "succeeded", "successful", "issuccess", "is_success")
_FAILED = ("error", "fail", "failed", "failure", "rejected")
_NOTHING = frozenset({"", "0", "false", "none", "null", "ok"})
"""Texts that mean that there is no error."""
_ITEMS_LOOKED_AT = 1000
_SHOWN = 80
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HTML = (b"<!doctype html", b"<html")


class Answer(NamedTuple):
    """Holds an answer as far as it was read."""

    status: int
    content_type: str
    body: bytes
    too_large: bool
    """Whether there was more of the body than is read."""


class AnswerReader:
    """Reads the answers of one connection after the other; `close` ends its thread."""

    def __init__(self, timeout_s: float, most_bytes: int) -> None:
        """Take how long a whole answer may take (s), and how much of it is read."""
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._watch: threading.Thread | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._awaited: socket.socket | None = None
        self._due = 0.0
        self._is_over = False

    def read(self, connection: http.client.HTTPConnection) -> Answer:
        """Return the answer to the request that was sent last; the connection is closed where more of it is to come.

        Raises `TimeoutError` for one that is not there in time, and what `http.client` raises.
        """
        self._begin(connection.sock)
        try:
            response = connection.getresponse()
            body = response.read(self._most_bytes)
        except (OSError, ValueError, http.client.HTTPException):
            if self._end():
                raise self._late() from None
            raise
        if self._end():
            raise self._late()
        too_large = not response.isclosed() and len(body) >= self._most_bytes
        if not response.isclosed():
            connection.close()
        content_type = response.headers.get_content_type() if "Content-Type" in response.headers else ""
        return Answer(response.status, content_type, body, too_large)

    def close(self) -> None:
        """Let go of what watches the time."""
        self._closed.set()

    def _late(self) -> TimeoutError:
        return TimeoutError(f"no whole answer in {self._timeout_s:g} s")

    def _begin(self, awaited: socket.socket | None) -> None:
        with self._lock:
            self._awaited, self._due, self._is_over = awaited, time.monotonic() + self._timeout_s, False
        if self._watch is None or not self._watch.is_alive():
            self._closed.clear()
            self._watch = threading.Thread(target=self._run, name="answer-watch", daemon=True)
            self._watch.start()

    def _end(self) -> bool:
        with self._lock:
            self._awaited = None
            return self._is_over

    def _run(self) -> None:
        while not self._closed.wait(min(self._timeout_s / 10, 1.0)):
            with self._lock:
                if self._awaited is not None and time.monotonic() >= self._due:
                    self._is_over = True
                    # Of the socket below TLS: what reads from it is in another thread.
                    with suppress(OSError):
                        socket.socket.shutdown(self._awaited, socket.SHUT_RDWR)
                    self._awaited = None


def error_said(document: Any, *, accounted: bool = False) -> str | None:
    """Return what the top level of a JSON answer says of an error, as it says it; None where it says nothing of one.

    Of a list that is what one of its items says. It is `accounted` where what was refused is known item by item.
    """
    if isinstance(document, list):
        for number, item in enumerate(document[:_ITEMS_LOOKED_AT]):
            if isinstance(item, dict) and (said := error_said(item)):
                return f"{said} in item {number}"
        return None
    if not isinstance(document, dict):
        return None
    for key, value in document.items():
        name = key.lower()
        if name in _ERRORS or (name in _REFUSED and not accounted):
            tells = value.strip().lower() not in _NOTHING if isinstance(value, str) else bool(value)
        elif name in _SUCCESS:
            tells = value is False or value == 0 or (isinstance(value, str) and value.lower() in ("false", "no", "0"))
        else:
            tells = name == "status" and isinstance(value, str) and value.lower() in _FAILED
        if tells:
            return f'"{cut_text(key)}": {cut_text(orjson.dumps(value).decode())}'
    return None


def is_html(content_type: str, body: bytes) -> bool:
    """Return whether an answer is a page for a browser, as that of a login is."""
    return content_type in ("text/html", "application/xhtml+xml") or (
        body.removeprefix(_BYTE_ORDER_MARK)[:100].lstrip().lower().startswith(_HTML)
    )


def cut_text(text: str) -> str:
    """Return as much of a text as is shown."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def one_printable_line(text: str) -> str:
    """Return a text of somebody else as one line that is fit for a terminal, which obeys what is in it."""
    text = " ".join(text.split())
    return "".join([character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text])
