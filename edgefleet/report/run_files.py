"""Writes what a run leaves: checkpoints while it goes on, then the record, the table of its devices and the labels.

A disk that is full or gone costs what is written on it and nothing else: the run goes on, and its report is printed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import yaml

from devices.faults.labels import FILE_NAME as LABELS_FILE
from devices.faults.labels import write_labels
from devices.fleet.run_record import written_scenario
from devices.scenario.scenario import Scenario
from edgefleet.launch.shard import ShardResult
from edgefleet.report.device_table import FILE_NAME as DEVICES_FILE
from edgefleet.report.device_table import save_device_table
from edgefleet.report.status_series import FILE_NAME as SERIES_FILE
from edgewire import logs
from edgewire.errors import ConfigError
from edgewire.output import write_output
from edgewire.run_checkpoint import RunCheckpoint
from edgewire.run_folder import RunFolder

SCENARIO_FILE = "scenario.yaml"
"""The scenario as it was run, without what is of the host."""
COMPANIONS = (LABELS_FILE, DEVICES_FILE, SCENARIO_FILE, SERIES_FILE)

log = logs.get("record")


class RunFiles:
    """Holds the files of one run; `problems` are sentences about what could not be written as it should be."""

    def __init__(self, folder: RunFolder, *, with_labels: bool) -> None:
        self._folder = folder
        self._with_labels = with_labels
        self._warned = False
        self.path: Path = folder.path
        """Where the record is: elsewhere where its folder did not take it."""
        self.problems: list[str] = []

    def write_start(self, checkpoint: RunCheckpoint) -> None:
        """Write that the run begins, so that one that is killed before its first checkpoint leaves its name."""
        try:
            self._folder.write_start(checkpoint)
        except ConfigError as error:
            self._warn(error)

    def write_scenario(self, scenario: Scenario) -> None:
        """Write what is run, by which it can be run again."""
        text = yaml.safe_dump(written_scenario(scenario), sort_keys=False, allow_unicode=True, width=120)
        self._attempt(lambda: write_output(self._folder.path / SCENARIO_FILE, text.encode()))

    async def write_checkpoint(self, checkpoint: RunCheckpoint) -> None:
        """Write what the devices have done so far, beside the event loop; a disk that does not take it is told once."""
        try:
            await asyncio.to_thread(self._folder.write_checkpoint, checkpoint)
            self._warned = False
        except ConfigError as error:
            self._warn(error)

    def write_result(self, result: ShardResult) -> ShardResult:
        """Write all that a run leaves when it is over; return it with what could not be written as one more problem."""
        self._attempt(lambda: self._write_record(result))
        self._attempt(lambda: save_device_table(result.record, self.path))
        if self._with_labels or result.labels:
            self._attempt(lambda: write_labels(self.path / LABELS_FILE, result.labels))
        if not self.problems:
            return result
        said = "; ".join(self.problems)
        return replace(result, record=replace(result.record, problems=result.record.problems | {"record": said}))

    def _warn(self, error: ConfigError) -> None:
        if not self._warned:
            log.warning("no checkpoint: only a record at the end would tell what was sent", reason=str(error))
        self._warned = True

    def _write_record(self, result: ShardResult) -> None:
        self.path = self._folder.write_final(result.record).parent
        if self.path != self._folder.path:
            self.problems.append(f"{self._folder.path} took no record, it is in {self.path}: is the disk full?")

    def _attempt(self, write: Callable[[], object]) -> None:
        try:
            write()
        except (ConfigError, OSError) as error:
            self.problems.append(str(error))
