"""Saves what was done in a run as the steps of a scenario, so that it can be done again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from devices.scenario.scenario import Scenario
from edgefleet.report.run_files import SCENARIO_FILE
from edgewire.clock import iso_ms
from edgewire.config import duration_text, parse_config
from edgewire.device_time import DeviceTime
from edgewire.errors import ConfigError
from edgewire.run_record import RunRecord


class RunSession(NamedTuple):
    """Holds what was done in a run, and when."""

    name: str
    """Of the run, for people."""
    scenario: Mapping[str, Any]
    """Of its start, as in a file."""
    begun_ms: int
    """The devices' time of the start."""
    started_ms: int
    """The wall time of the start."""
    device_time: DeviceTime
    actions: Sequence[Mapping[str, Any]]
    """As they stand in the run record."""

    @classmethod
    def of_folder(cls, folder: Path) -> "RunSession":
        """Read the folder of a run; raises `ConfigError` for one that does not hold enough."""
        record = RunRecord.load(folder)
        path = folder / SCENARIO_FILE
        try:
            scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{path}: is not there: the run is of a version that did not keep its scenario") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from None
        actions = [
            {
                "number": one.number,
                "at_ms": one.at_ms,
                "device_at_ms": one.device_at_ms,
                "action": one.action,
                "arguments": one.arguments,
                "outcome": one.outcome,
            }
            for one in record.actions
        ]
        return cls(str(folder), scenario, record.sim_started_ms, record.started_ms, record.device_time, actions)

    @classmethod
    def of_control(cls, url: str, session: Mapping[str, Any], actions: Sequence[Mapping[str, Any]]) -> "RunSession":
        """Return what the control interface of a run tells."""
        begun_ms, started_ms = session["begun_ms"], session["started_ms"]
        time = DeviceTime(begun_ms, session["time_scale"], session["time_changes"])
        return cls(url, session["scenario"], begun_ms, started_ms, time, actions)

    def steps(self) -> list[dict[str, Any]]:
        """Return what was done as steps, by their numbers: these choose the devices of a share."""
        done = sorted((one for one in self.actions if one["outcome"] != "failed"), key=lambda one: int(one["number"]))
        places = {int(one["number"]): place for place, one in enumerate(done, 1)}
        found = []
        for one in done:
            arguments = dict(one["arguments"])
            if one["action"] == "end_fault" and "fault" in arguments:
                arguments["fault"] = places.get(arguments["fault"], arguments["fault"])
            found.append({"at": duration_text(self._after_ms(one)), "action": one["action"], **arguments})
        return found

    def _after_ms(self, action: Mapping[str, Any]) -> int:
        if action["device_at_ms"] is not None:
            return max(0, int(action["device_at_ms"]) - self.begun_ms)
        return max(0, self.device_time.device_ms(int(action["at_ms"]) - self.started_ms) - self.begun_ms)

    def as_scenario(self) -> str:
        """Return the scenario in which it is done again, as the text of a file. Raises `ConfigError`."""
        whole = {**self.scenario, "steps": self.steps()}
        text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=120)
        parse_config(text, Scenario, name=f"what was recorded of {self.name}")
        return (
            f"# What was done in the run {self.name}, as the steps of its scenario. The same readings come with\n"
            f"# --from {iso_ms(self.begun_ms)} and the --duration of that run.\n{text}"
        )
