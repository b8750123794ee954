"""Says how `edgefleet generate` delivers to a server: which URL or cluster, how much at once, how often it tries."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefleet.cli.common import first_token, parse_duration
from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from devices.export.http import UploadOptions
    from devices.export.kafka import KafkaOptions
    from devices.timeline.timeline import Timeline

_PANEL = "Delivery to a server"


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Names a server, and how it is treated."""

    upload: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_UPLOAD",
            help="Post to this URL, one JSON object a request; without a path, or to /ingest/batch, in batches.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = field(default=None, repr=False)
    upload_token: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_INGEST_TOKEN",
            callback=first_token,
            help="With --upload: bearer token, where the service asks for one.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = field(default=None, repr=False)
    batch: Annotated[
        int | None,
        typer.Option(
            envvar="EDGEFLEET_BATCH",
            help="With --upload: records a request, as a JSON array where the path is not ours. Default: 1, ours 2000.",
            min=1,
            max=100_000,
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    rate_limit: Annotated[
        float | None,
        typer.Option(
            envvar="EDGEFLEET_RATE_LIMIT",
            help="With --upload: records a second at the most.",
            min=0.001,
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    timeout: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_TIMEOUT",
            help="With --upload: of a request. Default: 30s.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    kafka: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_KAFKA",
            help="Produce to Kafka at these bootstrap servers.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = field(default=None, repr=False)
    kafka_config: Annotated[
        Path | None,
        typer.Option(
            envvar="EDGEFLEET_KAFKA_CONFIG",
            metavar="FILE",
            help="How the cluster is reached (SASL, TLS, compression), topics and headers: YAML, the keys of the "
            "bridge's Kafka sink.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    topic: Annotated[
        list[str] | None,
        typer.Option(
            envvar="EDGEFLEET_TOPIC",
            help="With --kafka: another topic for all messages (NAME), for a kind (bme280=NAME), or for those of a "
            "topic (foot_traffic=NAME). Repeatable.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    retries: Annotated[
        int | None,
        typer.Option(
            envvar="EDGEFLEET_RETRIES",
            help="How often to try again. Default: --upload 7, and for ever in a stream; --kafka 6 at the start.",
            min=0,
            max=1_000_000,
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    retry_backoff: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_RETRY_BACKOFF",
            help="Pause before that: with --kafka so long (5s), with --upload up to that, and doubled (500ms).",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None

    @property
    def kafka_servers(self) -> str | None:
        """Return the bootstrap servers that `--kafka` names, or the file of `--kafka-config`; None without either."""
        if self.kafka is not None or self.kafka_config is None:
            return self.kafka
        from edgefleet.cli.kafka_config import load_kafka_config

        return load_kafka_config(self.kafka_config).bootstrap_servers

    def check(self) -> None:
        """Raise `ConfigError` for an option that says nothing of where the messages go."""
        of_upload = {"--batch": self.batch, "--rate-limit": self.rate_limit, "--timeout": self.timeout}
        of_both = {"--retries": self.retries, "--retry-backoff": self.retry_backoff}
        for option, value in of_upload.items():
            if value is not None and self.upload is None:
                raise ConfigError(f"{option} is for posts over HTTP: add --upload URL, or leave it out")
        for option, value in of_both.items():
            if value is not None and self.upload is None and self.kafka_servers is None:
                raise ConfigError(f"{option} is for a server: add --upload or --kafka, or leave it out")
        if self.topic and self.kafka_servers is None:
            raise ConfigError("--topic is for Kafka: add --kafka HOST:PORT, or leave it out")

    def upload_options(self) -> "UploadOptions":
        """Return what they say of an upload; raises `ConfigError` for what is no duration."""
        from devices.export.http import UploadOptions
        from edgewire.backoff import Backoff

        usual = UploadOptions()
        backoff = usual.backoff
        if self.retry_backoff is not None:
            base_s = parse_duration("--retry-backoff", self.retry_backoff) / 1000
            backoff = Backoff(base_s=base_s, cap_s=max(base_s, backoff.cap_s))
        return UploadOptions(
            batch=self.batch,
            records_per_s=self.rate_limit,
            timeout_s=usual.timeout_s if self.timeout is None else parse_duration("--timeout", self.timeout) / 1000,
            retries=self.retries,
            backoff=backoff,
            token=self.upload_token,
        )

    def kafka_options(self, timeline: "Timeline") -> "KafkaOptions":
        """Return what they say of Kafka; raises `ConfigError` for topics that no message goes to."""
        from devices.export.columns import all_schemas, table_schemas
        from devices.export.kafka import KafkaOptions, parse_topics
        from edgewire.kafka import CLUSTER_DEFAULT

        usual = KafkaOptions()
        backoff_s = usual.backoff_s
        if self.retry_backoff is not None:
            backoff_s = parse_duration("--retry-backoff", self.retry_backoff) / 1000
        schemas = table_schemas(timeline)
        options = KafkaOptions(parse_topics(self.topic or [], schemas), self.retries, backoff_s)
        if self.kafka_config is None:
            return options
        from edgefleet.cli.kafka_config import load_kafka_config

        said = load_kafka_config(self.kafka_config)
        # Of all kinds, some may not be in this scenario: the file is for several.
        written = parse_topics([f"{of}={name}" for of, name in said.topics.items()], all_schemas())
        return replace(
            options,
            topics=written | dict(options.topics),
            properties=said.properties,
            compression=said.compression,
            linger_ms=said.linger,
            partitions=said.partitions if "partitions" in said.model_fields_set else CLUSTER_DEFAULT,
            replicas=said.replication_factor or CLUSTER_DEFAULT,
            timeout_s=said.timeout / 1000,
            headers=said.headers,
        )
