"""Brokers that are odd in one way each, and a fleet on each: every reason code of every answer; broken, cut, slow and
silent peers. `test_odd_brokers` judges what comes of it; for people, as a table:

    python -m tests.devices.fleet.odd_brokers
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

from devices.fleet import shutdown
from devices.fleet.fleet import Fleet
from devices.fleet.incidents import Incidents
from devices.scenario.scenario import Scenario
from edgefleet.report.run_summary import has_failed
from edgewire import logs
from edgewire.mqtt import Version, coded_reason, encode
from edgewire.mqtt.advice import ADVICE
from edgewire.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
)
from edgewire.run_record import RunRecord
from tests.edgewire.link.odd_broker import RESET, Answer, Client, OddBroker, Script, odd_broker

DEVICES = 2
RUN_S = 1.5
GRACE_S = 1.0
"""How long outboxes may drain, and goodbyes take."""
MOST_DIALS = 8
"""Of one device in a run and its end: what a wait of 0 to 1 s, that doubles, comes to at the very most."""

GARBAGE = b"\xff\xff\xff"


@dataclass(frozen=True)
class Case:
    """One way to be odd."""

    name: str
    answers: dict[type[Packet], Script]
    seen: Callable[[Incidents], bool] = lambda _: True
    """Whether it is counted as what it is."""
    qos: int = 1
    is_fine: bool = False
    """Whether all is well all the same."""
    dials: int = 1
    """Of a device, where all is well."""


@dataclass
class Outcome:
    """What came of it."""

    record: RunRecord
    incidents: Incidents
    broker: OddBroker

    @property
    def exit_code(self) -> int:
        """Of `edgefleet run`."""
        return int(has_failed(self.record))

    @property
    def reconnects_per_s(self) -> float:
        """Connections beyond the first of each device, over the length of the run and its end."""
        again = sum(dials - 1 for dials in self.broker.dials.values())
        return again / (self.record.stopped_ms - self.record.started_ms) * 1000


def always(*answers: Answer) -> Script:
    return lambda _client, _packet: answers


def to_publish(make: Callable[[int], Sequence[Answer]]) -> Script:
    """Answers to what is published with a packet identifier."""
    return lambda _client, packet: make(packet.packet_id) if isinstance(packet, Publish) and packet.qos else []


def v5(packet: Packet) -> bytes:
    return encode(packet, Version.V5)


def refused_connect(code: int) -> Case:
    def seen(incidents: Incidents) -> bool:
        return incidents.connects_refused[coded_reason(code)] >= DEVICES

    return Case(f"CONNACK 0x{code:02X}", {Connect: always(Connack(False, code))}, seen)


def refused_version(client: Client, of_3: int = 0x01) -> int:
    """The code of CONNACK for a version that the broker does not speak, in MQTT 5 and in 3.1.1."""
    return 0x84 if client.version == Version.V5 else of_3


def refused_publish(code: int, qos: int) -> Case:
    def refuse(packet_id: int) -> Sequence[Answer]:
        return [Puback(packet_id, code) if qos == 1 else Pubrec(packet_id, code)]

    def seen(incidents: Incidents) -> bool:
        return incidents.by_reason()[coded_reason(code)] > DEVICES

    return Case(f"{'PUBACK' if qos == 1 else 'PUBREC'} 0x{code:02X}", {Publish: usual_status(refuse, qos)}, seen, qos)


def usual_status(make: Callable[[int], Sequence[Answer]], qos: int) -> Script:
    """Answers readings so, and statuses, which are of QoS 1, as usual."""

    def script(_client: Client, packet: Packet) -> Sequence[Answer]:
        assert isinstance(packet, Publish)
        if packet.topic.endswith("/status"):
            return [Puback(packet.packet_id)] if packet.qos else []
        assert packet.qos == qos
        return make(packet.packet_id)

    return script


def refused_subscribe(code: int) -> Case:
    def refuse(_client: Client, packet: Packet) -> Sequence[Answer]:
        assert isinstance(packet, Subscribe)
        return [Suback(packet.packet_id, (code,))]

    def seen(incidents: Incidents) -> bool:
        return incidents.subscribes_refused[coded_reason(code)] == incidents.deaf.devices == DEVICES

    return Case(f"SUBACK 0x{code:02X}", {Subscribe: refuse}, seen)


def disconnected(code: int) -> Case:
    def seen(incidents: Incidents) -> bool:
        if code == 0x8E:
            return incidents.takeovers.devices == DEVICES
        return incidents.server_disconnects[coded_reason(code)] >= DEVICES

    def leave(client: Client, packet: Packet) -> Sequence[Answer]:
        assert isinstance(packet, Publish)
        answer: list[Answer] = [Puback(packet.packet_id)] if packet.qos else []
        return answer if client.published < 3 else [*answer, Disconnect(code), None]

    return Case(f"DISCONNECT 0x{code:02X}", {Publish: leave}, seen)


def suback(make: Callable[[Subscribe], Sequence[Answer]]) -> dict[type[Packet], Script]:
    return {Subscribe: lambda _client, packet: make(packet) if isinstance(packet, Subscribe) else []}


CASES = [
    Case("nothing odd", {}, is_fine=True),
    Case("nothing odd, QoS 2", {}, qos=2, is_fine=True),
    *(refused_connect(code) for code in ADVICE["CONNACK"] if code >= 0x80 and code != 0x84),
    Case("CONNACK 0x84, and 0x01 in 3.1.1", {Connect: lambda client, _: [Connack(False, refused_version(client))]},
         lambda one: sum(one.connects_refused.values()) >= DEVICES),
    Case("CONNACK 0x84, and success in 3.1.1",
         {Connect: lambda client, _: [Connack(False, refused_version(client, 0))]}, is_fine=True, dials=2),
    Case("CONNACK that is silent", {Connect: always()}),
    Case("CONNACK cut off by FIN", {Connect: always(None)}, lambda one: sum(one.connects_refused.values()) >= DEVICES),
    Case("CONNACK cut off by RST", {Connect: always(RESET)}, lambda one: sum(one.connects_refused.values()) >= DEVICES),
    Case("CONNACK cut in the middle", {Connect: always(v5(Connack())[:3], None)}),
    Case("CONNACK broken", {Connect: always(GARBAGE)}, lambda one: sum(one.connects_failed.values()) >= DEVICES),
    Case("CONNACK slow", {Connect: always(0.3, Connack())}, is_fine=True),
    Case("CONNACK byte by byte", {Connect: always(*(one for byte in v5(Connack()) for one in (bytes((byte,)), 0.01)))},
         is_fine=True),
    Case("CONNACK and garbage in one segment", {Connect: always(Connack(), GARBAGE)}),
    Case("CONNACK and DISCONNECT in one segment", {Connect: always(Connack(), Disconnect(0x97))},
         lambda one: one.server_disconnects[coded_reason(0x97)] >= DEVICES),
    Case("two CONNACKs in one segment", {Connect: always(Connack(), Connack())}),
    Case("CONNACK, then FIN", {Connect: always(Connack(), None)}),
    Case("CONNACK, then RST", {Connect: always(Connack(), 0.01, RESET)}),
    Case("CONNACK of a code that MQTT has not", {Connect: always(Connack(False, 0xC7))},
         lambda one: one.connects_refused["reason 0xc7"] >= DEVICES),
    *(refused_publish(code, 1) for code in ADVICE["PUBACK"]),
    Case("PUBACK that is silent", {Publish: always()}),
    Case("PUBACK of success with a twist", {Publish: to_publish(lambda key: [Puback(key, 0x10)])}, is_fine=True),
    Case("PUBACK twice", {Publish: to_publish(lambda key: [Puback(key), Puback(key)])},
         lambda one: one.ignored["PUBACK for nothing that is under way"] > DEVICES, is_fine=True),
    Case("PUBACK for another", {Publish: to_publish(lambda key: [Puback(key + 7), Puback(key)])},
         lambda one: one.ignored["PUBACK for nothing that is under way"] > DEVICES, is_fine=True),
    Case("PUBACK slow", {Publish: to_publish(lambda key: [0.02, Puback(key)])}, is_fine=True),
    Case("PUBACK broken", {Publish: always(GARBAGE)}),
    Case("PUBACK cut in the middle", {Publish: to_publish(lambda key: [v5(Puback(key))[:3], None])}),
    Case("PUBACK and FIN", {Publish: to_publish(lambda key: [Puback(key), None])}),
    Case("PUBACK and RST", {Publish: to_publish(lambda key: [Puback(key), 0.01, RESET])}),
    Case("PUBREC instead of PUBACK", {Publish: to_publish(lambda key: [Pubrec(key)])},
         lambda one: one.ignored["PUBREC for nothing that is under way"] > DEVICES),
    *(refused_publish(code, 2) for code in ADVICE["PUBREC"]),
    Case("PUBREC that is silent", {Publish: usual_status(lambda _: [], 2)}, qos=2),
    Case("PUBREC twice", {Publish: usual_status(lambda key: [Pubrec(key), Pubrec(key)], 2)}, qos=2, is_fine=True),
    Case("PUBACK instead of PUBREC", {Publish: usual_status(lambda key: [Puback(key)], 2)},
         lambda one: one.ignored["PUBACK for nothing that is under way"] > DEVICES, qos=2),
    Case("PUBREC and a refusal of it", {Publish: usual_status(lambda key: [Pubrec(key), Pubrec(key, 0x97)], 2)}, qos=2),
    Case("PUBCOMP 0x92", {Pubrel: lambda _, packet: [Pubcomp(packet_id(packet), 0x92)]}, qos=2, is_fine=True),
    Case("PUBCOMP that is silent", {Pubrel: always()}, qos=2),
    Case("PUBCOMP twice", {Pubrel: lambda _, packet: [Pubcomp(packet_id(packet))] * 2},
         lambda one: one.ignored["PUBCOMP for nothing that is under way"] > DEVICES, qos=2, is_fine=True),
    Case("PUBCOMP before PUBREL", {Publish: usual_status(lambda key: [Pubcomp(key), Pubrec(key)], 2)},
         lambda one: one.ignored["PUBCOMP for nothing that is under way"] > DEVICES, qos=2, is_fine=True),
    Case("PUBCOMP and FIN", {Pubrel: lambda _, packet: [Pubcomp(packet_id(packet)), None]}, qos=2),
    Case("PUBCOMP and RST", {Pubrel: lambda _, packet: [Pubcomp(packet_id(packet)), 0.01, RESET]}, qos=2),
    *(refused_subscribe(code) for code in ADVICE["SUBACK"]),
    Case("SUBACK of another count", suback(lambda one: [Suback(one.packet_id, (1, 1))])),
    Case("SUBACK for nothing", suback(lambda one: [Suback(one.packet_id + 9, (1,)), Suback(one.packet_id, (1,))]),
         lambda one: one.ignored["SUBACK for nothing that is under way"] == DEVICES, is_fine=True),
    Case("UNSUBACK for SUBACK", suback(lambda one: [Unsuback(one.packet_id, (0,)), Suback(one.packet_id, (0,))]),
         is_fine=True),
    Case("others' messages to a new subscriber",
         suback(lambda one: [Suback(one.packet_id, (1,)), *(Publish(topic=f"edge/a/b/c{n}/cmd") for n in range(500))]),
         lambda one: one.ignored["message on a topic that the device has not asked for"] == DEVICES * 500,
         is_fine=True),
    Case("a retained command",
         suback(lambda one: [Suback(one.packet_id, (1,)),
                             Publish(topic=one.subscriptions[0].filter, payload=b'{"id":"1","action":"reboot"}',
                                     retain=True)]),
         lambda one: one.ignored["retained command"] == DEVICES, is_fine=True),
    *(disconnected(code) for code in ADVICE["DISCONNECT"]),
    Case("DISCONNECT of a code that MQTT has not", {Publish: always(Disconnect(0xC7), None)}),
]  # fmt: skip


def packet_id(packet: Packet) -> int:
    assert isinstance(packet, Pubrel)
    return packet.packet_id


async def run(case: Case) -> Outcome:
    async with odd_broker(case.answers) as broker:
        group = {"kind": "bme280", "count": DEVICES, "interval": "100ms", "qos": case.qos}
        scenario = Scenario(broker=str(broker.url), devices=[group], connects_per_second=500)
        fleet = Fleet(scenario, name=case.name)
        record = await fleet.run(RUN_S, asyncio.Event())
        return Outcome(record, fleet.incidents.incidents, broker)


async def run_all(cases: Sequence[Case]) -> tuple[dict[str, Outcome], list[dict[str, Any]]]:
    """Every case, all at once, and what was thrown that nobody caught."""
    thrown: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: thrown.append(context))
    with mock.patch.object(shutdown, "GRACE_S", GRACE_S):
        found = await asyncio.gather(*(run(case) for case in cases))
    return {case.name: outcome for case, outcome in zip(cases, found, strict=True)}, thrown


def main() -> None:
    """Print the table."""
    logs.configure("error")
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    outcomes, thrown = asyncio.run(run_all(CASES))
    table = Table(box=None)
    for name in ("broker", "emitted", "acknowledged", "exit", "reconnections/s", "what is said"):
        table.add_column(name, justify="left" if name in ("broker", "what is said") else "right")
    for name, outcome in outcomes.items():
        record = outcome.record
        # That nothing arrived is not why.
        problems = [text for problem, text in record.problems.items() if problem != "nothing_arrived"]
        said = next(iter([*problems, *record.problems.values(), *record.notes.values()]), "")
        counts = (record.totals["emitted"], record.totals["acknowledged"], outcome.exit_code)
        table.add_row(name, *map(str, counts), f"{outcome.reconnects_per_s:.1f}", said)
    Console(width=200).print(table)
    print(f"{len(outcomes)} brokers, {len(thrown)} exceptions that nobody caught")


if __name__ == "__main__":
    main()
