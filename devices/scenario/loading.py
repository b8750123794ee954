"""Reads a scenario from its file, with all that can be told of it before anybody connects."""

from pathlib import Path

from devices.scenario.kind_places import check_places
from devices.scenario.scenario import Scenario
from devices.scenario.topic_conflicts import check_topics
from edgewire.config import load_config
from edgewire.yaml_file import Location, YamlFile, key_path


def load_scenario(path: Path) -> Scenario:
    """Return the scenario of a file; a user's module or a table that it names is one beside it.

    Raises `ConfigError`, with file, line and key, for what `Scenario` refuses, where two groups share a topic,
    and where its own kinds ask for a place that it does not have.
    """
    loaded = load_config(path, Scenario)
    scenario = loaded.model_copy(update={"devices": tuple(group.beside(path.parent) for group in loaded.devices)})

    def place_of(location: Location) -> str:
        line = YamlFile(path.read_text(encoding="utf-8"), str(path)).line(location)
        return f"{path}: {key_path(location)}" if line is None else f"{path}:{line}: {key_path(location)}"

    check_topics(scenario, place_of)
    check_places(scenario, place_of)
    return scenario
