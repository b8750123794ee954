"""What fuzzing has found stays mended, and a second of it for each target finds nothing more."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from edgewire.config import parse_config
from edgewire.errors import ConfigError
from tests.fuzz.campaign import fuzz
from tests.fuzz.targets import TARGETS
from tests.run_records import small_record
from tests.services.fixtures import require_package


def small_json(**changes: object) -> bytes:
    """Return a small run record with other values."""
    return json.dumps(asdict(small_record()) | changes).encode()


FOUND = [
    # A key of the file in other letters was taken for the one that is meant, and nothing below it could be named.
    pytest.param("bridge-configuration", b"rouTes: [{toxic: a}]", id="key-in-other-letters"),
    # A name of a file that is too long, and one of a folder, are no `ZoneInfoNotFoundError`.
    pytest.param(
        "scenario",
        b"sites: [{name: a, latitude: 1, longitude: 1, timezone: Europe/" + b"a" * 300 + b"}]",
        id="long-time-zone",
    ),
    pytest.param(
        "scenario", b"sites: [{name: a, latitude: 1, longitude: 1, timezone: Europe}]", id="time-zone-of-a-continent"
    ),
    # What is written behind a tag of YAML, and none of it, was an exception of the library's in three kinds.
    pytest.param("scenario", b"a: !!bool x", id="flag-that-is-none"),
    pytest.param("scenario", b"a: !!float ''", id="number-that-is-empty"),
    pytest.param("bridge-configuration", b"!!timestamp a: 1", id="key-that-is-no-date"),
    # What a spool has noted was read before anybody had looked whether it can be one, and a name that is too long was
    # looked for in two places.
    pytest.param("made-bridge", b"spool: {path: ''}\nhttp: {url: 'http://a'}", id="spool-that-is-a-folder"),
    pytest.param("made-bridge", b"spool: {path: " + b"a" * 300 + b"}\nhttp: {url: 'http://a'}", id="long-spool"),
    pytest.param("bridge-configuration", b"spool: {path: " + b"a" * 300 + b"}\nhttp: {url: a}", id="long-name"),
    # A key of a constant that is no text is none of JSON.
    pytest.param(
        "scenario",
        b"devices: [{kind: bme280, topic: 'a/{id}', payload: {t: {const: {4: a}}}}]",
        id="constant-with-a-number-for-a-key",
    ),
    # In another unit a whole number of 64 bits has more.
    pytest.param(
        "routed",
        b'\x01zigbee2mqtt/plug/left\n{"state":"ON","voltage":231,"power":12.5,"energy":9223372036854775807}',
        id="whole-number-that-outgrows-64-bits",
    ),
    # A record said of itself what cannot be written, or took as long to read as its numbers are large.
    pytest.param("run-record", small_json(started_ms=10**18), id="year-that-there-is-not"),
    pytest.param("run-record", small_json(shards=[[0, 10**12]]), id="shards-without-end"),
    pytest.param("run-record", small_json(format="3"), id="newer-format-as-a-text"),
    pytest.param("run-record", small_json(time_changes=[{"at_ms": 0, "time_scale": 2}]), id="scale-before-the-run"),
    pytest.param(
        "run-record",
        small_json(spoken={"devices": []}, powered=[{"shard": [0, 0], "power_on_ms": 0, "begun_ms": 10**13}]),
        id="shard-of-none",
    ),
    # A kind that is a list was looked for among the kinds before its type was looked at.
    pytest.param("scenario", b"devices: [{replay: a, kind: []}]", id="kind-that-is-a-list"),
    # A whole number of more than 64 bits is no JSON to who wrote content anew, nor is what is nested without end.
    pytest.param(
        "kafka-records",
        b'{"device_id":"g-1","boot":7,"seq":3,"timestamp":"2026-03-04","source":{},"v":1e22}',
        id="content-with-a-large-number",
    ),
    pytest.param(
        "kafka-records",
        b'{"device_id":"g-1","boot":7,"seq":3,"timestamp":"2026-03-04","source":{},"v":'
        + b"[" * 300
        + b"]" * 300
        + b"}",
        id="content-that-is-nested",
    ),
    # Of a variable that is no UTF-8 Python makes surrogates, which were taken, and could neither be sent nor printed.
    pytest.param("environment", b"EDGEFLEET_SEED=\xff", id="variable-that-is-no-text"),
    pytest.param("environment", b"BRIDGE_\xff=1", id="name-of-a-variable-that-is-no-text"),
    pytest.param("option-variables", b"verify\nEDGEFLEET_INGEST_TOKEN=\xff", id="option-that-is-no-text"),
    pytest.param(
        "option-variables", b"verify\nEDGEFLEET_INGEST_TOKEN_FILE=\xff", id="file-of-an-option-that-is-no-text"
    ),
    # The file alone was blamed for what a variable had put into a section of it.
    pytest.param("environment", b"BRIDGE_HTTP__TOKEN_FILE=a", id="file-of-a-token-that-is-not-there"),
    # An encoding that nobody knows, and one that is no text's, are no `ExpatError`.
    pytest.param("replay-gpx", b'<?xml version="1.0" encoding="a"?><gpx/>', id="encoding-that-is-none"),
    pytest.param("replay-gpx", b'<?xml version="1.0" encoding="idna"?><gpx/>', id="encoding-of-names"),
    # A name that is no UTF-8 in a descriptor, and two fields of one name in a record, were no `UnusableSchema`.
    pytest.param("registry-answer", b"CgG9IgMKAWE=", id="descriptor-with-a-name-that-is-no-text"),
    pytest.param(
        "registry-answer",
        b'{"type":"record","name":"a","fields":[{"name":"timestamp","type":"string"},'
        b'{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-micros"}}]}',
        id="two-fields-of-one-name",
    ),
    # The parser looks at defaults of simple types alone, and a message that has none was an exception.
    pytest.param(
        "registry-answer",
        b'{"type":"record","name":"a","fields":[{"name":"b","type":["null",{"type":"map","values":"long"}],'
        b'"default":"none"}]}',
        id="default-of-another-type",
    ),
    # Nor does it look at names of fields, at what a logical type is, or at types that are named as simple ones are.
    pytest.param(
        "registry-answer",
        b'{"type":"record","name":"a","fields":[{"name":["b"],"type":"string"}]}',
        id="field-whose-name-is-no-text",
    ),
    pytest.param(
        "registry-answer",
        b'{"type":"record","name":"a","fields":[{"name":"b","type":{"type":"long","logicalType":["x"]}}]}',
        id="logical-type-that-is-no-text",
    ),
    pytest.param(
        "registry-answer",
        b'{"type":"record","name":"null","fields":[{"name":"b","type":["string","null","string"],"default":null}]}',
        id="record-named-as-a-simple-type",
    ),
    # JSON has no infinity: what was read as one would be written as nothing.
    pytest.param(
        "checkpoint",
        b'{"run_id":"","scenario":"","broker":"","started_ms":1,"stopped_ms":2,"sim_started_ms":1,"time_scale":"1e999",'
        b'"devices":[]}',
        id="infinite-time-scale",
    ),
    # The name of a value was taken for a part of a format, and a terminal does what stands in a value.
    pytest.param("watched", b'edge/a/pump/b/telemetry\n{"{":1}', id="brace-in-the-name-of-a-value"),
    pytest.param("watched", b'edge/a/gps/b/status\n{"state":"\\u001b[2J"}', id="value-that-clears-the-screen"),
    # Of gaps that are all longer than an interval may be a range was made that goes from the longest to itself.
    pytest.param(
        "learn",
        b'{"topic":"a","time":1,"payload":1}\n{"topic":"a","time":1000001,"payload":1}\n'
        b'{"topic":"a","time":5000001,"payload":1}',
        id="gaps-of-weeks",
    ),
    # Nor was one made where a message lacks the id of its device now and then.
    pytest.param(
        "learn",
        b'{"topic":"w/d1/s","time":1,"payload":{"i":"d1","t":1}}\n{"topic":"w/d1/s","time":2,"payload":{"t":2}}',
        id="id-that-is-not-always-there",
    ),
    # What a server says of items was gone through without a look at whether it is a list of them.
    pytest.param("upload-answer", b'{"items":1}', id="items-that-are-a-number"),
    # Sums of what a page of metrics says were beyond what a number can be, and what JSON can hold.
    pytest.param(
        "service-pages",
        b'edgefleet_bridge_spooled_total 1\nedgefleet_bridge_missing_total{a="b"} 1e308\n'
        b'edgefleet_bridge_missing_total{a="c"} 1e308\n\0{}',
        id="sum-of-large-numbers",
    ),
    # An id that is a list, and numbers that are none, were taken for those of a message.
    pytest.param(
        "stored-page",
        b'{"messages":[{"cursor":1,"device_id":[],"boot":1,"seq":"a","timestamp_ms":1,"received_ms":1}],"next":null}',
        id="id-that-is-a-list",
    ),
    # Of bytes that are no UTF-8 aiohttp makes surrogates, which the bridge's admin port could neither compare nor say.
    pytest.param("request-head", b"host:\xff", id="host-that-is-no-text"),
    pytest.param("request-head", b"host:a\nauthorization:Bearer \xff", id="token-that-is-no-text"),
]
"""Target and smallest input of everything that was found."""


@pytest.mark.parametrize(("target", "found"), FOUND)
def test_what_was_found_stays_mended(target: str, found: bytes) -> None:
    TARGETS[target].prepare()(found)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_takes_what_it_begins_with(target: str) -> None:
    seeds = list(TARGETS[target].seeds())
    assert seeds
    run = TARGETS[target].prepare()
    for seed in [b"", b"\x00", b"\xff", *seeds]:
        run(seed)


def test_a_key_in_other_letters_is_unknown() -> None:
    from devices.scenario.scenario import Scenario

    with pytest.raises(ConfigError, match=r"f\.yaml:2: unknown key 'Seed', did you mean 'seed'\?"):
        parse_config("seed: 1\nSeed: 2\ndevices: [{kind: bme280}]", Scenario, name="f.yaml")


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_a_second_of_each_finds_nothing(tmp_path: Path) -> None:
    require_package("atheris")
    seed = random.SystemRandom().randrange(1, 2**31)
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda name: fuzz(name, 1, seed, tmp_path), TARGETS))
    assert not [str(one) for one in outcomes if one.fault]
    # A target that is not measured, or reads nothing, would find nothing either.
    assert all(one.runs > 10 and one.branches > 10 for one in outcomes), outcomes
