"""Makes the connections: one at a time for each device, what came of it counted and told to the ramp.

A probe asks the brokers before thousands of devices do.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from devices.fleet.brokers import BrokerPool
from devices.fleet.connect_queue import Connectable, Ramp
from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_state import DuplicateClient
from devices.fleet.incidents import NO_PORT, IncidentRecorder
from devices.fleet.latency import Histogram
from devices.fleet.loop_watch import AnswerTime, LoopWatch
from edgewire import logs
from edgewire.clock import Clock
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.link import (
    NO_OPEN_FILE,
    BrokerRefused,
    BrokerUnreachable,
    BrokerUrl,
    ConnectCutOff,
    Link,
    NoLocalPort,
    close_and_wait,
)
from edgewire.mqtt import FAILURE, Event, Session, SessionConfig, Version, coded_reason
from edgewire.mqtt.advice import advice
from edgewire.mqtt.limits import ServerLimits
from edgewire.mqtt.reasons import refusal_name

# MQTT 3.1.1 and 5: the server is unavailable or busy, or has no room for one more.
TRY_LATER = frozenset({0x03, 0x88, 0x89, 0x97, 0x9F})

Answer = TypeVar("Answer")

CUT_OFF = "closed before CONNACK: its limit?"

log = logs.get("fleet")


class Connector:
    """Connects devices; `on_first` is told when some are for the first time, and how many."""

    def __init__(
        self,
        brokers: BrokerPool,
        ramp: Ramp,
        clock: Clock,
        on_first: Callable[[int], None],
        incidents: IncidentRecorder,
    ) -> None:
        self._brokers = brokers
        self._ramp = ramp
        self._clock = clock
        self._on_first = on_first
        self._incidents = incidents
        self._loop_watch = LoopWatch(clock.monotonic)
        self.connack = Histogram()
        """Accepted by the broker - dialled."""
        self.failed_dials = 0
        self.refused_dials = 0
        """Of the failed ones: those that the broker refused, or ended instead of answering."""

    async def connect_client(self, client: Connectable) -> None:
        """Connect a client whose turn has come, if it still wants to."""
        if not client.begin_connect():
            return
        if isinstance(client, DuplicateClient):
            with suppress(EdgefleetError):
                await self._brokers.open_link(client.broker, client.session, client.on_events)
            return
        is_first = client.reconnects < 0
        began = self._clock.monotonic()
        try:
            answer_s = await self._open_link(client)
        except EdgefleetError as error:
            # What the user must mend is worth a word to them; an outage shows in the counts.
            tell = log.warning if isinstance(error, ConfigError) else log.debug
            tell("dial failed", device=client.device.device_id, reason=str(error))
            self._count_failure(client, error)
            self._plan_another(client, error)
            return
        now = self._clock.monotonic()
        self.connack.add([1000 * (now - began)])
        # It may be lost already, or cut because the device has gone down meanwhile.
        if is_first and client.reconnects >= 0 and not client.is_excused:
            self._ramp.record_accepted(answer_s, now)
            self._on_first(client.carried)

    async def _open_link(self, client: DeviceClient) -> float:
        """Connect, and return how long the broker has taken for it at the least (s)."""
        with self._loop_watch:
            answer = AnswerTime(self._loop_watch, self._clock.monotonic)

            def on_first_events(link: Link, events: list[Event]) -> None:
                answer.on_answer()
                link.on_events = client
                client.on_events(link, events)

            await self._brokers.open_link(client.broker, client.session, on_first_events, answer.on_open)
            return answer.least_s

    def _count_failure(self, client: DeviceClient, error: EdgefleetError) -> None:
        self.failed_dials += 1
        device_id = client.device.device_id
        match error:
            case BrokerRefused(code=code):
                self.refused_dials += 1
                reason = coded_reason(code) if code >= FAILURE else f"{refusal_name(code)} ({code})"
                self._incidents.record_connect_refused(reason, device_id, advice("CONNACK", code))
            case ConnectCutOff():
                self.refused_dials += 1
                self._incidents.record_connect_refused(CUT_OFF, device_id, "look for a limit of its connections")
            case BrokerUnreachable(reason=reason):
                self._incidents.record_connect_failed(reason)
            case NoLocalPort():
                self._incidents.record_connect_failed(NO_PORT)
            case ServiceUnavailable():
                self._incidents.record_connect_failed("no answer to CONNECT in time, or a wrong one")
            case _:
                self._incidents.record_connect_failed("a setting that cannot be used")

    def _plan_another(self, client: DeviceClient, error: EdgefleetError) -> None:
        # The ramp is that of first connections: an outage later on says nothing about it, nor what is short here.
        is_ours = isinstance(error, NoLocalPort) or (
            isinstance(error, BrokerUnreachable) and error.reason == NO_OPEN_FILE
        )
        # Where there is another broker to go on to, one that is not there says nothing of the pace.
        is_away = isinstance(error, BrokerUnreachable) and self._brokers.choices > 1
        if (client.reconnects < 0 and not is_ours and not is_away) and (
            isinstance(error, ServiceUnavailable) or (isinstance(error, BrokerRefused) and error.code in TRY_LATER)
        ):
            self._ramp.record_overload(self._clock.monotonic())
        if isinstance(error, BrokerRefused):
            client.on_connect_failed(error.code, error.server_reference)
        else:
            client.on_connect_failed()


async def probe(broker: BrokerUrl, brokers: BrokerPool) -> tuple[Version, ServerLimits]:
    """Return the MQTT version this broker speaks, and the limits that its CONNACK names.

    Raises `ServiceUnavailable` or `BrokerRefused` where there is none, or it turns us away.
    """
    asker = f"edgefleet-probe-{uuid.uuid4().hex[:8]}"
    client_id = brokers.identities.asker(asker)
    username, password = brokers.identities.credentials_for(client_id, broker)
    # What the broker keeps for a device is the device's.
    config = SessionConfig(client_id=client_id, clean_start=client_id == asker, username=username, password=password)
    session = Session(config)
    link = await brokers.open_link(broker, session, lambda _link, _events: None)
    await close_and_wait(link)
    log.info("broker answers", broker=str(broker), mqtt="5" if session.version == Version.V5 else "3.1.1")
    return session.version, session.limits


async def probe_all(brokers: BrokerPool) -> Version:
    """Return the version that all that answer speak; raises as `probe`."""
    asked = (probe(broker, brokers) for broker in dict.fromkeys(brokers.urls))
    answers = answers_of(await asyncio.gather(*asked, return_exceptions=True), brokers)
    return min(version for version, _ in answers)


def answers_of(results: Sequence[Answer | BaseException], brokers: BrokerPool) -> list[Answer]:
    """Return what brokers have answered; one that has not is passed over where devices go on to another.

    Raises what the first has raised where none has answered, or all have to.
    """
    failures = [result for result in results if isinstance(result, BaseException)]
    answers = [result for result in results if not isinstance(result, BaseException)]
    others = [error for error in failures if not isinstance(error, ServiceUnavailable | BrokerRefused)]
    if failures and (others or not answers or brokers.choices == 1):
        raise [*others, *failures][0]
    for error in failures:
        log.warning("a broker does not answer: its devices go on to the next", reason=str(error))
    return answers
