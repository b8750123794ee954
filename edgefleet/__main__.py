"""Starts the program: the `edgefleet` script, and `python -m edgefleet` where that is not on the PATH.

Imports next to nothing, so that Ctrl-C while the rest is imported has an answer as well.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C has ended, as shells have it."""


def main() -> None:
    """Run a command; one that Ctrl-C ends before it listens for that leaves a sentence and no traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    from edgefleet.cli import main as run_command

    try:
        run_command()
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer makes the one of the other.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        _say(b"edgefleet: interrupted\n")
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt`, but not in an import: a library that is half imported may catch it, or print it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _say(b"edgefleet: interrupted before it had begun\n")
            os._exit(INTERRUPTED)
        frame = frame.f_back
    signal.default_int_handler(number, frame)


def _say(sentence: bytes) -> None:
    # Not by `print`, in the midst of which this may have come.
    try:
        os.write(2, sentence)
    except OSError:
        sys.exit(INTERRUPTED)


def _leave_out_working_directory() -> None:
    """Look for modules as `python -P` does: where a user works may be a folder `devices` or `bridge` of theirs."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and os.path.abspath(sys.path[0]) != ours:
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_working_directory()
    main()
