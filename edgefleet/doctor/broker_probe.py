"""Asks a broker about itself: CONNACK, `$SYS` where it is allowed, and its process if it runs here."""

import asyncio
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic

from devices.fleet.brokers import BrokerPool, broker_pool_for, is_loopback
from devices.fleet.connector import TRY_LATER, answers_of
from devices.scenario.devices import Device, Shard, devices_of_shard, expand_devices, login_name
from devices.scenario.platform_check import longest_keep_alive_s
from devices.scenario.scenario import Scenario
from edgefleet.doctor.machine import open_files_of_listener
from edgewire import logs
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerRefused, BrokerUrl, Link, close_and_wait
from edgewire.mqtt import Connected, Event, Message, Session, SessionConfig, Subscription, Version
from edgewire.mqtt.limits import ServerLimits

# Mosquitto keeps its `$SYS` messages retained, so they come at once or not at all.
SYS_S = 0.7
SYS_TOPICS = ("$SYS/broker/version", "$SYS/broker/clients/connected", "$SYS/broker/clients/maximum")

STRANGER = frozenset({0x02, 0x04, 0x05, 0x80, 0x85, 0x86, 0x87, 0x8A})
"""Codes of CONNACK, of 3.1.1 and of 5, with which a broker refuses a client id or an identity that it does not know."""
WAIT_STEP_S = 0.5
TELL_EVERY_S = 10.0

log = logs.get("doctor")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFacts:
    """Holds what one broker said."""

    url: BrokerUrl
    version: Version
    limits: ServerLimits
    sys: dict[str, str] = field(default_factory=dict)
    """Some of its `$SYS` topics; empty where it hides them."""
    process: tuple[int, int] | None = None
    """Process id and open-file limit, where it runs on this machine and may be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """Says how to ask the brokers of a fleet."""

    session_expiry_s: int = 0
    """Ask whether they keep sessions for so long."""
    ask_sys: bool = False
    """Ask what they say in `$SYS`."""
    scenario: Scenario | None = None
    """A broker that does not let a stranger in is asked as one of its devices in here, which is not connected yet."""
    shard: Shard = field(default_factory=Shard)
    """Take no device of another part of the fleet, which may run already."""
    wait_s: float = 0.0
    """Ask again for so long where there is none yet, or it is busy."""


async def probe_brokers(brokers: BrokerPool, plan: ProbePlan) -> list[BrokerFacts]:
    """Ask each broker what it is.

    Raises `ServiceUnavailable` or `BrokerRefused` where there is none, or it turns us away; where devices go on to
    another broker of a list, one that answers is enough.
    """
    answered = asyncio.Event()
    probes = (_BrokerProbe(broker, brokers, plan, answered).ask() for broker in dict.fromkeys(brokers.urls))
    return answers_of(await asyncio.gather(*probes, return_exceptions=True), brokers)


class _BrokerProbe:
    """Asks one broker."""

    def __init__(self, broker: BrokerUrl, brokers: BrokerPool, plan: ProbePlan, answered: asyncio.Event) -> None:
        self._broker = broker
        self._answered = answered
        self._brokers = brokers
        self._plan = plan
        self._heard: dict[str, str] = {}
        self._was_kept = False

    async def ask(self) -> BrokerFacts:
        """Ask until there is an answer, or the time for it is over."""
        until_s = monotonic() + self._plan.wait_s
        told_s = -inf
        while True:
            try:
                facts = await self._ask_once()
            except (ServiceUnavailable, BrokerRefused) as error:
                may_change = not isinstance(error, BrokerRefused) or error.code in TRY_LATER
                left_s = until_s - monotonic()
                if not may_change or left_s <= 0 or (self._answered.is_set() and self._brokers.choices > 1):
                    raise
                if monotonic() - told_s > TELL_EVERY_S:
                    told_s = monotonic()
                    log.warning("waiting for the broker", broker=str(self._broker), reason=str(error))
                await asyncio.sleep(min(WAIT_STEP_S, left_s))
            else:
                self._answered.set()
                return facts

    async def _ask_once(self) -> BrokerFacts:
        stranger = f"edgefleet-probe-{uuid.uuid4().hex[:8]}"
        asker = self._brokers.identities.asker(stranger)
        try:
            session = await self._ask_as(asker, is_device=asker != stranger)
        except BrokerRefused as error:
            scenario = self._plan.scenario
            device = None
            if scenario is not None and error.code in STRANGER:
                device = probe_devices(scenario, self._plan.shard).get(self._broker)
            if scenario is None or device is None:
                raise
            log.info(
                "the broker knows no strangers: asking as a device", broker=str(self._broker), device=device.device_id
            )
            self._brokers = broker_pool_for(scenario, [login_name(device)])
            session = await self._ask_as(device.client_id, is_device=True)
        local = is_loopback(self._broker.host)
        process = await asyncio.to_thread(open_files_of_listener, self._broker.port) if local else None
        return BrokerFacts(
            url=self._broker, version=session.version, limits=session.limits, sys=self._heard, process=process
        )

    async def _ask_as(self, client_id: str, *, is_device: bool) -> Session:
        """Connect under this id, and leave as little behind as was there: the session of a device may hold commands."""
        username, password = self._brokers.identities.credentials_for(client_id, self._broker)
        config = SessionConfig(
            client_id=client_id,
            clean_start=not is_device,
            # The longest there is: a broker that wants pings more often says so, and a platform cuts off who asks.
            keep_alive_s=65_535 if self._plan.scenario is None else longest_keep_alive_s(self._plan.scenario.devices),
            session_expiry_s=self._plan.session_expiry_s,
            username=username,
            password=password,
        )
        session = Session(config)
        link = await self._brokers.open_link(self._broker, session, self._on_events)
        try:
            if self._plan.ask_sys and not self._brokers.identities.knows_hubs:
                link.subscribe([Subscription(topic) for topic in SYS_TOPICS])
                await asyncio.sleep(SYS_S)
        finally:
            await close_and_wait(link)
            if not self._was_kept and (is_device or self._plan.session_expiry_s):
                # The session that the broker now keeps goes with a clean start.
                clean = Session(replace(config, clean_start=True, session_expiry_s=0), session.version)
                await close_and_wait(await self._brokers.open_link(self._broker, clean, lambda _link, _events: None))
        return session

    def _on_events(self, _link: Link, events: list[Event]) -> None:
        for event in events:
            match event:
                case Connected():
                    self._was_kept = event.session_present
                case Message(topic=topic, payload=payload) if topic in SYS_TOPICS:
                    self._heard[topic] = payload.decode(errors="replace")


def probe_devices(scenario: Scenario, shard: Shard) -> dict[BrokerUrl, Device]:
    """Return the first emulated device of this shard for each broker: none of its devices has connected yet."""
    urls = scenario.broker_urls
    found: dict[BrokerUrl, Device] = {}
    devices, numbers = devices_of_shard(expand_devices(scenario), shard)
    for (device, _), number in zip(devices, numbers, strict=True):
        found.setdefault(urls[number % len(urls)], device)
    return found


def common_limits(facts: Iterable[BrokerFacts]) -> ServerLimits:
    """Return what every one of these brokers takes."""
    limits = [one.limits for one in facts]
    return ServerLimits(
        maximum_packet_size=min(one.maximum_packet_size for one in limits),
        maximum_qos=min(one.maximum_qos for one in limits),
        retain_available=all(one.retain_available for one in limits),
    )
