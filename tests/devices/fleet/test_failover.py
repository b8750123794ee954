"""A list of brokers, of which one is not there or goes away: devices go on to the next, and nothing lost is success."""

from collections.abc import Callable

import pytest

from devices.fleet.brokers import BrokerPool, broker_pool_for
from devices.fleet.connector import probe_all
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.doctor import ProbePlan, probe_brokers
from edgefleet.embedded import MosquittoProcess, free_port
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUrl
from edgewire.run_record import count_seqs
from tests.devices.fleet.observer import assert_books_balance, conduct, observing
from tests.waiting import eventually

GROUP = {"kind": "bme280", "count": 6, "interval": "100ms", "reconnect": {"base": "50ms"}}
URLS = [BrokerUrl.parse(f"mqtt://10.0.0.{number}") for number in range(1, 4)]


def test_the_next_broker_is_that_of_the_list_and_of_a_fixed_one_the_same() -> None:
    pool = BrokerPool(URLS)
    assert [pool.next_broker(url) for url in URLS] == [*URLS[1:], URLS[0]]
    assert [BrokerPool(URLS, policy="in_order").broker_for(number) for number in range(4)] == [URLS[0]] * 4
    fixed = BrokerPool(URLS, policy="fixed")
    assert [fixed.next_broker(url) for url in URLS] == URLS
    elsewhere = BrokerUrl.parse("mqtt://elsewhere")
    assert pool.next_broker(elsewhere) == elsewhere


@pytest.mark.services
async def test_a_list_with_the_first_dead_connects_all_to_the_other(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker, dead = mosquitto_factory(), f"mqtt://127.0.0.1:{free_port()}"
    scenario = Scenario(broker=[dead, broker.url], devices=[GROUP])
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: fleet.connected_after_s is not None, "all are connected")
            await eventually(lambda: all(client.acknowledged > 3 for client in fleet.clients), "all have measured")

        record = await conduct(scenario, script)
        assert_books_balance(record, observer)
    assert (record.problems, record.connected_to) == ({}, {broker.url: 6})
    facts = await probe_brokers(broker_pool_for(scenario), ProbePlan(wait_s=30))
    assert [str(one.url) for one in facts] == [broker.url]
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        await probe_all(broker_pool_for(scenario.model_copy(update={"broker_list": "fixed"})))


@pytest.mark.services
@pytest.mark.slow
async def test_a_broker_that_is_killed_in_mid_run_loses_its_devices_to_the_other(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    brokers = mosquitto_factory(), mosquitto_factory()
    scenario = Scenario(broker=[one.url for one in brokers], devices=[GROUP])
    with observing(brokers[0]) as first, observing(brokers[1]) as second:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: fleet.connected_after_s is not None, "all are connected")
            await eventually(lambda: all(client.acknowledged > 3 for client in fleet.clients), "all have measured")
            brokers[0].kill()
            await eventually(lambda: all(client.reconnects for client in fleet.clients[::2]), "they are at the other")
            before = [client.acknowledged for client in fleet.clients]
            await eventually(
                lambda: all(client.acknowledged > was + 3 for client, was in zip(fleet.clients, before, strict=True)),
                "they go on",
            )

        record = await conduct(scenario, script)
    assert record.connected_to == {brokers[1].url: 6}
    assert record.problems == {}
    for device in record.devices:
        assert device.acknowledged == device.emitted - count_seqs(device.unsent)
        heard = {seq for one in (first, second) for seq in one.seqs(device.device_id).get(device.boot, [])}
        assert heard == set(range(device.emitted))
