"""A FIFO is written into once somebody reads it, and is not waited for without end."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewire.output import open_stream

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")


def test_a_fifo_that_nobody_reads_is_given_up(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match=r"nobody has begun to read this FIFO in 0\.05 s"):
        open_stream(fifo, wait_s=0.05)
    assert fifo.is_fifo()


@pytest.mark.parametrize("handler", [lambda *_: None, signal.default_int_handler])
def test_a_signal_ends_the_wait_whatever_its_handler_does(tmp_path: Path, handler: Callable[..., None]) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    before = signal.signal(signal.SIGTERM, handler)
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(OSError, match="nobody had begun to read this FIFO when SIGTERM came"):
            open_stream(fifo)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_reader_of_a_fifo_may_come_later(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Timer(0.05, lambda: read.append(fifo.read_bytes()))
    reader.start()
    content = b"x" * 200_000  # more than a pipe holds: writing waits for the reader as well
    with open_stream(fifo) as stream:
        stream.write(content)
    reader.join(10)
    assert read == [content]
