"""What reads bytes from outside: what it may raise, what has to hold of what it returns, and what to begin with.

Nothing here imports Atheris, so that an input that was found is tried again wherever the tests run.
"""

import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz.answer_targets import ANSWER_TARGETS
from tests.fuzz.csv_mutator import mutate_csv
from tests.fuzz.environment_targets import ENVIRONMENT_TARGETS
from tests.fuzz.examples import captured_entries, captured_payload, contract_messages, yaml_seeds
from tests.fuzz.file_targets import FILE_TARGETS
from tests.fuzz.made_targets import MADE_TARGETS
from tests.fuzz.message_targets import MESSAGE_TARGETS
from tests.fuzz.request_targets import REQUEST_TARGETS
from tests.fuzz.target import Run, Target, file_writer, require_words
from tests.fuzz.verify_targets import VERIFY_TARGETS
from tests.fuzz.xml_mutator import mutate_xml
from tests.fuzz.yaml_mutator import mutate_yaml

# -- MQTT


def _mqtt() -> Run:
    from edgewire.mqtt import PacketDecoder, ProtocolError, Session, SessionConfig, Version

    def packets(data: bytes, version: Version, size: int) -> tuple[list[Any], bool]:
        decoder, found = PacketDecoder(version, 1 << 16), list[Any]()
        try:
            for at in range(0, max(len(data), 1), size):
                found.extend(decoder.feed(data[at : at + size]))
        except ProtocolError:
            return found, True
        return found, False

    def run(data: bytes) -> None:
        if not data:
            return
        size, data = 1 + data[0], data[1:]
        for version in Version:
            whole = packets(data, version, len(data) or 1)
            assert packets(data, version, size) == whole, "the same bytes in other pieces are other packets"
        session = Session(SessionConfig(client_id="a", topic_alias_maximum=4, manual_ack=bool(size % 2)))
        session.connect(0.0)
        try:
            for at in range(0, len(data), size):
                session.receive(data[at : at + size], 0.0)
                session.data_to_send()
        except ProtocolError:
            pass

    return run


def _mqtt_seeds() -> Iterator[bytes]:
    from edgewire.mqtt import Properties, Version, encode
    from edgewire.mqtt.packets import Connack, Disconnect, Puback, Publish, Suback

    connack = encode(Connack(False, 0, Properties(receive_maximum=10, topic_alias_maximum=3)), Version.V5)
    publish = encode(
        Publish(
            topic="a/b",
            payload=b"{}",
            qos=1,
            packet_id=7,
            properties=Properties(content_type="x", user_property=(("a", "b"),)),
        ),
        Version.V5,
    )
    after = [
        encode(packet, Version.V5)
        for packet in (Puback(7, 16), Suback(1, (0, 135)), Disconnect(142, Properties(reason_string="why")))
    ]
    yield b"\x00" + connack + publish
    yield b"\x03" + connack + b"".join(after)
    yield b"\x01" + b"\x20\x02\x00\x00" + b"\x32\x07\x00\x01a\x00\x07{}"
    yield from (b"\xff" + one for one in after)


# -- files of configuration


def _configuration(module: str, name: str) -> Callable[[], Run]:
    def prepare() -> Run:
        import importlib

        from edgewire.config import parse_config
        from edgewire.errors import ConfigError

        model = getattr(importlib.import_module(module), name)

        def run(data: bytes) -> None:
            try:
                parse_config(data.decode(errors="replace"), model, name="fuzzed.yaml")
            except ConfigError as error:
                require_words(error)

        return run

    return prepare


# -- the HTTP ingest, run records


def _ingest() -> Run:
    from edgefleet.ingest.validation import BATCH_FORMS, BatchTooLong, NotJson, read_batch, read_single
    from edgewire.messages import CONTRACT, ContractError
    from edgewire.messages.cloudevents import CONTENT_TYPE

    contracts = list(CONTRACT.values())
    forms = (*BATCH_FORMS, "", CONTENT_TYPE)

    def run(data: bytes) -> None:
        if not data:
            return
        form, body = forms[data[0] % len(forms)], data[1:]
        try:
            if form in BATCH_FORMS:
                batch = read_batch(body, form)
                assert len(batch.messages) == len(batch.lines)
                assert len(batch.rejections) <= sum(batch.rejected.values())
            else:
                message = read_single(contracts[data[0] // 8 % len(contracts)], body, form)
                json.loads(message.payload)
        except (NotJson, BatchTooLong, ContractError) as error:
            require_words(error)

    return run


def _ingest_seeds() -> Iterator[bytes]:
    from edgewire.messages import CONTRACT

    for number, contract in enumerate(CONTRACT.values()):
        for message in contract.messages:
            for example in message.examples:
                text = json.dumps(example, default=str)
                event = json.dumps({"specversion": "1.0", "id": "x", "source": "s", "type": "t", "data": example})
                forms = (text + "\n" + text, f"[{text}]", f"[{event}]", text, event)
                yield from (bytes([at + 8 * number]) + one.encode() for at, one in enumerate(forms))


# -- recordings that are played back


def _replay(suffix: str) -> Callable[[], Run]:
    def prepare() -> Run:
        from pydantic import ValidationError

        from devices.replay.config import ReplayConfig
        from devices.replay.loading import load_recording, replayed_targets
        from devices.sensors.registry import KINDS
        from edgewire.errors import ConfigError

        kind = KINDS["gps"]
        written = file_writer(suffix)

        def run(data: bytes) -> None:
            with written(data) as path:
                config = ReplayConfig(file=path, timezone="Europe/Berlin", id="track" if suffix == ".gpx" else None)
                try:
                    recording = load_recording(config, replayed_targets(config, kind))
                    assert recording.first_ms <= recording.last_ms
                    assert recording.period_ms > 0
                except (ConfigError, ValueError) as error:
                    # pydantic's is of a key of the scenario; it names the file all the same.
                    if not isinstance(error, ConfigError | ValidationError):
                        raise
                    require_words(error, about=path.name)

        return run

    return prepare


_POINT = {"timestamp": "2026-03-04T12:00:00Z", "latitude": 48.1, "longitude": 11.5, "speed_kmh": 3, "fix": "3d"}


def _csv_seeds() -> Iterator[bytes]:
    for separator in ",;\t":
        head = separator.join(_POINT)
        yield f"{head}\n{separator.join(map(str, _POINT.values()))}\n".encode()
    yield b'timestamp,latitude\n1700000000,"48.1"\n1700000001.5,\n"1700000002000",4e1\n2026-03-29 02:30:00,48\n'


def _jsonl_seeds() -> Iterator[bytes]:
    line = json.dumps(_POINT)
    yield f"{line}\n{line}\n".encode()
    yield b'{"timestamp":1700000000123456789,"latitude":1,"air":{"temp":[1]}}\n{"timestamp":"x","latitude":null}'


def _gpx_seeds() -> Iterator[bytes]:
    point = '<trkpt lat="48.1" lon="11.5"><ele>500</ele><time>2026-03-04T12:00:0{}Z</time></trkpt>'
    points = "".join(point.format(second) for second in (0, 1, 2))
    begin = '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1">'
    yield f"{begin}<trk><name>a</name><trkseg>{points}</trkseg></trk></gpx>".encode()
    yield b'<!DOCTYPE a [<!ENTITY b "c">]><gpx><trk><trkseg><trkpt lat="&b;" lon="1"/></trkseg></trk></gpx>'


# -- what devices say


def _dialects() -> Run:
    from edgewire.dialects.base import Arrival, DialectError
    from edgewire.dialects.registry import DIALECTS

    known = [DIALECTS[name] for name in sorted(DIALECTS)]

    def run(data: bytes) -> None:
        if not data:
            return
        dialect = known[data[0] % len(known)]
        head, _, payload = data[1:].partition(b"\n")
        topic, _, content_type = head.decode(errors="replace").partition("\t")
        decoder = dialect.decoder(dialect.options())
        # Twice: what a decoder remembers of the first one decides on the second.
        for _ in range(2):
            try:
                message = decoder.decode(topic, payload, Arrival(1_790_000_000_000, False, None, content_type))
            except DialectError as error:
                require_words(error, 500 + len(topic))
                continue
            for values in (message.values, *message.parts.values()):
                for name, value in values.items():
                    assert isinstance(value, bool | int | float | str), name
                    assert isinstance(value, str) or math.isfinite(value), name

    return run


def _dialect_seeds() -> Iterator[bytes]:
    from edgewire.dialects.registry import DIALECTS

    number = {name: at for at, name in enumerate(sorted(DIALECTS))}
    for name, entry in captured_entries():
        head = f"{entry['topic']}\t{entry.get('content_type', '')}".encode()
        yield bytes([number[name]]) + head + b"\n" + captured_payload(entry)


def _native() -> Run:
    from bridge.message.decoders import NATIVE, UndecodableMessage
    from edgewire.messages import ContractError

    def run(data: bytes) -> None:
        topic, _, payload = data.partition(b"\n")
        NATIVE.find_sequence(payload)
        NATIVE.sequence_of(topic.decode(errors="replace"))
        try:
            _, device_id = NATIVE.decode_topic(topic.decode(errors="replace"))
            device_id, message_id, *_ = NATIVE.decode_message(device_id, payload)
        except (ContractError, UndecodableMessage):
            return
        assert message_id.startswith(f"{device_id}:")

    return run


def _native_seeds() -> Iterator[bytes]:
    yield from (topic.encode() + b"\n" + payload for topic, payload in contract_messages())


def _sparkplug() -> Run:
    from edgewire.dialects.base import DialectError
    from edgewire.dialects.sparkplug_payload import metric_value, read_payload

    def run(data: bytes) -> None:
        try:
            payload = read_payload(data)
        except DialectError:
            return
        for metric in payload.metrics:
            try:
                metric_value(metric, metric.datatype, "a")
            except DialectError as error:
                require_words(error)

    return run


def _cbor() -> Run:
    from edgewire.dialects.base import DialectError
    from edgewire.dialects.cbor import read_cbor

    def run(data: bytes) -> None:
        try:
            read_cbor(data)
            read_cbor(data, whole_keys=True)
        except DialectError as error:
            require_words(error)

    return run


def _sparkplug_seeds() -> Iterator[bytes]:
    yield from (captured_payload(entry) for name, entry in captured_entries() if name == "sparkplug" and "hex" in entry)


def _cbor_seeds() -> Iterator[bytes]:
    from edgewire.dialects.cbor import write_cbor

    for name, entry in captured_entries():
        if name == "senml" and entry["payload"].startswith("["):
            yield write_cbor(json.loads(entry["payload"]))
    yield bytes.fromhex("9fbf6161fb3ff199999999999a6162f97c00ffc1fb41d452d9e2000000ff")


def _capture() -> Run:
    from edgefleet.learn.capture import read_line

    def run(data: bytes) -> None:
        for line in data.split(b"\n"):
            try:
                read_line(line)
            except ValueError as error:
                require_words(error)

    return run


def _capture_seeds() -> Iterator[bytes]:
    for _, entry in captured_entries():
        payload = captured_payload(entry)
        said = {"payload_base64": b64encode(payload).decode()} if "hex" in entry else {"payload": entry["payload"]}
        yield json.dumps({"tst": "2026-03-04T12:00:00.1Z+0000", "topic": entry["topic"], "qos": 1, **said}).encode()


# -- what other services answer


def _http_answer() -> Run:
    from bridge.sinks.base import Rejected, Remark, Retry
    from bridge.sinks.http.response import Refused, Response, classify_batch_response, classify_response
    from bridge.sinks.http.success import AnswerRules, SuccessConfig

    lines = 3
    success = ({"json": {"errors": None}}, {"items": {"at": "items", "status": "status", "reason": "error.reason"}})
    rules = [AnswerRules({}, None), *(AnswerRules({}, SuccessConfig.model_validate(one)) for one in success)]

    def run(data: bytes) -> None:
        if not data:
            return
        status = 200 + data[0] % 8 if data[0] < 128 else 300 + data[0]
        response = Response("http://127.0.0.1/", status, None, data[1:], "application/json")
        for rule in rules:
            found = [classify_response(response, rule)]
            batch = classify_batch_response(response, lines, rule)
            if isinstance(batch, dict):
                assert batch.keys() <= set(range(lines)), "a line that was not sent has an outcome"
                found += batch.values()
            else:
                found.append(batch.alone if isinstance(batch, Refused) else batch)
            for one in found:
                assert one is None or isinstance(one, Rejected | Remark | Retry)
                assert one is None or 0 < len(one.reason) < 2000

    return run


def _http_answer_seeds() -> Iterator[bytes]:
    yield b"\x00" + b'{"accepted":2,"duplicates":0,"rejected":1,"errors":[{"index":1,"reason":"no number"}]}'
    yield b"\x07" + b'{"items":[{"status":201},{"status":409,"error":{"reason":"there"}},{"status":500}]}'
    yield b"\x00" + b'{"errors":true}'
    yield b"\x80" + b"<html>not now</html>"


def _registry() -> Run:
    from bridge.sinks.kafka.avro_codec import AvroCodec
    from bridge.sinks.kafka.protobuf_codec import ProtobufCodec, read_serialized
    from bridge.sinks.kafka.schema_values import UnfitMessage, UnusableSchema
    from edgewire.messages.bme280 import BME280_EXAMPLES

    def run(data: bytes) -> None:
        text = data.decode(errors="replace")
        for make in (
            lambda: AvroCodec(text, drops_unknown=True),
            lambda: ProtobufCodec(read_serialized(text), drops_unknown=True),
        ):
            try:
                make().encode(dict(BME280_EXAMPLES[0]))
            except (UnusableSchema, UnfitMessage) as error:
                require_words(error)

    return run


def _registry_seeds() -> Iterator[bytes]:
    from bridge.sinks.kafka.protobuf_codec import file_of
    from edgewire.messages import CONTRACT
    from edgewire.messages.avro import avro_schemas
    from edgewire.messages.protobuf import proto_message

    yield from (json.dumps(one).encode() for one in avro_schemas().values())
    yield b64encode(file_of(proto_message(CONTRACT["bme280"].messages[0])).SerializeToString())


TARGETS = {
    "mqtt": Target(_mqtt, _mqtt_seeds, ("edgewire.mqtt",)),
    "scenario": Target(
        _configuration("devices.scenario.scenario", "Scenario"),
        yaml_seeds("scenarios/*.yaml", "docs/*.md", "README.md"),
        ("devices.scenario", "devices.faults", "devices.declared", "edgewire"),
        2048,
        mutate_yaml,
    ),
    "bridge-configuration": Target(
        _configuration("bridge.config", "BridgeConfig"),
        yaml_seeds("bridge.yaml", "docs/bridge.md", "docs/sinks.md", "docs/security.md", "docs/operating.md"),
        ("bridge", "edgewire"),
        2048,
        mutate_yaml,
    ),
    "ingest-body": Target(_ingest, _ingest_seeds, ("edgefleet.ingest", "edgewire.messages")),
    "replay-csv": Target(_replay(".csv"), _csv_seeds, ("devices.replay",), 1024, mutate_csv),
    "replay-jsonl": Target(_replay(".jsonl"), _jsonl_seeds, ("devices.replay",), 1024),
    "replay-gpx": Target(_replay(".gpx"), _gpx_seeds, ("devices.replay",), 1024, mutate_xml),
    "dialects": Target(_dialects, _dialect_seeds, ("edgewire.dialects",), 2048),
    "native": Target(_native, _native_seeds, ("bridge.message", "edgewire.messages"), 1024),
    "sparkplug": Target(_sparkplug, _sparkplug_seeds, ("edgewire.dialects",), 512),
    "cbor": Target(_cbor, _cbor_seeds, ("edgewire.dialects.cbor",), 512),
    "capture": Target(_capture, _capture_seeds, ("edgefleet.learn",), 1024),
    "http-answer": Target(_http_answer, _http_answer_seeds, ("bridge.sinks.http",), 1024),
    "registry-answer": Target(_registry, _registry_seeds, ("bridge.sinks.kafka",), 4096),
    **ANSWER_TARGETS,
    **MESSAGE_TARGETS,
    **REQUEST_TARGETS,
    **FILE_TARGETS,
    **MADE_TARGETS,
    **VERIFY_TARGETS,
    **ENVIRONMENT_TARGETS,
}
"""Name -> what is fuzzed under it."""
