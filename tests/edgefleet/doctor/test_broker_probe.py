"""A broker is asked before the fleet starts: as a stranger, as one of its devices, or again until it is there."""

import asyncio
from collections.abc import Sequence

import pytest

from devices.fleet.brokers import broker_pool_for
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.doctor import ProbePlan, common_limits, probe_brokers
from edgefleet.doctor.broker_probe import BrokerFacts, probe_devices
from edgefleet.embedded import free_port
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerRefused, BrokerUrl
from edgewire.mqtt import ServerLimits, Version
from edgewire.mqtt.packets import Connack, Connect, Packet
from tests.edgewire.link.odd_broker import Answer, Client, odd_broker
from tests.tcp import tcp_server


def scenario(url: BrokerUrl) -> Scenario:
    return Scenario(broker=str(url), devices=[{"kind": "bme280", "count": 3}])


async def ask(one: Scenario, **plan: float) -> list[BrokerFacts]:
    return await probe_brokers(broker_pool_for(one), ProbePlan(session_expiry_s=60, scenario=one, **plan))


@pytest.mark.parametrize("code", [0x85, 0x87, 0x86])
async def test_a_broker_that_knows_no_strangers_is_asked_as_a_device(code: int) -> None:
    def only_devices(client: Client, packet: Packet) -> Sequence[Answer]:
        known = client.connect.client_id.startswith("bme280-")
        return [Connack(False, 0, {"maximum_qos": 1}) if known else Connack(False, code)]

    async with odd_broker({Connect: only_devices}) as broker:
        (facts,) = await ask(scenario(broker.url))
    assert facts.limits.maximum_qos == 1
    # Twice: the session that the broker kept for the asking goes again.
    assert broker.dials["bme280-0001"] == 2


async def test_the_session_of_a_device_that_was_there_before_is_left_alone() -> None:
    asked: list[tuple[str, bool]] = []

    def only_devices(client: Client, packet: Packet) -> Sequence[Answer]:
        asked.append((client.connect.client_id[:6], client.connect.clean_start))
        return [Connack(True) if client.connect.client_id.startswith("bme280-") else Connack(False, 0x85)]

    async with odd_broker({Connect: only_devices}) as broker:
        await ask(scenario(broker.url))
    assert asked == [("edgefl", True), ("bme280", False)]


async def test_a_device_is_not_thrown_out_where_a_stranger_is_let_in() -> None:
    async with odd_broker() as broker:
        await ask(scenario(broker.url))
    assert not [client_id for client_id in broker.dials if not client_id.startswith("edgefleet-probe-")]


async def test_a_broker_that_refuses_devices_too_is_told_with_what_to_do() -> None:
    def nobody(client: Client, packet: Packet) -> Sequence[Answer]:
        return [Connack(False, 0x87)]

    async with odd_broker({Connect: nobody}) as broker:
        with pytest.raises(BrokerRefused, match=r"refused client 'bme280-0001': not authorized; look at the user"):
            await ask(scenario(broker.url))


@pytest.mark.slow
async def test_a_busy_broker_is_waited_for() -> None:
    def busy_at_first(client: Client, packet: Packet) -> Sequence[Answer]:
        return [Connack(False, 0x89 if sum(broker.dials.values()) < 3 else 0)]

    async with odd_broker({Connect: busy_at_first}) as broker:
        (facts,) = await ask(scenario(broker.url), wait_s=20)
    assert facts.version is Version.V5


@pytest.mark.slow
async def test_a_broker_that_is_not_there_yet_is_waited_for() -> None:
    port = free_port()
    url = BrokerUrl("mqtt", "127.0.0.1", port)
    asking = asyncio.create_task(ask(scenario(url), wait_s=20))
    await asyncio.sleep(0.05)
    async with odd_broker() as broker, tcp_server(broker.serve, port=port):
        (facts,) = await asking
    assert facts.url == url


@pytest.mark.parametrize("wait_s", [0, 0.2])
async def test_a_broker_that_does_not_come_is_told(wait_s: float) -> None:
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        await ask(scenario(BrokerUrl("mqtt", "127.0.0.1", free_port())), wait_s=wait_s)


async def test_waiting_does_not_help_against_a_wrong_password() -> None:
    def nobody(client: Client, packet: Packet) -> Sequence[Answer]:
        return [Connack(False, 0x86)]

    async with odd_broker({Connect: nobody}) as broker:
        with pytest.raises(BrokerRefused):
            await ask(scenario(broker.url), wait_s=600)


def test_each_broker_is_asked_as_a_device_of_its_own_and_of_this_shard() -> None:
    urls = [f"mqtt://10.0.0.{number}" for number in (1, 2)]
    one = Scenario(broker=urls, devices=[{"kind": "bme280", "count": 9}])
    found = probe_devices(one, Shard(1, 3))
    assert {url.host: device.device_id for url, device in found.items()} == {
        "10.0.0.2": "bme280-0002",
        "10.0.0.1": "bme280-0005",
    }


def test_what_all_brokers_take_is_the_least_of_each() -> None:
    def facts(**limits: int) -> BrokerFacts:
        return BrokerFacts(url=BrokerUrl("mqtt", "h", 1), version=Version.V5, limits=ServerLimits(**limits))

    assert common_limits(
        [facts(maximum_qos=1), facts(retain_available=False), facts(maximum_packet_size=99, receive_maximum=1)]
    ) == ServerLimits(maximum_qos=1, retain_available=False, maximum_packet_size=99)
