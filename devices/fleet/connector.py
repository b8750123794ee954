"""Makes the connections: one dial at a time for each device, what came of it counted and told to the ramp.

Asks the brokers before thousands of devices do."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress

from devices.fleet.brokers import BrokerPool
from devices.fleet.connect_queue import Ramp
from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_state import DuplicateClient
from devices.fleet.latency import Histogram
from edgewire import logs
from edgewire.clock import Clock
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.link import BrokerRefused, BrokerUrl, close_and_wait
from edgewire.mqtt import Session, SessionConfig, Version
from edgewire.mqtt.limits import ServerLimits

# MQTT 3.1.1 and 5: the server is unavailable or busy, or has no room for one more.
TRY_LATER = frozenset({0x03, 0x88, 0x89, 0x97, 0x9F})


log = logs.get("fleet")


class Connector:
    """`on_first` is told when a device is connected for the first time."""

    def __init__(self, routes: BrokerPool, ramp: Ramp, clock: Clock, on_first: Callable[[], None]) -> None:
        self._routes = routes
        self._ramp = ramp
        self._clock = clock
        self._on_first = on_first
        self.connack = Histogram()
        """Accepted by the broker - dialled."""
        self.failed_dials = 0
        self.refused_dials = 0
        """Of the failed ones: those that the broker answered with a refusal."""

    async def dial(self, caller: DeviceClient | DuplicateClient) -> None:
        """Its turn to dial has come."""
        if not caller.begin_connect():
            return
        if isinstance(caller, DuplicateClient):
            with suppress(EdgefleetError):
                await self._routes.dial(caller.broker, caller.session, caller.on_events, caller.flush)
            return
        is_first = caller.reconnects < 0
        began = self._clock.monotonic()
        try:
            await self._routes.dial(caller.broker, caller.session, caller.on_events, caller.flush)
        except EdgefleetError as error:
            # What the user must mend is worth a word to them; an outage shows in the counts.
            tell = log.warning if isinstance(error, ConfigError) else log.debug
            tell("dial failed", device=caller.device.device_id, reason=str(error))
            self._failed(caller, error)
            return
        now = self._clock.monotonic()
        self.connack.add([1000 * (now - began)])
        # It may be lost already, or cut because the device has gone down meanwhile.
        if is_first and caller.reconnects >= 0:
            self._ramp.answered(now - began, now)
            self._on_first()

    def _failed(self, connection: DeviceClient, error: EdgefleetError) -> None:
        self.failed_dials += 1
        refused = isinstance(error, BrokerRefused)
        self.refused_dials += refused
        # The ramp is that of first connections: an outage later on says nothing about it.
        if connection.reconnects < 0 and (
            isinstance(error, ServiceUnavailable) or (isinstance(error, BrokerRefused) and error.code in TRY_LATER)
        ):
            self._ramp.failed(self._clock.monotonic())
        connection.failed()


async def probe(broker: BrokerUrl, routes: BrokerPool) -> tuple[Version, ServerLimits]:
    """The MQTT version this broker speaks, and the limits that its CONNACK names.

    Raises `ServiceUnavailable` or `BrokerRefused` where there is none, or it turns us away.
    """
    client_id = f"edgefleet-probe-{uuid.uuid4().hex[:8]}"
    username, password = routes.identities.account(client_id, broker)
    session = Session(SessionConfig(client_id=client_id, username=username, password=password))
    link = await routes.dial(broker, session, lambda _link, _events: None)
    await close_and_wait(link)
    log.info("broker answers", broker=str(broker), mqtt="5" if session.version == Version.V5 else "3.1.1")
    return session.version, session.limits


async def probe_all(routes: BrokerPool) -> Version:
    """The version that all of them speak; raises as `probe`."""
    answers = await asyncio.gather(*(probe(broker, routes) for broker in dict.fromkeys(routes.brokers)))
    return min(version for version, _ in answers)
