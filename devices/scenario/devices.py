"""The devices of a scenario: names, sites and phases, the same whatever the shard, and the shards themselves.

A shard is pure arithmetic on the numbers of the devices, so any launcher can hand it out.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from devices.scenario.device_group import DeviceGroup
from devices.scenario.device_parts import PART, entries
from devices.scenario.identity_table import SITE
from devices.scenario.numbers import IdNumbers
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from devices.world.world import VehicleUse
from edgewire.dialects.encoder import DeviceNames
from edgewire.errors import ConfigError
from edgewire.run_record import MOST_SHARDS

_LONGEST_SHARD = 40
"""Characters of `i/n`."""
_NO_FIELDS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Gateway:
    """Names a gateway, which has the one connection of several devices."""

    gateway_id: str
    """Also its client id."""
    site: str
    key: int
    """As a device has one; faults of the connection are drawn by it."""


@dataclass(frozen=True, slots=True)
class Host:
    """Names a device with several parts, which have its one connection."""

    device_id: str
    key: int
    """As a device has one: what the whole device's randomness is drawn by."""
    number: int
    """As its template counts it."""
    part: str
    """What the part is called of which it is the host."""
    place: int
    """Of that part among the others, from 0."""


@dataclass(frozen=True, slots=True)
class Device:
    """Says who a device is, and when it speaks; or a part of one, which is numbered by itself."""

    device_id: str
    kind: str
    site: str
    qos: int
    interval_ms: int
    ordinal: int
    """Its number, less one, which its id tells alone: gps-0003 and telematics-0003 ride in the same vehicle."""
    key: int
    """Stable 64-bit hash of the device id: what its randomness is drawn by."""
    client_id: str
    """As which it connects."""
    fields: Mapping[str, str]
    """What it has for the names of the user's own that stand in braces."""
    gateway: Gateway | None = None
    """The one over whose connection it speaks; None where it has its own."""
    host: Host | None = None
    """The device that it is a part of; None where it is one itself."""
    place: int = 0
    """In its group, from 0."""

    @property
    def phase_ms(self) -> int:
        """Return when in each interval it speaks."""
        return self.key % self.interval_ms

    @property
    def whole_id(self) -> str:
        """Return the id of the device that it is, or is a part of."""
        return self.device_id if self.host is None else self.host.device_id

    @property
    def whole_key(self) -> int:
        """Return the key of the device that it is, or is a part of."""
        return self.key if self.host is None else self.host.key

    @property
    def carrier_id(self) -> str:
        """Return the id of what has its connection: its gateway, the device that it is a part of, or itself."""
        return self.whole_id if self.gateway is None else self.gateway.gateway_id

    @property
    def carrier_key(self) -> int:
        """Return the key of what has its connection."""
        return self.whole_key if self.gateway is None else self.gateway.key


@dataclass(frozen=True, slots=True)
class Shard:
    """Names every `count`-th connection, from number `index`: what one process of several takes care of.

    A device has one of its own, which its parts share, or shares that of its gateway, which is never divided.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`, such as `0/3`; raises `ConfigError`."""
        index, slash, count = text.partition("/")
        is_pair = slash and index.isdecimal() and count.isdecimal() and len(text) < _LONGEST_SHARD
        if not (is_pair and int(index) < int(count) <= MOST_SHARDS):
            raise ConfigError(
                f"shard '{text[:_LONGEST_SHARD]}': write i/n with i from 0 to n-1, such as 0/3, "
                f"and n of {MOST_SHARDS:,} at most"
            )
        return cls(int(index), int(count))

    def number(self, position: int) -> int:
        """Return the number in the whole scenario of the connection at this position of the shard."""
        return self.index + position * self.count

    def part(self, index: int, count: int) -> "Shard":
        """Return one of `count` parts of this shard."""
        return Shard(self.number(index), self.count * count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def all_devices(scenario: Scenario) -> list[tuple[Device, DeviceGroup]]:
    """Return every device of the scenario, in file order, those that are hardware by now as well.

    Raises `ConfigError` where two would have the same id, an id of `hardware` is none of its group, or units in one
    vehicle have it driven for different things.
    """
    numbers = IdNumbers.of(scenario)
    devices: list[tuple[Device, DeviceGroup]] = []
    gateways: list[Gateway] = []
    for entry in entries(scenario.devices):
        begin = len(devices)
        gateway: Gateway | None = None
        first = entry[0]
        for position in range(first.size):
            if first.gateway is not None and position % first.devices_per_gateway == 0:
                gateway = _gateway(first, scenario, len(gateways))
                gateways.append(gateway)
            # The parts of a device are beside each other.
            devices += [(make_device(scenario, group, position, numbers, gateway), group) for group in entry]
        strange = set(first.hardware).difference(device.whole_id for device, _ in devices[begin:])
        if strange:
            raise ConfigError(f"scenario: hardware: '{min(strange)}' is not the id of a device of its group")
    of_gateways = [one.gateway_id for one in gateways]
    hosts = [device.host.device_id for device, _ in devices if device.host is not None and not device.host.place]
    check_unique_ids([*(device.device_id for device, _ in devices), *hosts, *of_gateways])
    own = (device.client_id for device, _ in devices if is_connection(device))
    check_unique_ids([*own, *of_gateways], "have the client id")
    vehicle_uses(devices)
    return devices


def expand_devices(scenario: Scenario) -> list[tuple[Device, DeviceGroup]]:
    """Return every device that is emulated; otherwise as `all_devices`."""
    return emulated(all_devices(scenario))


def is_connection(device: Device) -> bool:
    """Return whether a device has a connection of its own, or is the first part of one that has."""
    return device.gateway is None and (device.host is None or device.host.place == 0)


def emulated(devices: Sequence[tuple[Device, DeviceGroup]]) -> list[tuple[Device, DeviceGroup]]:
    """Return the devices in whose place there is no hardware yet."""
    return [(device, group) for device, group in devices if device.whole_id not in group.hardware]


def kinds_by_id(devices: Iterable[Device]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the kind of each device or part by its id, and those of the parts of each device that has some."""
    kinds: dict[str, str] = {}
    parts: dict[str, list[str]] = {}
    for device in devices:
        kinds[device.device_id] = device.kind
        if device.host is not None:
            parts.setdefault(device.host.device_id, []).append(device.kind)
    return kinds, parts


def device_ids(scenario: Scenario) -> list[str]:
    """Return the id of every device that is emulated; raises as `all_devices`."""
    return [device.device_id for device, _ in expand_devices(scenario)]


def connection_numbers(devices: Sequence[tuple[Device, DeviceGroup]]) -> Sequence[int]:
    """Return the number, from 0, of the connection of each device: those of a gateway, or parts, have the same."""
    groups = {id(group): group for _, group in devices}.values()
    if all(group.gateway is None and group.device is None for group in groups):
        return range(len(devices))
    numbers: list[int] = []
    before = ""
    for device, _ in devices:
        numbers.append((numbers[-1] if numbers else -1) + (device.carrier_id != before))
        before = device.carrier_id
    return numbers


def devices_of_shard(
    devices: Sequence[tuple[Device, DeviceGroup]], shard: Shard
) -> tuple[Sequence[tuple[Device, DeviceGroup]], Sequence[int]]:
    """Return those of the emulated devices that a shard takes care of, and the numbers of their connections."""
    numbers = connection_numbers(devices)
    if isinstance(numbers, range):
        return devices[shard.index :: shard.count], numbers[shard.index :: shard.count]
    mine = [position for position, number in enumerate(numbers) if number % shard.count == shard.index]
    return [devices[position] for position in mine], [numbers[position] for position in mine]


def login_name(device: Device) -> str:
    """Return the name of the identity with which a device, or the one that has its connection, connects."""
    return device.carrier_id


def login_names(devices: Sequence[tuple[Device, DeviceGroup]]) -> list[str]:
    """Return the names of the identities of all connections of these devices."""
    return list(dict.fromkeys(login_name(device) for device, _ in devices))


def _gateway(group: DeviceGroup, scenario: Scenario, before: int) -> Gateway:
    assert group.gateway is not None
    gateway_id = group.gateway.gateway_id(before + 1)
    # All that a gateway hears is where it is.
    site = group.site or scenario.sites[before % len(scenario.sites)].name
    return Gateway(gateway_id, site, _key(gateway_id))


def site_of(scenario: Scenario, group: DeviceGroup, ordinal: int) -> str:
    """Return the site of a device of which no field and no gateway says another."""
    return group.site or scenario.sites[ordinal % len(scenario.sites)].name


def make_device(
    scenario: Scenario, group: DeviceGroup, position: int, numbers: IdNumbers, gateway: Gateway | None
) -> Device:
    """Return the device, or part of one, at a position of its group, behind a gateway where there is one."""
    number = numbers.number(group, position)
    device_id = group.ids[position] if group.ids else group.device_id(number)
    ordinal = numbers.ordinal(group, position)
    fields = group.fields_of(position) if group.fields else _NO_FIELDS
    site = fields.get(SITE) or site_of(scenario, group, ordinal)
    client_id = group.client_ids[position] if group.client_ids else device_id
    if gateway is not None:
        client_id, site = gateway.gateway_id, gateway.site
    host = None
    if group.device is not None:
        host = Host(device_id, _key(device_id), number, group.device.part, group.device.number)
        device_id = f"{device_id}.{group.device.part}"
    key = _key(device_id)
    # Equal numbers of a device are one object, of 28 bytes.
    position = ordinal if position == ordinal else position
    return Device(
        device_id,
        group.kind,
        site,
        group.qos,
        group.interval,
        ordinal,
        key,
        client_id,
        fields,
        gateway,
        host,
        position,
    )


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def check_unique_ids(device_ids: Sequence[str], relation: str = "are called") -> None:
    """Raise `ConfigError` where two devices, or a device and a gateway, have the same id."""
    seen: set[str] = set()
    for device_id in device_ids:
        if device_id in seen:
            raise ConfigError(f"scenario: two devices {relation} '{device_id}'; give one group another id")
        seen.add(device_id)


def device_names(device: Device) -> DeviceNames:
    """Return what stands for the names in braces of a device.

    The address is one that nobody but its owner gives out (IEEE 802: the second bit of its first byte is set).
    """
    return {
        **device.fields,
        "id": device.whole_id,
        "site": device.site,
        "kind": device.kind,
        "mac": f"02{device.whole_key % 2**40:010X}",
        "n": str(device.ordinal + 1 if device.host is None else device.host.number),
        "tail": device.whole_id[-2:],
        **({} if device.gateway is None else {"gateway": device.gateway.gateway_id, "device": device.device_id}),
        **({} if device.host is None else {PART: device.host.part}),
    }


def vehicle_sites(devices: Sequence[tuple[Device, DeviceGroup]]) -> set[tuple[int, str]]:
    """Return the vehicles in which units of the fleet ride: number less one, and site."""
    return {(device.ordinal, device.site) for device, _ in devices if KINDS[device.kind].rides_in_vehicle}


def vehicle_uses(devices: Sequence[tuple[Device, DeviceGroup]]) -> dict[tuple[int, str], VehicleUse]:
    """Return what vehicles (number less one, and site) are driven for, where a unit in them says it.

    Raises `ConfigError` where two units say different things of one.
    """
    uses: dict[tuple[int, str], VehicleUse] = {}
    said_by: dict[tuple[int, str], str] = {}
    for device, group in devices:
        use = group.settings.get("use") if KINDS[device.kind].rides_in_vehicle else None
        if use is None:
            continue
        vehicle = device.ordinal, device.site
        other = uses.setdefault(vehicle, use)
        first = said_by.setdefault(vehicle, device.device_id)
        if other != use:
            raise ConfigError(
                f"scenario: settings.use: {first} and {device.device_id} ride in one vehicle, which is {other} and"
                f" {use}: write the same for both, or leave one out"
            )
    return uses
