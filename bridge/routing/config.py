"""Reads a row of the routing table as the configuration has it."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, create_model, field_validator, model_validator

from bridge.routing.contract import check_template_fields
from bridge.routing.sampling import Sampler
from bridge.routing.validation import Schema
from bridge.sinks.registry import SINKS
from bridge.sinks.settings import Target
from edgewire.config import Config
from edgewire.mqtt.errors import Unsendable
from edgewire.mqtt.filters import check_filter

# The keys of the sinks come from their table, so that a new sink needs no line here.
_target_keys: dict[str, Any] = {
    name: (kind.target | None, Field(None, description=f"Without it the message does not go to {name}."))
    for name, kind in SINKS.items()
}

_Targets = create_model("_Targets", __base__=Config, **_target_keys)


class RouteConfig(_Targets):
    """One row of the routing table; the first that matches a message decides where it goes."""

    topic: Annotated[str, Field(min_length=1)]
    """Topic filter, with the wildcards of MQTT."""
    match: dict[str, str | int | bool | list[str | int | bool]] = {}
    """Fields of the payload and the value, or values, they must have."""
    drop: bool = False
    """Leave these messages out of every sink; they are counted as dropped by rule."""
    sample: Sampler | None = None
    """Take only this share, `0.1` or `1/10`, `by message` or `by device`; the rest is counted as dropped by rule."""
    validation: Annotated[Literal["off", "warn", "reject"], Field(alias="validate")] = "off"
    """Payloads that are not as agreed: not looked at, counted, or made dead letters."""
    schema_file: Annotated[Path | None, Field(alias="schema")] = None
    """A JSON Schema to validate against instead of the contract."""
    expired: Literal["deliver", "dead_letter"] = "deliver"
    """A message whose expiry (MQTT 5) is over when its turn comes is delivered and counted, or a dead letter."""
    _schema: Schema | None = PrivateAttr(None)

    @property
    def targets(self) -> dict[str, Target]:
        """Return where it leads in each sink, by name."""
        return {name: target for name in SINKS if (target := getattr(self, name)) is not None}

    @property
    def loaded_schema(self) -> Schema | None:
        """Return the schema that `schema` names."""
        return self._schema

    @field_validator("topic")
    @classmethod
    def _filter(cls, topic: str) -> str:
        return valid_topic_filter(topic)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.drop and (self.targets or self.sample or self.validation != "off" or self.expired != "deliver"):
            raise ValueError("drop leaves a message out of every sink: it goes with topic and match alone")
        if self.schema_file and self.validation == "off":
            raise ValueError("schema is set, but validate is off: write validate: warn or validate: reject")
        self._schema = Schema.from_file(self.schema_file) if self.schema_file else None
        known = self._schema.properties if self._schema else ()
        for name, target in self.targets.items():
            try:
                check_template_fields(target.templates(), self.topic, self.match, known)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return self


def valid_topic_filter(topic_filter: str) -> str:
    """Return the topic filter as it is. Raises `ValueError` where it is none."""
    try:
        check_filter(topic_filter)
    except Unsendable as error:
        raise ValueError(str(error)) from None
    return topic_filter
