"""A group of devices in the scenario: of which kind, how many, what they are called, how often and how they speak."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from devices.firmware.config import FirmwareConfig, OutboxConfig
from devices.firmware.reconnect import ReconnectConfig
from devices.replay.config import ReplayConfig
from devices.replay.loading import check_replay
from devices.replay.player import replay_defaults
from devices.scenario.device_parts import MAX_PARTS, OF_DEVICE, PART, PartPlace
from devices.scenario.gateway import GatewayOptions
from devices.scenario.identity_table import SAS_KEY, SITE, line_of_device, login_columns, read_identities
from devices.scenario.on_change import OnChange, check_on_change
from devices.scenario.speech import (
    DEVICE_NAMES,
    GATEWAY,
    NATIVE_DIALECT,
    MessageProperties,
    OwnMessage,
    SpeechError,
    check_batch,
    check_gateway,
    dialect_decoder,
    discovery_writer,
    has_some_message_ids,
    is_known_by_login,
    own_encoder,
    read_dialect,
    read_options,
    shared_topics,
    spoken_messages,
)
from devices.scenario.working_hours import WorkingHours
from devices.sensors.registry import KINDS
from edgewire import config
from edgewire.config import Config, DurationMs, SizeBytes, duration_ms, duration_text
from edgewire.config_errors import located_error, nested_error, text_matching
from edgewire.dialects.azure_iot import AZURE_IOT
from edgewire.dialects.base import DialectDecoder, DialectError
from edgewire.dialects.encoder import DialectEncoder
from edgewire.dialects.encodings import EncodingName, encoding_fault
from edgewire.dialects.esphome import EsphomeEncoder
from edgewire.dialects.home_assistant_discovery import DiscoveryWriter, HomeAssistantDiscovery
from edgewire.dialects.payload_template import braced_names, is_bare
from edgewire.dialects.reading_lists import MAX_READINGS
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.topic_check import MAX_TOPIC_BYTES, level_fault, shown_topic, text_fault
from edgewire.dialects.zigbee2mqtt_encoder import Zigbee2MqttEncoder
from edgewire.errors import ConfigError
from edgewire.messages.base import DEVICE_ID


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(KINDS.unknown(kind))
    return kind


DeviceIdTemplate = Annotated[
    str,
    text_matching(
        r"^[A-Za-z0-9][A-Za-z0-9_.{}:-]*$",
        "letters, digits, '_', '.' and '-' with {n} among them, as in north-{n:04d}, and first a letter or digit",
        max_length=64,
    ),
]
_CONTRACT_ID = re.compile(DEVICE_ID)
MAX_ID = 64
"""Letters of an id in the message contract."""
_FIELD_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_NOT_IN_A_LEVEL = frozenset("/+#")


def _publish_parts(schema: dict[str, Any]) -> None:
    """Write into the published JSON Schema of a group that `device` lists parts, and stands instead of `kind`."""
    properties = schema["properties"]
    part = {"type": "object", "additionalProperties": False, "required": ["kind"]}
    part["properties"] = {key: one for key, one in properties.items() if key not in OF_DEVICE | {"gateway"}}
    properties["device"] = {
        "description": properties["device"]["description"],
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_PARTS,
        "items": part,
    }
    schema["required"].remove("kind")
    schema["anyOf"] = [{"required": ["kind"]}, {"required": ["device"]}]


class DeviceGroup(Config):
    """A number of devices of one kind."""

    model_config = ConfigDict(json_schema_extra=_publish_parts)

    kind: Annotated[str, AfterValidator(_known_kind)]
    """A kind of the contract, such as `bme280`; each has settings of its own."""
    device: PartPlace | None = None
    """Instead of `kind`: the parts of one device with one connection, a list of sensors each with its `kind`,
    `interval`, and whatever else is of a sensor: `[{kind: bme280}, {kind: people, interval: 1m}]`. What is of the
    device stands beside it; see your-own-format.md."""
    name: str | None = None
    """Of a device with parts, instead of `id`: `box` for box-0001, box-0002. Of a part: what it is called, where that
    is not its kind."""
    count: int | None = Field(default=None, ge=1, le=1_000_000)
    """How many; without it one, or those that `ids` lists."""
    interval: DurationMs = Field(default=10_000, ge=10, le=7 * 86_400_000)
    """Between two readings of one device, or from and to, as in `5s..15s`: then each is another. In a dialect by
    default what is usual for its devices, see dialects.md."""
    intervals: tuple[Annotated[DurationMs, Field(ge=10, le=7 * 86_400_000)], ...] = Field(
        default=(), min_length=1, max_length=1000
    )
    """Instead of `interval`: several, which come in turn, again and again."""
    working_hours: WorkingHours | None = None
    """The hours of the week in which they measure, in the group's `timezone`; without it all. Not for traffic and
    people, whose readings count what passed since the one before."""
    on: Literal["change"] | OnChange | None = None
    """`change`: readings are taken at the interval, and published where they differ from the last that was. With dead
    bands: `{change: {temperature_c: 0.2}, min_interval: 10s, max_interval: 1h}`. Not for traffic, people and
    telematics; see your-own-format.md."""
    replay: ReplayConfig | None = None
    """Instead of what the sensor would measure, what a file has: `{file: track.gpx, loop: true}`. Without `interval`
    and `count` those of the file; see replay.md."""
    batch: int | None = Field(default=None, ge=1, le=MAX_READINGS)
    """How many readings a message says at once, of a format of your own whose payload has `{each: …}`; see
    your-own-format.md."""
    jitter: DurationMs = Field(default=0, ge=0)
    """Each reading is taken up to this much later than due, as timers of firmware are late. Not for traffic and people,
    whose readings count what passed since the one before."""
    qos: Literal[0, 1, 2] = 1
    """Of the readings; in a dialect by default that of its devices, see dialects.md."""
    site: str | None = None
    """Name of the site they are at; without it they are spread over all sites."""
    id: DeviceIdTemplate | None = None
    """Template of the device ids, with `{n}` the number of the device within its kind: `bme280_fake_{n:03d}`."""
    ids: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = ()
    """The device ids one by one, instead of `count` and `id`. In the message contract letters, digits, `_`, `.` and
    `-`, at most 64 of them; in dialects and formats of your own anything that a level of a topic may be."""
    client_ids: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = ()
    """The MQTT client ids of `ids`, where they are others."""
    fields: dict[str, str | tuple[str, ...]] = Field(default={}, max_length=100)
    """Names of your own that stand in braces for what a device has: one text for all, or one for each of `ids`."""
    identities: Path | None = None
    """CSV file with a row a device, instead of `ids`: `id`, and `client_id`, `username`, `password`, `certificate`,
    `key`, `sas_key`, `site` where they matter; any other column is one of `fields`. With `count` only its first
    rows."""
    hardware: tuple[str, ...] = ()
    """Ids of this group whose place real sensors have taken: they are not emulated, and all others stay as they are."""
    gateway: GatewayOptions | None = None
    """The devices have no connection of their own: `{count: 20, devices: 50}` are 20 gateways, each with one MQTT
    connection for 50 of them."""
    vehicles: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = ()
    """With `ids` of gps and telematics: the number of the vehicle that each rides in. Without it the id tells: units
    whose ids end in the same number, or differ only in the kind's name, ride in the same vehicle."""
    settings: dict[str, Any] = {}
    """Of the sensor; each kind has its own."""
    dialect: str | dict[str, Any] = NATIVE_DIALECT
    """How the devices speak: `edgefleet` is the message contract; the others are in dialects.md. A dialect's options
    stand beside its name: `{dialect: tasmota, full_topic: "%topic%/%prefix%/"}`."""
    topic: str | None = None
    """With `payload`: a format of your own, instead of a dialect. Names in braces stand for what the device has:
    `plant/{site}/{id}/state`."""
    payload: Any = None
    """What is said at each reading: names of fields stand for their values; see your-own-format.md."""
    encoding: EncodingName = "json"
    """Of readings and events, in the message contract and in formats of your own: `json`, `cbor` or `msgpack`; see
    your-own-format.md. Its subscription in the bridge says the same."""
    retain: bool = False
    """Of your own format: whether the broker keeps the last message."""
    pad_to: SizeBytes = Field(default=0, ge=0, le=268_435_455)
    """Of your own format: a shorter payload has so many spaces at its end that it is as long."""
    properties: MessageProperties = MessageProperties()
    """Of your own format: properties of MQTT 5."""
    messages: tuple[OwnMessage, ...] = Field(default=(), min_length=1, max_length=50)
    """Several messages of your own format at each reading, instead of `topic` and `payload`."""
    events: tuple[OwnMessage, ...] = Field(default=(), min_length=1, max_length=50)
    """Messages of your own format for each event of a kind that has some beside its readings, such as people."""
    discovery: Literal["homeassistant"] | HomeAssistantDiscovery | None = None
    """`homeassistant`: the devices describe themselves to Home Assistant, whatever they speak. With options:
    `{form: single, prefix: homeassistant}`; see dialects.md."""
    timezone: str = "UTC"
    """Of local times in dialects and formats that have such, such as `Europe/Berlin`."""
    standby: bool | None = None
    """Instead of the scenario's."""
    standby_after: Annotated[DurationMs, Field(ge=1000)] | None = None
    """Instead of the scenario's."""
    firmware: FirmwareConfig | None = None
    """Instead of the scenario's."""
    outbox: OutboxConfig | None = None
    """Instead of the scenario's."""
    reconnect: ReconnectConfig | None = None
    """Instead of the scenario's."""

    @model_validator(mode="before")
    @classmethod
    def _as_the_file_has_it(cls, values: Any) -> Any:
        """Take ids, client ids and fields out of the file of identities."""
        if not isinstance(values, dict) or not isinstance(path := values.get("identities"), str | Path):
            return values
        count = values.get("count")
        try:
            table = read_identities(Path(path), count if isinstance(count, int) and count > 0 else None)
        except ConfigError as error:
            raise located_error(("identities",), str(error)) from None
        for key in ("ids", "client_ids", "id"):
            written = values.get(key)
            if written and not (isinstance(written, list | tuple) and (*written,) == getattr(table, key, ())):
                raise located_error((key,), "is in the file of identities: leave it out")
        own = values.get("fields") or {}
        if not isinstance(own, dict):
            return values  # whose type is told by its own check
        found: dict[str, Any] = {"ids": table.ids, "fields": dict(table.fields) | own}
        if table.client_ids:
            found["client_ids"] = table.client_ids
        if table.sites:
            found["fields"][SITE] = table.sites
        return {key: value for key, value in values.items() if key != "count"} | found

    @model_validator(mode="before")
    @classmethod
    def _as_the_dialect_has_it(cls, values: Any) -> Any:
        """Take QoS and interval that are usual in the dialect, where the group does not set them."""
        dialect = values.get("dialect") if isinstance(values, dict) else None
        name = dialect.get("dialect") if isinstance(dialect, dict) else dialect
        found = DIALECTS.get(name) if isinstance(name, str) else None
        if found is None or found.encoder is None:
            return values
        usual: dict[str, Any] = {"qos": found.qos}
        if found.has_gateways:
            usual["gateway"] = {"count": 1}
        if found.interval_ms is not None:
            usual["interval"] = f"{found.interval_ms}ms"
        return usual | values

    @model_validator(mode="before")
    @classmethod
    def _as_it_varies(cls, values: Any) -> Any:
        """Make an interval and jitter of a range, and the mean of several intervals."""
        if not isinstance(values, dict):
            return values
        interval, several = values.get("interval"), values.get("intervals")
        if several and isinstance(several, list | tuple):
            try:
                found = [duration_ms(one) for one in several]
            except ValueError as error:
                raise located_error(("intervals",), str(error)) from None
            mean_ms = round(sum(found) / len(found))
            if interval is not None and str(interval) != duration_text(mean_ms):
                raise located_error(("intervals",), "lists the intervals: leave out interval, or this")
            return values | {"interval": duration_text(mean_ms)}
        if not isinstance(interval, str) or ".." not in interval:
            return values
        if values.get("jitter"):
            raise located_error(("jitter",), "an interval from and to is another each time: leave one of the two out")
        try:
            least, most = map(duration_ms, interval.split("..", 1))
        except ValueError as error:
            raise located_error(("interval",), str(error)) from None
        if not 0 < least < most:
            raise located_error(
                ("interval",), f"'{interval}' is no range: write the shorter one first, such as 5s..15s"
            )
        # Late by up to half of the range on a steady beat: the gap between two is the whole range about the beat.
        return values | {"interval": f"{(least + most) // 2}ms", "jitter": f"{(most - least) // 2}ms"}

    @model_validator(mode="before")
    @classmethod
    def _as_the_recording_has_it(cls, values: Any) -> Any:
        """Take interval and count of the file that is played back, where the group does not set them."""
        if not isinstance(values, dict) or values.get("replay") is None:
            return values
        replay, name = values["replay"], values.get("kind")
        if not isinstance(name, str) or name not in KINDS:
            return values
        try:
            config = replay if isinstance(replay, ReplayConfig) else ReplayConfig.model_validate(replay)
            check_replay(config, KINDS[name])
            usual = dict(replay_defaults(config, KINDS[name]))
        except ValidationError as error:
            raise nested_error(error, ReplayConfig, "replay") from None
        except ConfigError as error:
            raise located_error(("replay", "file"), str(error)) from None
        if any(values.get(key) is not None for key in ("count", "ids", "identities", "gateway", "device")):
            usual.pop("count")
        if values.get("interval") is not None or values.get("intervals") is not None:
            usual.pop("interval")
        return usual | values

    @model_validator(mode="after")
    def _check(self) -> "DeviceGroup":
        self.check_keys()
        return self

    def check_keys(self) -> None:
        """Raise `ValueError`, of which pydantic's is one, where keys contradict each other."""
        if self.name is not None:
            raise located_error(
                ("name",), f"is of a device with parts: write id: {self.name}-{{n:04d}}, or leave it out"
            )
        if (self.intervals or self.working_hours) and KINDS[self.kind].counts_interval:
            name = "intervals" if self.intervals else "working_hours"
            said = f"a reading of {self.kind} counts what passed since the one before, at one interval; leave it out"
            raise located_error((name,), said)
        if self.replay is None and (recorded := [*KINDS[self.kind].recorded]):
            said = f"field '{recorded[0]}' of {self.kind} is recorded: write replay: {{file: …}} beside the kind"
            raise located_error(("kind",), said)
        if self.replay is not None and self.working_hours is not None and not self.replay.loop:
            said = "hours in which nobody measures would move what was recorded: write loop: true, or leave them out"
            raise located_error(("working_hours",), said)
        if self.replay is not None and self.settings.get("nmea"):
            raise located_error(("settings", "nmea"), "would tell another position than the one that is played back")
        if self.ids and self.count is not None:
            raise ValueError("ids lists the devices one by one; leave out count, or ids")
        if self.gateway is not None:
            self.gateway.devices_each(self.size)
            if self.client_ids:
                said = "are of no use: a gateway connects for its devices, under its own id; leave them out"
                raise located_error(("identities" if self.identities else "client_ids",), said)
            if self.identities and (unused := login_columns(self.identities, self.size)):
                said = (
                    f"{self.identities}:1: nobody would log in by its {', '.join(unused)}: a gateway connects for its"
                    " devices, under its own id; leave these out"
                )
                raise located_error(("identities",), said)
            if self.gateway.gateway_id(1) == self.gateway.gateway_id(2) and self.gateways > 1:
                raise located_error(("gateway", "id"), "needs {n} in it, or all gateways would have the same name")
        if self.ids and self.id:
            raise ValueError("id makes names for count devices; leave it out where ids lists them")
        config.check_section(self.settings, KINDS[self.kind].settings, at="settings")
        if self.jitter and KINDS[self.kind].counts_interval:
            said = f"a reading of {self.kind} counts what passed since the one before; leave it out"
            raise located_error(("jitter",), said)
        if self.jitter >= min(self.intervals, default=self.interval):
            raise located_error(("jitter",), "must be shorter than the interval")
        if self.on_change is not None:
            check_on_change(self.on_change, self.kind, self.dialect_name, max(self.intervals, default=self.interval))
        if self.size > 1 and not self.ids and self.device_id(1) == self.device_id(2):
            raise located_error(("id",), "needs {n} in it, or all devices would have the same name")
        self._check_identities()
        self._check_speech()
        if self.vehicles and not KINDS[self.kind].rides_in_vehicle:
            raise located_error(("vehicles",), f"{self.kind} rides in none; leave it out")
        if self.vehicles and len(self.vehicles) != len(self.listed_ids):
            raise located_error(("vehicles",), "needs one number for each of ids")

    def _check_identities(self) -> None:
        if self.identities and self.dialect_name != AZURE_IOT and SAS_KEY in login_columns(self.identities, self.size):
            said = f"{self.identities}:1: {SAS_KEY} is of devices of a hub: write dialect: {AZURE_IOT}, or leave it out"
            raise located_error(("identities",), said)
        if self.client_ids and len(self.client_ids) != len(self.ids):
            raise located_error(
                ("client_ids",), f"needs one for each of ids: {len(self.ids)}, not {len(self.client_ids)}"
            )
        for name, values in self.fields.items():
            if not _FIELD_NAME.fullmatch(name):
                continue  # of a file: nobody can name it, and it is in nobody's way
            if name in self.given_names and name != SITE:
                if self.identities:
                    said = f"{self.identities}:1: column '{name}' is what every device has: give it another name"
                    raise located_error(("identities",), said)
                raise located_error(("fields", name), "is what every device has: give it another name")
            if not isinstance(values, str) and len(values) != self.size:
                said = f"needs one text for all, or one for each of the {self.size} devices, not {len(values)}"
                raise located_error(("fields", name), said)
        if self.speaks_contract:
            # Elsewhere any text may be a level of a topic; here it is the key of every store.
            for position, device_id in enumerate(self.ids):
                if not _CONTRACT_ID.fullmatch(device_id):
                    said = (
                        f"'{shown_topic(device_id)}' should be letters, digits, '_', '.' and '-', at most 64 of them, "
                        "and begin with a letter or digit; other ids are for dialects and formats of your own, other "
                        "client ids for client_ids"
                    )
                    raise self._row_error("ids", position, said)
        for position, device_id in enumerate(self.ids):
            if set(device_id) & _NOT_IN_A_LEVEL or not device_id.isprintable():
                said = (
                    f"'{shown_topic(device_id)}' has a character that no level of a topic may have: /, +, # or one that"
                    " is invisible"
                )
                raise self._row_error("ids", position, said)
        for position, client_id in enumerate(self.client_ids):
            if fault := text_fault(client_id):
                raise self._row_error("client_ids", position, f"client id '{shown_topic(client_id)}' {fault}")

    def _row_error(self, key: str, position: int, said: str) -> ValidationError:
        """Return an error of a value of the device at a position, with its line where it is of a file."""
        if self.identities is None:
            return located_error((key,), said)
        line = line_of_device(self.identities, position)
        return located_error(("identities",), f"{self.identities}:{line}: {said}")

    def _columns_told(self, key: str, said: str) -> str:
        """Return which columns a file of identities has, where something is said of a name that is none."""
        if self.identities is None or key == "dialect" or not ("no field" in said or "is called" in said):
            return ""
        columns = sorted(name for name in self.fields if _FIELD_NAME.fullmatch(name))
        has = f"columns {', '.join(columns)}" if columns else "no column"
        return f"; {self.identities} has {has} beside id"

    @property
    def on_change(self) -> OnChange | None:
        """Return which readings are published; None for all."""
        return OnChange() if self.on == "change" else self.on

    @property
    def begins_with_export(self) -> bool:
        """Return whether it plays back from its beginning as devices are powered on."""
        return self.replay is not None and self.replay.align == "start"

    @property
    def speaks_contract(self) -> bool:
        """Return whether messages are those of the contract."""
        return self.dialect == NATIVE_DIALECT and self.topic is None and not self.messages

    @property
    def field_names(self) -> frozenset[str]:
        """Return the names, beside those that every device has, that stand in braces for what a device has."""
        return frozenset(self.fields) | ({PART} if self.device is not None else set())

    @property
    def given_names(self) -> frozenset[str]:
        """Return the names that stand in braces and cannot be of `fields`."""
        more = (GATEWAY if self.gateway is not None else "", PART if self.device is not None else "")
        return DEVICE_NAMES.union(filter(None, more))

    def fields_of(self, position: int) -> dict[str, str]:
        """Return what the device at this position of the group has for them."""
        return {name: one if isinstance(one, str) else one[position] for name, one in self.fields.items()}

    def _check_speech(self) -> None:
        own = [name for name in ("topic", "payload", "messages", "events") if name in self.model_fields_set]
        if own and self.dialect != NATIVE_DIALECT:
            raise located_error((own[0],), "is of a format of your own; leave it out, or the dialect")
        if (self.topic is None) != (self.payload is None):
            missing = "payload" if self.payload is None else "topic"
            raise located_error((missing,), f"{missing} is missing: a format of your own needs topic and payload")
        if self.topic is not None and self.messages:
            raise located_error(("messages",), "lists all messages of a reading; leave out topic and payload, or this")
        if self.events and self.topic is None and not self.messages:
            raise located_error(("events",), "needs topic and payload of the readings beside it")
        for name in ("retain", "pad_to", "properties"):
            if name in self.model_fields_set and self.topic is None:
                raise located_error((name,), "is of a format of your own: it needs topic and payload beside it")
        self._check_encoding()
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            said = f"there is no zone '{self.timezone}': Europe/Berlin is one"
            raise located_error(("timezone",), said) from None
        if self.device is not None:
            self._check_part(self.device)
        dialect = DIALECTS.get(self.dialect_name)
        if dialect is not None and dialect.has_fixed_qos and self.qos != dialect.qos:
            raise located_error(("qos",), f"data of {dialect.name} has QoS {dialect.qos} and no other: leave it out")
        try:
            encoder = self.make_encoder()
        except (DialectError, ValueError) as error:
            of_one = error.key if isinstance(error, SpeechError) else "payload"
            key = of_one if self.topic is not None or of_one == "events" else "messages" if own else "dialect"
            raise located_error((key,), str(error) + self._columns_told(key, str(error))) from None
        if self.device is not None and encoder is not None and has_some_message_ids(self.kind, encoder):
            said = "boot and seq would be those of other parts as well, which have the same id: leave boot or seq out"
            raise located_error(("payload" if self.topic is not None else "messages",), said)
        if self.batch is not None:
            if self.device is not None:
                said = "the parts of one device say each reading by itself: leave it out, or make the sensor a device"
                raise located_error(("batch",), said)
            try:
                check_batch(self.kind, encoder)
            except ValueError as error:
                raise located_error(("batch",), str(error)) from None
        try:
            check_gateway(self.gateway, self.dialect_name, encoder, has_several=self.gateways > 1)
        except ValueError as error:
            raise located_error(("gateway",), str(error)) from None
        try:
            self.make_discovery(encoder)
        except DialectError as error:
            raise located_error(("discovery",), str(error)) from None
        if encoder is not None:
            self._check_topic_names(encoder)
        shared = [] if encoder is None else [*filter(self._is_shared, shared_topics(self.kind, encoder))]
        if self.size > 1 and shared and not is_known_by_login(encoder):
            said = (
                f"all {self.size:,} devices would speak on '{shared[0]}', and nothing tells them apart: write {{id}} "
            )
            raise located_error(
                ("topic" if self.topic else "messages",), said + "into the topic, or id into the payload"
            )

    def _check_encoding(self) -> None:
        """Refuse an encoding that could not be sent, or not be read."""
        if self.encoding == "json":
            return
        fault = encoding_fault(self.encoding)
        if self.dialect_name != NATIVE_DIALECT:
            fault = f"{self.dialect_name} has an encoding of its own: leave this out"
        elif self.discovery is not None:
            fault = "Home Assistant finds values by their place in JSON: leave this out, or discovery"
        elif self.pad_to or any(one.pad_to for one in (*self.messages, *self.events)):
            fault = "pad_to puts spaces behind JSON: leave this out, or pad_to"
        elif any(is_bare(one) for one in (self.payload, *(one.payload for one in (*self.messages, *self.events)))):
            fault = "is of objects and lists: a bare value is written as text; write {value: FIELD}, or leave it out"
        if fault:
            raise located_error(("encoding",), fault)

    def _check_part(self, place: PartPlace) -> None:
        """Refuse what a part of a device cannot say."""
        dialect = DIALECTS.get(self.dialect_name)
        if dialect is not None and dialect.encoder is not None and not dialect.has_parts:
            spoken = ", ".join([NATIVE_DIALECT, *(one.name for one in DIALECTS.values() if one.has_parts)])
            said = (
                f"{dialect.name} says all that a device measures in one message, and parts have messages of their own:"
                f" speak {spoken} or formats of your own"
            )
            raise located_error(("dialect",), said)
        for position, device_id in enumerate(self.ids if self.speaks_contract else ()):
            if len(device_id) + len(place.part) + 1 > MAX_ID:
                said = f"'{device_id}' with .{place.part} behind it would have more than {MAX_ID} letters"
                raise self._row_error("ids", position, said)

    def _is_shared(self, topic: str) -> bool:
        """Return whether two devices have the same of all that stands in a topic: serial numbers tell them apart."""
        several = [self.fields[name] for name in braced_names(topic) if name in self.fields]
        told = [*zip(*(values for values in several if not isinstance(values, str)), strict=True)]
        return len(set(told)) < self.size

    def _check_topic_names(self, encoder: DialectEncoder) -> None:
        """Raise an error where what a device has for a name makes a topic on which nobody can publish."""
        topics = [message.topic for found in spoken_messages(self.kind, encoder).values() for message in found]
        if self.gateway is not None and self.gateway.availability is not None:
            topics.append(self.gateway.availability.topic)
        named = {"id": self.ids, **{name: (one,) if isinstance(one, str) else one for name, one in self.fields.items()}}
        for topic in dict.fromkeys(topics):
            longest = len(topic.encode())
            for name in dict.fromkeys(braced_names(topic)):
                is_first = topic.startswith(f"{{{name}}}")
                values = named.get(name, ())
                for position, value in enumerate(values):
                    fault = level_fault(value, is_first=is_first)
                    if fault is None and not value and topic == f"{{{name}}}":
                        fault = "is the whole topic, and empty"
                    if fault:
                        said = f"'{shown_topic(value)}' of {name} {fault}"
                        raise self._row_error("ids" if name == "id" else "fields", position, said)
                longest += topic.count(f"{{{name}}}") * max((len(value.encode()) for value in values), default=0)
            if longest > MAX_TOPIC_BYTES:
                said = f"topic '{shown_topic(topic)}' would be longer than {MAX_TOPIC_BYTES:,} bytes with its names"
                raise located_error(("topic" if self.topic else "messages" if self.messages else "dialect",), said)
        properties = (message.properties for message in (*encoder.messages, *encoder.events))
        for text in dict.fromkeys(text for one in properties for text in one.get("user", {}).values()):
            for name in braced_names(text):
                for position, value in enumerate(named.get(name, ())):
                    # Each name by itself: who fills a property with many long ones is told as it is sent.
                    if fault := text_fault(value):
                        said = f"'{shown_topic(value)}' of {name} {fault}, and stands in a property"
                        raise self._row_error("ids" if name == "id" else "fields", position, said)

    def make_encoder(self) -> DialectEncoder | None:
        """Return what writes the messages; None for the message contract. Raises `DialectError` or `ValueError`."""
        messages = self.messages
        if self.topic is not None:
            messages = (
                OwnMessage(
                    topic=self.topic,
                    payload=self.payload,
                    retain=self.retain,
                    pad_to=self.pad_to,
                    properties=self.properties,
                ),
            )
        if messages:
            return own_encoder(
                self.kind,
                messages,
                self.events,
                self.field_names,
                has_gateways=self.gateway is not None,
                batch=self.batch,
            )
        if self.dialect_name == NATIVE_DIALECT and isinstance(self.dialect, str):
            return None
        encoder = read_dialect(self.dialect, self.kind, self.field_names, has_gateways=self.gateway is not None)
        if isinstance(encoder, Zigbee2MqttEncoder) and self.discovery is not None:
            encoder.discovery = self._discovery_options
        if isinstance(encoder, EsphomeEncoder) and self.device is not None and self.device.number:
            encoder.leave_out_vitals()
        return encoder

    def make_decoder(self) -> DialectDecoder | None:
        """Return what reads the dialect; None for the message contract, and formats of the user's own."""
        return None if self.dialect_name == NATIVE_DIALECT else dialect_decoder(self.dialect)

    def make_discovery(self, encoder: DialectEncoder | None) -> DiscoveryWriter | None:
        """Return what describes the devices; None where they do not. Raises `DialectError`."""
        if self.discovery is None:
            return None
        if isinstance(encoder, Zigbee2MqttEncoder):
            if self._discovery_options.form == "device" and "form" in self._discovery_options.model_fields_set:
                raise DialectError("Zigbee2MQTT describes each value by itself: write form: single, or leave it out")
            return None
        return discovery_writer(self._discovery_options, self.kind, self.dialect_name, encoder, self.device)

    @property
    def _discovery_options(self) -> HomeAssistantDiscovery:
        return self.discovery if isinstance(self.discovery, HomeAssistantDiscovery) else HomeAssistantDiscovery()

    @property
    def dialect_options(self) -> Config | None:
        """Return the options of the dialect; None for the message contract, and formats of the user's own."""
        return read_options(self.dialect)

    @property
    def dialect_name(self) -> str:
        """Return the name of the dialect, without its options."""
        return self.dialect if isinstance(self.dialect, str) else str(self.dialect.get("dialect"))

    @property
    def size(self) -> int:
        """Return how many devices this group has."""
        return len(self.ids) or self.count or (self.gateway.size if self.gateway else None) or 1

    @property
    def least_interval(self) -> int:
        """Return how long it is between two readings that are published, on the average and at the least (ms)."""
        return self.interval if self.on_change is None else max(self.interval, self.on_change.min_interval)

    @property
    def readings_per_message(self) -> int:
        """Return how many readings a message says, where all that are made of them do; else 1."""
        encoder = self.make_encoder() if self.batch is not None else None
        return min((max(1, message.batch) for message in encoder.messages), default=1) if encoder is not None else 1

    @property
    def devices_per_gateway(self) -> int:
        """Return how many devices share a connection: 1 without a gateway."""
        return 1 if self.gateway is None else self.gateway.devices_each(self.size)

    @property
    def gateways(self) -> int:
        """Return how many gateways this group has."""
        return 0 if self.gateway is None else -(-self.size // self.devices_per_gateway)

    @property
    def connections(self) -> int:
        """Return how many MQTT connections the devices of this group have; those of other parts are the first's."""
        if self.device is not None and self.device.number:
            return 0
        return self.gateways or self.size

    @property
    def devices_per_connection(self) -> int:
        """Return how many devices share each of them; of parts, all that a device has."""
        return self.devices_per_gateway if self.device is None else len(self.device.parts)

    def beside(self, folder: Path) -> "DeviceGroup":
        """Return this group with the path of a user's module whole, which is in a folder."""
        module = self.settings.get("event_module")
        if not module:
            return self
        return self.model_copy(update={"settings": self.settings | {"event_module": str(folder.resolve() / module)}})

    @property
    def listed_ids(self) -> tuple[str, ...]:
        """Return the ids that are written out, as `ids` or as an `id` without {n} in it; none of a template."""
        if self.id and not self.ids and self.device_id(1) == self.device_id(2):
            return (self.id,)
        return tuple(self.ids)

    def device_id(self, number: int) -> str:
        """Return the id that the template makes for the device with this number (from 1) within its kind."""
        try:
            return (self.id or self.kind + "-{n:04d}").format(n=number)
        except (KeyError, IndexError, ValueError) as error:
            said = f"'{self.id}' is not a template with {{n}} in it: {error}"
            raise located_error(("id",), said) from None
