"""Clears what devices have left at their brokers: the retained status of each, whatever else is retained, its session.

It is done as each device itself, one connection a device: that is who may write to its topics where the broker checks
identities, and a clean start ends the session that the broker has kept for it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from devices.firmware.firmware import Firmware
from devices.fleet.brokers import BrokerPool, broker_pool_for
from devices.fleet.session_factory import last_will
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, Shard, login_name
from devices.scenario.scenario import Scenario
from devices.timeline.formats import dialect_format, make_gateway_format
from devices.timeline.gateway_format import as_device
from devices.timeline.timeline import Timeline
from devices.timeline.wire_format import WireFormat
from edgewire.errors import EdgefleetError, ServiceUnavailable
from edgewire.link import BrokerUrl, Link, close_and_wait
from edgewire.mqtt import (
    FAILURE,
    Acknowledged,
    ConnectionLost,
    Event,
    Message,
    ServerDisconnected,
    Session,
    SessionConfig,
    Subscribed,
    Subscription,
    Version,
    coded_reason,
)
from edgewire.mqtt.advice import advice

TopicsTold = Callable[[str, bytes], Sequence[str]]
"""Returns the topics of which a retained message tells, by its own topic and its payload."""
AT_ONCE = 50
"""Devices that are connected at the same time."""
DEVICE_S = 20.0
"""How long the broker may take over one device."""
ATTEMPTS = 3
"""Times that a device connects whose connection breaks: the broker may be ending the one that the device had before."""
ATTEMPT_S = 0.2
"""How long it waits before it connects again."""
ECHO_S = 1.0
"""How long a device waits to hear what it has published itself."""
SHOWN = 3
"""Devices that are named with a reason."""


@dataclass(slots=True)
class ForgetReport:
    """Holds what was cleared, and what was not and why."""

    devices: int = 0
    cleared: int = 0
    """Retained messages that were there, and that the broker has cleared."""
    unseen: int = 0
    """Statuses that the broker has cleared if there were any: it does not let their devices read them."""
    failures: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> the devices of which something may still be there."""

    @property
    def failed(self) -> int:
        """Return of how many devices something may still be there."""
        return sum(map(len, self.failures.values()))

    def add_failure(self, reason: str, device_id: str) -> None:
        """Note that something of this device may still be there."""
        self.failures.setdefault(reason, []).append(device_id)

    def to_json(self) -> dict[str, object]:
        """Return it as `--json` prints it."""
        return {
            "ok": not self.failures,
            "devices": self.devices,
            "cleared": self.cleared,
            "unseen": self.unseen,
            "failed": self.failed,
            "failures": self.failures,
        }

    def __str__(self) -> str:
        lines = [f"{self.cleared} retained messages of {self.devices} devices cleared"]
        if self.unseen:
            lines.append(
                f"{self.unseen} statuses that their devices may write but not read: cleared as well, if there were any"
            )
        for reason, device_ids in self.failures.items():
            shown = ", ".join(device_ids[:SHOWN]) + (", …" if len(device_ids) > SHOWN else "")
            lines.append(f"NOT CLEARED for {len(device_ids)} devices ({shown}): {reason}")
        return "\n".join(lines)


async def forget_devices(
    scenario: Scenario, shard: Shard, timeout_s: float, stop: asyncio.Event | None = None
) -> ForgetReport:
    """Clear what the emulated devices of a scenario, or of a shard of it, have left; ends after `timeout_s` or `stop`.

    A device that runs meanwhile is thrown out, comes back, and says its status again. Raises `ConfigError` for
    identities that cannot be used.
    """
    return await _Forgetting(scenario, shard).run(timeout_s, stop or asyncio.Event())


class _Forgetting:
    """Goes through the devices, some at once, and not faster than the scenario lets them connect."""

    def __init__(self, scenario: Scenario, shard: Shard) -> None:
        self._scenario = scenario
        self._shard = shard
        self._timeline = Timeline(scenario, 0, shard, in_dialects=True)
        self._brokers = broker_pool_for(scenario, [login_name(device) for device in self._timeline.devices])
        self._report = ForgetReport(devices=len(self._timeline.devices))
        # The positions of the devices of each connection.
        self._connections: list[list[int]] = []
        for position, number in enumerate(self._timeline.connection_numbers):
            if not position or number != self._timeline.connection_numbers[position - 1]:
                self._connections.append([])
            self._connections[-1].append(position)
        # What a broker was found to speak: its other devices need not find out.
        self._versions: dict[BrokerUrl, Version] = {}

    async def run(self, timeout_s: float, stop: asyncio.Event) -> ForgetReport:
        count = len(self._connections)
        waiting = iter(range(count))
        done: set[int] = set()
        began_s = monotonic()

        async def take_turns() -> None:
            for number in waiting:
                due_s = began_s + number / self._scenario.connects_per_second
                await asyncio.sleep(due_s - monotonic())
                await self._forget_connection(self._connections[number])
                done.add(number)

        workers = [asyncio.create_task(take_turns(), name="forget") for _ in range(min(AT_ONCE, count))]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        everything = asyncio.create_task(_all_of(workers), name="all devices")
        try:
            await asyncio.wait({everything, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopping, everything, *workers):
                task.cancel()
            await asyncio.gather(stopping, everything, *workers, return_exceptions=True)
        if everything.done() and not everything.cancelled():
            everything.result()
        why = "interrupted" if stop.is_set() else f"not done within {timeout_s:g} s: give --timeout more"
        for number in range(count):
            for position in self._connections[number] if number not in done else ():
                self._report.add_failure(why, self._timeline.devices[position].device_id)
        # The order of the fleet, not that of the answers, which is another one each time.
        order = {device.device_id: position for position, device in enumerate(self._timeline.devices)}
        for device_ids in self._report.failures.values():
            device_ids.sort(key=order.__getitem__)
        return self._report

    async def _forget_connection(self, positions: Sequence[int]) -> None:
        """Clear what a device has left, or what those behind a gateway have, and the gateway itself."""
        home = self._brokers.broker_for(self._timeline.connection_numbers[positions[0]])
        # It may have been at any of those that it may go on to.
        for broker in dict.fromkeys(self._brokers.urls) if self._brokers.choices > 1 else (home,):
            await self._forget_connection_at(positions, broker)

    async def _forget_connection_at(self, positions: Sequence[int], broker: BrokerUrl) -> None:
        client_id = self._timeline.devices[positions[0]].client_id
        topics = self._topics_of(positions)
        if not topics:
            return
        status, *others = topics
        known = {status, *others}

        def topics_told(topic: str, payload: bytes) -> list[str]:
            return [one for one in self._renamed_topics(positions, topic, payload) if one not in known]

        username, password = self._brokers.identities.credentials_for(client_id, broker)
        config = SessionConfig(client_id=client_id, username=username, password=password)
        conversation = _Conversation(status, config, self._versions.get(broker, Version.V5))
        try:
            async with asyncio.timeout(DEVICE_S):
                await conversation.hold(self._brokers, broker, others, topics_told)
        except TimeoutError:
            conversation.problems.append(f"broker {broker} did not answer within {DEVICE_S:g} s")
        except EdgefleetError as error:
            conversation.problems.append(str(error))
        else:
            self._versions[broker] = conversation.version
        self._report.cleared += conversation.cleared
        self._report.unseen += conversation.is_unseen
        for problem in conversation.problems:
            for position in positions:
                device_id = self._timeline.devices[position].device_id
                # Otherwise every device has a reason of its own.
                self._report.add_failure(problem.replace(client_id, "DEVICE"), device_id)

    def _topics_of(self, positions: Sequence[int]) -> list[str]:
        """Return where something of these devices may be retained, the status of who has the connection first."""
        topics: list[str] = []
        for position in positions:
            group, wire_format = self._timeline.device_group(position), self._timeline.wire_format(position)
            device = self._timeline.devices[position]
            if device.gateway is not None and not topics:
                behind = [self._timeline.devices[one] for one in positions]
                told = make_gateway_format(group, behind, wire_format)
                topics += self._left_by(as_device(device.gateway), group, told)
            topics += self._left_by(device, group, wire_format)
        return list(dict.fromkeys(topics))

    def _renamed_topics(self, positions: Sequence[int], topic: str, payload: bytes) -> list[str]:
        """Return where devices may have retained something under the names that a message of their gateway says."""
        gateway = self._timeline.devices[positions[0]].gateway
        if gateway is None:
            return []
        group, wire_format = self._timeline.device_group(positions[0]), self._timeline.wire_format(positions[0])
        behind = {self._timeline.devices[one].device_id: self._timeline.devices[one] for one in positions}
        told = make_gateway_format(group, list(behind.values()), wire_format)
        topics: list[str] = []
        for device_id, name in told.told_names(as_device(gateway), topic, payload).items():
            if name != device_id:
                dialect_format(wire_format).rename(behind[device_id], name)
                topics += self._left_by(behind[device_id], group, wire_format)
        return topics

    def _left_by(self, device: Device, group: DeviceGroup, wire_format: WireFormat) -> list[str]:
        firmware = Firmware(device.device_id, device.key, 0, 0, self._scenario.build(group))
        status, others = retained_topics(device, firmware, wire_format)
        return [status, *others] if status else others


async def _all_of(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)


def retained_topics(device: Device, firmware: Firmware, wire_format: WireFormat) -> tuple[str, list[str]]:
    """Return the topic of a device's retained status, and all its others, where others may have retained something.

    A format that tells no status has its first message in that place, and an empty one where it says nothing at all, or
    nothing of it is retained: an empty message would be one to those who read it.
    """
    if wire_format.has_sessions:
        return "", []
    told = [one for state in ("online", "offline") for one in wire_format.status(device, firmware.status(state, None))]
    will = last_will(device, firmware, wire_format)
    own = [topic for topic in wire_format.command_topics(device) if topic not in wire_format.shared_topics]
    commands = [topic for topic in own if not set("+#").intersection(topic)]
    others = (
        *(one.topic for one in told),
        *wire_format.topics(device),
        *commands,
        wire_format.result_topic(device),
        "" if will is None else will.topic,
    )
    retained = [one.topic for one in told if one.retain]
    topics = [topic for topic in dict.fromkeys([*retained, *others]) if topic]
    return (topics[0], topics[1:]) if topics else ("", [])


class _ConnectionBroke(ServiceUnavailable):
    """A connection that the broker had taken is gone, and the broker did not say why."""


class _Conversation:
    """Is what one device and its broker say to each other."""

    def __init__(self, status: str, config: SessionConfig, version: Version) -> None:
        self.version = version
        """What the broker speaks, once `hold` has returned."""
        self._status = status
        self._config = config
        self._changed = asyncio.Event()
        # What was there before the first attempt is there for the report, whichever attempt clears it.
        self._retained: dict[str, bytes] = {}
        self._cleared: set[str] = set()
        self._begin()
        self.is_unseen = False
        """Whether the broker took the clearing of a status that it does not show."""
        self.problems: list[str] = []
        """Why something may still be there."""

    def _begin(self) -> None:
        self._session = Session(self._config, self.version)
        self._echoed: set[str] = set()
        self._answers: dict[object, int] = {}
        self._granted: tuple[int, ...] = ()
        self._end: ServiceUnavailable | None = None

    @property
    def cleared(self) -> int:
        """Return how many retained messages were there and have been cleared."""
        return len(self._cleared & self._retained.keys())

    async def hold(
        self, brokers: BrokerPool, broker: BrokerUrl, others: Sequence[str], topics_told: TopicsTold
    ) -> None:
        """Connect, clear the status and what is retained on `others`, and go. Raises `EdgefleetError`.

        What is retained may tell of more topics.
        """
        for attempt in range(ATTEMPTS):
            try:
                await self._attempt(brokers, broker, others, topics_told)
                break
            except _ConnectionBroke:
                if attempt == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(ATTEMPT_S)
                self._begin()

    async def _attempt(
        self, brokers: BrokerPool, broker: BrokerUrl, others: Sequence[str], topics_told: TopicsTold
    ) -> None:
        link = await brokers.open_link(broker, self._session, self._on_events)
        try:
            if self._session.limits.retain_available:
                await self._clear_all(link, others, topics_told)
        finally:
            self.version = self._session.version
            await close_and_wait(link)

    def _on_events(self, _link: Link, events: list[Event]) -> None:
        for event in events:
            match event:
                case Message(topic=topic, payload=b""):
                    self._echoed.add(topic)
                case Message(topic=topic, payload=payload, retain=True):
                    self._retained[topic] = payload
                case Subscribed(codes=codes):
                    self._granted = codes
                case Acknowledged(reason_code=code, token=topic):
                    self._answers[topic] = code
                case ServerDisconnected(reason=reason):
                    self._end = ServiceUnavailable(f"the broker ended the connection: {reason}")
                case ConnectionLost(reason=reason):
                    self._end = self._end or _ConnectionBroke(f"the broker ended the connection: {reason}")
        self._changed.set()

    async def _clear_all(self, link: Link, others: Sequence[str], topics_told: TopicsTold) -> None:
        link.subscribe([Subscription(topic, 1) for topic in (self._status, *others)])
        await self._until(lambda: bool(self._granted))
        # The answer to it comes after all that was retained, so that what there is is known by then. Nobody but who
        # watches statuses gets it, while an empty message on another topic would reach those who expect readings.
        if await self._clear_topic(link, self._status) and self._status not in (self._retained.keys() | self._echoed):
            self.is_unseen = True
            if self._session.version is not Version.V5:
                # There PUBACK says no more than that the message has come.
                self.problems.append("the broker does not say whether it has cleared its status: look at its log")
        if more := sorted({one for topic, payload in self._retained.items() for one in topics_told(topic, payload)}):
            self._granted = ()
            link.subscribe([Subscription(topic, 1) for topic in more])
            await self._until(lambda: bool(self._granted))
            self._answers.pop(self._status, None)
            await self._clear_topic(link, self._status)
        for topic in sorted(self._retained.keys() - {self._status}):
            await self._clear_topic(link, topic)

    async def _clear_topic(self, link: Link, topic: str) -> bool:
        """Clear what is retained on a topic; returns whether the broker has taken that."""
        qos = min(1, self._session.limits.maximum_qos)
        link.publish(topic, b"", qos=qos, retain=True, token=topic)
        if qos:
            await self._until(lambda: topic in self._answers)
            if (code := self._answers[topic]) >= FAILURE:
                what = "its status" if topic == self._status else f"what is retained on {topic}"
                why = f"{coded_reason(code)}; {advice('PUBACK', code)}"
                self.problems.append(f"the broker refused to clear {what}: {why}")
                return False
        with suppress(TimeoutError):
            async with asyncio.timeout(ECHO_S):
                await self._until(lambda: topic in self._echoed)
        self._cleared.add(topic)
        return True

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._end is not None:
                raise self._end
            self._changed.clear()
            await self._changed.wait()
