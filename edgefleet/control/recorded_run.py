"""Tells of a run by the files that it has left, or is writing, in its folder. Nothing of it can be changed.

What a record does not hold is said in a sentence, and never shown as if it were nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from devices.faults.labels import FILE_NAME as LABELS_FILE
from devices.faults.labels import iter_labels
from devices.scenario.actions import AnyAction
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, expand_devices
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from edgefleet.control.changes import describe_groups, group_names, group_number, scaled
from edgefleet.control.controller import ActionOutcome, ActionRefused
from edgefleet.control.recorded_map import RecordedMap
from edgefleet.control.session_scenario import RunSession
from edgefleet.report.run_files import SCENARIO_FILE
from edgefleet.report.status_series import FILE_NAME as SERIES_FILE
from edgefleet.report.status_series import StatusSeries
from edgewire.clock import iso_ms
from edgewire.errors import ConfigError
from edgewire.run_record import FILE_NAME, ActionRecord, DeviceRecord, RunRecord, count_seqs

MOST_LABELS = 200_000
"""Of a run, in which those of a device are looked for."""
NO_MESSAGES = (
    "A record has no messages, commands, battery and radio of a device: how many messages there were of each boot, and "
    "what became of them. Its readings can be computed again: edgefleet generate, with the same scenario and time."
)


@dataclass(frozen=True, slots=True)
class RecordedScenario:
    """Holds the scenario of a run with what was scaled in it, and who its devices are."""

    last: Scenario
    """As it was when the run ended."""
    devices: list[tuple[Device, DeviceGroup]]
    """All that there were in the course of it."""
    groups: dict[str, str]
    """Device -> group."""

    @classmethod
    def load(cls, path: Path, actions: Iterable[ActionRecord]) -> "RecordedScenario":
        """Read the scenario of a run; raises `ConfigError`."""
        if not path.exists():
            raise ConfigError(f"{path}: is not there: the run is of a version that did not keep its scenario")
        last = largest = load_scenario(path)
        for one in actions:
            if one.action == "scale" and one.outcome != "failed":
                number, count = group_number(last, one.arguments["group"]), one.arguments["count"]
                last = scaled(last, number, count)
                largest = scaled(largest, number, max(count, largest.devices[number].size))
        devices, names = expand_devices(largest), group_names(largest)
        numbers = {id(group): name for group, name in zip(largest.devices, names, strict=True)}
        groups = {device.device_id: numbers.get(id(group), group.kind) for device, group in devices}
        return cls(last, devices, groups)


class RecordedRun:
    """Is a run that is looked at by its files."""

    def __init__(self, folder: Path, runs: Callable[[], list[dict[str, Any]]] = list) -> None:
        """Read it; raises `ConfigError` for what is no run, and for files of it that are broken."""
        self._folder = folder
        self.runs = runs
        """Returns all that are shown beside each other."""
        self._seen = self._stamps()
        self._read()

    def _read(self) -> None:
        self.record = RunRecord.load(self._folder)
        path = self._folder / SERIES_FILE
        self._series = StatusSeries.load(path) if path.exists() else None
        self._boots: dict[str, list[DeviceRecord]] = defaultdict(list)
        for device in self.record.devices:
            self._boots[device.device_id].append(device)
        self._ids = sorted(self._boots)
        self._scenario: RecordedScenario | None = None
        self.map = RecordedMap(self._load_scenario, self.record.sim_started_ms, self._last_ms())
        self.status: Mapping[str, Any] = self._make_status()

    def refresh(self) -> bool:
        """Read it again where its files have changed, and return whether they have. Raises as the constructor."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._read()
        self._seen = stamps
        return True

    def _stamps(self) -> list[tuple[int, int]]:
        paths = [self._folder / name for name in (FILE_NAME, SERIES_FILE)]
        found = [path.stat() for path in paths if path.exists()]
        return [(one.st_mtime_ns, one.st_size) for one in found]

    @property
    def actions(self) -> Sequence[ActionRecord]:
        """Return what was done to it."""
        return self.record.actions

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return what happened, in words: without a time line, what was done to it."""
        if self._series is not None:
            return self._series.events
        return [
            {"number": one.number, "at_ms": one.at_ms, "text": one.said, "action": one.number} for one in self.actions
        ]

    async def history(self) -> bytes:
        """Return how it was over its time, as in `status.jsonl`."""
        if self._series is None:
            raise ActionRefused(
                f"This record has no {SERIES_FILE}: the run is of a version that kept no time line, or its disk took "
                "none. What was done to the run stands in the log; the figures are those of its end."
            )
        return self._series.to_bytes()

    def groups(self) -> list[dict[str, Any]]:
        """Return its groups of devices, as they were at its end. Raises `ConfigError` where nobody knows."""
        return describe_groups(self._load_scenario().last, self.record.device_time.last_scale)

    async def find_devices(
        self, text: str, group: str | None, kind: str | None, state: str | None, after: str, limit: int
    ) -> dict[str, Any]:
        """Return a page of the devices that are searched for, in the order of their ids."""
        if state is not None:
            raise ConfigError("state: a record does not tell which state a device was in: leave it out")
        groups = await self._groups()
        if group is not None and group not in groups.values():
            raise ConfigError(f"group: the record knows of none that is called '{group[:100]}'")
        found = [
            one
            for one in self._ids
            if text in one and (group is None or groups.get(one) == group) and kind in (None, self._boots[one][0].kind)
        ]
        page = [one for one in found if one > after][:limit]
        return {
            "found": len(found),
            "devices": [self._row(one, groups) for one in page],
            "next": page[-1] if len(page) == limit else None,
        }

    async def look_at(self, device_id: str) -> dict[str, Any] | None:
        """Return what is known of a device; None where there is none of this id."""
        if device_id not in self._boots:
            return None
        row = self._row(device_id, await self._groups())
        faults = await asyncio.to_thread(self._faults, device_id)
        boots = [
            {
                "boot": one.boot,
                "first_seq": one.first_seq,
                "last_seq": one.last_seq,
                "acknowledged": one.acknowledged,
                "dropped": count_seqs(one.dropped),
                "unsent": count_seqs(one.unsent),
                "refused": {reason: count_seqs(ranges) for reason, ranges in one.refused.items()},
            }
            for one in self._boots[device_id]
        ]
        more = {"boots": boots, "faults": faults, "recent_faults": faults, "messages": [], "commands": []}
        return row | more | {"not_recorded": NO_MESSAGES}

    def _row(self, device_id: str, groups: Mapping[str, str]) -> dict[str, Any]:
        boots = self._boots[device_id]
        return {
            "device_id": device_id,
            "kind": boots[0].kind,
            "site": boots[0].site,
            "group": groups.get(device_id),
            "state": None,
            "emitted": sum(one.emitted for one in boots),
            "acknowledged": sum(one.acknowledged for one in boots),
            "sent_qos0": sum(one.sent_qos0 for one in boots),
            "refused": sum(count_seqs(one.refused_ranges) for one in boots),
            "dropped": sum(count_seqs(one.dropped) for one in boots),
            "unsent": sum(count_seqs(one.unsent) for one in boots),
            "reconnects": sum(one.reconnects for one in boots),
        }

    def _faults(self, device_id: str) -> list[dict[str, Any]]:
        path = self._folder / LABELS_FILE
        if not path.exists():
            return []
        return [
            {
                "type": one.type,
                "parameters": one.parameters,
                "from_ms": one.start_ms,
                "to_ms": one.end_ms,
                "messages": one.messages,
                "is_now": False,
            }
            for one in islice(iter_labels(path), MOST_LABELS)
            if one.device_id == device_id
        ]

    async def _groups(self) -> Mapping[str, str]:
        try:
            return (await asyncio.to_thread(self._load_scenario)).groups
        except ConfigError:
            return {}

    def _load_scenario(self) -> RecordedScenario:
        if self._scenario is None:
            self._scenario = RecordedScenario.load(self._folder / SCENARIO_FILE, self.actions)
        return self._scenario

    async def perform(self, action: AnyAction) -> ActionOutcome:
        """Refuse it: this is a record."""
        raise ActionRefused(f"{action.action}: nothing can be done to a record; {self._why()}")

    def session(self) -> dict[str, Any]:
        """Return what is needed to do the same again."""
        found = RunSession.of_folder(self._folder)
        return {
            "scenario": found.scenario,
            "started_ms": found.started_ms,
            "begun_ms": found.begun_ms,
            "time_scale": self.record.time_scale,
            "time_changes": found.device_time.changes,
        }

    async def dead_letters(self, query: Sequence[tuple[str, str]]) -> Any:
        """Refuse it: they are not in a record."""
        raise ActionRefused(
            "they are at the bridge, and not in a record: edgefleet bridge dead-letters list shows them"
        )

    # -- how it was

    def _why(self) -> str:
        record = self.record
        if record.state == "complete":
            return f"the run was over at {iso_ms(record.stopped_ms)}"
        return (
            f"when it was written last, at {iso_ms(record.stopped_ms)}, the run had not ended; `edgefleet ctl` changes "
            "one that goes on and was begun with --web"
        )

    def _last_ms(self) -> int:
        """Return the devices' time at the end of what is known."""
        if self._series is not None and self._series.states:
            return int(self._series.states[-1]["device_time_ms"])
        record = self.record
        return record.device_time.device_ms(record.stopped_ms - record.started_ms)

    def _make_status(self) -> dict[str, Any]:
        record, series = self.record, self._series
        totals = record.totals
        kinds: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for boots in self._boots.values():
            of_kind = kinds[boots[0].kind]
            of_kind["devices"] += 1
            of_kind["emitted"] += sum(one.emitted for one in boots)
            of_kind["acknowledged"] += sum(one.acknowledged for one in boots)
        shards = "" if record.shards == [(0, 1)] else ", ".join(f" · shard {one} of {of}" for one, of in record.shards)
        status: dict[str, Any] = {
            "run_id": record.run_id,
            "scenario": f"{record.scenario}{shards}",
            "brokers": record.broker.split(", "),
            "broker_is_embedded": False,
            "broker_is_away": False,
            "at_ms": record.stopped_ms,
            "started_ms": record.started_ms,
            "device_time_ms": self._last_ms(),
            "time_scale": record.device_time.last_scale,
            "paused": [],
            "muted": [],
            "faults": [],
            "flow": [],
            "actions": len(record.actions),
            "devices": record.device_count,
            "connected": None,
            "resting": None,
            "standby": None,
            "inflight": None,
            "buffered": totals["unsent"],
            "sites": len({one.site for one in record.devices}),
            "reconnects": sum(one.reconnects for one in record.devices),
            "takeovers": None,
            "emitted_per_s": None,
            "sent_per_s": None,
            "lag_ms": {name: record.lag_ms.get(name) for name in ("p50", "p99")},
            "puback_ms": {name: record.puback_ms.get(name) for name in ("p50", "p99")},
            "kinds": kinds,
            "bridge": None,
            "store": None,
        }
        if series is not None and series.states:
            status |= {name: series.head[name] for name in ("brokers", "broker_is_embedded")} | series.states[-1]
        if record.state == "complete":
            status |= {name: totals[name] for name in ("emitted", "acknowledged", "sent_qos0", "refused", "dropped")}
        else:
            status = totals | status
        said = "This is the record of a run, which nothing changes: "
        problems = [*record.failures, *record.problems.values()]
        return status | {
            "record": str(self._folder),
            "is_stopping": False,
            "processes": [],
            "problems": [f"{one.rstrip('.')}." for one in problems],
            "verdict": record.verdict,
            "is_complete": record.state == "complete",
            "read_only": f"{said}{self._why()}. What is done to a run that goes on is hidden here.",
        }


def describe_runs(runs: Sequence[RecordedRun], place: int) -> list[dict[str, Any]]:
    """Return the runs that are served beside each other, with their paths from the one at a place."""
    return [
        {
            "path": "" if number == place else f"../{number + 1}/",
            "run_id": one.record.run_id,
            "scenario": one.status["scenario"],
            "started_ms": one.record.started_ms,
            "record": one.status["record"],
        }
        for number, one in enumerate(runs)
    ]
