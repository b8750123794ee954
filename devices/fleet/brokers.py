"""Tells which broker each device connects to, from which local address, and as whom.

The broker follows from the device's number in the scenario, so it is the same however the fleet is split; where that
cannot be reached, the next of the list is tried. A local
address is good for some 28,000 connections to one broker address (net.ipv4.ip_local_port_range), but the kernel looks
at the odd or the even half of the ports first, and once that is taken it looks through all of it for each connection:
350 a second were left of 3,400. So a large fleet dials from several addresses in turn, and where one has no port left,
another takes its place.
"""

import base64
import ipaddress
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from devices.fleet.credentials import Identities
from devices.fleet.hub_login import HubLogin
from devices.scenario.identity_table import Login, read_logins
from devices.scenario.scenario import Scenario
from edgewire.dialects.azure_iot import AzureIotOptions
from edgewire.errors import ConfigError
from edgewire.link import PLAIN_HANDSHAKE, BrokerUrl, Link, NoLocalPort, WebHandshake, connect_link
from edgewire.link.connect import OnEvents
from edgewire.mqtt import Session

# 127.0.0.2 and up reach a broker on loopback as well as 127.0.0.1 does; so many of them carry half a million devices.
LOOPBACK_ADDRESSES = 17
# Devices of the whole fleet to one local address: its processes do not know of each other's ports.
DEVICES_PER_ADDRESS = 8_000


BrokerPolicy = Literal["spread", "in_order", "fixed"]


class BrokerPool:
    """Holds the brokers of a fleet and the local addresses to connect to them from."""

    def __init__(
        self,
        brokers: Sequence[BrokerUrl],
        source_addresses: Sequence[str] = (),
        identities: Identities | None = None,
        *,
        devices: int = 1,
        policy: BrokerPolicy = "spread",
        web: WebHandshake = PLAIN_HANDSHAKE,
    ) -> None:
        """Take the brokers of a fleet that has so many `devices` in all its processes."""
        self.urls = tuple(brokers)
        self._policy = policy
        self._web = web
        needed = max(1, -(-devices // DEVICES_PER_ADDRESS))
        self._source_addresses = tuple(source_addresses)
        self._local_addresses = {
            broker: _LocalAddresses(_addresses(broker, source_addresses), needed) for broker in self.urls
        }
        self.identities = identities or Identities(None, self.urls)

    def broker_for(self, number: int) -> BrokerUrl:
        """Return the broker of the device with this number in the scenario."""
        return self.urls[0 if self._policy == "in_order" else number % len(self.urls)]

    @property
    def choices(self) -> int:
        """Return among how many brokers a device may choose."""
        return 1 if self._policy == "fixed" else len(set(self.urls))

    def next_broker(self, broker: BrokerUrl) -> BrokerUrl:
        """Return where a device tries next, which could not connect to this one."""
        if self.choices == 1 or broker not in self.urls:
            return broker
        others = list(dict.fromkeys(self.urls))
        return others[(others.index(broker) + 1) % len(others)]

    async def open_link(
        self, broker: BrokerUrl, session: Session, on_events: OnEvents, on_open: Callable[[], None] | None = None
    ) -> Link:
        """Connect a session; raises as `connect_link`, but `NoLocalPort` only when every address is used up."""
        tls = self.identities.tls(session.client_id, broker) if broker.uses_tls else None
        addresses = self._local_addresses.get(broker)
        if addresses is None:  # one of the brokers refers its devices to it
            addresses = _LocalAddresses(_addresses(broker, self._source_addresses), 1)
        for attempt in range(1, len(addresses) + 1):
            source = addresses.next()
            try:
                return await connect_link(
                    broker,
                    session,
                    on_events,
                    tls=tls,
                    local_addr=None if source is None else (source, 0),
                    own_timer=False,
                    alpn=self.identities.alpn(broker),
                    web=self._web,
                    on_open=on_open,
                )
            except NoLocalPort:
                if attempt == len(addresses):
                    raise
                addresses.replace(source)
        raise AssertionError("a broker has at least one source")

    def __str__(self) -> str:
        return ", ".join(map(str, self.urls))


def referred_broker(broker: BrokerUrl, reference: str) -> BrokerUrl | None:
    """Return the first server of a server reference (MQTT 5, 4.11), with the scheme and credentials of `broker`.

    None where the reference names none, or the same one.
    """
    for text in reference.split():
        with suppress(ConfigError):
            found = BrokerUrl.parse(f"{broker.scheme}://{text}")
            if found.username is None and (found.host, found.port) != (broker.host, broker.port):
                return replace(broker, host=found.host, port=found.port)
    return None


def broker_pool_for(scenario: Scenario, device_ids: Collection[str] = ()) -> BrokerPool:
    """Return the brokers of a scenario, for these of its devices and for probes. Raises `ConfigError`."""
    brokers = scenario.broker_urls
    logins = read_group_logins(scenario, frozenset(device_ids))
    identities = Identities(
        scenario.identities,
        brokers,
        device_ids,
        scenario.ca_file,
        alpn=scenario.alpn,
        insecure=scenario.insecure,
        logins=logins,
        names={
            client_id: device_id
            for group in scenario.devices
            for client_id, device_id in zip(group.client_ids, group.ids, strict=False)
        },
        hubs=dict(_hub_logins(scenario, logins)),
    )
    addresses = [str(address) for address in scenario.source_addresses]
    devices = sum(group.size for group in scenario.devices)
    web = scenario.websocket.handshake
    return BrokerPool(brokers, addresses, identities, devices=devices, policy=scenario.broker_list, web=web)


def read_group_logins(scenario: Scenario, device_ids: Collection[str]) -> dict[str, Login]:
    """Return, by client id, how devices log in whose groups have a file of identities; of none of them the first.

    Raises `ConfigError` for a file that is not what it was when the scenario was read.
    """
    found: dict[str, Login] = {}
    for group in scenario.devices:
        if group.identities is None:
            continue
        clients = dict(zip(group.ids, group.client_ids or group.ids, strict=True))
        for device_id, login in read_logins(group.identities, group.size):
            if device_id not in clients:
                raise ConfigError(f"{group.identities}: has changed since the scenario was read: start again")
            if not found or device_id in device_ids:
                found[clients[device_id]] = login
    return found


def _hub_logins(scenario: Scenario, logins: Mapping[str, Login]) -> Iterator[tuple[str, HubLogin]]:
    """Yield, by client id, who logs in to a hub by a certificate or a token, and is not called otherwise."""
    for group in scenario.devices:
        options = group.dialect_options
        if group.identities is None or not isinstance(options, AzureIotOptions):
            continue
        for device_id in group.ids:
            login = logins.get(device_id)
            if login is not None and login.username is None:
                key = None if login.sas_key is None else base64.b64decode(login.sas_key)
                yield device_id, HubLogin(device_id, options.hub, options.token_lifetime / 1000, key)


class _LocalAddresses:
    """Holds the local addresses for one broker: some in use, in turn, and the others to take their places."""

    def __init__(self, addresses: Sequence[str | None], needed: int) -> None:
        self._used = deque(addresses[:needed])
        self._spare = deque(addresses[needed:])

    def __len__(self) -> int:
        return len(self._used) + len(self._spare)

    def next(self) -> str | None:
        """Return the address whose turn it is; None leaves it to the system."""
        self._used.rotate(-1)
        return self._used[-1]

    def replace(self, address: str | None) -> None:
        """Take an address without a port out of use; it may have some again when all others were in use."""
        if self._spare and address in self._used:
            self._used.remove(address)
            self._used.append(self._spare.popleft())
            self._spare.append(address)


def _addresses(broker: BrokerUrl, given: Sequence[str]) -> tuple[str | None, ...]:
    if given:
        return tuple(given)
    if is_loopback(broker.host):
        return (None, *(f"127.0.0.{number}" for number in range(2, LOOPBACK_ADDRESSES + 1)))
    return (None,)


def is_loopback(host: str) -> bool:
    """Return whether this is an IPv4 loopback address, or the name of one."""
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return host == "localhost"
