"""What is made of a configuration that is taken: what devices of a scenario say, and where a bridge sends it."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import yaml

from tests.fuzz.examples import captured_entries, captured_payload, contract_messages, yaml_seeds
from tests.fuzz.message_targets import require_fates
from tests.fuzz.target import ROOT, Run, Target, require_words
from tests.fuzz.yaml_mutator import mutate_yaml

if TYPE_CHECKING:
    from devices.timeline.timeline import Batch, Timeline

_MOST_DEVICES = 20
_MOST_VEHICLES = 32
_MESSAGES = 60
_MOST_OF_A_DIALECT = 3
_NOON_MS = 1_772_366_400_000
"""2026-03-01T12:00:00Z."""


def _made_scenario() -> Run:
    from devices.scenario.scenario import Scenario
    from devices.timeline.timeline import Timeline
    from edgewire.config import parse_config
    from edgewire.errors import ConfigError

    def run(data: bytes) -> None:
        try:
            scenario = parse_config(data.decode(errors="replace"), Scenario, name="fuzzed.yaml")
        except ConfigError:
            return
        # What is many takes long, and is no more of a way than a few are.
        if sum(group.size for group in scenario.devices) > _MOST_DEVICES or scenario.vehicles > _MOST_VEHICLES:
            return
        powered_on_ms = scenario.power_on_ms(_NOON_MS)
        assert powered_on_ms is not None
        begin_ms = _NOON_MS if scenario.start is None else powered_on_ms
        for in_dialects in (False, True):
            try:
                if in_dialects:
                    line = Timeline(scenario, powered_on_ms, in_dialects=True)
                else:
                    line = Timeline.for_export(scenario, powered_on_ms)
                step_ms = max(1, min(60_000, round(_MESSAGES / line.rate_per_s * 1000)))
                made = [
                    line.batch(at_ms, at_ms + step_ms, lost=in_dialects) for at_ms in (begin_ms, begin_ms + step_ms)
                ]
            except ConfigError as error:
                require_words(error)
                return
            for batch in made:
                assert batch.due_ms == sorted(batch.due_ms)
                assert all(batch.payload) or in_dialects, "an empty message"
            if not in_dialects:
                _require_contract(line, made)

    return run


def _require_contract(line: "Timeline", made: "Iterable[Batch]") -> None:
    """What is said in the format of our own is what the contract of the kind allows."""
    from edgewire.messages.contract import contract_of

    for batch in made:
        for position, payload in zip(batch.device, batch.payload, strict=True):
            contract_of(line.device_group(position).kind).parse(payload)


def _made_seeds() -> Iterator[bytes]:
    """The scenarios that the documents show, each group with no more than a device or two."""
    seen: set[bytes] = set()
    for document in yaml_seeds("scenarios/*.yaml", "docs/*.md", "README.md")():
        found = yaml.safe_load(document)
        if isinstance(found, dict) and isinstance(groups := found.get("devices"), list):
            for group in groups:
                if isinstance(group, dict) and isinstance(group.get("count"), int):
                    group["count"] = min(group["count"], 2)
            made = yaml.safe_dump(found, sort_keys=False).encode()
            if made not in seen:
                seen.add(made)
                yield made


def _made_bridge() -> Run:
    import tempfile
    from pathlib import Path

    from bridge.check import preview_route
    from bridge.config import BridgeConfig
    from edgewire.config import parse_config
    from edgewire.errors import ConfigError

    folder = Path(tempfile.mkdtemp(prefix="edgefleet-fuzz-"))
    messages = [*contract_messages()]
    by_dialect: dict[str, list[tuple[str, bytes]]] = {}
    for dialect, entry in captured_entries():
        heard = by_dialect.setdefault(dialect, [])
        if len(heard) < _MOST_OF_A_DIALECT:
            heard.append((entry["topic"], captured_payload(entry)))

    def run(data: bytes) -> None:
        text = data.decode(errors="replace")
        try:
            config = parse_config(text, BridgeConfig, name="fuzzed.yaml", folder=folder)
        except ConfigError:
            return
        heard = [message for dialect in by_dialect if dialect in text for message in by_dialect[dialect]]
        for topic, payload in (*messages, *heard, ("a", b""), ("$SYS/a", b"\xff")):
            try:
                found = preview_route(config, topic, payload)
            except ConfigError as error:
                require_words(error, 5000)
                continue
            require_fates(found)

    return run


def _compare_arrays() -> tuple[str, ...]:
    """Return the modules that compute with arrays."""
    paths = [path for path in (ROOT / "devices").rglob("*.py") if "import numpy" in path.read_text()]
    return tuple(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)


MADE_TARGETS = {
    "made-scenario": Target(
        _made_scenario,
        _made_seeds,
        ("devices", "edgewire.dialects"),
        2048,
        mutate_yaml,
        case_s=60,
        unmeasured=_compare_arrays(),
    ),
    "made-bridge": Target(
        _made_bridge,
        yaml_seeds("bridge.yaml", "docs/*.md"),
        ("bridge", "edgewire"),
        2048,
        mutate_yaml,
    ),
}
