"""Makes the clients of the devices of a fleet: of those with a connection of their own, and of those that share one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from devices.firmware.config import Build
from devices.firmware.firmware import Firmware
from devices.firmware.parts import HostFirmware
from devices.fleet.brokers import BrokerPool
from devices.fleet.carrier_client import CarrierClient
from devices.fleet.device_client import DeviceClient
from devices.fleet.gateway_client import GatewayClient, MemberClient
from devices.fleet.host_client import HostClient, PartClient
from devices.fleet.part import FleetPart
from devices.fleet.session_factory import create_session
from devices.fleet.standby import Standby
from devices.fleet.standby_client import StandbyClient, StandbyOwner
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, Gateway
from devices.scenario.scenario import Scenario
from devices.timeline.formats import make_gateway_format
from devices.timeline.gateway_format import as_device
from devices.timeline.host_format import HostFormat, host_device
from devices.timeline.timeline import Timeline
from devices.timeline.wire_format import WireFormat
from edgewire.link import BrokerUrl
from edgewire.mqtt import ServerLimits, Session, Version


class ClientFactory:
    """Makes clients for the devices of a run, those of its start and those that come later."""

    def __init__(
        self,
        owner: StandbyOwner,
        brokers: BrokerPool,
        standby: Standby,
        run_id: str,
        uniform: Callable[[], float],
        version: Version | None,
        limits: ServerLimits | None,
    ) -> None:
        """Draw from [0, 1) with `uniform`; `version` and `limits` are what is known of all brokers."""
        self._owner = owner
        self._brokers = brokers
        self._standby = standby
        self._run_id = run_id
        self._uniform = uniform
        self._version = version
        self._limits = limits or ServerLimits()
        self.carriers: list[CarrierClient] = []
        """All that have the connections of some of the devices, or of the parts of one."""

    def create_clients(self, part: FleetPart, scenario: Scenario, numbers: Sequence[int]) -> Iterator[DeviceClient]:
        """Yield the clients of a part, whose devices have connections of these numbers in the scenario."""
        timeline = part.timeline
        builds = {id(group): replace(scenario.build(group), run_id=self._run_id) for group in scenario.devices}
        boots = timeline.boots_at(part.begin_ms)
        gateways: dict[str, GatewayClient] = {}
        hosts: dict[str, HostClient] = {}
        for position, number in enumerate(numbers):
            group = timeline.device_group(position)
            boot, booted_ms, reason = boots[position]
            boot = part.boots.get(position, boot)
            device, wire_format = timeline.devices[position], timeline.wire_format(position)
            build = builds[id(group)]
            firmware = Firmware(device.device_id, device.key, boot, booted_ms, build, reason)
            if device.gateway is not None:
                gateway = gateways.get(device.carrier_id)
                gateway = gateway or self._create_gateway(timeline, position, device.gateway, scenario, build)
                gateways[device.carrier_id] = gateway
                yield MemberClient(device, firmware, gateway, self._owner, self._uniform, wire_format)
            elif device.host is not None:
                host = hosts.get(device.whole_id)
                if host is None:
                    whole = HostFirmware(device.whole_id, device.whole_key, boot, booted_ms, build, reason)
                    host = hosts[device.whole_id] = self._create_host(timeline, position, whole, scenario, number)
                yield PartClient(device, firmware, host, self._owner, self._uniform, wire_format)
            else:
                yield self._create_client(device, firmware, wire_format, scenario, number, group)

    def _create_client(
        self,
        device: Device,
        firmware: Firmware,
        wire_format: WireFormat,
        scenario: Scenario,
        number: int,
        group: DeviceGroup,
    ) -> DeviceClient:
        broker = self._brokers.broker_for(number)
        session = self._session(device, firmware, wire_format, scenario, broker)
        after_ms = scenario.standby_after_ms(group)
        if after_ms is None:
            return DeviceClient(device, firmware, session, self._owner, self._uniform, broker, wire_format)
        client = StandbyClient(
            device, firmware, session, self._owner, self._uniform, broker, wire_format, after_ms / 1000
        )
        self._standby.add_client(client)
        return client

    def _create_gateway(
        self, timeline: Timeline, position: int, gateway: Gateway, scenario: Scenario, build: Build
    ) -> GatewayClient:
        """Return the client of the gateway that the device at a position is the first of."""
        group = timeline.device_group(position)
        after = timeline.devices[position : position + group.devices_per_gateway]
        behind = [device for device in after if device.gateway is gateway]
        wire_format = make_gateway_format(group, behind, timeline.wire_format(position))
        device = as_device(gateway)
        firmware = Firmware(device.device_id, device.key, timeline.boot, timeline.start_ms, build)
        broker = self._brokers.broker_for(timeline.connection_numbers[position])
        session = self._session(device, firmware, wire_format, scenario, broker)
        client = GatewayClient(device, firmware, session, self._owner, self._uniform, broker, wire_format)
        self.carriers.append(client)
        return client

    def _create_host(
        self, timeline: Timeline, position: int, firmware: HostFirmware, scenario: Scenario, number: int
    ) -> HostClient:
        """Return the client of the device that the one at a position is the first part of."""
        first = timeline.devices[position]
        assert first.host is not None
        after = range(position, position + timeline.device_group(position).devices_per_connection)
        wire_format = HostFormat([(timeline.devices[at], timeline.wire_format(at)) for at in after])
        device = host_device(first, first.host)
        broker = self._brokers.broker_for(number)
        session = self._session(device, firmware, wire_format, scenario, broker)
        client = HostClient(device, firmware, session, self._owner, self._uniform, broker, wire_format)
        self.carriers.append(client)
        return client

    def _session(
        self, device: Device, firmware: Firmware, wire_format: WireFormat, scenario: Scenario, broker: BrokerUrl
    ) -> Session:
        credentials = self._brokers.identities.credentials_for(device.client_id, broker)
        return create_session(device, firmware, wire_format, scenario, credentials, self._version, self._limits)
