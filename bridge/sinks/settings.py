"""Holds the settings that all sinks have in common; each sink's own stand beside it, on top of these."""

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from bridge.message.template import Template, templates_in
from bridge.routing.contract import check_template_fields
from edgewire.config import Config, DurationMs, PositiveInt
from edgewire.messages import KindContract, MessageType


class RetryConfig(Config):
    """Waiting times between attempts: exponential backoff with full jitter."""

    base: Annotated[DurationMs, Field(ge=1)] = 500
    cap: Annotated[DurationMs, Field(ge=1)] = 30_000
    pause: Annotated[DurationMs, Field(ge=1)] = 30_000
    """The wait after an answer that only a change of configuration can turn, such as 401 or 404."""
    open_after: PositiveInt = 3
    """After so many failures in a row the breaker of a destination opens: nothing but a probe is sent there."""


class SinkConfig(Config):
    """The settings of every sink."""

    retry: RetryConfig = RetryConfig()
    window: PositiveInt = 20_000
    """Messages in memory that are not yet delivered; what is behind them waits in the spool."""

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        """Check its templates: they are of all routes, so a field must be one of any message."""
        check_template_fields(_templates(self), "#", {})
        return self

    def takes_bytes(self, target: "Target") -> bool:
        """Return whether a message that is no JSON, or not even text, can be sent as it is to this target."""
        return True


class Target(Config):
    """Says where a route leads in one sink: the value of the sink's key in a route."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # A text alone is the address; see each sink.
        return {"anyOf": [{"type": "string"}, handler(core)]}

    @classmethod
    def from_contract(cls, kind: KindContract, message: MessageType) -> Self:
        """Return the target of a type of message where the configuration has no routes of its own."""
        raise NotImplementedError

    def templates(self) -> Iterator[Template]:
        """Yield every template in it."""
        return _templates(self)


def _templates(model: Config) -> Iterator[Template]:
    values: list[Any] = [getattr(model, name) for name in type(model).model_fields]
    return templates_in(values)
