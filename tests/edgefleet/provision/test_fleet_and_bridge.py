"""A fleet and a bridge with their identities, on a secured Mosquitto; and what is said where something is missing."""

import asyncio
from pathlib import Path

import orjson
import pytest

from bridge.check import check_endpoints
from bridge.config import BridgeConfig
from devices.fleet.brokers import broker_pool_for
from devices.fleet.connector import probe_all
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.provision import BRIDGE, OPERATOR
from edgewire.errors import ConfigError, EdgefleetError
from tests.edgefleet.provision.conftest import SecuredBroker, provisioned
from tests.edgefleet.provision.test_secured_broker import client, passwords
from tests.waiting import eventually

pytestmark = pytest.mark.services

DEVICES = [{"kind": "bme280", "count": 2, "interval": "100ms"}, {"kind": "gps", "ids": ["gps-0001"], "interval": "1s"}]


def scenario(broker: SecuredBroker, **changes: object) -> Scenario:
    url = f"mqtts://127.0.0.1:{broker.devices}"
    return Scenario.model_validate({"broker": url, "devices": DEVICES, "identities": broker.folder} | changes)


async def test_every_device_of_a_fleet_is_itself(broker: SecuredBroker) -> None:
    with client(broker, BRIDGE) as bridge:
        assert bridge.subscribe("edge/+/+/+/telemetry")
        version = await probe_all(broker_pool_for(scenario(broker)))
        record = await Fleet(scenario(broker), name="secured", version=version).run(1, asyncio.Event())
        # A broker that does not allow a publish says so in its PUBACK, and the device counts the message as dropped.
        assert record.totals["dropped"] == 0
        assert record.totals["acknowledged"] == record.totals["emitted"] > 10
        await eventually(lambda: len(bridge.messages) >= record.totals["emitted"], "all have arrived")
        ids = {orjson.loads(payload)["device_id"] for _, payload in bridge.messages}
        assert ids == {"bme280-0001", "bme280-0002", "gps-0001"}


async def test_an_operator_tells_a_device_what_to_do(broker: SecuredBroker) -> None:
    device, stop = "edge/default/bme280/bme280-0002", asyncio.Event()
    order = {"id": "slower", "action": "set_interval", "arguments": {"interval": "5s"}}
    # Under a client id of its own: the fleet's probe has the name of the account.
    with client(broker, OPERATOR, client_id="person") as operator:
        assert operator.subscribe(f"{device}/status")
        assert operator.subscribe(f"{device}/result")
        fleet = Fleet(scenario(broker), name="secured", version=await probe_all(broker_pool_for(scenario(broker))))
        running = asyncio.create_task(fleet.run(30, stop))
        # The goodbye of an earlier run is retained.
        await eventually(lambda: any(b'"online"' in payload for _, payload in operator.messages), "it is online")
        operator.mqtt.publish(f"{device}/cmd", orjson.dumps(order), qos=1)
        await eventually(lambda: f"{device}/result" in dict(operator.messages), "it answers")
        stop.set()
        record = await running
    assert orjson.loads(dict(operator.messages)[f"{device}/result"])["data"] == {"interval": "5s"}
    assert record.totals["dropped"] == 0


async def test_the_bridge_shows_its_account_or_its_certificate(broker: SecuredBroker) -> None:
    folder = broker.folder
    password = passwords(folder)[BRIDGE]
    account = "" if broker.by_certificate else f"{BRIDGE}:{password}@"
    mqtt = {"ca_file": folder / "ca.crt"} | ({"certificate": folder / f"{BRIDGE}.pem"} if broker.by_certificate else {})
    config = BridgeConfig.model_validate(
        {
            "broker": f"mqtts://{account}127.0.0.1:{broker.others}",
            "mqtt": mqtt,
            "spool": {"path": folder / "spool.db"},
            "http": {"url": "http://127.0.0.1:1"},
        }
    )
    (found,) = [finding for finding in await check_endpoints(config) if finding.part == "broker"]
    assert found.ok, found.text
    assert "MQTT 5" in found.text


async def test_an_authority_that_is_not_trusted_is_one_sentence(broker: SecuredBroker) -> None:
    with pytest.raises(
        EdgefleetError,
        match=r"mqtts://127\.0\.0\.1:\d+ cannot be reached: its certificate is of nobody who is trusted .*ca_file",
    ):
        await probe_all(broker_pool_for(scenario(broker, identities=None)))


async def test_a_password_of_another_fleet_is_one_sentence(broker: SecuredBroker, tmp_path: Path) -> None:
    other = provisioned(tmp_path / "other")
    (other / "ca.crt").write_bytes((broker.folder / "ca.crt").read_bytes())
    sentence = r"refused client 'edgefleet-probe-\w+': |cannot be reached: |did not accept CONNECT: "
    with pytest.raises(EdgefleetError, match=sentence) as caught:
        await probe_all(broker_pool_for(scenario(broker, identities=other)))
    assert "\n" not in str(caught.value)


def test_what_a_folder_lacks_is_named(tmp_path: Path) -> None:
    secured = {"broker": "mqtts://127.0.0.1:1", "devices": [{"kind": "people", "count": 3}]}
    folder = provisioned(tmp_path / "secrets")
    ids = ["bme280-0001", "people-0001", "people-0002"]
    with pytest.raises(ConfigError, match=r"has none for 'people-0001' and 1 more; add them with edgefleet provision"):
        broker_pool_for(Scenario.model_validate(secured | {"identities": folder}), ids)
    with pytest.raises(ConfigError, match="holds no identities; make them with edgefleet provision"):
        broker_pool_for(Scenario.model_validate(secured | {"identities": tmp_path}))
    with pytest.raises(ConfigError, match="write mqtts://"):
        broker_pool_for(Scenario.model_validate(secured | {"identities": folder, "broker": "mqtt://127.0.0.1:1"}))
    with pytest.raises(ConfigError, match="ca_file: no broker is dialled with TLS"):
        broker_pool_for(
            Scenario.model_validate(secured | {"ca_file": folder / "ca.crt", "broker": "mqtt://127.0.0.1:1"})
        )
    with pytest.raises(ConfigError, match="cannot be read"):
        broker_pool_for(Scenario.model_validate(secured | {"ca_file": tmp_path / "none.crt"}))
