"""Decides what the status of an HTTP answer says about the messages that were posted, the same for every client here.

What is not known to be about the data is not held against it: only 400, 413, 414, 422 and 431 may cost a message, and
409 and 412 where it was not sent before.
"""

from enum import Enum, auto

_DATA = frozenset({400, 413, 414, 422, 431})
_CONFLICT = frozenset({409, 412})
_BUSY = frozenset({408, 423, 425, 429})


class StatusClass(Enum):
    """Says what has to be done about an answer."""

    TAKEN = auto()
    """Nothing: the server has the messages."""
    DATA_REFUSED = auto()
    """The server will never take these messages as they are."""
    CONFLICT = auto()
    """It says that it has them already, where they were sent before; else that it will not take them: 409, 412."""
    TRY_AGAIN = auto()
    """It may take them later."""
    NEEDS_OPERATOR = auto()
    """The address or the credentials are wrong, not the data: 401, 403, 404, a redirect."""


def classify_status(status: int) -> StatusClass:
    """Return what has to be done about an answer of this status."""
    if 200 <= status < 300:
        return StatusClass.TAKEN
    if status in _DATA:
        return StatusClass.DATA_REFUSED
    if status in _CONFLICT:
        return StatusClass.CONFLICT
    if status >= 500 or status in _BUSY:
        return StatusClass.TRY_AGAIN
    return StatusClass.NEEDS_OPERATOR
