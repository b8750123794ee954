"""Reads the configuration file of the bridge; `bridge.yaml` in the root of the repository explains every key.

The settings of each part stand beside it; here are those of the parts that are one file, and how all belong together.
Environment variables named `BRIDGE_…` win over the file: `BRIDGE_HTTP__URL` sets `http.url`.
"""

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AnyHttpUrl, Field, SecretStr, create_model, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from bridge.delivery.config import DeadLettersConfig
from bridge.loss_detection.config import WatchConfig
from bridge.message.config import RAW_FORMAT, SubscriptionConfig
from bridge.routing.config import RouteConfig, valid_topic_filter
from bridge.routing.table import contract_routes, possible_routes
from bridge.sinks.registry import SINK_FAULTS, SINKS
from bridge.sinks.settings import SinkConfig
from bridge.source.config import MqttConfig
from bridge.spool.config import SpoolConfig
from edgewire.config import Config, ConfigFile, DurationMs
from edgewire.config_errors import located_error, text_matching
from edgewire.errors import ConfigError
from edgewire.http_guard import SHORTEST_TOKEN
from edgewire.link import BrokerUrl
from edgewire.link.url import with_password_file
from edgewire.link.websocket_config import WEBSOCKET_UNUSED, WebSocketConfig
from edgewire.messages import MEASUREMENT_FILTERS
from edgewire.mqtt.filters import filter_matches, is_shared
from edgewire.secret_file import take_secret
from edgewire.tls import check_tls_keys

# The keys of the sinks come from their table, so that a new sink needs no line here.
_sink_keys: dict[str, Any] = {
    name: (kind.config | None, Field(None, description=f"Absent: nothing goes to {name}."))
    for name, kind in SINKS.items()
}

_Sinks = create_model("_Sinks", __base__=ConfigFile, **_sink_keys)


class TracingConfig(Config):
    """Says where spans of messages that bring a `traceparent` go. Needs the extra `edgefleet[otel]`."""

    endpoint: Annotated[AnyHttpUrl, Field(repr=False)] = AnyHttpUrl("http://127.0.0.1:4318/v1/traces")
    """OTLP over HTTP."""
    service_name: str = "edgefleet-bridge"


class AdminConfig(Config):
    """Says where the state of the bridge is served, and where it is paused, drained and its dead letters replayed."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    token: SecretStr | None = None
    """What whoever changes something or reads dead letters must send as `Authorization: Bearer`, at least 16
    characters. Absent: only who runs on this machine may, and nobody where `host` is not 127.0.0.1."""
    token_file: Path | None = None
    """File with the token, instead of `token`. Read again by a reload."""

    @model_validator(mode="before")
    @classmethod
    def _secret_from_file(cls, values: Any) -> Any:
        return take_secret(values, "token") if isinstance(values, dict) else values

    @field_validator("token")
    @classmethod
    def _is_long_enough(cls, token: SecretStr | None) -> SecretStr | None:
        text = "" if token is None else token.get_secret_value()
        is_sendable = text.isascii() and text.isprintable() and " " not in text
        if token is not None and (len(text) < SHORTEST_TOKEN or not is_sendable):
            raise ValueError(
                f"is {SHORTEST_TOKEN} characters of ASCII or more, no spaces: make one with `openssl rand -hex 32`"
            )
        return token


class BridgeConfig(_Sinks):
    """The whole file."""

    model_config = SettingsConfigDict(env_prefix="BRIDGE_")

    own_keys = frozenset({*SINKS, "routes", "subscriptions", "spool", "mqtt", "admin"})
    foreign_keys: ClassVar = {
        "this is a scenario: run it with `edgefleet run {name}`": frozenset(
            {"devices", "sites", "faults", "seed", "time_scale", "outbox", "firmware"}
        )
    }

    broker: Annotated[str | tuple[str, ...], Field(repr=False)] = "mqtt://127.0.0.1:1883"
    """mqtt://[user:password@]host[:port], mqtts:// for TLS, ws:// or wss:// for WebSockets, unix:///path; see
    transports.md. A list of them: see `broker_list`."""
    broker_list: Literal["in_order", "spread", "fixed"] = "in_order"
    """With a list of brokers. `in_order`: the bridge begins with the first, and goes on to the next where it cannot
    receive. `spread`: the same, but members that share a subscription begin with different ones, by the number at the
    end of `client_id`. `fixed`: as `spread`, and it never goes to another."""
    client_id: Annotated[
        str, text_matching(r"^[A-Za-z0-9_.-]{1,64}$", "letters, digits, '_', '.' and '-', at most 64 of them")
    ] = "edgefleet-bridge"
    """The name of the session: stable, and of one bridge alone. Knows {hostname}, and {ordinal}: the number at the end
    of the host's name, as of a StatefulSet's pod, or the environment variable BRIDGE_ORDINAL."""
    subscriptions: Annotated[tuple[str | SubscriptionConfig, ...], Field(min_length=1)] = MEASUREMENT_FILTERS
    """Topic filters, each alone (what comes by it is read by the message contract) or with the format it is read in."""
    mqtt: MqttConfig = MqttConfig()
    watch: WatchConfig = WatchConfig()
    tracing: TracingConfig | None = None
    """Absent: no spans are made; a `traceparent` is handed on all the same."""
    spool: SpoolConfig = SpoolConfig()
    dead_letters: DeadLettersConfig = DeadLettersConfig()
    routes: tuple[RouteConfig, ...] = ()
    """Empty: the routes of the message contract."""
    kinds: Annotated[
        tuple[Annotated[str, text_matching(r"^[a-z][a-z0-9_]{0,31}$", "the name of a kind, in small letters")], ...],
        Field(max_length=1000),
    ] = ()
    """Without `routes`: kinds of your own, which go the way of the others: to `/ingest/KIND`, and in Kafka to the topic
    KIND; see your-own-kind.md."""
    admin: AdminConfig = AdminConfig()
    shutdown_timeout: Annotated[DurationMs, Field(ge=0)] = 5_000
    """How long the sinks may take to finish what they have begun."""
    drain_timeout: Annotated[DurationMs, Field(ge=0)] = 300_000
    """How long a drain may take until nothing is pending."""

    @model_validator(mode="before")
    @classmethod
    def _sinks_are_there(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Say of a sink why its plug-in cannot be used, and not that there is no such key."""
        if broken := next((name for name in values if name in SINK_FAULTS and name not in SINKS), None):
            raise located_error((broken,), SINK_FAULTS[broken])
        return values

    @model_validator(mode="before")
    @classmethod
    def _password_from_file(cls, values: dict[str, Any]) -> dict[str, Any]:
        mqtt = values.get("mqtt")
        path = mqtt.get("password_file") if isinstance(mqtt, dict) else getattr(mqtt, "password_file", None)
        return with_password_file(values, path, "mqtt.password_file", cls.model_fields["broker"].default)

    @field_validator("client_id", mode="before", json_schema_input_type=str)
    @classmethod
    def _member(cls, client_id: object) -> object:
        return member_client_id(client_id) if isinstance(client_id, str) else client_id

    @property
    def route_rows(self) -> tuple[RouteConfig, ...]:
        """Return the routes, where there are none those of the message contract."""
        return self.routes or contract_routes(self.kinds)

    @property
    def sinks(self) -> dict[str, SinkConfig]:
        """Return the settings of the sinks that are configured, by name."""
        return {name: config for name in SINKS if (config := getattr(self, name)) is not None}

    @field_validator("broker")
    @classmethod
    def _broker_urls(cls, urls: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not urls:
            raise ValueError("needs a broker URL, or a list of them")
        places: set[str] = set()
        for text in (urls,) if isinstance(urls, str) else urls:
            try:
                url = BrokerUrl.parse(text)
            except ConfigError as error:
                raise ValueError(str(error)) from None
            if url.place in places:
                raise ValueError(f"broker {url} is in the list twice: a session is of one connection; leave one out")
            places.add(url.place)
        return urls

    @property
    def brokers(self) -> tuple[BrokerUrl, ...]:
        """Return those of `broker`, one or several, in the order in which this member tries them."""
        urls = tuple(map(BrokerUrl.parse, (self.broker,) if isinstance(self.broker, str) else self.broker))
        home = 0 if self.broker_list == "in_order" else _member_number(self.client_id) % len(urls)
        return (urls[home],) if self.broker_list == "fixed" else (*urls[home:], *urls[:home])

    def with_broker(self, place: str) -> Self:
        """Return the same for the one broker of the list that is at this place."""
        if isinstance(self.broker, str):
            return self
        url = next(one for one in self.broker if BrokerUrl.parse(one).place == place)
        return self.model_copy(update={"broker": url})

    @field_validator("subscriptions")
    @classmethod
    def _filters(cls, subscriptions: tuple[str | SubscriptionConfig, ...]) -> tuple[str | SubscriptionConfig, ...]:
        return tuple(valid_topic_filter(one) if isinstance(one, str) else one for one in subscriptions)

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the topic filters of the subscriptions."""
        return tuple(one if isinstance(one, str) else one.filter for one in self.subscriptions)

    @property
    def formats(self) -> tuple[SubscriptionConfig, ...]:
        """Return the subscriptions that say how what comes by them is read."""
        return tuple(one for one in self.subscriptions if isinstance(one, SubscriptionConfig))

    @property
    def host_id(self) -> str | None:
        """Return as which host application of Sparkplug it tells that it is there; None where it does not."""
        return next((one.host_id for one in self.formats if one.host_id is not None), None)

    @property
    def shared(self) -> bool:
        """Return whether other bridges share a subscription with this one, so that each gets a part of its messages."""
        return any(map(is_shared, self.filters))

    @model_validator(mode="after")
    def _tls_keys_fit(self) -> Self:
        kinds, mqtt = [url.kind for url in self.brokers], self.mqtt
        fault = check_tls_keys(
            uses_tls=any(kind.uses_tls for kind in kinds),
            takes_alpn=any(kind.takes_alpn for kind in kinds),
            alpn=mqtt.alpn,
            insecure=mqtt.insecure,
            ca_file=mqtt.ca_file,
        )
        unused = next((key for key in ("ca_file", "certificate", "key") if getattr(mqtt, key) is not None), None)
        # A file may leave the broker to the environment, which is not there where the file alone is checked.
        if unused and "broker" in self.model_fields_set and not any(kind.uses_tls for kind in kinds):
            fault = f"{unused}: no broker is dialled with TLS; write mqtts:// or wss://, or leave it out"
        if not any(kind.takes_headers for kind in kinds) and mqtt.websocket != WebSocketConfig():
            fault = WEBSOCKET_UNUSED
        if fault:
            key, _, said = fault.partition(" ")
            raise located_error(("mqtt", key.rstrip(":")), said)
        return self

    @model_validator(mode="after")
    def _kinds_have_routes(self) -> Self:
        if self.kinds and self.routes:
            said = (
                f"routes say where everything goes: add one for edge/+/{self.kinds[0]}/+/telemetry, and leave this out"
            )
            raise located_error(("kinds",), said)
        return self

    @model_validator(mode="after")
    def _retained_come(self) -> Self:
        if self.mqtt.retained == "always" and all(map(is_shared, self.filters)):
            raise located_error(("mqtt", "retained"), "is 'always', but a shared subscription gets none of them")
        return self

    @model_validator(mode="after")
    def _is_one_host(self) -> Self:
        for number, one in enumerate(self.subscriptions):
            if isinstance(one, SubscriptionConfig) and one.host_id not in (None, self.host_id):
                said = f"host_id '{one.host_id}' is another than '{self.host_id}', and the bridge is one host"
                raise located_error(("subscriptions", number, "decode"), f"{said}: write the same, or leave it out")
        return self

    @model_validator(mode="after")
    def _dead_letters_do_not_come_back(self) -> Self:
        topic = self.dead_letters.mqtt_topic
        if topic and (found := next((one for one in self.filters if _subscribes(one, topic)), None)):
            raise ValueError(
                f"dead_letters.mqtt_topic '{topic}' is among the subscriptions ('{found}'): every dead letter would"
                " come back as a message; name another topic"
            )
        if self.dead_letters.kafka_topic and "kafka" not in self.sinks:
            raise ValueError("dead_letters.kafka_topic is set, but kafka is not configured: name its cluster")
        return self

    @model_validator(mode="after")
    def _bytes_fit(self) -> Self:
        """Refuse what nobody looks into where its sink puts messages together as JSON."""
        for number, one in enumerate(self.subscriptions):
            if not isinstance(one, SubscriptionConfig) or one.format != RAW_FORMAT:
                continue
            rows = possible_routes(one, self.route_rows)
            for name, settings in self.sinks.items():
                if any(name in row.targets and not settings.takes_bytes(row.targets[name]) for row in rows):
                    said = f"is none, and {name} puts messages together as JSON: set {name}.mode: single"
                    raise located_error(("subscriptions", number, "decode"), said)
        return self

    @model_validator(mode="after")
    def _somewhere_to_go(self) -> Self:
        if not self.sinks:
            raise ValueError(f"no sink is configured: name at least one of {', '.join(SINKS)}")
        return self


def member_client_id(client_id: str) -> str:
    """Return the name of this member: `{hostname}` and `{ordinal}` filled in. Raises `ValueError`."""
    hostname = socket.gethostname()
    values = {"hostname": hostname, "ordinal": os.environ.get("BRIDGE_ORDINAL", "")}
    if "{ordinal}" in client_id and not values["ordinal"]:
        found = re.search(r"-(\d+)$", hostname)
        if not found:
            raise ValueError(
                f"'{client_id}' asks for an ordinal, but the host is called '{hostname}' without a number at its end:"
                " set BRIDGE_ORDINAL"
            )
        values["ordinal"] = found[1]
    for name, value in values.items():
        client_id = client_id.replace(f"{{{name}}}", value)
    return client_id


def _member_number(client_id: str) -> int:
    found = re.search(r"(\d+)$", client_id)
    return int(found[1]) if found else 0


def _subscribes(subscription: str, topic: str) -> bool:
    shared = is_shared(subscription)
    return filter_matches(subscription.split("/", 2)[2] if shared else subscription, topic)
