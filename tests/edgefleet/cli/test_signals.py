"""Signals end a command in order; the next one at once, and the one after that whatever it is doing."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edgefleet.__main__ import main
from edgefleet.cli import signals
from edgefleet.cli.signals import StopFlag, until_signal
from tests.processes import not_outliving

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of pytest come back; whoever runs it under nohup ignores SIGHUP, which a command then would, too."""
    before = {number: signal.getsignal(number) for number in ENDING}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
async def test_the_first_signal_stops_and_the_second_ends_at_once(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "SAME_SIGNAL_S", 0.05)
    at_once = asyncio.Event()

    async def work(stop: asyncio.Event) -> str:
        os.kill(os.getpid(), number)
        await stop.wait()
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.02)
        assert not at_once.is_set(), "that was the same one, handed on"
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), number)
        await at_once.wait()
        return "done"

    async with asyncio.timeout(5):
        assert await until_signal(work, at_once) == "done"
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDING)
def test_the_signal_after_the_last_kills(number: signal.Signals) -> None:
    code = (
        "import asyncio\nfrom edgefleet.cli.signals import run_async, until_signal\n"
        "async def work(stop):\n    print('up', flush=True)\n    await stop.wait()\n    print('stopping', flush=True)\n"
        "    await asyncio.sleep(0.4)\n    print('hangs', flush=True)\n    while True: pass\n"
        "run_async(until_signal(work))\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, not_outliving(process):
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stopping\n"
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(number)
        assert process.wait(20) == -number


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN], ids=["as usual", "under nohup"])
async def test_a_hangup_asks_for_a_reload_where_there_is_something_to_reload(before: signal.Handlers) -> None:
    signal.signal(signal.SIGHUP, before)
    asked: list[str] = []

    async def work(stop: asyncio.Event) -> bool:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.02)
        return stop.is_set()

    assert await until_signal(work, on_reload=lambda: asked.append("reload")) is False
    assert asked == ["reload", "reload"]


async def test_under_nohup_a_hangup_is_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def work(stop: asyncio.Event) -> bool:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.02)
        return stop.is_set()

    assert await until_signal(work) is False
    with StopFlag.on_signals() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("number", ENDING)
def test_work_without_an_event_loop_is_stopped_by_the_same_signals(number: signal.Signals) -> None:
    with StopFlag.on_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(5)


INTERRUPTED_IN = """
import signal, sys
from edgefleet.__main__ import main

# What a shell starts in the background ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
module = sys.argv.pop(1)

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            # To this thread: another one may get what is for the process, and a while later.
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("typer", ("--help",)),
        ("edgefleet.cli.verify", ("verify", "runs/x", "--ingest", "http://127.0.0.1:1")),
        ("numpy", ("run", "x.yaml")),
        ("uvloop", ("watch",)),
    ],
)
def test_ctrl_c_while_the_program_is_imported_is_one_sentence(module: str, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN, module, *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "edgefleet: interrupted before it had begun\n")


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(130)], ids=repr)
def test_ctrl_c_in_a_command_that_does_not_listen_for_it_is_one_sentence(
    end: BaseException, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise end

    monkeypatch.setattr("edgefleet.cli.main", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capfd.readouterr().err) == (130, "edgefleet: interrupted\n")
