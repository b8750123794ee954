"""`edgefleet bridge route`, and what `edgefleet bridge check` says of a configuration that is wrong."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from edgefleet.cli.bridge import app
from edgewire.errors import ConfigError
from edgewire.messages.gps import GPS_EXAMPLES
from tests.bridge.fakes import scripted_broker
from tests.services.kafka import SASL_USER, KafkaProcess

runner = CliRunner()
GPS = GPS_EXAMPLES[0]
TOPIC = f"edge/hq/gps/{GPS['device_id']}/telemetry"
CONFIG = """
http: {url: 'http://ingest', mode: single, token: t0p}
kafka: {}
file: {folder: archive}
routes:
  - {topic: edge/test/#, drop: true}
  - topic: edge/+/gps/+/telemetry
    http: {path: '/v/{payload.vehicle_id}', body: {speed: '{payload.speed_kmh}'}}
    kafka: {topic: 'gps.{site}', partition: '{payload.satellites}', headers: {fix: '{payload.fix}'}}
    validate: reject
  - {topic: '#', file: rest.jsonl}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "bridge.yaml"
    path.write_text(CONFIG)
    return path


def route(config: Path, payload: str, topic: str = TOPIC, *more: str, **options: Any) -> Any:
    arguments = ["route", str(config), "--topic", topic, "--payload", payload, *more]
    return runner.invoke(app, arguments, catch_exceptions=False, **options)


def as_json(result: Any) -> Any:
    return orjson.loads(result.stdout)


def test_it_shows_what_would_be_sent_where(config: Path) -> None:
    payload = orjson.dumps(GPS).decode()
    result = route(config, payload, TOPIC, "--json")
    assert result.exit_code == 0
    found = as_json(result)
    message_id = f"{GPS['device_id']}:{GPS['boot']}:{GPS['seq']}"
    assert (found["route"], found["subscribed"]) == ("edge/+/gps/+/telemetry", True)
    assert found["message_id"] == message_id
    assert found["schema"] == {"validate": "reject", "against": "contract", "valid": True, "fault": None}
    http, kafka, file = (found["sinks"][name] for name in ("http", "kafka", "file"))
    assert (http["fate"], http["destination"]) == ("sent", f"http://ingest/v/{GPS['vehicle_id']}")
    assert orjson.loads(http["body"]) == {"speed": GPS["speed_kmh"]}
    assert http["headers"]["Idempotency-Key"] == message_id
    assert http["headers"]["Authorization"] == "***"
    assert (kafka["destination"], kafka["key"], kafka["partition"]) == ("gps.hq", GPS["device_id"], GPS["satellites"])
    assert (kafka["headers"]["ce_id"], kafka["headers"]["fix"]) == (message_id, GPS["fix"])
    assert kafka["body"] == payload
    assert file == {"fate": "dropped", "reason": "its route does not lead to file"}
    text = route(config, payload).stdout
    assert f"http://ingest/v/{GPS['vehicle_id']}" in text
    assert "t0p" not in text + result.stdout


def test_the_payload_may_be_in_a_file_or_on_standard_input(config: Path) -> None:
    body = orjson.dumps(GPS)
    (config.parent / "message.json").write_bytes(body)
    assert route(config, f"@{config.parent / 'message.json'}").exit_code == 0
    assert route(config, "-", input=body).exit_code == 0
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        route(config, "@/nowhere.json")


def test_what_a_rule_leaves_out_and_what_is_at_fault_is_said(config: Path) -> None:
    found = as_json(route(config, "?", "edge/test/gps/a/telemetry", "--json"))
    assert {one["fate"] for one in found["sinks"].values()} == {"dropped"}
    assert found["sinks"]["http"]["reason"] == "route 'edge/test/#': drop"
    bad = route(config, orjson.dumps(GPS | {"latitude": 123}).decode(), TOPIC, "--json")
    assert bad.exit_code == 1
    fates = {name: one["fate"] for name, one in as_json(bad)["sinks"].items()}
    assert fates == {"http": "dead letter", "kafka": "dead letter", "file": "dropped"}
    assert as_json(bad)["sinks"]["http"]["reason"].startswith("schema: latitude: ")
    assert "dead letter" in route(config, "{").stdout


def test_without_a_check_it_is_still_said_what_the_contract_thinks(config: Path) -> None:
    config.write_text("http: {}")
    found = as_json(route(config, orjson.dumps(GPS | {"hdop": -1}).decode(), TOPIC, "--json"))
    assert found["schema"]["validate"] == "off"
    assert found["schema"]["valid"] is False
    assert found["schema"]["fault"].startswith("hdop: ")
    assert found["sinks"]["http"]["fate"] == "sent"
    elsewhere = as_json(route(config, "{}", "a/b", "--json"))
    assert elsewhere["subscribed"] is False
    assert elsewhere["sinks"]["http"]["fate"] == "dead letter"


def test_a_topic_that_is_none_is_usage(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"--topic: topic 'a/#' contains a wildcard"):
        route(config, "{}", "a/#")


# -- check


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http: {}\nktop: 1", "unknown key 'ktop'"),
        ("http: {urll: x}", "unknown key 'http.urll'"),
        ("http: {}\nroutes: [{topic: '#', http: '/{payload.nothing}'}]", "names '{payload.nothing}'"),
        ("http: {}\nroutes: [{topic: '#', file: x}]", "leads to no configured sink"),
        ("kafka: {properties: {no.such: 1}, timeout: 1s}", "kafka.properties"),
    ],
)
def test_check_names_what_is_wrong_in_one_sentence(config: Path, text: str, said: str) -> None:
    config.write_text(f"broker: mqtt://127.0.0.1:1\nspool: {{path: {config.parent / 's.db'}}}\n{text}\n")
    try:
        shown = runner.invoke(app, ["check", str(config), "--json"], catch_exceptions=False).stdout
    except ConfigError as error:
        shown = str(error)
        assert "\n" not in shown
    assert said in shown


@pytest.mark.services
async def test_check_says_that_credentials_are_wrong(config: Path, kafka_process: KafkaProcess) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=401)

    application = web.Application()
    application.router.add_get("/{path:.*}", refuse)
    async with TestServer(application) as server, scripted_broker() as broker:
        sasl = "security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN"
        properties = f"{{{sasl}, sasl.username: {SASL_USER}, sasl.password: 'no'}}"
        config.write_text(  # noqa: ASYNC240 - a test
            f"broker: {broker.url}\nspool: {{path: {config.parent / 's.db'}}}\n"
            f"http: {{url: '{server.make_url('')}', token: wrong}}\n"
            f"kafka: {{bootstrap_servers: '{kafka_process.sasl_servers}', timeout: 1s, properties: {properties}}}\n"
        )
        result = await asyncio.to_thread(runner.invoke, app, ["check", str(config), "--json"], catch_exceptions=False)
    assert result.exit_code == 1
    found = orjson.loads(result.stdout)
    assert {part: one["ok"] for part, one in found.items()} == {
        "broker": True,
        "spool": True,
        "http": False,
        "kafka": False,
    }
    assert "answers 401: look at http.token" in found["http"]["text"]
    assert "Invalid username or password; look at sasl.username" in found["kafka"]["text"]


def test_a_message_of_several_readings_is_shown_reading_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "bridge.yaml"
    mapping = "{topic: 'p/{id}', payload: {b: boot, r: {each: {t: temperature_c, n: seq}}}}"
    path.write_text(f"http: {{url: 'http://ingest'}}\nsubscriptions: [{{filter: p/#, decode: {mapping}}}]\n")
    payload = '{"b":3,"r":[{"t":20,"n":7},{"t":"warm","n":8},{"t":21,"n":9}]}'
    result = route(path, payload, "p/a", "--json")
    assert result.exit_code == 1
    found = as_json(result)
    assert [one.get("message_id") for one in found["readings"]] == ["a:3:7", None, "a:3:9"]
    assert [one["sinks"]["http"]["fate"] for one in found["readings"]] == ["sent", "dead letter", "sent"]
    assert found["readings"][1]["sinks"]["http"]["reason"] == "own: reading 2 of 3: 'warm' is no number"
    shown = route(path, payload, "p/a").stdout
    assert shown.count("reading ") == 4
    assert "reading 3 of 3" in shown
    one = as_json(route(path, '{"b":3,"r":[{"t":20,"n":7}]}', "p/a", "--json"))
    assert (one["message_id"], "readings" in one) == ("a:3:7", False)
