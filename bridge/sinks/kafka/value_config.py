"""Reads how the values of Kafka records are written, and where their schemas are kept."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from bridge.sinks.http.proxy import ProxySetting
from edgewire.config import Config, DurationMs
from edgewire.config_errors import text_matching
from edgewire.errors import ConfigError
from edgewire.extras import require_extra
from edgewire.secret_file import take_secret
from edgewire.service_url import split_http_url

_SERIALIZERS = {"avro": "fastavro", "protobuf": "google.protobuf"}


def _url(text: str) -> str:
    split_http_url(text)
    return text.rstrip("/")


class SchemaRegistryConfig(Config):
    """A schema registry with the API of Confluent's."""

    url: Annotated[str, Field(min_length=1, repr=False), AfterValidator(_url)]
    """Such as `http://registry:8081`."""
    token: SecretStr | None = None
    """Sent as `Authorization: Bearer`."""
    username: Annotated[str, text_matching(r"^[^:]*$", "a name without a colon")] | None = None
    """With `password`, sent as `Authorization: Basic`."""
    password: SecretStr | None = None
    token_file: Path | None = None
    """File with the token, instead of `token`. Read again by a reload."""
    password_file: Path | None = None
    """File with the password, instead of `password`. Read again by a reload."""
    ca_file: Path | None = None
    """Certificates to trust for https:// instead of the system's."""
    certificate: Path | None = None
    """PEM file of the certificate, and its chain, by which the bridge says who it is (mTLS)."""
    key: Path | None = None
    """PEM file of its key, where that is not in the same file."""
    proxy: ProxySetting = "environment"
    """environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY count; none: they do not; or http://HOST:PORT."""
    timeout: Annotated[DurationMs, Field(ge=1)] = 10_000
    """Until the whole answer is there."""

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, values: Any) -> Any:
        if isinstance(values, str):
            return {"url": values}
        return take_secret(take_secret(values, "token"), "password") if isinstance(values, dict) else values

    @field_validator("token", "password")
    @classmethod
    def _one_line(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value().isprintable():
            raise ValueError("has a line break or another control character: a secret is one line")
        return secret

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: write both or none")
        if self.token and self.username is not None:
            raise ValueError("token and username are both set: a request can have only one of them")
        if self.key and not self.certificate:
            raise ValueError("key is set, but not its certificate")
        return self


class ValueConfig(Config):
    """How the values of records are written. A format alone is written as text."""

    format: Literal["json", "avro", "protobuf"] = "json"
    """Avro and Protobuf have the id of their schema before them, as Confluent's serializers write it."""
    subject: Literal["topic", "record", "topic_record"] = "topic"
    """Under which name the registry keeps the schema: `TOPIC-value` (TopicNameStrategy), the full name of the record
    (RecordNameStrategy), or both (TopicRecordNameStrategy)."""
    auto_register: bool = True
    """Whether the bridge registers the schema of the message contract; else the subject's latest version is used."""
    unknown_fields: Literal["reject", "drop"] = "reject"
    """What becomes of a message with a field that the schema does not have: a dead letter, or it loses the field."""

    @model_validator(mode="before")
    @classmethod
    def _format_alone(cls, value: Any) -> Any:
        return {"format": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        if self.format == "json" and (unused := sorted(self.model_fields_set - {"format"})):
            raise ValueError(f"{', '.join(unused)}: JSON has no schema; write format: avro or format: protobuf")
        if self.format != "json":
            try:
                require_extra(_SERIALIZERS[self.format], "schemas", f"format: {self.format}")
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self
