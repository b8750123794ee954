"""Writes what was learned as a scenario that `run`, `generate` and `doctor` take as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from edgefleet.learn.learned import LearnedFleet, LearnedGroup
from edgefleet.learn.messages import NothingLearned
from edgewire.errors import ConfigError
from edgewire.output import partial_path, write_output

MOST_DEVICES = 1_000_000
_LATITUDE, _LONGITUDE = 48.8566, 2.3522
_HEAD = """\
# Learned by `edgefleet learn` of {messages:,} messages of {devices:,} devices, heard in {seconds:,.0f} s.
# Ids, sites and positions are made up, and free text is not copied. Change what you like.
"""


def device_counts(groups: Sequence[LearnedGroup], count: int | None, scale: float) -> list[int]:
    """Return how many devices each group has: `count` of all, in the proportions that were seen, or `scale` times them.

    Each has one at least. Raises `ConfigError` for more than a scenario may have.
    """
    seen = [group.devices for group in groups]
    if count is None:
        counts = [max(1, round(one * scale)) for one in seen]
    else:
        if count < len(groups):
            raise ConfigError(f"--count {count}: there are {len(groups)} groups of devices, and each has one at least")
        counts = [max(1, round(one * count / sum(seen))) for one in seen]
        counts[counts.index(max(counts))] += count - sum(counts)
    if sum(counts) > MOST_DEVICES:
        raise ConfigError(f"{sum(counts):,} devices are more than {MOST_DEVICES:,}: give a smaller --scale or --count")
    return counts


def scenario_document(fleet: LearnedFleet, counts: Sequence[int]) -> dict[str, Any]:
    """Return a scenario as its file has it."""
    kinds = {
        part.kind: {"fields": {name: config for one in part.fields for name, config in one.configs.items()}}
        for group in fleet.groups
        for part in group.parts
        if part.is_declared
    }
    sites = [
        {"name": f"site-{number}", "latitude": _LATITUDE, "longitude": _LONGITUDE}
        for number in range(1, fleet.sites + 1)
    ]
    devices = [_group(group, count) for group, count in zip(fleet.groups, counts, strict=True)]
    document: dict[str, Any] = {"seed": 1, "broker": "mqtt://127.0.0.1:1883", "sites": sites}
    return document | ({"kinds": kinds} if kinds else {}) | {"devices": devices}


def _group(group: LearnedGroup, count: int) -> dict[str, Any]:
    if len(group.parts) == 1:
        (part,) = group.parts
        return {"kind": part.kind, "count": count} | group.config | part.config
    parts = [{"kind": part.kind} | part.config for part in group.parts]
    return {"name": group.name, "count": count} | group.config | {"device": parts}


class _Dumper(yaml.SafeDumper):
    """Writes mappings without others in them on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write what stands in several places in each of them."""
        return True


def write_scenario(path: Path, fleet: LearnedFleet, counts: Sequence[int]) -> Scenario:
    """Write the scenario, and return it as it was read again.

    Raises `NothingLearned` where it would not be read, and leaves what was there before.
    """
    document = scenario_document(fleet, counts)
    text = _HEAD.format(messages=fleet.used, devices=fleet.devices, seconds=fleet.seconds)
    text += yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True, default_flow_style=None)
    tried = partial_path(path, ".learned.yaml")
    try:
        tried.write_text(text, encoding="utf-8")
        scenario = load_scenario(tried)
    except ConfigError as error:
        said = str(error).replace(str(tried), str(path))
        raise NothingLearned(f"what was learned makes no scenario: {said}") from None
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror or error}") from None
    finally:
        tried.unlink(missing_ok=True)
    try:
        write_output(path, text.encode())
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror or error}") from None
    return scenario
