"""The sidecar file of an export under way: how far it has come, and of which export it is."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from devices.export.base import ExportError
from devices.scenario import Scenario


def fingerprint(scenario: Scenario, **choices: object) -> str:
    """A short text that is the same only for exports that write the same messages to the same place."""
    said = {"scenario": scenario.model_dump(mode="json", exclude={"broker"}), **choices}
    return hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far an export has come."""

    fingerprint: str
    next_ms: int
    """Where the next window begins."""
    step_ms: int
    """How long the next window is."""
    records: int
    target: dict[str, Any]
    """The target's own state."""

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; raises `ExportError` where that cannot be."""
        beside = path.with_name(path.name + ".new")
        try:
            with beside.open("wb") as file:
                file.write(orjson.dumps(self))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            raise ExportError(f"{path}: how far the export is cannot be written down: {error.strerror}") from None

    @classmethod
    def load(cls, path: Path, expected: str) -> "Checkpoint | None":
        """The checkpoint in a file, None where there is none.

        Raises `ExportError` where it belongs to another export than the one with the fingerprint `expected`.
        """
        try:
            found = cls(**orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ExportError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, TypeError):
            raise ExportError(f"{path} is no checkpoint: delete it to begin anew") from None
        if found.fingerprint != expected:
            raise ExportError(
                f"{path} is of an export with another scenario, time span, shard or format: "
                "repeat its command, or leave out --resume to begin anew"
            )
        return found
