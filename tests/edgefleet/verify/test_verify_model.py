"""Random histories of whole fleets: `verify` says of the records and rows what a model says of the history itself.

The model shares no code with what it judges, knows nothing of records, and looks at every message of every device.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from edgefleet.verify import from_rows
from edgefleet.verify.checker import Checker, run_verdict
from edgefleet.verify.message_index import MessageIndex
from edgewire.run_record import DeviceRecord, RunRecord, UnaccountedPart

START, SIM_START = 1_800_000_000_000, 1_700_000_000_000
LATE_AFTER = 5000
BOOT = 7

Row = tuple[str, int, int, int, int]

# What becomes of a message. Of the first ones all of it is there in the end, or was taken on purpose.
ARRIVES = ("delivered", "delivered twice", "late", "delivered, and by an earlier run", "unconfirmed, delivered")
TAKEN = "dropped by a fault"
NEVER = ("lost", "refused by acl", "refused by quota", "overflowed", "in the outbox", "unconfirmed")
UNKNOWN = "of an earlier run alone"


@dataclass
class Device:
    """One device, where it ran, and what became of each of its messages."""

    name: str
    kind: str
    shard: int
    worker: int
    first_seq: int
    fates: list[str]


@dataclass
class History:
    """All that happened in a run."""

    devices: list[Device]
    shards: int
    fixed_boots: bool
    dead: set[tuple[int, int]] = field(default_factory=set)
    """Shard and worker."""
    killed: set[int] = field(default_factory=set)
    """Shards that left a checkpoint."""
    withheld: set[int] = field(default_factory=set)
    """Shards whose record is not given to `verify`."""
    foreign: list[Row] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """All that the sink has, of this run and of others."""
        rows = list(self.foreign)
        for device in self.devices:
            for seq, fate in enumerate(device.fates, device.first_seq):
                due = seq * 1000
                # What is late is late by very different times, as behind an outage.
                latency = 6000 + 2 * due if fate == "late" else 20 + seq
                row = (device.name, BOOT, seq, SIM_START + due, START + due + latency)
                rows += [row] * (fate in ARRIVES) + [row] * (fate == "delivered twice")
                if "earlier run" in fate:
                    rows.append((*row[:4], START - 9000))
        return rows

    def is_told(self, device: Device) -> bool:
        """Whether the records that are given tell of this device."""
        return device.shard not in self.withheld and (device.shard, device.worker) not in self.dead


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A fleet over shards and workers, often without trouble."""
    fixed_boots, shards, workers = draw(st.booleans()), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    possible = [fate for fate in (*ARRIVES, TAKEN, *NEVER, UNKNOWN) if fixed_boots or "earlier" not in fate]
    fates = st.sampled_from(draw(st.lists(st.sampled_from(possible), min_size=1, max_size=3)))
    devices = [
        Device(
            f"d-{number}",
            draw(st.sampled_from(["gps", "people"])),
            number % shards,
            number // shards % workers,
            draw(st.integers(0, 3)),
            draw(st.lists(fates, max_size=6)),
        )
        for number in range(draw(st.integers(1, 7)))
    ]
    every = [(shard, worker) for shard in range(shards) for worker in range(workers)]
    names = st.sampled_from([*(device.name for device in devices), "d-99"])
    strangers = st.tuples(names, st.sampled_from([BOOT - 1, BOOT + 1]), st.integers(0, 8), st.just(SIM_START))
    return History(
        devices,
        shards,
        fixed_boots,
        dead=draw(st.sets(st.sampled_from(every), max_size=1)) if draw(st.integers(0, 3)) == 0 else set(),
        killed=draw(st.sets(st.integers(0, shards - 1), max_size=1)) if draw(st.integers(0, 3)) == 0 else set(),
        withheld=(
            draw(st.sets(st.integers(0, shards - 1), max_size=shards - 1)) if draw(st.integers(0, 3)) == 0 else set()
        ),
        foreign=[(*stranger, START + 5) for stranger in draw(st.lists(strangers, max_size=5))],
    )


def model(history: History) -> tuple[str, dict[str, int]]:
    """The verdict on a history, and the counts of what the records tell."""
    told = [(device, fate) for device in history.devices if history.is_told(device) for fate in device.fates]
    counts = Counter(
        {
            "stored": sum(fate in ARRIVES and fate != "unconfirmed, delivered" for _, fate in told),
            "lost": sum(fate == "lost" for _, fate in told),
            "refused": sum("refused" in fate for _, fate in told),
            "dropped": sum(fate in (TAKEN, "overflowed") for _, fate in told),
            "overflowed": sum(fate == "overflowed" for _, fate in told),
            "unsent": sum(
                fate in ("in the outbox", "unconfirmed") and device.shard not in history.killed for device, fate in told
            ),
            "earlier": sum(fate == UNKNOWN for _, fate in told),
            "duplicates": sum(fate == "delivered twice" for _, fate in told),
            "unexpected": sum(fate == "unconfirmed, delivered" for _, fate in told),
            "late": sum(fate == "late" for _, fate in told),
        }
    )
    # Of the whole fleet, whatever was told of it.
    everything = [fate for device in history.devices for fate in device.fates]
    ended_in_order = not (history.dead or history.killed or history.withheld)
    sent_something = any(
        fate in (*ARRIVES, "lost", UNKNOWN) and fate != "unconfirmed, delivered" for fate in everything
    )
    all_is_there = all(fate in ARRIVES or fate == TAKEN for fate in everything)
    if ended_in_order and all_is_there and sent_something:
        return "PASS", counts
    known_missing = counts["lost"] + counts["refused"] + counts["overflowed"] + counts["unsent"]
    not_known = not ended_in_order or counts["earlier"]
    return "INCOMPLETE" if not_known and not known_missing else "FAIL", counts


# -- the records that such a run leaves


def singles(device: Device, *fates: str) -> list[tuple[int, int]]:
    return [(seq, seq) for seq, fate in enumerate(device.fates, device.first_seq) if fate in fates]


def device_record(device: Device) -> DeviceRecord:
    last = device.first_seq + len(device.fates) - 1
    unconfirmed = singles(device, "unconfirmed", "unconfirmed, delivered")
    refused = {name: singles(device, f"refused by {name}") for name in ("acl", "quota")}
    return DeviceRecord(
        device_id=device.name,
        kind=device.kind,
        site="s",
        boot=BOOT,
        first_seq=device.first_seq if device.fates else None,
        last_seq=last if device.fates else None,
        refused={name: ranges for name, ranges in refused.items() if ranges},
        dropped=singles(device, TAKEN, "overflowed"),
        dropped_by_fault=device.fates.count(TAKEN),
        unsent=sorted(singles(device, "in the outbox") + unconfirmed),
        unacknowledged=unconfirmed,
    )


def records(history: History) -> list[RunRecord]:
    given = [shard for shard in range(history.shards) if shard not in history.withheld]
    return [
        RunRecord(
            run_id=f"r-{shard}",
            state="running" if shard in history.killed else "complete",
            shards=[(shard, history.shards)],
            scenario="fleet.yaml",
            scenario_sha256="1f",
            scenario_devices=len(history.devices),
            fixed_boots=history.fixed_boots,
            seed=1,
            broker="mqtt://127.0.0.1:1883",
            started_ms=START,
            stopped_ms=START + 60_000,
            sim_started_ms=SIM_START,
            unaccounted=[dead_part(history, *dead) for dead in sorted(history.dead) if dead[0] == shard],
            devices=[device_record(one) for one in history.devices if one.shard == shard and history.is_told(one)],
        )
        for shard in given
    ]


def dead_part(history: History, shard: int, worker: int) -> UnaccountedPart:
    names = [device.name for device in history.devices if (device.shard, device.worker) == (shard, worker)]
    return UnaccountedPart(name=f"worker {worker}", shard=(0, 1), reason="it died", device_ids=names)


def pieces(rows: list[Row], ends: Iterable[int]) -> Iterable[list[Row]]:
    return (rows[start:end] for start, end in pairwise([0, *sorted(ends), len(rows)]))


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data(), histories())
def test_the_verdict_is_that_of_the_model(data: st.DataObject, history: History) -> None:
    rows = data.draw(st.permutations(history.rows()))
    record = RunRecord.join(records(history))
    record.check()
    index = MessageIndex(record)
    checker = Checker(index)
    for piece in pieces(rows, data.draw(st.lists(st.integers(0, len(rows)), max_size=3))):
        for arrivals in from_rows(piece):
            checker.add_arrivals(arrivals)
    verdict = run_verdict(index, {"http": checker}, LATE_AFTER, {})
    total = verdict.sinks["http"].total

    expected, counts = model(history)
    event(expected)
    assert verdict.outcome == expected
    assert {name: getattr(total, name) for name in counts} == counts
    assert verdict.ok == (expected == "PASS")
    assert bool(verdict.failures()) == (expected == "FAIL")
    assert bool(verdict.untold) or expected != "INCOMPLETE"
    assert sum(sum(reasons.values()) for reasons in verdict.refused.values()) == counts["refused"]
    by_kind = verdict.sinks["http"].per_kind.values()
    assert sum(kind.stored for kind in by_kind) == counts["stored"]
    assert sum(kind.lost for kind in by_kind) == counts["lost"]
