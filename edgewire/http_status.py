"""Decides what the status of an HTTP answer says about the messages that were posted, the same for every client here.

What is not known to be about the data is not held against it: only 400, 413 and 422 may cost a message.
"""

from enum import Enum, auto

_DATA = frozenset({400, 413, 422})
_BUSY = frozenset({408, 425, 429})


class StatusClass(Enum):
    """Says what has to be done about an answer."""

    TAKEN = auto()
    """Nothing: the server has the messages."""
    DATA_REFUSED = auto()
    """The server will never take these messages as they are."""
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
    if status >= 500 or status in _BUSY:
        return StatusClass.TRY_AGAIN
    return StatusClass.NEEDS_OPERATOR
