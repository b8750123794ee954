"""Makes a scenario of options: `--kind bme280 --count 100 --interval 1s --set noise=false`."""

import re
from collections.abc import Sequence
from typing import Any

from devices.scenario.device_group import DeviceGroup
from devices.scenario.scenario import Scenario
from devices.scenario.topic_conflicts import check_topics
from devices.sensors.registry import KINDS
from edgewire.config import check_options
from edgewire.config_errors import closest
from edgewire.errors import ConfigError
from edgewire.model_tree import named_fields
from edgewire.yaml_file import Location, YamlFile, raise_problems

_GROUP_KEYS = frozenset(DeviceGroup.model_fields) - {"kind", "count", "ids", "vehicles", "settings"}
"""What `--set` may say of a group, beside the settings of its kind."""


def make_scenario(
    kinds: Sequence[str], counts: Sequence[int], interval: str | None, settings: Sequence[str]
) -> Scenario:
    """Return the scenario with a group a kind; raises `ConfigError` that names the option which is wrong."""
    if len(counts) > 1 and len(counts) != len(kinds):
        said = f"--count is given {len(counts)} times, --kind {'once' if len(kinds) == 1 else f'{len(kinds)} times'}"
        raise ConfigError(f"{said}: give one for all, or one for each --kind")
    made = _Groups(kinds)
    for number, kind in enumerate(kinds):
        made.options["devices", number] = f"--kind {kind}"
        made.put(number, ("kind",), kind, f"--kind {kind}")
        if counts:
            count = counts[number % len(counts)]
            made.put(number, ("count",), count, f"--count {count}")
        if interval is not None:
            made.put(number, ("interval",), interval, f"--interval {interval}")
    if all(kind in KINDS for kind in kinds):
        for text in settings:
            made.apply_setting(text)
    scenario = check_options({"devices": made.groups}, Scenario, made.options)
    check_topics(scenario, lambda location: made.options.get(location) or f"--kind {kinds[int(location[1])]}")
    return scenario


class _Groups:
    """Holds the groups of a scenario in the making, and which option each of their values is from."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = kinds
        self.groups: list[dict[str, Any]] = [{} for _ in kinds]
        self.options: dict[Location, str] = {}
        self._of_one_kind: set[Location] = set()

    def apply_setting(self, text: str) -> None:
        """Put a `--set` into all groups that it is about; raises `ConfigError` where there are none."""
        option = f"--set {text}"
        key, sign, value = text.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not sign or not all(path):
            raise ConfigError(f"{option}: write KEY=VALUE, such as noise=false")
        of_one_kind = path[0] in self.kinds
        chosen = [number for number, kind in enumerate(self.kinds) if path[0] in (kind, *_known_keys(kind))]
        if of_one_kind:
            chosen = [number for number in chosen if self.kinds[number] == path[0]]
            path = path[1:]
        if of_one_kind and not path:
            raise ConfigError(f"{option}: say which key of {key}, such as {key}.jitter=1s")
        kinds = {self.kinds[number] for number in chosen} or set(self.kinds)
        known = {name for kind in kinds for name in _known_keys(kind)}
        if path[0] not in known:
            near = closest(path[0], known) or f"; there are {', '.join(sorted(known))}"
            has = f"{' and '.join(sorted(kinds))} {'has' if len(kinds) == 1 else 'have'}"
            raise ConfigError(f"{option}: {has} no setting '{path[0]}'{near}")
        read = _read_value(option, value)
        for number in chosen:
            is_setting = path[0] in named_fields(KINDS[self.kinds[number]].settings)
            self.put(number, (*(("settings",) if is_setting else ()), *path), read, option, of_one_kind=of_one_kind)

    def put(self, number: int, path: Sequence[str], value: Any, option: str, *, of_one_kind: bool = False) -> None:
        """Put a value where a path leads. What is said of one kind wins; what is said twice is a `ConfigError`."""
        at = self.groups[number]
        for length, key in enumerate(path, 1):
            location: Location = ("devices", number, *path[:length])
            is_last = length == len(path)
            if location in self.options and (is_last or not isinstance(at[key], dict)):
                if not of_one_kind or location in self._of_one_kind:
                    raise ConfigError(f"{option}: {self.options[location]} says it already: leave one of the two out")
                at.pop(key)
            if is_last:
                at[key] = value
                self.options[location] = option
                self._of_one_kind.update({location} if of_one_kind else ())
            else:
                at = at.setdefault(key, {})


def _read_value(option: str, value: str) -> Any:
    """Return a value as a scenario file has it."""
    try:
        read = YamlFile(value, option)
        raise_problems(option, read.problems)
        return read.data
    except ConfigError as error:
        said = re.sub(r"^:\d+", "", str(error).removeprefix(option))
        raise ConfigError(option + said) from None


def _known_keys(kind: str) -> set[str]:
    return {*named_fields(KINDS[kind].settings), *_GROUP_KEYS}
