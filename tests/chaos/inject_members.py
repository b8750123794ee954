"""Faults of bridges that share a subscription: members are killed, stopped, added and drained, or lose their spool."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bridge.source.client import OTHER_SPOOL
from tests.chaos.bridge import START_S, BridgeUnderTest
from tests.chaos.records import Arrival
from tests.chaos.run import Run

_LEAST_HELD = 20
_PATIENCE_S = 60.0


def change_members(run: Run) -> None:
    """Some are killed or stopped and started again, one comes, and one leaves for good, in any order."""
    run.rng.shuffle(changes := [_kill, _kill, _stop, _add, _drain])
    for change in changes:
        run.pause(0.0, 0.5)
        change(run)
        run.injected += 1


def lose_spool(run: Run) -> None:
    """One is killed while messages wait in its spool, and begins again with an empty one."""
    victim = run.rng.choice(run.bridges)
    run.pause(0.1, 0.5)
    victim.post("/v1/pause")
    deadline = time.monotonic() + _PATIENCE_S
    while (victim.pending() or 0) < _LEAST_HELD:
        assert time.monotonic() < deadline, f"the member that is paused holds no messages:\n{victim.last_words()}"
        time.sleep(0.02)
    run.pause(0.0, 0.3)
    victim.kill()
    run.taken_ledgers.append(victim.ledger())
    run.taken |= take_spool(victim.spool)
    run.injected += 1
    victim.start()
    victim.wait_ready()
    assert OTHER_SPOOL in victim.words(), f"does not say that its session is of another spool:\n{victim.last_words()}"


def take_spool(spool: Path) -> set[str]:
    """Remove the spool of a bridge that is dead; return the ids of what some sink had not been given."""
    with closing(sqlite3.connect(spool)) as database:
        rows = database.execute("SELECT payload FROM messages WHERE id > (SELECT min(cursor) FROM sinks)").fetchall()
    for path in spool.parent.glob(f"{spool.name}*"):
        path.unlink()
    return {Arrival.of(payload, None).id for (payload,) in rows}


def _kill(run: Run) -> None:
    member = _one_of(run)
    member.kill()
    run.pause(0.0, 0.8)
    member.start()


def _stop(run: Run) -> None:
    member = _one_of(run)
    member.wait_ready()
    code = member.stop()
    assert code == 0, f"exit code {code} after SIGTERM:\n{member.last_words()}"
    member.start()


def _add(run: Run) -> None:
    run.add_member().wait_ready(START_S)


def _drain(run: Run) -> None:
    member = _one_of(run)
    member.wait_ready()
    member.drain()


def _one_of(run: Run) -> BridgeUnderTest:
    return run.rng.choice([member for member in run.bridges if not member.drained])
