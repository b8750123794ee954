"""What is heard of a broker: by the bridge on its way to each sink, by who watches, and by who learns."""

import asyncio
import json
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from tests.fuzz.examples import captured_entries, captured_payload, contract_messages
from tests.fuzz.target import Run, Target, file_writer, require_words

_NOW_MS = 1_790_000_000_000
_MOST_LEARNED = 4096
_ROUTES = (
    # The contract, and a sink whose paths and bodies are of what messages say.
    """
http:
  url: http://127.0.0.1:9
  mode: single
  headers: {X-A: "{{device_id}}", X-P: "{{property.a}}"}
routes:
- topic: edge/+/gps/+/+
  match: {event_type: position}
  http: {path: "/{{site}}/{{device_id}}", body: {a: "{{payload.latitude}}", b: ["{{timestamp}}", "{{payload}}"]}}
- {topic: edge/+/people/#, drop: true}
- {topic: "#", http: /all}
""",
    """
http: {url: "http://127.0.0.1:9"}
subscriptions:
- filter: plant/#
  decode:
    topic: plant/{site}/{id}/state
    payload: {t: {from: temperature_c, unit: °F}, list: {each: {rh: humidity, at: {from: timestamp, as: epoch_ms}}}}
- {filter: ruuvi/#, decode: ruuvi-gateway}
- {filter: "zigbee2mqtt/#", decode: zigbee2mqtt}
- {filter: "edge/+/bme280/#", encoding: cbor}
""",
    """
http: {url: "http://127.0.0.1:9"}
subscriptions: [{filter: "spBv1.0/#", decode: sparkplug}, {filter: "homie/#", decode: homie}]
""",
    """
http: {url: "http://127.0.0.1:9", mode: single}
subscriptions: [{filter: "raw/#", decode: none}, {filter: "homeassistant/#", decode: homeassistant}]
""",
)


def require_fates(previewed: dict[str, Any]) -> None:
    """Each sink has what a message says, or a reason why not; and it can be printed."""
    import orjson

    for one in previewed.get("readings", [previewed]):
        for fate in one["sinks"].values():
            assert fate["fate"] == "sent" or fate["reason"]
    orjson.dumps(previewed)


def _routed() -> Run:
    from bridge.check import preview_route
    from bridge.config import BridgeConfig
    from edgewire.config import parse_config
    from edgewire.errors import ConfigError

    folder = Path(tempfile.mkdtemp(prefix="edgefleet-fuzz-"))
    configs = [parse_config(text, BridgeConfig, name="fuzzed.yaml", folder=folder) for text in _ROUTES]

    def run(data: bytes) -> None:
        if not data:
            return
        topic, _, payload = data[1:].partition(b"\n")
        try:
            found = preview_route(configs[data[0] % len(configs)], topic.decode(errors="replace"), payload)
        except ConfigError as error:
            require_words(error, about="--topic")
            return
        require_fates(found)

    return run


def _routed_seeds() -> Iterator[bytes]:
    for topic, payload in contract_messages():
        yield b"\x00" + topic.encode() + b"\n" + payload
    for dialect, entry in captured_entries():
        said = entry["topic"].encode() + b"\n" + captured_payload(entry)
        yield from (bytes([number]) + said for number, text in enumerate(_ROUTES) if f"decode: {dialect}" in text)
    readings = b'{"t":70.5,"list":[{"rh":44,"at":1790000000000},{"rh":45,"at":1790000001000}]}'
    yield b"\x01plant/north/a/state\n" + readings


def _watched() -> Run:
    from edgefleet.report.broker_tail import describe

    def run(data: bytes) -> None:
        topic, _, payload = data.partition(b"\n")
        text = describe(topic.decode(errors="replace"), payload, retained=False, now_ms=_NOW_MS).plain
        assert text.isprintable(), "a terminal obeys what stands in a message"

    return run


def _watched_seeds() -> Iterator[bytes]:
    for topic, payload in contract_messages():
        yield topic.encode() + b"\n" + payload
    yield b'edge/a/gps/b/status\n{"state":"online","sent":1,"timestamp":"2026-03-04T12:00:00Z"}'
    yield b'edge/a/pump/b/telemetry\n{"state":"online","flow":{"a":1},"load":[1]}'


def _own_format() -> Run:
    from pydantic import ValidationError

    from edgewire.dialects.base import Arrival, DialectError
    from edgewire.dialects.own_format import OwnFormat, OwnFormatDecoder

    def run(data: bytes) -> None:
        mapping, _, rest = data.partition(b"\n")
        head, _, payload = rest.partition(b"\n")
        try:
            decoder = OwnFormatDecoder(OwnFormat.model_validate(json.loads(mapping.decode(errors="replace"))))
        except (ValidationError, json.JSONDecodeError, RecursionError) as error:
            require_words(error, 1 << 17)
            return
        for _ in range(2):
            try:
                decoder.decode(head.decode(errors="replace"), payload, Arrival(_NOW_MS, False, None, ""))
            except DialectError as error:
                require_words(error, 2000 + len(data))

    return run


def _own_format_seeds() -> Iterator[bytes]:
    for mapping, topic, payload in _OWN_FORMATS:
        yield "\n".join((json.dumps(mapping), topic, payload)).encode()


_OWN_FORMATS: tuple[tuple[dict[str, Any], str, str], ...] = (
    (
        {
            "topic": "plant/{site}/{id}/state",
            "payload": {
                "t": {"from": "temperature_c", "unit": "°F", "round": 1},
                "rh": "humidity",
                "at": {"from": "timestamp", "as": "epoch_ms"},
                "n": {"boot": "boot", "seq": "seq"},
                "fw": "1.4.2",
                "meta": {"tenant": "plant-{site}", "unit": {"const": "humidity"}},
            },
        },
        "plant/north/a/state",
        '{"t":70.5,"rh":44.1,"at":1772439300000,"n":{"boot":12,"seq":0},"fw":"1.4.2","meta":{}}',
    ),
    (
        {"topic": "w/{id}", "payload": [{"each": {"l": "load", "at": "timestamp"}}], "own_fields": ["load"]},
        "w/1",
        '[{"l":1,"at":"2026-03-04T12:00:00Z"},{"l":2,"at":"2026-03-04T12:00:01Z"}]',
    ),
    ({"topic": "b/{id}/t", "payload": "temperature_c", "role": "event"}, "b/1/t", "21.5"),
    (
        {"topic": "l/{id}", "payload": {"t": "temperature_c", "at": {"from": "timestamp", "as": "iso_local"}}},
        "l/1",
        '{"t":"NaN","at":"2026-03-29T02:30:00+01:00"}',
    ),
)


def _learn() -> Run:
    from edgefleet.learn.capture import HeardLimits, read_capture
    from edgefleet.learn.comparison import compare
    from edgefleet.learn.learner import learn_fleet
    from edgefleet.learn.messages import NothingLearned
    from edgefleet.learn.report_text import report_lines
    from edgefleet.learn.scenario_writer import device_counts, write_scenario

    written = file_writer(".jsonl")
    out = Path(tempfile.mkdtemp(prefix="edgefleet-fuzz-")) / "fleet.yaml"

    def run(data: bytes) -> None:
        with written(data) as path:
            fleet = learn_fleet(read_capture(path, HeardLimits()))
        assert fleet.read == fleet.used + fleet.unused.total, "a message is neither used nor told of"
        if not fleet.groups:
            assert fleet.unused.lines() or not fleet.read
            return
        counts = device_counts(fleet.groups, None, 1.0)
        try:
            scenario = write_scenario(out, fleet, counts)
        except NothingLearned as error:
            raise AssertionError(f"what was learned makes no scenario: {error}") from error
        if data.endswith(b"\n"):
            # It makes the readings of all devices, which takes as long as all the rest.
            assert list(report_lines(fleet, compare(fleet, scenario), sum(counts)))

    return run


def _learn_seeds() -> Iterator[bytes]:
    def capture(*rows: tuple[str, Any]) -> bytes:
        said = ({"time": _NOW_MS + at * 700, "topic": row[0], "payload": row[1]} for at, row in enumerate(rows))
        return b"\n".join(json.dumps(one).encode() for one in said)

    for _, entries in groupby(captured_entries(), itemgetter(0)):
        said = [
            {"topic": one["topic"], "payload_base64": b64encode(captured_payload(one)).decode()} for _, one in entries
        ]
        lines = [one | {"time": _NOW_MS + at * 700} for at, one in enumerate((said * 2)[:10])]
        if len(line := b"\n".join(json.dumps(one).encode() for one in lines)) <= _MOST_LEARNED:
            yield line
    yield capture(*((f"w/d{at % 2}/s", {"t": 20 + at % 5 / 10, "n": at, "on": at % 3 > 0}) for at in range(16)))
    yield capture(*((f"w/d{at % 2}/t", str(20 + at % 5 / 10)) for at in range(16)))
    yield capture(*(("tele/d1/SENSOR", {"BME280": {"Temperature": 20 + at % 3, "Humidity": 50}}) for at in range(10)))
    yield capture(*(("zigbee2mqtt/a", {"temperature": 20 + at % 3, "l": [at, 2]}) for at in range(10)))
    told = {"device_id": "g-1", "boot": 1, "latitude": 48.1, "longitude": 11.5, "speed_kmh": 1, "fix": "3d"}
    yield capture(
        *(
            ("edge/a/gps/g-1/telemetry", told | {"seq": at, "timestamp": f"2026-03-04T12:00:{at:02}Z"})
            for at in range(10)
        )
    )


def _websocket() -> Run:
    from edgewire.link.endpoint import Endpoint, HandshakeRefused
    from edgewire.link.websocket import WebSocketClosed, open_websocket
    from tests.edgewire.link.test_transport import Recorder
    from tests.edgewire.link.test_websocket import LoopbackConnector, SilentConnector

    endpoint = Endpoint("127.0.0.1", 80, path="/")

    async def read_frames(data: bytes, size: int) -> bytes:
        """Return what is handed up of frames behind a good handshake."""
        connector, upper = LoopbackConnector(), Recorder()
        await open_websocket(connector, endpoint, lambda: upper)
        assert connector.below is not None
        for at in range(0, len(data), size):
            connector.below.data_received(data[at : at + size])
        connector.below.connection_lost(None)
        assert upper.ended in ([None], []) or isinstance(upper.ended[0], WebSocketClosed)
        return upper.received

    async def read_handshake(data: bytes) -> None:
        connector, upper = SilentConnector(), Recorder()
        opening = asyncio.ensure_future(open_websocket(connector, endpoint, lambda: upper))
        await asyncio.sleep(0)
        assert connector.below is not None
        connector.below.data_received(data)
        connector.below.connection_lost(None)
        try:
            await opening
        except HandshakeRefused as error:
            require_words(error, 1000)

    def run(data: bytes) -> None:
        if not data:
            return
        if data[0] < 32:
            asyncio.run(read_handshake(data[1:]))
            return
        whole = asyncio.run(read_frames(data[1:], len(data)))
        in_pieces = asyncio.run(read_frames(data[1:], data[0] - 31))
        assert in_pieces == whole, "the same bytes in other pieces are others"

    return run


def _websocket_seeds() -> Iterator[bytes]:
    from tests.edgewire.link.test_websocket import frame

    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\n"
    yield b"\x00HTTP/1.1 101 Switching Protocols\r\n" + upgrade + b"\r\n"
    yield b"\x00HTTP/1.1 302 Found\r\nLocation: http://a/b\r\nContent-Length: 0\r\n\r\n"
    yield (
        b"\xff" + frame(b"a" * 200) + frame(b"b", fin=False) + frame(b"", 9) + frame(b"c", 0) + frame(b"\x03\xe8", 8)
    )
    yield b"\x21" + frame(b"text", 1)
    yield b"\x20" + frame(b"ab") + frame(b"\x03\xe8", 8)


MESSAGE_TARGETS = {
    "routed": Target(_routed, _routed_seeds, ("bridge", "edgewire.dialects", "edgewire.messages"), 2048),
    "watched": Target(_watched, _watched_seeds, ("edgefleet.report.broker_tail", "edgewire.messages"), 1024),
    "own-format": Target(_own_format, _own_format_seeds, ("edgewire.dialects",), 2048),
    "learn": Target(_learn, _learn_seeds, ("edgefleet.learn",), _MOST_LEARNED),
    "websocket": Target(_websocket, _websocket_seeds, ("edgewire.link.websocket", "wsproto"), 1024),
}
