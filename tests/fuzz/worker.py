"""Fuzzes one target with Atheris, which is libFuzzer for Python: `python -m tests.fuzz.worker NAME CORPUS [-OPTION…]`.

Options are libFuzzer's. What is found ends the process: its input is in the folder that `-artifact_prefix` names.
"""

import logging
import signal
import sys
import warnings
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import atheris

from tests.fuzz.target import Mutate
from tests.fuzz.targets import TARGETS

_FOUND = "-artifact_prefix="


def main() -> None:
    name, options = sys.argv[1], sys.argv[2:]
    target = TARGETS[name]
    warnings.simplefilter("ignore")
    # Libraries log what is wrong with an input; of thousands a second nobody reads that.
    logging.disable(logging.WARNING)
    with atheris.instrument_imports(include=list(target.measured), exclude=list(target.unmeasured)):
        run = target.prepare()
    found = Path(next(one for one in options if one.startswith(_FOUND)).removeprefix(_FOUND))

    def case(data: bytes) -> None:
        try:
            run(data)
        except Exception:
            # libFuzzer would keep it too, but not where its own clock strikes as it writes, or tells what it has done.
            signal.setitimer(signal.ITIMER_REAL, 0)
            (found / f"raised-{sha1(data, usedforsecurity=False).hexdigest()}").write_bytes(data)
            raise

    # What first inputs import and build takes a second on a busy machine, which is none of fuzzing.
    for data in (b"", *target.seeds()):
        case(data)
    atheris.Setup([sys.argv[0], *options], case, custom_mutator=_mutator(target.mutate))
    atheris.Fuzz()


def _mutator(shaped: Mutate) -> Callable[[bytes, int, int], bytes]:
    """Return what keeps the shape of an input in one of two cases, and changes anything else as libFuzzer does."""

    def mutate(data: bytes, most_bytes: int, seed: int) -> bytes:
        made = shaped(data, most_bytes, seed) if seed % 2 else None
        return atheris.Mutate(data, most_bytes) if made is None else made

    return mutate


if __name__ == "__main__":
    main()
