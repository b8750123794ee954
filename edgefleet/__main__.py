"""Starts the program: the `edgefleet` script, and `python -m edgefleet` where that is not on the PATH.

Imports nothing but what Python has loaded already, so that Ctrl-C while the rest is imported has an answer as well.
"""

import os
import signal
import sys

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C has ended, as shells have it."""


def main() -> None:
    """Run a command; one that Ctrl-C ends before it listens for that leaves a sentence and no traceback."""
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours:
        # Not an exception: a library that is half imported may catch it, or print it.
        signal.signal(signal.SIGINT, _leave)
    from edgefleet.cli import main as run_command

    if is_ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run_command()
    except KeyboardInterrupt:
        _say(b"edgefleet: interrupted\n")
        sys.exit(INTERRUPTED)


def _leave(_number: int, _frame: object) -> None:
    _say(b"edgefleet: interrupted before it had begun\n")
    os._exit(INTERRUPTED)


def _say(sentence: bytes) -> None:
    # Not by `print`, in the midst of which this may have come.
    try:
        os.write(2, sentence)
    except OSError:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
