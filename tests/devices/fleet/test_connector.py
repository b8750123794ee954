"""What connecting leads to is counted, and told to the ramp where it is a device's first connection."""

import asyncio
import os
import resource
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from devices.fleet.connect_queue import SLOW_S, Ramp
from devices.fleet.connector import Connector
from devices.fleet.incidents import NO_PORT, IncidentRecorder
from devices.fleet.loop_watch import BEAT_S
from edgewire.errors import ServiceUnavailable
from edgewire.link import NO_OPEN_FILE, BrokerRefused, BrokerUnreachable, BrokerUrl, Link, NoLocalPort, connect_link
from edgewire.link.connect import OnEvents
from edgewire.mqtt import Event, Session, SessionConfig

BROKER = BrokerUrl.parse("mqtt://127.0.0.1:1883")


class Device(SimpleNamespace):
    """As much of a connection as connecting needs."""

    def __init__(self, reconnects: int) -> None:
        device = SimpleNamespace(device_id="d")
        super().__init__(reconnects=reconnects, device=device, broker=BROKER, session=None, is_excused=False, carried=1)
        self.failures = 0

    def on_events(self, _link: Any, _events: list[Event]) -> None:
        self.reconnects += 1

    def begin_connect(self) -> bool:
        return True

    def on_connect_failed(self, code: int = 0, server_reference: str = "") -> None:
        self.failures += 1


class Rounds:
    """A clock that goes on only from one round of the loop to the next, and a broker that answers after some rounds."""

    def __init__(self, round_s: float, until_open: int, until_answer: int) -> None:
        self.now_s = 10.0
        self._round_s = round_s
        self._waits = until_open, until_answer

    def monotonic(self) -> float:
        return self.now_s

    async def open_link(
        self, _broker: BrokerUrl, _session: None, on_events: OnEvents, on_open: Callable[[], None]
    ) -> None:
        for rounds, heard in zip(self._waits, (on_open, lambda: on_events(link(on_events), [])), strict=True):
            for _ in range(rounds):
                # Whoever waits for twice as long has seen it come round.
                await asyncio.sleep(2 * BEAT_S)
                self.now_s += self._round_s
            heard()


def link(on_events: OnEvents) -> Link:
    return Link(Session(SessionConfig(client_id="d")), on_events)


@pytest.mark.parametrize(
    ("round_s", "until_open", "until_answer", "per_second"),
    [
        # The first look is late, and with it what is heard in the next two.
        pytest.param(2.0, 1, 1, 100, id="a loop that is late"),
        pytest.param(0.4, 3, 2, 100, id="a loop that is late in each step of a handshake"),
        pytest.param(0.25, 1, 8, 50, id="a broker that answers late"),
        pytest.param(0.25, 14, 1, 50, id="a broker that takes connections late"),
        pytest.param(1.5, 1, 4, 50, id="a broker that is late in a loop that is late as well"),
    ],
)
async def test_what_our_own_loop_hears_late_does_not_slow_the_ramp(
    round_s: float, until_open: int, until_answer: int, per_second: float
) -> None:
    rounds, ramp = Rounds(round_s, until_open, until_answer), Ramp(100)
    brokers: Any = SimpleNamespace(open_link=rounds.open_link, choices=1)
    made = Connector(brokers, ramp, rounds, lambda _: None, IncidentRecorder())  # type: ignore[arg-type]
    await made.connect_client(Device(-1))  # type: ignore[arg-type]
    assert rounds.now_s - 10.0 > SLOW_S
    assert ramp.per_second == per_second


def connector(error: Exception | None, recorder: IncidentRecorder | None = None) -> tuple[Connector, Ramp, list[int]]:
    async def open_link(_broker: BrokerUrl, _session: None, on_events: OnEvents, on_open: Callable[[], None]) -> None:
        on_open()
        if error is not None:
            raise error
        on_events(link(on_events), [])

    ramp, firsts = Ramp(100), list[bool]()
    brokers: Any = SimpleNamespace(open_link=open_link, choices=1)
    # The ramp may change by now: its first second is over.
    clock: Any = SimpleNamespace(monotonic=lambda: 10.0)
    return Connector(brokers, ramp, clock, firsts.append, recorder or IncidentRecorder()), ramp, firsts


async def test_a_first_connection_is_told() -> None:
    """Also one that is lost before the dial has said so: it will never be a first one again."""
    made, ramp, firsts = connector(None)
    for reconnects in (-1, 0):
        await made.connect_client(Device(reconnects))  # type: ignore[arg-type]
    assert firsts == [1]
    assert (made.connack.total, made.failed_dials, ramp.per_second) == (2, 0, 100)


@pytest.mark.parametrize(("reconnects", "per_second"), [(-1, 50), (0, 100)])
async def test_an_outage_slows_only_those_that_were_never_connected(reconnects: int, per_second: float) -> None:
    made, ramp, firsts = connector(ServiceUnavailable("no broker"))
    device = Device(reconnects)
    await made.connect_client(device)  # type: ignore[arg-type]
    assert (device.failures, made.failed_dials, made.refused_dials, firsts) == (1, 1, 0, [])
    assert ramp.per_second == per_second


async def test_a_refusal_is_no_hurry_of_ours_unless_the_broker_has_no_room() -> None:
    for code, per_second in ((0x87, 100), (0x97, 50)):
        made, ramp, _ = connector(BrokerRefused("no", code, "no"))
        await made.connect_client(Device(-1))  # type: ignore[arg-type]
        assert (made.failed_dials, made.refused_dials, ramp.per_second) == (1, 1, per_second)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(BrokerUnreachable("no file", NO_OPEN_FILE), NO_OPEN_FILE), (NoLocalPort("no port"), NO_PORT)],
)
async def test_what_is_short_here_is_counted_by_its_name_and_no_overload_of_the_broker(
    error: ServiceUnavailable, reason: str
) -> None:
    recorder = IncidentRecorder()
    made, ramp, _ = connector(error, recorder)
    await made.connect_client(Device(-1))  # type: ignore[arg-type]
    assert recorder.incidents.connects_failed == {reason: 1}
    assert ramp.per_second == 100


async def test_a_dial_without_an_open_file_has_the_reason_that_the_verdict_looks_for() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        with pytest.raises(BrokerUnreachable) as raised:
            await connect_link(BROKER, Session(SessionConfig(client_id="d")), lambda _link, _events: None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert raised.value.reason == NO_OPEN_FILE
