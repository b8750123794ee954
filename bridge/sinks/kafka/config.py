"""Reads the settings of the Kafka sink, and its target in a route."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from bridge.message.template import Template
from bridge.sinks.kafka.value_config import SchemaRegistryConfig, ValueConfig
from bridge.sinks.settings import SinkConfig, Target
from edgewire.config import DurationMs, PositiveInt
from edgewire.messages import KAFKA_TOPIC, KindContract, MessageType
from edgewire.model_tree import PathKeys
from edgewire.redact import is_secret_name, show_servers
from edgewire.secret_file import take_secret
from edgewire.tls import file_state

_OURS = {
    "acks": "the bridge needs acknowledgements of all replicas",
    "request.required.acks": "the bridge needs acknowledgements of all replicas",
    "enable.idempotence": "the bridge keeps the order of a device with it",
    "enable.gapless.guarantee": "the bridge keeps the order of a device with it",
    "message.timeout.ms": "the bridge never gives a message up",
    "delivery.timeout.ms": "the bridge never gives a message up",
    "bootstrap.servers": "write bootstrap_servers",
    "compression.type": "write compression",
    "compression.codec": "write compression",
    "linger.ms": "write linger",
    "queue.buffering.max.ms": "write linger",
}
_FILES = frozenset(
    {
        *("ssl.ca.location", "ssl.certificate.location", "ssl.crl.location", "ssl.key.location"),
        *("ssl.keystore.location", "sasl.kerberos.keytab"),
        *("sasl.password_file", "sasl.username_file", "ssl.key.password_file", "ssl.keystore.password_file"),
        *("sasl.oauthbearer.client.secret_file", "ssl.key.pem_file", "ssl.certificate.pem_file"),
    }
)
"""Properties that are paths, relative to the configuration file."""


def _servers(servers: str) -> str:
    if "@" in servers:
        raise ValueError(
            f"'{show_servers(servers)}' has a user: write sasl.username and sasl.password_file into properties"
        )
    return servers


def _property_name(name: str) -> str:
    """Return the name of a property: in that of a variable of the environment `_` stands for `.`."""
    if "." in name or name == "log_level":
        return name
    return name.removesuffix("_file").replace("_", ".") + ("_file" if name.endswith("_file") else "")


def _topic(template: Template) -> Template:
    example = "".join([part if isinstance(part, str) else "x" for part in template.parts])
    if not KAFKA_TOPIC.fullmatch(example):
        raise ValueError(f"'{template.text}' is no name of a topic: letters, digits, '.', '_' and '-', at most 249")
    return template


def _partition(template: Template) -> Template:
    if template.fixed is not None and not template.fixed.isdecimal():
        raise ValueError(f"'{template.text}' is no number of a partition")
    return template


class KafkaTarget(Target):
    """Says where a route leads in Kafka. A topic alone is written as text."""

    topic: Annotated[Template, AfterValidator(_topic)]
    """Template."""
    key: Template = Template("{device_id}")
    """Template; messages with the same key stay in order."""
    partition: Annotated[Template, AfterValidator(_partition)] | None = None
    """Template of a number; without it the key decides."""
    headers: dict[str, Template] = {}
    """Templates; besides the attributes of CloudEvents."""
    value: ValueConfig | None = None
    """How the values are written, instead of `kafka.value`."""

    @model_validator(mode="before")
    @classmethod
    def _topic_alone(cls, value: Any) -> Any:
        return {"topic": value} if isinstance(value, str) else value

    @field_validator("headers")
    @classmethod
    def _not_ours(cls, headers: dict[str, Template]) -> dict[str, Template]:
        for name in headers:
            if name.startswith("ce_") or not name:
                raise ValueError(f"header '{name}' is written by the bridge itself")
        return headers

    @classmethod
    def from_contract(cls, kind: KindContract, message: MessageType) -> Self:
        return cls(topic=Template(message.kafka_topic))


class KafkaSinkConfig(SinkConfig):
    """The Kafka sink."""

    bootstrap_servers: Annotated[str, Field(min_length=1), AfterValidator(_servers)] = "127.0.0.1:9092"
    partitions: PositiveInt = 6
    """Of a topic that the bridge has to create."""
    replication_factor: PositiveInt | None = None
    """Of a topic that the bridge has to create; the cluster's default where it is not given."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    linger: Annotated[DurationMs, Field(ge=0, le=10_000)] = 5
    batch_messages: PositiveInt = 1000
    timeout: Annotated[DurationMs, Field(ge=1)] = 10_000
    """For reaching the cluster and creating topics. Delivery itself is tried for ever."""
    schema_registry: SchemaRegistryConfig | None = None
    """Keeps the schemas of values in Avro and Protobuf. A URL alone is written as text."""
    value: ValueConfig = ValueConfig()
    """How the values of all routes are written that do not say it themselves."""
    properties: Annotated[dict[str, str | int | float | bool], PathKeys(_FILES), Field(repr=False)] = {}
    """Further properties of librdkafka, such as `security.protocol`. NAME_file, such as `sasl.password_file`, is a file
    that holds the value of NAME; it is read again by a reload, as are certificates and keys."""
    _files: tuple[tuple[int, int, int] | None, ...] = PrivateAttr(default=())
    """How the files were that librdkafka reads when it begins. A reload compares: one that was renewed is a change."""

    def model_post_init(self, _context: Any) -> None:
        """Look at these files."""
        names = sorted(_FILES & {*self.properties})
        self._files = tuple(file_state(Path(str(self.properties[name]))) for name in names)

    @field_validator("properties", mode="before")
    @classmethod
    def _values_from_files(cls, properties: Any) -> Any:
        """Read what is in files, and take a name as a variable of the environment has it."""
        if not isinstance(properties, dict):
            return properties
        found = {_property_name(str(name)): value for name, value in properties.items()}
        for name in [name for name in found if name.endswith("_file")]:
            found = take_secret(found, name.removesuffix("_file"))
            del found[name]
        for name, value in found.items():
            if is_secret_name(name) and isinstance(value, bool | float):
                raise ValueError(f"'{name}' is read as a number or a yes or no, but should be a text: put it in quotes")
        return found

    @field_validator("properties")
    @classmethod
    def _keep_the_guarantees(cls, properties: dict[str, Any]) -> dict[str, Any]:
        """Refuse what would change these: nothing is lost and order is kept only with them as they are."""
        for name in properties:
            if name in _OURS:
                raise ValueError(f"'{name}' cannot be set here: {_OURS[name]}")
        # librdkafka has no setting for the oldest version of TLS: OpenSSL's level of security refuses 1.0 and 1.1.
        if "SECLEVEL=0" in str(properties.get("ssl.cipher.suites", "")).replace(" ", ""):
            raise ValueError("'ssl.cipher.suites' with @SECLEVEL=0 lets TLS 1.0 in: leave the level out")
        return properties
