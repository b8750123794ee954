"""Faults of what a process has from its machine: files, names, the wall clock, file descriptors."""

import errno
import re
import resource
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.chaos.bridge import KILLED, START_S
from tests.chaos.inject_bridge import ends_with, wait_for_words
from tests.chaos.preload import Calls, Preload
from tests.chaos.proxy_front import Act, Script
from tests.chaos.run import FILES, Injection, Run

_ABORTED = (127, 128 + signal.SIGABRT)
"""Exit codes of a process that the C library, or librdkafka, ends for want of memory, with a line of their own."""
_MOST_LINES = 400
"""That the log of the bridge may grow by while something is missing for some seconds."""


def spool_fails(strike: Callable[[Preload, Run], None], said: str) -> Injection:
    """The disk of the spool fails: the bridge must end by itself, say why, and go on when the disk is well again."""

    def inject(run: Run) -> None:
        run.pause(0.3, 1.0)
        strike(preload_of(run), run)
        ends_with(run, said)
        # Who starts it again too early is told the same.
        run.bridge.start()
        ends_with(run, str(run.disk))
        preload_of(run).heal()
        run.bridge.start()

    return inject


def any_write(preload: Preload, run: Run) -> None:
    """Writing fails, or the sync alone."""
    preload.fail_disk(run.disk, errno.EIO, run.rng.choice((Calls.WRITES, Calls.SYNCS, Calls.WRITES | Calls.SYNCS)))


def read_only(preload: Preload, run: Run) -> None:
    preload.make_read_only(run.disk)


def files_fail(run: Run) -> None:
    """The disk of the file sink alone fails: the bridge goes on, says so, and delivers later."""
    preload, folder = preload_of(run), run.disk / FILES
    run.pause(0.3, 1.0)
    error = run.rng.choice((errno.EIO, errno.EROFS, errno.ENOSPC, errno.EMFILE))
    calls = run.rng.choice((Calls.WRITES, Calls.SYNCS, Calls.WRITES | Calls.SYNCS | Calls.OPENS))
    preload.fail_disk(folder, error, calls)
    run.injected += 1
    wait_for_words(run, re.compile(re.escape(str(folder))))
    run.pause(0.3, 1.5)
    preload.heal()


def clock_moves(run: Run) -> None:
    """The wall clock of the whole process is set, by hours, some times, and at last right.

    More than an hour ahead Kafka refuses messages for their time: they wait, and are no dead letters.
    """
    for _ in range(run.rng.randint(1, 3)):
        run.pause(0.2, 0.8)
        preload_of(run).move_clock(run.rng.choice((-1, 1)) * run.rng.randint(60, 36 * 3600))
        run.injected += 1
    run.pause(0.2, 0.8)
    preload_of(run).move_clock(0)


def names_fail(run: Run) -> None:
    """The name of every neighbour cannot be looked up, or leads elsewhere; then connections are cut."""
    preload = preload_of(run)
    run.pause(0.2, 0.8)
    if run.rng.random() < 0.5:
        preload.fail_lookups(run.rng.choice((socket.EAI_AGAIN, socket.EAI_NONAME, socket.EAI_FAIL)))
    else:
        preload.resolve_to("127.0.0.9")  # where nobody listens
    run.injected += 1
    if run.rng.random() < 0.3:
        # A bridge that starts while there are no names waits for them.
        run.bridge.kill()
        run.bridge.start()
    for proxy in run.services.proxies.values():
        run.services.background.do(proxy.reset)
    run.pause(0.5, 2.5)


def descriptors_run_out(run: Run) -> None:
    """No file or connection can be opened while connections are cut; then there are some again."""
    run.pause(0.3, 1.0)
    process = psutil.Process(run.bridge.pid)
    # Of the numbers of descriptors, not of how many there are: one that is closed is no room below.
    least = run.rng.choice((3, process.num_fds() // 2))
    _, most = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    before = len(run.bridge.words().splitlines())
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (least, most))
    run.injected += 1
    for _ in range(run.rng.randint(2, 4)):
        for proxy in run.services.proxies.values():
            run.services.background.do(proxy.reset)
        run.pause(0.3, 1.0)
    if run.bridge.running:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (most, most))
    told = run.bridge.words().splitlines()[before:]
    assert any("open files" in line for line in told), f"does not say that it may open no more files: {told[-10:]}"
    assert len(told) < _MOST_LINES, f"wrote {len(told)} lines meanwhile, such as {told[-1]}"


def memory_ends(run: Run) -> None:
    """The bridge gets no more memory: it goes on, or ends and says why, and goes on when it is started again."""
    run.pause(0.3, 1.0)
    process = psutil.Process(run.bridge.pid)
    before = resource.prlimit(process.pid, resource.RLIMIT_AS)
    room = run.rng.choice((0, 1, 4, 16)) << 20
    run.services.front.script = Script(act=Act.REFUSE)  # so that more and more has to be kept
    resource.prlimit(process.pid, resource.RLIMIT_AS, (process.memory_info().vms + room, before[1]))
    run.injected += 1
    _cut_connections(run)
    run.services.front.script = None
    if run.bridge.running:
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, before)
    # One that ends says at once that it is no longer ready.
    deadline = time.monotonic() + START_S
    while run.bridge.running and not run.bridge.ready:
        assert time.monotonic() < deadline, f"neither goes on nor ends:\n{run.bridge.last_words()}"
        time.sleep(0.05)
    if not run.bridge.running:
        _ended_for_memory(run, *_ABORTED)
        run.bridge.start()


def memory_is_held(run: Run) -> None:
    """The kernel gives the bridge no more memory than it has, or less than a start needs, and kills it for more."""
    assert run.memory is not None, "the fault needs memory_group=True"
    run.pause(0.3, 1.0)
    run.services.front.script = Script(act=Act.REFUSE)  # so that more and more has to be kept
    own = psutil.Process(run.bridge.pid).memory_full_info().uss
    run.injected += 1
    if run.rng.random() < 0.5:
        # As a container that is given too little.
        run.bridge.kill()
        run.memory.limit(int(own * run.rng.uniform(0.2, 0.6)))
        run.bridge.start()
        code = run.bridge.wait_end(START_S)
        assert code == KILLED, f"exit code {code} of a start without memory:\n{run.bridge.last_words()}"
    else:
        run.memory.limit(own + (run.rng.choice((0, 1, 4, 16)) << 20))
        _cut_connections(run)
        if not run.bridge.running:
            _ended_for_memory(run, KILLED)
    run.memory.lift()
    run.services.front.script = None
    if not run.bridge.running:
        run.bridge.start()


def _cut_connections(run: Run) -> None:
    """Cut all of them some times: new ones need memory."""
    for _ in range(4):
        for proxy in run.services.proxies.values():
            run.services.background.do(proxy.reset)
        run.pause(0.3, 1.0)


def _ended_for_memory(run: Run, *others: int) -> None:
    """It has said why it ends, or has one of the other exit codes."""
    code = run.bridge.wait_end(0)
    said = code == 1 and "no more memory" in run.bridge.last_words()
    assert said or code in others, f"exit code {code} for want of memory:\n{run.bridge.last_words()}"


def preload_of(run: Run) -> Preload:
    assert run.preload is not None, "the fault needs preload=True"
    return run.preload
