"""Where messages are safe: everything between PUBACK and the last sink lives in one SQLite file.

`store` is that file, synchronous and without threads; `writer` commits to it in groups from a thread of its own;
`books` counts what is in it, `letters` is what people do with dead letters.
"""

from bridge.spool.books import Ledger, SinkBooks, lag_s, read_books, read_lag, read_ledger
from bridge.spool.file import SpoolError, holder
from bridge.spool.letters import Selection, read_dead_letters
from bridge.spool.message import DeadLetter, Settlement, Spooled
from bridge.spool.reader import read_note
from bridge.spool.store import Store
from bridge.spool.writer import Commit, Spool

__all__ = [
    "Commit",
    "DeadLetter",
    "Ledger",
    "Selection",
    "Settlement",
    "SinkBooks",
    "Spool",
    "SpoolError",
    "Spooled",
    "Store",
    "holder",
    "lag_s",
    "read_books",
    "read_dead_letters",
    "read_lag",
    "read_ledger",
    "read_note",
]
