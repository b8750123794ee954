"""Where messages are safe: everything between PUBACK and the last sink lives in one SQLite file.

`store` is that file, synchronous and without threads; `writer` commits to it in groups from a thread of its own.
"""

from bridge.spool.file import SpoolError, holder
from bridge.spool.message import DeadLetter, Settlement, Spooled
from bridge.spool.reader import SinkBooks, read_books, read_dead_letters, read_lag, read_note
from bridge.spool.store import Store
from bridge.spool.writer import Commit, Spool

__all__ = [
    "Commit",
    "DeadLetter",
    "Settlement",
    "SinkBooks",
    "Spool",
    "SpoolError",
    "Spooled",
    "Store",
    "holder",
    "read_books",
    "read_dead_letters",
    "read_lag",
    "read_note",
]
