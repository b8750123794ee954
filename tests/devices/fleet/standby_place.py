"""An emulator in standby on a link that is only written to, and the fleet around it."""

from functools import cache
from typing import Any
from unittest.mock import Mock

import orjson

from devices.firmware.firmware import Firmware
from devices.fleet.loss_window import LossWindow
from devices.fleet.session_factory import create_session
from devices.fleet.standby_client import StandbyClient
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.link import BrokerUrl
from edgewire.mqtt import Connected, ConnectionLost, Message, Subscribed, Version
from edgewire.mqtt.limits import ServerLimits

CONNECTED = Connected(False, "", ServerLimits())
POWER_ON_MS = parse_ms("2026-03-04T12:00:00Z")
OWN_TOPICS = 7
"""The packet id of the subscription to the device's own topics."""


class Place:
    """A device, the fleet around it, and what it has said to them."""

    def __init__(self, version: Version = Version.V5, **group: Any) -> None:
        scenario, self.timeline = _powered(orjson.dumps({"kind": "bme280", "count": 1} | group))
        device, wire_format = self.timeline.devices[0], self.timeline.wire_format(0)
        firmware = Firmware(device.device_id, device.key, 5, 0, scenario.build(scenario.devices[0]))
        session = create_session(device, firmware, wire_format, scenario, (None, None), version)
        self.now_s = 100.0
        self.owner = Mock(
            device_time_ms=lambda: POWER_ON_MS,
            monotonic_s=lambda: self.now_s,
            token_life_s=lambda _: None,
            losses=LossWindow(1),
            broker_choices=1,
            next_broker=lambda one: one.broker,
        )
        self.owner.on_withdrawn.return_value = 4000
        self.owner.incidents.withdrawals = {}
        broker = BrokerUrl.parse("mqtt://127.0.0.1:1883")
        self.client = StandbyClient(device, firmware, session, self.owner, lambda: 0.0, broker, wire_format, 60.0)
        self.link = Mock(connected=True, writable=True)
        self.link.subscribe.return_value = OWN_TOPICS
        self.link.close.side_effect = self._close
        self.in_flight: list[Any] = []

    def connect(self, *, granted: bool = True) -> None:
        assert self.client.begin_connect()
        self.link.connected = True
        self.client.on_events(self.link, [CONNECTED])
        codes = (0 if granted else 0x87,) * len(self.client.reading_topics)
        self.client.on_events(self.link, [Subscribed(OWN_TOPICS, codes)])

    def hear(self, topic: str, payload: object, *, retain: bool = False) -> None:
        """Hear a message over the device's own connection."""
        self.client.on_events(self.link, [self.message(topic, payload, retain=retain)])

    def message(self, channel: str, payload: object, *, retain: bool = False) -> Message:
        topic = self.client.status_topic.removesuffix("status") + channel
        return Message(topic, orjson.dumps(payload), 0, retain, False, 0, {}, 1)  # type: ignore[arg-type]

    def hear_status(self, retained: bool = False, **fields: object) -> None:
        """Hear a status of the message contract over the fleet's other connection."""
        status = {"origin": "hardware", "state": "online"} | fields
        self.hear_elsewhere(self.client.status_topic, orjson.dumps(status), retained=retained)

    def hear_elsewhere(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Hear a message over the fleet's other connection."""
        self.client.on_heard_elsewhere(topic, payload, retained=retained)

    def hear_by_any_way(self, topic: str, payload: bytes) -> None:
        """Hear a message over whichever connection listens on its topic; over none, where nobody does."""
        if topic == self.client.status_topic or self._is_watched():
            self.hear_elsewhere(topic, payload)
        elif self.link.subscribe.called:
            self.client.on_events(self.link, [Message(topic, payload, 0, False, False, 0, {}, 1)])

    def _is_watched(self) -> bool:
        calls = self.owner.watch_readings.call_args_list
        return bool(calls) and bool(calls[-1].args[1])

    def why(self) -> str | None:
        return self.client.spans[-1].why if self.client.absence else None

    def lose(self, *events: Any, unexplained: bool = False) -> None:
        self.link.connected = False
        self.client.on_events(self.link, [*events, ConnectionLost("", unexplained)])

    def published(self) -> list[bytes]:
        return [call.args[1] for call in self.link.publish.call_args_list]

    def said(self) -> list[tuple[str, bytes]]:
        """Return topic and payload of all that it has published."""
        calls = self.link.publish.call_args_list
        return [(topic if isinstance(topic, str) else topic.decode(), payload) for topic, payload, *_ in
                (call.args for call in calls)]  # fmt: skip

    def _close(self, *_: object) -> None:
        self.link.connected = False


@cache
def _powered(group: bytes) -> tuple[Scenario, Timeline]:
    scenario = Scenario(devices=[orjson.loads(group)], standby=True)
    return scenario, Timeline(scenario, POWER_ON_MS, in_dialects=True)
