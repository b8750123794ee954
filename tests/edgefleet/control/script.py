"""All that can be done to a run, one after the other, whatever it runs on."""

from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import pytest
from paho.mqtt.publish import single

from edgefleet.control.client import ControlClient
from edgewire.errors import ConfigError, EdgefleetError
from tests.waiting import until

SCENARIO: dict[str, Any] = {
    "seed": 4,
    "devices": [
        {"kind": "bme280", "count": 12, "interval": "500ms"},
        {"kind": "gps", "count": 6, "interval": "500ms"},
    ],
    "reconnect": {"base": "200ms", "cap": "1s"},
}
ACTIONS = [
    *("scale", "scale", "set", "fault", "fault", "end_fault", "command", "command", "pause", "resume", "mute"),
    *("unmute", "set", "set", "set", "standby", "return", "takeover"),
]
"""What the script does to the fleet, but for an outage where the broker is the run's own."""
BRIDGE_ACTIONS = ["bridge_pause", "bridge_resume", "replay_dead_letters", "drop_dead_letters"]
"""What it does then to the bridge behind the run; it is drained at last."""
REFUSED = b'{"of":"nobody"}'
"""What no sink takes."""
OUTAGE_MS = 6000
"""Long enough that it is still under way when a busy machine comes to look: an outage that is over cannot be seen."""
STUCK_DEVICES = 6
"""Those that the share of the first fault draws: it hangs on seed, number of the action and ids alone."""


def do_everything(client: ControlClient) -> None:
    """Do all that can be done."""

    def act(name: str, **keys: Any) -> Any:
        found = client.act({"action": name, **keys})
        assert found["outcome"] == "done", found
        return found

    def devices(**query: Any) -> Any:
        return client.read("devices", limit=500, **query)

    until(lambda: client.read("status")["connected"] == 18, "all are connected")
    act("scale", group="gps", count=10)
    until(lambda: devices(group="gps", state="connected")["found"] == 10, "four more are connected")
    act("scale", group="gps", count=6)
    act("set", group="bme280", rate=48)
    assert {row["interval_ms"] for row in devices(group="bme280")["devices"]} == {250}
    # A temperature often stands for two seconds by itself, which is no fault that shows; the humidity never does.
    stuck = act("fault", fault={"type": "stuck_at", "field": "humidity"}, group="bme280", share=0.5, duration="2s")
    dead = act("fault", fault={"type": "silent_death"}, devices=["gps-0001"])
    look = client.device("gps-0001")
    until(lambda: client.device("gps-0001")["state"] == "disconnected", "one has lost its connection")
    assert [fault["by"] for fault in look["faults"]] == [f"control/fault-{dead['number']}"]
    act("end_fault", fault=dead["number"])
    until(lambda: client.device("gps-0001")["state"] == "connected", "it is back")
    told = act("command", command="identify", devices=["bme280-0001", "gps-0002"])["told"]
    assert {row["device_id"] for row in told} == {"bme280-0001", "gps-0002"}
    act("command", command="reboot", devices=["gps-0003"])
    act("pause", group="gps")
    assert devices(state="paused")["found"] == 6
    act("resume")
    act("mute", devices=["bme280-0003", "bme280-0004"])
    until(lambda: client.device("bme280-0003")["buffered"] > 1, "they keep what they measure")
    act("unmute")
    assert client.device("bme280-0002")["messages"] == []
    until(lambda: len(client.device("bme280-0002")["messages"]) > 2, "its messages are seen")
    message = client.device("bme280-0002")["messages"][-1]
    assert message["json"]["device_id"] == "bme280-0002"
    for time_scale in (4, 1):
        act("set", time_scale=time_scale)
        until(lambda scale=time_scale: client.read("status")["time_scale"] == scale, "time passes at another scale")
    act("set", group="gps", standby=True)
    until(lambda: devices(group="gps", state="connected")["found"] == 6, "they have come anew")
    assert act("standby", group="gps", devices=[])["devices"] == 6
    until(lambda: devices(group="gps", state="standby")["found"] == 6, "they have left their places")
    assert act("return")["devices"] == 6
    act("takeover", devices=["gps-0004"], duration="1s")
    until(lambda: devices(state="connected")["found"] == 18, "all are back")
    until(lambda: client.device("gps-0004")["reconnects"] > 0, "another client has had its name")
    do_all_to_the_bridge(client)
    reconnects = client.read("status")["bridge"]["reconnects"]
    if client.read("status")["broker_is_embedded"]:
        act("broker_outage", duration=f"{OUTAGE_MS}ms")
        until(lambda: client.read("status")["broker_is_away"], "the broker is away")
        with pytest.raises(EdgefleetError, match="away already"):
            client.act({"action": "broker_outage", "duration": "1s"})
        until(lambda: devices(state="connected")["found"] == 18, "all are connected again")
        until(lambda: is_back(client.read("status")["bridge"], reconnects), "the bridge is connected again")
    with pytest.raises(ConfigError, match="'stuck' is no type of fault"):
        client.act({"action": "fault", "fault": {"type": "stuck"}})
    names = [one["action"] for one in client.read("actions")]
    assert names.count("scale") == 2
    assert stuck["devices"] > 0
    drained = act("bridge_drain")
    heard = (content.get("text") for _, content in islice(client.events(), 100))
    assert drained["said"] in heard
    until(lambda: not client.read("status")["bridge"]["is_reachable"], "the bridge has ended")


def is_back(bridge: Any, reconnects: int) -> bool:
    """Tell of a bridge that lost its broker: drained before it is back, it takes what its session held till then."""
    return bool(bridge["is_connected"]) and bridge["reconnects"] > reconnects


def do_all_to_the_bridge(client: ControlClient) -> None:
    """Pause it, let it go on, and have it try a dead letter again and give it up."""

    def act(name: str, **keys: Any) -> Any:
        found = client.act({"action": name, **keys})
        assert found["outcome"] == "done", found
        return found

    def letters() -> list[Any]:
        found: list[Any] = client.read("dead-letters")["dead_letters"]
        return found

    until(lambda: client.read("status")["bridge"]["is_reachable"], "the bridge is seen")
    act("bridge_pause", sink="http")
    act("bridge_resume")
    broker = urlsplit(client.read("status")["brokers"][0])
    topic = "edge/default/bme280/bme280-0001/telemetry"
    single(topic, REFUSED, qos=1, hostname=broker.hostname or "", port=broker.port or 0)
    until(lambda: len(letters()) == 1, "the message is a dead letter")
    (first,) = letters()
    act("replay_dead_letters", numbers=[first["number"]])
    until(lambda: [one["number"] for one in letters()] not in ([], [first["number"]]), "it is refused again")
    assert "1 dead letters were dropped" in act("drop_dead_letters", all=True)["said"]
    assert letters() == []
