"""`edgefleet generate --upload` and `--kafka` as users of an endpoint of their own meet it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from devices.export.base import ExportError
from edgefleet.cli import app
from edgefleet.embedded import kafka_mock
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT

SCENARIOS = Path(__file__).parents[3] / "scenarios"


class Endpoint(BaseHTTPRequestHandler):
    """Keeps every request; answers what it is told to, then 201, and closes idle connections where it is told to."""

    protocol_version = "HTTP/1.1"
    requests: list[tuple[str, dict[str, str], Any]] = []
    answers: list[int] = []
    body = b"no"
    closes_unsaid = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append((self.path, dict(self.headers), orjson.loads(body)))
        status = self.answers.pop(0) if self.answers else 201
        self.send_response(status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)
        # Without a word in the answer, as servers do that have waited for long.
        self.close_connection = self.closes_unsaid

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Endpoint]]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("devices.export.http.random.random", lambda: 0.0)
    handler = type("Stub", (Endpoint,), {"requests": [], "answers": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def invoke(*arguments: object, **environment: str) -> Any:
    return CliRunner(env=environment).invoke(app, ["generate", *map(str, arguments)])


@pytest.mark.parametrize(("name", "kind"), [("traffic", "traffic"), ("telematics", "telematics"), ("bme280", "bme280")])
@pytest.mark.parametrize("how", [(), ("--stream", "--interval", "0.002")])
def test_a_path_is_posted_to_as_it_is(
    endpoint: tuple[str, type[Endpoint]], name: str, kind: str, how: tuple[str, ...]
) -> None:
    url, stub = endpoint
    path = CONTRACT[kind].http_path
    result = invoke(SCENARIOS / f"{name}.yaml", *how, "--records", 5, EDGEFLEET_UPLOAD=url + path)
    assert result.exit_code == 0, result.exception
    assert [(path, "application/json")] * 5 == [(at, headers["Content-Type"]) for at, headers, _ in stub.requests]
    for _, headers, fields in stub.requests:
        CONTRACT[kind].check(fields)
        assert headers["Idempotency-Key"] == "{device_id}:{boot}:{seq}".format(**fields)


@pytest.mark.parametrize("how", [(), ("--stream", "--interval", "0.002")])
def test_what_is_refused_is_counted_and_the_others_go_on(
    endpoint: tuple[str, type[Endpoint]], how: tuple[str, ...]
) -> None:
    url, stub = endpoint
    stub.answers = [201, 422, 404, 401, 409, 307, 400, 200]
    arguments = (SCENARIOS / "bme280.yaml", *how, "--records", 10, "--upload", f"{url}/my/own?key=secret")
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert [at for at, _, _ in stub.requests] == ["/my/own?key=secret"] * 10
    last = result.stderr.splitlines()[-1]
    assert last.startswith(
        "edgefleet: 6 records were rejected, the first because: answers 422: no; answers: 1 of 200, "
    )
    assert last.endswith("3 of 201, 1 of 307, 1 of 400, 1 of 401, 1 of 404, 1 of 409, 1 of 422")
    told = [line for line in result.stderr.splitlines() if line.endswith(" record)")]
    assert told == [f"edgefleet: {url}/my/own answers 422: no (1 record)"], "the others came within five seconds"
    assert "secret" not in result.output
    stub.answers = [422, 503, 201]
    summary = orjson.loads(invoke(*arguments, "--json").stdout)
    assert (summary["rejected"], summary["statuses"]) == (1, {"201": 9, "422": 1, "503": 1})


def test_batches_are_as_large_as_is_said_and_an_array_elsewhere(endpoint: tuple[str, type[Endpoint]]) -> None:
    url, stub = endpoint
    room = SCENARIOS / "bme280.yaml"
    assert invoke(room, "--records", 7, "--batch", 3, "--upload", f"{url}/api/bulk").exit_code == 0
    assert [len(body) for _, _, body in stub.requests] == [3, 3, 1]
    assert all(isinstance(body, list) and "Idempotency-Key" not in headers for _, headers, body in stub.requests)
    stub.requests.clear()
    # One line a batch of our ingest is one object.
    for ours in ("", "/", "/ingest/batch", "/behind/a/proxy/ingest/batch"):
        assert invoke(room, "--records", 2, "--batch", 1, "--upload", url + ours).exit_code == 0
    paths = ["/ingest/batch"] * 6 + ["/behind/a/proxy/ingest/batch"] * 2
    assert [at for at, _, _ in stub.requests] == paths
    assert {headers["Content-Type"] for _, headers, _ in stub.requests} == {"application/x-ndjson"}


def test_a_rate_limit_is_kept_to(endpoint: tuple[str, type[Endpoint]]) -> None:
    url, _ = endpoint
    arguments = ("--records", 6, "--rate-limit", 50, "--upload", f"{url}/x", "--json")
    assert orjson.loads(invoke(SCENARIOS / "bme280.yaml", *arguments).stdout)["seconds"] >= 5 / 50


def test_retries_are_as_many_as_is_said(endpoint: tuple[str, type[Endpoint]]) -> None:
    url, stub = endpoint
    room, upload = SCENARIOS / "bme280.yaml", ("--upload", f"{url}/x", "--retries", 2)
    stub.answers = [500] * 3
    said = invoke(room, "--records", 2, *upload).exception
    assert isinstance(said, ExportError)
    assert str(said) == f"{url}/x answers 500, 3 times in a row: go on with --resume when it is back"
    stub.answers = [201, 500, 500, 500]
    result = invoke(room, "--stream", "--interval", "0.002", "--records", 4, *upload)
    assert result.exit_code == 1
    assert "edgefleet: 1 record was given up, the first because: answers 500; answers: " in result.stderr
    assert "statistics: 3 sent, 0 refused, 1 failed; last success 2" in result.stderr


def test_a_conflict_after_an_answer_that_said_nothing_is_no_refusal(endpoint: tuple[str, type[Endpoint]]) -> None:
    url, stub = endpoint
    stub.answers = [500, 409, 409]
    result = invoke(SCENARIOS / "bme280.yaml", "--records", 2, "--upload", f"{url}/x", "--json")
    assert orjson.loads(result.stdout)["rejected"] == 1  # the second, which was not sent before
    assert [headers["Idempotency-Key"] for _, headers, _ in stub.requests][0::2][:1] == [
        stub.requests[1][1]["Idempotency-Key"]
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"errors": true, "items": []}', 'answers 201 with "errors": true: 1 record counted as taken'),
        (b" <html>login</html>", "answers 201 with a page of HTML, as a login page would be: 1 record counted"),
        (b'{"errors": []}', ""),
        (b"{", ""),
    ],
)
def test_an_answer_that_does_not_look_like_a_success_is_told(
    endpoint: tuple[str, type[Endpoint]], body: bytes, said: str
) -> None:
    url, stub = endpoint
    stub.body = body
    result = invoke(SCENARIOS / "bme280.yaml", "--records", 2, "--upload", f"{url}/x")
    assert result.exit_code == 0
    assert (said in result.stderr) if said else ("answers" not in result.stderr)
    assert result.stderr.count("answers 201") == bool(said)  # once


def test_a_connection_that_the_server_has_closed_is_no_trouble(endpoint: tuple[str, type[Endpoint]]) -> None:
    url, stub = endpoint
    stub.closes_unsaid = True
    pace = ("--stream", "--interval", "0.05", "--records", 4, "--retries", 0)
    result = invoke(SCENARIOS / "bme280.yaml", *pace, "--upload", f"{url}/x", "--json")
    assert (result.exit_code, result.stderr, len(stub.requests)) == (0, "", 4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--batch", 3), "--batch is for posts over HTTP: add --upload URL, or leave it out"),
        (("--rate-limit", 3), "--rate-limit is for posts over HTTP"),
        (("--timeout", "3s", "--kafka", "h:1"), "--timeout is for posts over HTTP"),
        (("--retries", 3), "--retries is for a server: add --upload or --kafka"),
        (("--retry-backoff", "3s", "--out", "x.csv"), "--retry-backoff is for a server"),
        (("--topic", "x"), "--topic is for Kafka: add --kafka HOST:PORT"),
        (("--topic", "a b", "--kafka", "h:1"), "--topic a b: a topic has letters, digits"),
        (("--topic", "gps=x", "--kafka", "h:1"), "nothing here goes to 'gps'; there are bme280, sensors.bme280"),
        (("--timeout", "soon", "--upload", "http://h"), "--timeout: 'soon' is no duration"),
        (("--retry-backoff", "0s", "--upload", "http://h"), "--retry-backoff: '0s' is too short"),
    ],
)
def test_an_option_that_says_nothing_is_refused(arguments: tuple[object, ...], said: str) -> None:
    result = invoke(SCENARIOS / "bme280.yaml", "--records", 1, *arguments)
    assert isinstance(result.exception, ConfigError)
    assert said in str(result.exception)


def test_topics_of_kafka_are_those_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shop = tmp_path / "shop.yaml"
    shop.write_text("devices: [{kind: people, interval: 1m}, {kind: bme280}]\n")
    span = ("--from", "2026-03-04T12:00", "--to", "2026-03-04T12:10")
    topics = ("--topic", "foot_traffic=my_sessions", "--topic", "people=my_people", "--topic", "rest")
    with kafka_mock() as cluster:
        assert invoke(shop, *span, "--kafka", cluster.bootstrap_servers, *topics).exit_code == 0
        consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": "test", "log_level": 0})
        found = set(consumer.list_topics(timeout=20).topics)
        ends = {
            topic: sum(
                consumer.get_watermark_offsets(partition, timeout=20)[1] for partition in _partitions(consumer, topic)
            )
            for topic in ("my_sessions", "my_people", "rest")
        }
        consumer.close()
    assert not {"foot_traffic", "foot_traffic_realistic", "foot_traffic_counts", "sensors.bme280"} & found
    messages = [orjson.loads(line) for line in invoke(shop, *span).stdout_bytes.splitlines()]
    sessions = sum(message.get("event_type") == "foot_traffic" for message in messages)
    assert ends == {"my_sessions": sessions, "my_people": len(messages) - sessions - 60, "rest": 60}
    assert sessions > 0


def _partitions(consumer: Consumer, topic: str) -> list[Any]:
    return [
        TopicPartition(topic, number) for number in consumer.list_topics(topic, timeout=20).topics[topic].partitions
    ]
