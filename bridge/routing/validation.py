"""Checks that a payload is as agreed: by the contract of its kind, or by a JSON Schema of the user's.

`jsonschema-rs` is chosen because it knows every draft and takes a microsecond a message; a validator that knows only
older drafts would pass what `prefixItems` or `unevaluatedProperties` forbid without a word.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from edgewire.messages import ContractError, contract_of

_SHOWN = 300
"""Characters of a reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """Checks payloads against a JSON Schema from a file."""

    path: Path
    properties: frozenset[str]
    """Fields that it names at its top."""
    _validator: Any

    @classmethod
    def from_file(cls, path: Path) -> "Schema":
        """Read a schema. Raises `ValueError` with one sentence for a file that is none."""
        try:
            document = orjson.loads(path.read_bytes())
        except OSError as error:
            raise ValueError(f"schema {path} cannot be read: {error.strerror}") from None
        except orjson.JSONDecodeError as error:
            raise ValueError(f"schema {path} is not JSON: {error}") from None
        try:
            import jsonschema_rs
        except ModuleNotFoundError:
            raise ValueError(f"schema {path} needs the package jsonschema-rs: pip install jsonschema-rs") from None
        try:
            validator = jsonschema_rs.validator_for(document, retriever=_refuse_reference)
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(f"schema {path} is no JSON Schema: {_first_line(error)}") from None
        properties = document.get("properties", {}) if isinstance(document, dict) else {}
        return cls(path, frozenset(properties), validator)

    def error(self, fields: dict[str, Any]) -> str | None:
        """Return what is wrong with a payload; None where nothing is."""
        if self._validator.is_valid(fields):
            return None
        error = next(iter(self._validator.iter_errors(fields)))
        where = ".".join(map(str, error.instance_path))
        return f"{where + ': ' if where else ''}{error.message}"[:_SHOWN]


@dataclass(frozen=True, slots=True, eq=False)
class PayloadValidator:
    """Checks the payloads of a route."""

    level: Literal["warn", "reject"]
    schema: Schema | None = None
    """None for the contract."""

    def error(self, kind: str, fields: dict[str, Any]) -> str | None:
        """Return what is wrong with a payload of this kind; None where nothing is."""
        if self.schema:
            return self.schema.error(fields)
        try:
            contract_of(kind).check(fields)
        except ContractError as error:
            return str(error)[:_SHOWN]
        return None


def _refuse_reference(uri: str) -> Any:
    raise ValueError(f"it refers to {uri}, and nothing is fetched: put it into $defs")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
