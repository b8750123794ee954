"""Is imported by the process that workers are forked from: what all of them need is there then, once for all.

Imports take 1.4 s of a core and 80 MB: of fifteen processes 21 s of the first minute. Nothing may be begun here that a
fork does not copy: no thread, no event loop, no connection.
"""

import gc
import importlib
from contextlib import suppress

MODULES = ("edgefleet.launch.processes", "uvloop", "numpy.ma")

for name in MODULES:
    with suppress(ModuleNotFoundError):  # uvloop on 32-bit ARM, for which there is no wheel
        importlib.import_module(name)

# A search for garbage writes to each object that it looks at, and a page that is written to is shared no more.
gc.collect()
gc.freeze()
