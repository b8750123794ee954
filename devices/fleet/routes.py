"""Which broker each device dials, from which local address, and as whom.

The broker follows from the device's number in the scenario, so it is the same however the fleet is split. A local
address is good for some 28,000 connections to one broker address (net.ipv4.ip_local_port_range); when it has no port
left, the next address takes over.
"""

import ipaddress
from collections.abc import Collection, Sequence

from devices.fleet.identities import Identities
from devices.scenario import Scenario
from edgewire.link import BrokerUrl, Link, NoLocalPort, dial
from edgewire.link.dialling import OnEvents, OnWritable
from edgewire.mqtt import Session

# 127.0.0.2 and up reach a broker on loopback as well as 127.0.0.1 does; so many of them carry half a million devices.
LOOPBACK_ADDRESSES = 17


class Routes:
    """The brokers of a fleet and the local addresses to dial them from."""

    def __init__(
        self,
        brokers: Sequence[BrokerUrl],
        source_addresses: Sequence[str] = (),
        identities: Identities | None = None,
    ) -> None:
        self.brokers = tuple(brokers)
        self._sources = {broker: _sources(broker, source_addresses) for broker in self.brokers}
        self._at = dict.fromkeys(self.brokers, 0)
        self.identities = identities or Identities(None, self.brokers)

    def broker(self, number: int) -> BrokerUrl:
        """Of the device with this number in the scenario."""
        return self.brokers[number % len(self.brokers)]

    def source(self, broker: BrokerUrl) -> str | None:
        """The local address in use for this broker; None leaves it to the system."""
        return self._sources[broker][self._at[broker]]

    async def dial(
        self, broker: BrokerUrl, session: Session, on_events: OnEvents, on_writable: OnWritable | None = None
    ) -> Link:
        """Connect a session; raises as `edgewire.link.dial`, `NoLocalPort` only when every address is used up."""
        tls = self.identities.tls(session.config.client_id) if broker.scheme == "mqtts" else None
        for attempt in range(len(self._sources[broker])):
            at = self._at[broker]
            source = self._sources[broker][at]
            try:
                return await dial(
                    broker,
                    session,
                    on_events,
                    tls=tls,
                    on_writable=on_writable,
                    local_addr=None if source is None else (source, 0),
                    own_timer=False,
                )
            except NoLocalPort:
                if attempt == len(self._sources[broker]) - 1:
                    raise
                if self._at[broker] == at:
                    # The first to find out moves all on. After the last address the first may have ports again.
                    self._at[broker] = (at + 1) % len(self._sources[broker])
        raise AssertionError("a broker has at least one source")

    def __str__(self) -> str:
        return ", ".join(map(str, self.brokers))


def routes_of(scenario: Scenario, device_ids: Collection[str] = ()) -> Routes:
    """Those of a scenario, for these of its devices and for probes. Raises `ConfigError`."""
    brokers = scenario.broker_urls
    identities = Identities(scenario.identities, brokers, device_ids, scenario.ca_file)
    return Routes(brokers, [str(address) for address in scenario.source_addresses], identities)


def _sources(broker: BrokerUrl, given: Sequence[str]) -> tuple[str | None, ...]:
    if given:
        return tuple(given)
    if is_loopback(broker.host):
        return (None, *(f"127.0.0.{number}" for number in range(2, LOOPBACK_ADDRESSES + 1)))
    return (None,)


def is_loopback(host: str) -> bool:
    """Whether this is an IPv4 loopback address, or the name of one."""
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return host == "localhost"
