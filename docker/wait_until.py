"""Wait until a URL answers with success, two minutes at most: `wait_until.py URL`. Standard library alone."""

import sys
import time
import urllib.request


def answers(url: str) -> bool:
    """Whether a GET succeeds now."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


deadline = time.monotonic() + 120
while not answers(sys.argv[1]):
    if time.monotonic() > deadline:
        sys.exit(f"{sys.argv[1]} has not answered for two minutes")
    time.sleep(1)
