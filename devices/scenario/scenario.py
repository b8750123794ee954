"""The scenario file: which devices there are, where, how often they speak, and to which broker."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, IPvAnyAddress, WrapValidator, model_validator
from pydantic_settings import SettingsConfigDict

from devices.declared.config import KindConfig
from devices.declared.kind import announce_kinds, declared_kinds
from devices.faults.base import STRIKES_BATCHES, Instant
from devices.faults.registry import AnyFault
from devices.firmware.config import Build, FirmwareConfig, OutboxConfig
from devices.firmware.reconnect import ReconnectConfig
from devices.scenario.climate_file import with_climate_files
from devices.scenario.device_group import DeviceGroup
from devices.scenario.device_parts import check_whole, entry_location, entry_of, expand_parts
from devices.scenario.identity_table import PASSWORD, SAS_KEY, SITE, line_of_device, login_columns
from devices.scenario.on_change import MOST_COUNTED_LIVE
from devices.scenario.platform_check import paced_outbox, platform_faults
from devices.scenario.speech import (
    topics_of_many,
)
from devices.scenario.steps import MOST_STEPS, AnyStep, check_steps
from devices.sensors.base import EPOCH_MS
from devices.sensors.gps.nmea_output import nmea_output
from devices.sensors.registry import KINDS
from devices.world.world import PLAIN_CLIMATES, Site
from edgewire.config import ConfigFile, DurationMs
from edgewire.config_errors import closest, located_error
from edgewire.dialects.registry import DIALECTS
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl
from edgewire.link.url import plain_password_warning, with_password_file
from edgewire.link.websocket_config import WEBSOCKET_UNUSED, WebSocketConfig
from edgewire.tls import check_tls_keys
from edgewire.yaml_file import Location


def _broker_urls(urls: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if not urls:
        raise ValueError("needs a broker URL, or a list of them")
    places: set[str] = set()
    for text in (urls,) if isinstance(urls, str) else urls:
        try:
            url = BrokerUrl.parse(text)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if url.place in places:
            raise ValueError(f"broker {url} is in the list twice; leave one out")
        places.add(url.place)
    return urls


def _texts(one_or_more: str | tuple[str, ...]) -> tuple[str, ...]:
    return (one_or_more,) if isinstance(one_or_more, str) else one_or_more


def _with_parts(entries: Any, validate: Callable[[Any], Any]) -> Any:
    riding = {kind: one.rides_in_vehicle for kind, one in KINDS.items()}
    return expand_parts(entries, validate, DeviceGroup.model_fields.keys(), DeviceGroup, riding)


class Scenario(ConfigFile):
    """A whole fleet. Keys can be overridden by environment variables: `EDGEFLEET_BROKER`, `EDGEFLEET_SEED`."""

    model_config = SettingsConfigDict(env_prefix="EDGEFLEET_")

    own_keys = frozenset({"devices"})
    foreign_keys: ClassVar = {
        "this is a bridge's file: run it with `edgefleet bridge run {name}`": frozenset(
            {"http", "kafka", "file", "routes", "subscriptions", "spool", "mqtt", "admin", "watch", "dead_letters"}
        )
    }

    seed: int = Field(default=0, ge=0, lt=2**63)
    world: int = Field(default=2, ge=1, le=2)
    """Which models the weather, roads and people are made by: the same seed gives other values in each. 1 is as of
    versions before there was a choice, bit for bit, and is kept for one release: see migrating.md."""
    broker: Annotated[str | tuple[str, ...], AfterValidator(_broker_urls), Field(repr=False)] = "mqtt://127.0.0.1:1883"
    """mqtt://HOST:PORT, mqtts://, ws:// or wss:// (with a path), or unix:///PATH, with user:password@ where the broker
    asks for it; see transports.md. A list of them: see
    `broker_list`."""
    broker_list: Literal["spread", "in_order", "fixed"] = "spread"
    """With a list of brokers. `spread`: each device has one of them as its own, and goes on to the next where it cannot
    connect. `in_order`: all begin with the first. `fixed`: spread, and no device ever goes to another."""
    identities: Path | None = None
    """Folder of `edgefleet provision`: each device has a user name and password, or a certificate, of its own."""
    password_file: Path | None = None
    """File with the password of the user in the URL of the broker, instead of one in that URL."""
    ca_file: Path | None = None
    """Certificates to trust for mqtts:// instead of the system's; not needed where `identities` has its own."""
    insecure: bool = False
    """Take any certificate of a broker, of anybody, unchecked: for tests alone. The log says so."""
    allow_plain_password: bool = False
    """Say nothing where user names and passwords go unencrypted to another machine: its network is trusted."""
    alpn: tuple[str, ...] = ()
    """Protocols to offer in the TLS handshake of mqtts://, of which the broker has to choose one: `[x-amzn-mqtt-ca]`
    for AWS IoT on port 443. Empty: none."""
    websocket: Annotated[WebSocketConfig, Field(exclude=True)] = WebSocketConfig()
    """Headers and subprotocol of ws:// and wss://."""
    source_addresses: tuple[IPvAnyAddress, ...] = ()
    """Addresses of this machine to dial from, one for 8,000 devices in turn, the others as ports run out: each is good
    for about 28,000 connections to one broker. A broker on loopback is dialled from 127.0.0.1 to 127.0.0.17 anyway."""
    time_scale: float = Field(default=1.0, ge=0.001, le=100_000)
    """How fast the devices' time passes: 60 is an hour in a minute."""
    timestamps: Literal["device", "real"] = "device"
    """With a `time_scale`: `device` stamps messages with the devices' own time, which passes that fast; `real` with
    real UTC: devices speak that much more often, and that many more people come, at the hours that it really is."""
    start: Instant | None = None
    """When the devices were powered on. Without it a live run powers them on as it begins, and exports take
    them to have run since 2000; with devices that report on change, since the export begins."""
    sites: tuple[Site, ...] = Field(default=(Site(name="default", latitude=48.8566, longitude=2.3522),), min_length=1)
    kinds: dict[str, KindConfig] = {}
    """Kinds of device of your own: name -> fields, and by what each is made; see your-own-kind.md."""
    vehicles: int = Field(default=32, ge=0, le=100_000)
    """How many vehicles of the fleet drive at each site, whether or not a unit rides in them: cameras count them. Those
    that a unit rides in come on top."""
    devices: Annotated[tuple[DeviceGroup, ...], WrapValidator(_with_parts)] = Field(min_length=1)
    faults: tuple[AnyFault, ...] = ()
    """The fault calendar: what goes wrong with which devices and when; see faults.md. Applied in this order."""
    steps: tuple[AnyStep, ...] = Field(default=(), max_length=MOST_STEPS)
    """What is done to a live run as it goes on, and when: `{at: 30s, action: scale, group: gps, count: 500}`; see
    control.md."""
    keep_alive: DurationMs = Field(default=60_000, ge=1000, le=65_535_000)
    session_expiry: DurationMs = Field(default=3_600_000, ge=0)
    """How long the broker keeps a device's session after the connection is lost."""
    connects_per_second: float = Field(default=500, gt=0)
    """No more devices than this begin to connect in a second."""
    standby: bool = False
    """Whether an emulator leaves its place while a real sensor speaks in it: see real-sensor.md."""
    standby_after: Annotated[DurationMs, Field(ge=1000)] | None = None
    """How long a real sensor has to be silent until its emulator returns, in wall time. Without it one minute, or three
    intervals where that is longer."""
    firmware: FirmwareConfig = FirmwareConfig()
    outbox: OutboxConfig = OutboxConfig()
    reconnect: ReconnectConfig = ReconnectConfig()

    @model_validator(mode="before")
    @classmethod
    def _password_from_file(cls, values: dict[str, Any]) -> dict[str, Any]:
        return with_password_file(
            values, values.get("password_file"), "password_file", cls.model_fields["broker"].default
        )

    @model_validator(mode="before")
    @classmethod
    def _kinds_declared(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Make the kinds of this scenario known before its groups name them."""
        kinds = values.get("kinds")
        return values | {"kinds": declared_kinds(kinds)} if kinds else values

    @model_validator(mode="before")
    @classmethod
    def _climates_from_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        return with_climate_files(values)

    @model_validator(mode="after")
    def _check(self) -> "Scenario":
        self.check_keys()
        return self

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Make its kinds known in the process to which it was sent."""
        super().__setstate__(state)
        announce_kinds(self.kinds)

    def check_keys(self) -> None:
        """Raise `ValueError`, of which pydantic's is one, where keys contradict each other."""
        if contradiction := self._transport_fault():
            key, _, said = contradiction.partition(" ")
            raise located_error((key.rstrip(":"),), said)
        country = next((site.country for site in self.sites if site.country is not None), None)
        if country is not None and self.world < 2:
            raise ValueError(f"sites: world: 1 has no public holidays: leave it out, or country: {country}")
        for position, group in enumerate(self.devices):
            if group.kind not in self.kinds and KINDS.is_declared(group.kind):
                said = f"'{group.kind}' {KINDS.unknown(group.kind, self.kinds)}"
                raise located_error(self._place(position, "kind"), said)
        names = [site.name for site in self.sites]
        if len(set(names)) < len(names):
            twin = next(position for position, name in enumerate(names) if name in names[:position])
            raise located_error(("sites", twin, "name"), f"two sites are called '{names[twin]}'")
        check_whole(self.devices)
        for position, group in enumerate(self.devices):
            if strange := set(_texts(group.fields.get(SITE, ()))).difference(names):
                named = min(strange)
                said = (
                    f"'{named}' of column site is not one of {', '.join(names)}{closest(named, names)}: add it to sites"
                )
                if group.identities:
                    row = _texts(group.fields[SITE]).index(named)
                    said = f"{group.identities}:{line_of_device(group.identities, row)}: {said}"
                raise located_error(self._place(position, "identities" if group.identities else "fields"), said)
            if group.site is not None and group.site not in names:
                near = closest(group.site, names)
                raise located_error(
                    self._place(position, "site"), f"'{group.site}' is not one of {', '.join(names)}{near}"
                )
            self._check_sharing(position, group)
            for beyond in platform_faults(group, self.keep_alive, self.time_scale):
                place = self._place(position, beyond.key) if beyond.is_of_group else (beyond.key,)
                raise located_error(place, beyond.said)
            if group.standby_after is not None and self.standby_after_ms(group) is None:
                said = "nobody stands by in this group: write standby: true beside it, or leave it out"
                raise located_error(self._place(position, "standby_after"), said)
        if self.standby_after is not None and all(self.standby_after_ms(group) is None for group in self.devices):
            raise located_error(
                ("standby_after",), "no device stands by: write standby: true beside it, or leave it out"
            )
        for position, site in enumerate(self.sites):
            if self.world == 1 and (site.snow or site.town_events):
                key = "snow" if site.snow else "town_events"
                said = "world: 1 has no rare days: leave it out, or these"
                raise located_error(("sites", position, key), said)
            if self.world == 1 and site.climate not in PLAIN_CLIMATES:
                name = site.climate if isinstance(site.climate, str) else "a table of normals"
                said = f"{name} is not of world: 1: leave that out, or write one of {', '.join(PLAIN_CLIMATES)}"
                raise located_error(("sites", position, "climate"), said)
        for position, group in enumerate(self.devices):
            if self.world == 1 and KINDS[group.kind].rides_in_vehicle and group.settings.get("use") is not None:
                said = "vehicles of world: 1 are all driven alike: leave that out, or use"
                raise located_error(self._place(position, "settings", "use"), said)
        kinds = {group.kind for group in self.devices}
        batched = {group.kind for group in self.devices if group.batch is not None}
        for position, fault in enumerate(self.faults):
            if fault.kind not in kinds:
                raise located_error(("faults", position, "kind"), f"there is no {fault.kind} among the devices")
            if fault.strikes_messages and fault.kind in batched:
                said = f"{fault.type_name} {STRIKES_BATCHES}; leave it out, or batch"
                raise located_error(("faults", position, "type"), said)
        stand_by = {place for place, group in enumerate(self.devices) if self.standby_after_ms(group) is not None}
        check_steps(self.steps, self.devices, stand_by, is_real_time=self.timestamps == "real")
        if self.start is not None and self.start.timestamp() * 1000 < EPOCH_MS:
            raise located_error(("start",), "boots are counted as of 2000-01-01, so none begins before that")

    def _place(self, position: int, *key: str) -> Location:
        """Return where a key of a group stands in the file."""
        return entry_location(self.devices, position, *key)

    def _transport_fault(self) -> str | None:
        """Return which keys contradict the brokers' URLs, in a sentence that begins with one; None where none does."""
        transports = [broker.kind for broker in self.broker_urls]
        contradiction = check_tls_keys(
            uses_tls=any(transport.uses_tls for transport in transports),
            takes_alpn=any(transport.takes_alpn for transport in transports),
            alpn=self.alpn,
            insecure=self.insecure,
            ca_file=self.ca_file,
        )
        if self.websocket != WebSocketConfig() and not any(transport.takes_headers for transport in transports):
            contradiction = WEBSOCKET_UNUSED
        return contradiction

    def with_keys(self, **keys: Any) -> "Scenario":
        """Return the scenario with other values of some keys, as options give them.

        Raises `ConfigError` where a broker contradicts what the file has for its transport.
        """
        changed = self.model_copy(update=keys)
        if fault := changed._transport_fault():
            raise ConfigError(f"--broker: {fault}")
        return changed

    def with_group(self, number: int, **keys: Any) -> "Scenario":
        """Return the scenario with other values of some keys of one of its groups.

        Raises as `check_keys`.
        """
        entry = entry_of(self.devices, number)
        groups = [*self.devices]
        # How many devices there are is the same for all parts.
        for position in entry if "count" in keys else (number,):
            groups[position] = groups[position].model_copy(update=keys)
            groups[position].check_keys()
        changed = self.model_copy(update={"devices": tuple(groups)})
        changed.check_keys()
        return changed

    def _check_sharing(self, position: int, group: DeviceGroup) -> None:
        """Refuse what devices cannot do that share a connection, a topic or a place to be heard at."""

        def at(*key: str) -> Location:
            return self._place(position, *key)

        output = nmea_output(group.settings)
        if output is not None and (why := output.refusal(group.size)) is not None:
            raise located_error(at("settings", "nmea"), why)
        if group.gateway is not None and self.build(group).firmware.sleep is not None:
            said = "its devices have no connection that could end for their sleep: leave firmware.sleep out"
            raise located_error(at("gateway"), said)
        is_asked = group.firmware is not None and "status_interval" in group.firmware.model_fields_set
        if is_asked and self.build(group).firmware.status_interval is not None and group.make_encoder() is not None:
            said = "its dialect has no status that is said again: leave firmware.status_interval out"
            raise located_error(at("firmware"), said)
        if self.standby_after_ms(group) is None:
            return
        if group.device is not None:
            said = "standby needs a connection for each sensor, and these share their device's: write standby: false"
            raise located_error(at("standby"), said)
        if group.batch is not None:
            said = (
                "a real sensor takes its place at any reading, also within a message: write standby: false, or no batch"
            )
            raise located_error(at("batch"), said)
        if group.gateway is not None:
            said = "standby needs a connection for each device, and these share their gateway's: write standby: false"
            raise located_error(at("gateway"), said)
        dialect = DIALECTS.get(group.dialect_name)
        if dialect is not None and not dialect.allows_standby:
            said = (
                f"two devices of one name spoil each other's session in {dialect.name}, so that none can stand by:"
                " write standby: false"
            )
            raise located_error(at("dialect"), said)
        encoder = group.make_encoder()
        if encoder is not None and group.size > 1 and (shared := topics_of_many(group.kind, encoder)):
            said = (
                f"all devices speak on '{shared[0]}', so a message there does not tell in whose place a real sensor is:"
                " write {id} into the topic, or standby: false"
            )
            raise located_error(at("topic" if group.topic else "messages" if group.messages else "dialect"), said)

    @property
    def plain_password_warning(self) -> str | None:
        """Return where passwords of its devices go unencrypted; None where they do not, or that is known."""
        if self.allow_plain_password:
            return None
        tables = [(group.identities, group.size) for group in self.devices if group.identities is not None]
        has_logins = any({PASSWORD, SAS_KEY}.intersection(login_columns(path, size)) for path, size in tables)
        return plain_password_warning(self.broker_urls, "allow_plain_password", has_logins=has_logins)

    @property
    def brokers(self) -> tuple[str, ...]:
        """The URLs of `broker`, one or several."""
        return (self.broker,) if isinstance(self.broker, str) else self.broker

    @property
    def broker_urls(self) -> tuple[BrokerUrl, ...]:
        """The same, taken apart."""
        return tuple(map(BrokerUrl.parse, self.brokers))

    @property
    def messages_per_s(self) -> float:
        """About how many messages the whole fleet publishes in a second of wall time; on change, at the most.

        Several that are made of a reading count as one, several readings in one as their part of it.
        """
        return self.time_scale * sum(
            1000 * group.size / group.least_interval / group.readings_per_message for group in self.devices
        )

    def power_on_ms(self, from_ms: int | None) -> int | None:
        """Return when the devices were powered on, for messages as of `from_ms`; None for now, as a live run begins.

        Those that report on change number what they publish, which can be counted from their power-on alone: without
        `start` they are powered on then, and not in 2000.
        """
        if self.start is not None:
            return round(self.start.timestamp() * 1000)
        if from_ms is not None and any(group.on is not None or group.begins_with_export for group in self.devices):
            return from_ms
        return None if from_ms is None else EPOCH_MS

    def check_countable(self, powered_on_ms: int | None, at_ms: int) -> None:
        """Raise `ConfigError` where a live run as of `at_ms` would first have to count for long.

        Devices that report on change number what they publish from their power-on.
        """
        past_ms = 0 if powered_on_ms is None else at_ms - powered_on_ms
        counted = sum(past_ms / group.interval * group.size for group in self.devices if group.on is not None)
        if counted > MOST_COUNTED_LIVE:
            raise ConfigError(
                "scenario: start: devices that report on change number what they publish from the start, and have taken"
                f" about {counted:,.0f} readings since: a live run counts {MOST_COUNTED_LIVE:,} at the most, so"
                " let them start later, or leave it out"
            )

    def build(self, group: DeviceGroup) -> Build:
        """Return what the firmware of the devices of a group is built with."""
        return Build(
            firmware=group.firmware or self.firmware,
            outbox=paced_outbox(group.outbox or self.outbox, group, self.time_scale),
            reconnect=group.reconnect or self.reconnect,
        )

    def standby_after_ms(self, group: DeviceGroup) -> int | None:
        """Return after which silence of a real sensor the emulators of a group return; None where they do not leave."""
        if not (self.standby if group.standby is None else group.standby):
            return None
        after_ms = self.standby_after if group.standby_after is None else group.standby_after
        usual_ms = group.interval if group.on_change is None else group.on_change.max_interval
        return max(60_000, 3 * usual_ms) if after_ms is None else after_ms
