"""Reads the file of `--kafka-config`: how a cluster is reached, in the words of the bridge's Kafka sink."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from bridge.sinks.kafka.config import KafkaSinkConfig
from edgewire.config import load_config

_OF_THE_BRIDGE = ("retry", "window", "batch_messages")


class KafkaExportConfig(KafkaSinkConfig):
    """The Kafka sink's settings of the cluster, and where an export's messages go there."""

    topics: dict[str, str] = {}
    """Kind, or topic of the contract -> topic, as `--topic` has them."""
    headers: Annotated[dict[str, str], Field(repr=False)] = {}
    """Of every message, besides the attributes of CloudEvents."""

    @model_validator(mode="before")
    @classmethod
    def _no_settings_of_a_sink(cls, value: Any) -> Any:
        """Refuse what is of a sink that runs for ever: it would be ignored."""
        for name in _OF_THE_BRIDGE:
            if isinstance(value, dict) and name in value:
                raise ValueError(f"'{name}' is for the bridge, which delivers for ever: leave it out")
        return value

    @field_validator("headers")
    @classmethod
    def _not_ours(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.startswith("ce_") or name in ("", "content-type"):
                raise ValueError(f"header '{name}' is written by edgefleet itself")
        return headers


@cache
def load_kafka_config(path: Path) -> KafkaExportConfig:
    """Return what a file says; raises `ConfigError` that names the file and the key."""
    return load_config(path, KafkaExportConfig)
