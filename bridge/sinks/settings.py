"""What the settings of all sinks have in common: each sink's own stand beside it, on top of these."""

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from bridge.message.template import Template, templates_in
from bridge.routing.contract import require_known
from edgewire.config import Config, DurationMs
from edgewire.messages import KindContract, MessageType

Count = Annotated[int, Field(ge=1)]


class RetryConfig(Config):
    """Waiting times between attempts: exponential backoff with full jitter."""

    base: Annotated[DurationMs, Field(ge=1)] = 500
    cap: Annotated[DurationMs, Field(ge=1)] = 30_000
    pause: Annotated[DurationMs, Field(ge=1)] = 30_000
    """The wait after an answer that only a change of configuration can turn, such as 401 or 404."""
    open_after: Count = 3
    """After so many failures in a row the breaker of a destination opens: nothing but a probe is sent there."""


class SinkConfig(Config):
    """What every sink has."""

    retry: RetryConfig = RetryConfig()
    window: Count = 20_000
    """Messages in memory that are not yet delivered; what is behind them waits in the spool."""

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        """Templates here are of all routes, so a field must be one of any message."""
        require_known(_templates(self), "#", {})
        return self


class Target(Config):
    """Where a route leads in one sink: the value of the sink's key in a route."""

    @classmethod
    def of_contract(cls, kind: KindContract, message: MessageType) -> Self:
        """The target of a shape of message where the configuration has no routes of its own."""
        raise NotImplementedError

    def templates(self) -> Iterator[Template]:
        """Every template in it."""
        return _templates(self)


def _templates(model: Config) -> Iterator[Template]:
    values: list[Any] = [getattr(model, name) for name in type(model).model_fields]
    return templates_in(values)
