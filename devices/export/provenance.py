"""Says of an export what it is of: in the footer of its Parquet files, in its manifest, in the table `runs`."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from devices.export.job import ExportSpan
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgewire.clock import iso_ms


@dataclass(frozen=True, slots=True)
class Provenance:
    """Names what the messages of an export depend on: two exports with the same have the same messages."""

    seed: int
    scenario: str
    """A hash of the scenario, seed and all."""
    version: str
    """Of edgefleet."""
    begin: str
    """ISO 8601."""
    end: str
    records: int | None
    """At the most."""
    shard: str
    clean: bool
    delays: bool

    @classmethod
    def of_export(
        cls, scenario: Scenario, span: ExportSpan, shard: Shard, version: str, *, delays: bool
    ) -> "Provenance":
        """Return that of a span of a scenario's messages."""
        return cls(
            scenario.seed,
            scenario_hash(scenario),
            version,
            iso_ms(span.from_ms),
            iso_ms(span.to_ms),
            span.records,
            str(shard),
            span.clean,
            delays,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def as_metadata(self) -> dict[str, str]:
        """Return it as the metadata of a file: `edgefleet.seed` and so on, each a text."""
        return {f"edgefleet.{name}": _text(value) for name, value in asdict(self).items()}


def scenario_hash(scenario: Scenario) -> str:
    """Return a short text of what a scenario says, without keys that it leaves out: later versions have more."""
    said = {**scenario.model_dump(mode="json", exclude={"broker"}, exclude_unset=True), "seed": scenario.seed}
    return hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
