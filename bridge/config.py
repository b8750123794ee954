"""The configuration file of the bridge; `bridge.yaml` in the root of the repository explains every key.

Environment variables named `BRIDGE_…` win over the file: `BRIDGE_HTTP__URL` sets `http.url`.
"""

from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from edgewire.config import Config, DurationMs, FileConfig, SizeBytes
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl
from edgewire.messages import BATCH_PATH, MEASUREMENT_FILTERS
from edgewire.mqtt.errors import Unsendable
from edgewire.mqtt.filters import check_filter

Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
UrlPath = Annotated[str, Field(pattern=r"^/[^\s]*$")]

KEY_FIELDS = ("device_id", "site", "kind", "channel")
"""What a key template may name."""


class MqttConfig(Config):
    """The session with the broker."""

    session_expiry: Annotated[DurationMs, Field(ge=1000, le=0xFFFF_FFFE * 1000)] = 7 * 24 * 3_600_000
    """How long the broker keeps queueing for a bridge that is away."""
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 2000
    """Messages the broker may send before the first of them is acknowledged; Mosquitto's own default is 20."""
    maximum_packet_size: Annotated[SizeBytes, Field(ge=1024, le=0x0FFF_FFFF)] = 1 << 20
    """The broker does not send us larger messages."""
    keep_alive: Annotated[DurationMs, Field(ge=1000, le=65535_000)] = 30_000
    connect_timeout: Annotated[DurationMs, Field(ge=1)] = 10_000
    retained: Literal["new", "always", "never"] = "new"
    """When the broker sends messages it has retained: for a new subscription, at every connection, or never."""
    stuck_after: Annotated[DurationMs, Field(ge=1000)] = 60_000
    """The connection is renewed when a message has been waiting for its acknowledgement this long."""
    ca_file: Path | None = None
    """Certificates to trust for mqtts:// instead of the system's."""


class SpoolConfig(Config):
    """The file in which messages are safe."""

    path: Path = Path("bridge-spool.db")
    max_bytes: Annotated[SizeBytes, Field(ge=1 << 16)] = 10 << 30
    """When it holds this much, nothing more is acknowledged until a sink makes room."""
    commit_messages: Count = 500
    """A commit is made as soon as this many messages wait for it,"""
    commit_interval: Annotated[DurationMs, Field(ge=0, le=1000)] = 5
    """and otherwise this long after the last one."""
    abandon: tuple[str, ...] = ()
    """Sinks that are configured no longer and whose pending messages may be forgotten."""


class RetryConfig(Config):
    """Waiting times between attempts: exponential backoff with full jitter."""

    base: Annotated[DurationMs, Field(ge=1)] = 500
    cap: Annotated[DurationMs, Field(ge=1)] = 30_000
    pause: Annotated[DurationMs, Field(ge=1)] = 30_000
    """The wait after an answer that only a change of configuration can turn, such as 401 or 404."""


class SinkConfig(Config):
    """What every sink has."""

    retry: RetryConfig = RetryConfig()
    window: Count = 20_000
    """Messages in memory that are not yet delivered; what is behind them waits in the spool."""


class HttpConfig(SinkConfig):
    """The HTTP sink."""

    url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8000")
    """Base of all paths."""
    mode: Literal["batch", "single"] = "batch"
    """NDJSON to `batch_path`, answered per line; or one POST a message to the path of its route."""
    batch_path: UrlPath = BATCH_PATH
    batch_messages: Count = 500
    linger: Annotated[DurationMs, Field(ge=0, le=10_000)] = 10
    """How long the first message of a batch waits for others."""
    parallel: Count | None = None
    """Requests at the same time, messages of one device always one after the other; 2 batches or 32 single posts."""
    timeout: Annotated[DurationMs, Field(ge=1)] = 10_000
    headers: dict[str, str] = {}
    token: SecretStr | None = None
    """Sent as `Authorization: Bearer`."""
    ca_file: Path | None = None
    """Certificates to trust for https:// instead of the system's."""

    @property
    def requests_at_once(self) -> int:
        """`parallel`, or its default for the mode."""
        return self.parallel or (2 if self.mode == "batch" else 32)


class KafkaConfig(SinkConfig):
    """The Kafka sink."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    partitions: Count = 6
    """Of a topic that the bridge has to create."""
    replication_factor: Count | None = None
    """Of a topic that the bridge has to create; the cluster's default where it is not given."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    linger: Annotated[DurationMs, Field(ge=0, le=10_000)] = 5
    batch_messages: Count = 2000
    timeout: Annotated[DurationMs, Field(ge=1)] = 10_000
    """For reaching the cluster and creating topics. Delivery itself is tried for ever."""
    properties: dict[str, str | int | float | bool] = {}
    """Further properties of librdkafka, such as `security.protocol`."""

    @field_validator("properties")
    @classmethod
    def _keep_the_guarantees(cls, properties: dict[str, Any]) -> dict[str, Any]:
        """Nothing is lost and order is kept only with these as they are."""
        ours = {
            "acks": "the bridge needs acknowledgements of all replicas",
            "request.required.acks": "the bridge needs acknowledgements of all replicas",
            "enable.idempotence": "the bridge keeps the order of a device with it",
            "message.timeout.ms": "the bridge never gives a message up",
            "delivery.timeout.ms": "the bridge never gives a message up",
            "bootstrap.servers": "write bootstrap_servers",
            "compression.type": "write compression",
            "compression.codec": "write compression",
            "linger.ms": "write linger",
            "queue.buffering.max.ms": "write linger",
        }
        for name in properties:
            if name in ours:
                raise ValueError(f"'{name}' cannot be set here: {ours[name]}")
        return properties


class KafkaTarget(Config):
    """Where a route leads in Kafka."""

    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
    key: str = "{device_id}"
    """Template; messages with the same key stay in order. Knows {device_id}, {site}, {kind} and {channel}."""

    @field_validator("key")
    @classmethod
    def _known_fields(cls, key: str) -> str:
        for _, name, spec, conversion in Formatter().parse(key):
            if name is not None and (name not in KEY_FIELDS or spec or conversion):
                raise ValueError(f"'{{{name}}}' is no field of a key: it knows {', '.join(KEY_FIELDS)}")
        return key


class RouteConfig(Config):
    """One row of the routing table; the first that matches a message decides where it goes."""

    topic: Annotated[str, Field(min_length=1)]
    """Topic filter, with the wildcards of MQTT."""
    match: dict[str, str | int | bool | list[str | int | bool]] = {}
    """Fields of the payload and the value, or values, they must have."""
    http: UrlPath | None = None
    """Path for single posts; without it the message does not go to HTTP."""
    kafka: KafkaTarget | None = None
    """Without it the message does not go to Kafka."""

    @field_validator("topic")
    @classmethod
    def _filter(cls, topic: str) -> str:
        return _checked_filter(topic)

    @field_validator("kafka", mode="before")
    @classmethod
    def _topic_alone(cls, value: object) -> object:
        return {"topic": value} if isinstance(value, str) else value


class AdminConfig(Config):
    """Where /healthz, /readyz, /metrics and /ledger are served."""

    host: str = "127.0.0.1"
    port: Port = 9464


class BridgeConfig(FileConfig):
    """The whole file."""

    model_config = SettingsConfigDict(env_prefix="BRIDGE_")

    broker: str = "mqtt://127.0.0.1:1883"
    """mqtt://[user:password@]host[:port], or mqtts:// for TLS."""
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "edgefleet-bridge"
    """The name of the session: stable, and of one bridge alone."""
    subscriptions: Annotated[tuple[str, ...], Field(min_length=1)] = MEASUREMENT_FILTERS
    mqtt: MqttConfig = MqttConfig()
    spool: SpoolConfig = SpoolConfig()
    http: HttpConfig | None = None
    """Absent: nothing goes to HTTP."""
    kafka: KafkaConfig | None = None
    """Absent: nothing goes to Kafka."""
    routes: tuple[RouteConfig, ...] = ()
    """Empty: the routes of the message contract."""
    admin: AdminConfig = AdminConfig()
    shutdown_timeout: Annotated[DurationMs, Field(ge=0)] = 5_000
    """How long the sinks may take to finish what they have begun."""

    @field_validator("broker")
    @classmethod
    def _broker_url(cls, broker: str) -> str:
        try:
            BrokerUrl.parse(broker)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return broker

    @field_validator("subscriptions")
    @classmethod
    def _filters(cls, subscriptions: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_checked_filter, subscriptions))

    @model_validator(mode="after")
    def _somewhere_to_go(self) -> Self:
        if self.http is None and self.kafka is None:
            raise ValueError("neither http nor kafka is configured: name at least one, so that messages have a sink")
        return self


def _checked_filter(topic_filter: str) -> str:
    try:
        check_filter(topic_filter)
    except Unsendable as error:
        raise ValueError(str(error)) from None
    return topic_filter
