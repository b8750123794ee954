"""Tells who logs in for a fleet, and which topics each may write and read: those of the formats that its devices speak.

A device may publish what its format says, and hears its commands; a gateway has the rights of all devices behind it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from devices.firmware.firmware import Firmware
from devices.fleet.credentials import OPERATOR
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, Gateway, all_devices, login_name
from devices.scenario.identity_table import Login, read_logins
from devices.scenario.scenario import Scenario
from devices.scenario.speech import dialect_decoder
from devices.timeline.formats import make_gateway_format, make_wire_formats
from devices.timeline.gateway_format import as_device
from devices.timeline.native_format import NativeFormat
from devices.timeline.wire_format import WireFormat
from edgewire.dialects.base import DialectDecoder
from edgewire.dialects.registry import DIALECTS
from edgewire.errors import ConfigError
from edgewire.messages import Channel
from edgewire.messages.topics import ROOT

COMMON_NAME_BYTES = 64
"""X.509 (RFC 5280, ub-common-name): longer names stand in no certificate."""


class TopicRights(NamedTuple):
    """Names topics by filters."""

    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


_NO_RIGHTS = TopicRights()


@dataclass(frozen=True, slots=True)
class Account:
    """Says as whom a device, or a gateway, logs in, and what it may do beside what all of the message contract may."""

    name: str
    """The id of the device or gateway: what its certificate's file is called."""
    username: str = ""
    """Empty: the name."""
    password: str | None = field(default=None, repr=False)
    """That of a file of identities; None where provision makes one."""
    certificate: Path | None = None
    """That of a file of identities; None where provision makes one."""
    rights: TopicRights = _NO_RIGHTS

    @property
    def user(self) -> str:
        """Return the user name at the broker."""
        return self.username or self.name

    @property
    def has_common_name(self) -> bool:
        """Return whether a certificate can name this user."""
        return len(self.user.encode()) <= COMMON_NAME_BYTES


@dataclass(frozen=True, slots=True)
class ServiceRights:
    """Says what the bridge and operators may do."""

    reads: tuple[str, ...] = (f"{ROOT}/#",)
    """Of both."""
    commands: tuple[str, ...] = (f"{ROOT}/+/+/+/{Channel.CMD.value}",)
    """What operators may write."""
    requests: tuple[str, ...] = ()
    """What the bridge may write, as it asks devices for something, or tells them that it is there."""


def fleet_accounts(scenario: Scenario) -> list[Account]:
    """Return who logs in for all devices of a scenario, in its order; a gateway logs in for its own.

    Raises `ConfigError` as `all_devices`, and for a file of identities that has changed.
    """
    formats = make_wire_formats(scenario)
    native = NativeFormat()
    logins = dict(_logins(scenario))
    behind: dict[str, list[tuple[Device, DeviceGroup]]] = {}
    for device, group in all_devices(scenario):
        behind.setdefault(login_name(device), []).append((device, group))
    accounts = []
    for name, members in behind.items():
        group = members[0][1]
        wire_format = formats.get(id(group), native)
        rights = [device_rights(device, group, scenario, formats.get(id(group), native)) for device, group in members]
        gateway = members[0][0].gateway
        if gateway is not None:
            told = make_gateway_format(group, [device for device, _ in members], wire_format)
            rights.append(device_rights(as_device(gateway), group, scenario, told))
        rights.append(TopicRights(_answered(group)))
        login = logins.get(name, Login())
        accounts.append(Account(name, login.username or "", login.password, login.certificate, _joined(rights)))
    return accounts


def contract_ids(accounts: Iterable[Account]) -> dict[str, str]:
    """Return who logs in for each id on a topic of the message contract: a user of that name may speak for it."""
    return {
        topic.split("/")[3]: account.name
        for account in accounts
        for topic in account.rights.writes
        if topic.startswith(f"{ROOT}/") and topic.count("/") == 4
    }


def service_rights(scenario: Scenario) -> ServiceRights:
    """Return what the bridge has to read of a fleet, and where its commands go."""
    formats = make_wire_formats(scenario)
    reads, commands, requests = [f"{ROOT}/#"], list(ServiceRights().commands), list(ServiceRights().requests)
    for group in scenario.devices:
        wire_format = formats.get(id(group))
        if wire_format is None:
            continue
        found = _general_rights(group, scenario, wire_format)
        reads += [*_decoded(group), *found.writes, *_answered(group)]
        commands += (one for one in found.reads if one not in wire_format.shared_topics)
        requests += getattr(_decoder_of(group), "request_filters", ())
    return ServiceRights(_widest(reads), _widest(commands), _widest(requests))


def device_rights(device: Device, group: DeviceGroup, scenario: Scenario, wire_format: WireFormat) -> TopicRights:
    """Return the topics of one device or gateway, by the format in which it speaks."""
    firmware = Firmware(device.device_id, device.key, 0, 0, scenario.build(group))
    told = [one for state in ("online", "offline") for one in wire_format.status(device, firmware.status(state, None))]
    will = wire_format.will(device, firmware.status("offline", None))
    writes = (
        *wire_format.topics(device),
        *(one.topic for one in told),
        *(() if will is None else (will.topic,)),
        *wire_format.answer_filters(device),
    )
    return TopicRights(tuple(dict.fromkeys(writes)), tuple(dict.fromkeys(wire_format.command_topics(device))))


def _answered(group: DeviceGroup) -> tuple[str, ...]:
    """Return whom devices answer beside those who hear their own topics.

    A Shelly answers where the request says: if it might answer anybody, it might command everybody.
    """
    return (f"{OPERATOR}/rpc",) if group.dialect_name == "shelly" else ()


def _joined(rights: Iterable[TopicRights]) -> TopicRights:
    writes: dict[str, None] = {}
    reads: dict[str, None] = {}
    for one in rights:
        writes.update(dict.fromkeys(one.writes))
        reads.update(dict.fromkeys(one.reads))
    return TopicRights(_without_covered(writes), _without_covered(reads))


def _logins(scenario: Scenario) -> Iterator[tuple[str, Login]]:
    for group in scenario.devices:
        if group.identities is None or group.gateway is not None:
            continue
        known = frozenset(group.ids)
        for device_id, login in read_logins(group.identities, group.size):
            if device_id not in known:
                raise ConfigError(f"{group.identities}: has changed since the scenario was read: start again")
            yield device_id, login


# -- filters for all devices of a group


def _general_rights(group: DeviceGroup, scenario: Scenario, wire_format: WireFormat) -> TopicRights:
    """Return filters for whatever devices a group has: those of two that differ in all, where these differ."""
    found = []
    for mark, key in (("a", 0x1111_1111_1111_1111), ("b", 0x2222_2222_2222_2222)):
        gateway = None if group.gateway is None else Gateway(f"{mark}-gateway-{mark}", f"{mark}-site", key)
        fields = dict.fromkeys(group.field_names, f"{mark}-field")
        ordinal = 1 if mark == "a" else 2
        device = Device(
            f"{mark}-device-{mark}{mark}", group.kind, f"{mark}-site", 0, 1000, ordinal, key, mark, fields, gateway
        )
        rights = [device_rights(device, group, scenario, wire_format)]
        if gateway is not None:
            told = make_gateway_format(group, [device], wire_format)
            rights.append(device_rights(as_device(gateway), group, scenario, told))
        found.append(rights)
    pairs = list(zip(*found, strict=True))
    writes = (_general(*one) for a, b in pairs for one in zip(a.writes, b.writes, strict=True))
    reads = (_general(*one) for a, b in pairs for one in zip(a.reads, b.reads, strict=True))
    return TopicRights(tuple(dict.fromkeys(writes)), tuple(dict.fromkeys(reads)))


def _general(one: str, other: str) -> str:
    pairs = zip(one.split("/"), other.split("/"), strict=True)
    return "/".join(level if level == same else "+" for level, same in pairs)


def _decoded(group: DeviceGroup) -> Sequence[str]:
    """Return the filters of all that a bridge may be told to decode of such devices, real ones among them."""
    decoder = _decoder_of(group)
    return () if decoder is None else decoder.filters


def _decoder_of(group: DeviceGroup) -> DialectDecoder | None:
    return dialect_decoder(group.dialect) if group.dialect_name in DIALECTS else None


def _widest(filters: Iterable[str]) -> tuple[str, ...]:
    """Return filters without those of which another one matches all topics."""
    return _without_covered(dict.fromkeys(filters))


def _without_covered(filters: Iterable[str]) -> tuple[str, ...]:
    kept = [*dict.fromkeys(filters)]
    wide = [one for one in kept if "+" in one or "#" in one]
    return tuple(one for one in kept if not any(wider != one and covers(wider, one) for wider in wide))


def covers(wider: str, narrower: str) -> bool:
    """Return whether each topic that matches the second filter matches the first one."""
    wide, narrow = wider.split("/"), narrower.split("/")
    for place, level in enumerate(wide):
        if level == "#":
            return True
        if place >= len(narrow) or narrow[place] == "#":
            return False
        if level not in ("+", narrow[place]):
            return False
    return len(wide) == len(narrow)
