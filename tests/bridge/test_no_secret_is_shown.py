"""Whatever happens to a bridge full of secrets, nothing that it emits has one of them in it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from bridge.config import BridgeConfig
from bridge.control import ControlSignals
from bridge.service import Bridge, build_components
from bridge.spool.store import SpoolStore
from edgefleet.cli import app
from edgewire import logs
from edgewire.clock import SystemClock
from edgewire.config import load_config
from tests.bridge.fakes import payload, scripted_broker
from tests.waiting import eventually

TOPIC = "edge/site/bme280/a/telemetry"
TRACED = {"user_property": (("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),)}
CANARY = "C4N4RY"
"""In every secret; what stands behind it says where it leaked from."""


def secret(place: str, turn: int = 1) -> str:
    """The secret of a place, before and after a reload."""
    return f"{CANARY}-{place}-{turn}"


class Secrets:
    """A folder with a configuration in which every place that can hold a secret does, and the files it names."""

    def __init__(self, folder: Path, broker: str, url: str, /, **settings: Any) -> None:
        self.folder = folder
        self.path = folder / "bridge.yaml"
        self.broker = broker.replace("mqtt://", "mqtt://fleet@")
        self.url = url
        self.settings = settings
        self.write(1)

    def write(self, turn: int) -> None:
        """Write the secrets of a turn."""
        for name in ("token", "mqtt", "sasl", "key"):
            (self.folder / f"{name}.secret").write_text(secret(f"{name}_file", turn) + "\n")
            (self.folder / f"{name}.secret").chmod(0o600)
        document = {
            "broker": self.broker,
            "mqtt": {"password_file": "mqtt.secret"},
            "http": {
                "url": self.url,
                "mode": "single",
                "token_file": "token.secret",
                "headers": {"X-Api-Key": secret("sink-header", turn)},
                "retry": {"base": "10ms", "cap": "20ms"},
            },
            "routes": [
                {
                    "topic": "edge/#",
                    "http": {
                        "path": f"/hook?key={secret('query', turn)}",
                        "headers": {"X-Plain": secret("route-header", turn)},
                    },
                }
            ],
            "tracing": {"endpoint": f"{self.url}/v1/traces?key={secret('tracing')}"},
            "spool": {"path": "spool.db"},
            "admin": {"port": 0},
            "watch": {"broker_statistics": False},
        }
        for name, value in self.settings.items():
            document[name] = {**document.get(name, {}), **value} if isinstance(value, dict) else value
        self.path.write_text(yaml.safe_dump(document))

    def load(self) -> BridgeConfig:
        return load_config(self.path, BridgeConfig)

    def assert_hidden(self, *emitted: str) -> None:
        """No secret in what was emitted, nor in any file but those that hold the secrets."""
        for text in emitted:
            assert CANARY not in text, text[max(0, text.index(CANARY) - 200) :][:400]
        for path in self.folder.rglob("*"):
            if path.is_file() and path != self.path and path.suffix != ".secret":
                assert CANARY.encode() not in path.read_bytes(), path


@asynccontextmanager
async def echoing_server(
    status: int, spans: list[str] | None = None
) -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """A server that repeats all that it is told, in its answer and in a header of it; and what headers it got.

    `spans` are what it got as the collector of spans.
    """
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        is_collector = request.path == "/v1/traces"
        if is_collector:
            spans.append((await request.read()).decode("latin-1"))
        else:
            seen.append(dict(request.headers))
        said = {"error": f"{request.url} {dict(request.headers)} {(await request.read()).decode(errors='replace')}"}
        answered = 400 if is_collector and status != 200 else status
        return web.json_response(said, status=answered, headers={"Location": str(request.url)})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/"), seen


def reloads(bridge: Bridge, outcome: str) -> float:
    return bridge.metrics.registry.get_sample_value("edgefleet_bridge_reloads_total", {"outcome": outcome}) or 0


async def pages(bridge: Bridge) -> list[str]:
    """What everybody may read of it."""
    found = []
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/readyz", "/metrics", "/ledger", "/none"):
            async with session.get(bridge.admin.url + path) as response:
                found.append(f"{response.headers} {await response.text()}")
    return found


def commands(path: Path) -> list[str]:
    """What the commands say beside the bridge."""
    runner = CliRunner()
    found = []
    for words in (
        ["status", "C"],
        ["status", "C", "--json"],
        ["check", "C"],
        ["check", "C", "--json"],
        ["dead-letters", "list", "C"],
        ["dead-letters", "list", "C", "--json"],
        ["dead-letters", "show", "C", "1"],
        ["route", "C", "--topic", TOPIC, "--payload", payload("a", 1).decode()],
        ["route", "C", "--topic", TOPIC, "--payload", payload("a", 1).decode(), "--json"],
    ):
        done = runner.invoke(app, ["bridge", *(str(path) if word == "C" else word for word in words)])
        found.append(f"{done.output} {done.exception}")
    return found


def wait_for_a_letter(path: Path) -> None:
    """Wait until a dead letter stands in the spool's file: it is logged before its transaction is committed."""
    deadline = time.monotonic() + 30
    words = ["bridge", "dead-letters", "list", str(path), "--json"]
    while not json.loads(CliRunner().invoke(app, words).stdout)["dead_letters"]:
        assert time.monotonic() < deadline, "no dead letter within 30 s"
        time.sleep(0.02)


@pytest.fixture
def line_log() -> Iterator[list[str]]:
    """What is logged."""
    yield []
    logs.configure("warning")


FATES = {
    "it takes them": 200,
    "it refuses them, and says what it was sent": 400,
    "it lets them wait": 503,
    "it redirects": 302,
    "it knows nobody": 401,
}


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("fate", FATES)
async def test_no_secret_of_a_bridge_is_shown(
    fate: str,
    log_format: Any,
    tmp_path: Path,
    line_log: list[str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    spans: list[str] = []
    async with scripted_broker() as broker, echoing_server(FATES[fate], spans) as (url, seen):
        secrets = Secrets(tmp_path, broker.url, url)
        logs.configure("debug", log_format, line_log.append)
        config = secrets.load()
        table, sinks = build_components(config)
        bridge = Bridge(config, table, sinks, SpoolStore(config.spool.path, ["http"]), SystemClock())
        signals = ControlSignals(asyncio.Event(), secrets.load)
        running = asyncio.create_task(bridge.run(signals.stop, signals))
        try:
            await eventually(lambda: broker.subscribed.is_set())
            emitted: list[str] = []
            for turn in (1, 2):
                if turn == 2:
                    secrets.write(2)
                    signals.reload.set()
                    await eventually(lambda: reloads(bridge, "done") == 1)
                broker.publish(turn, TOPIC, payload("a", turn), properties=TRACED)
                await eventually(lambda turn=turn: secret("token_file", turn) in str(seen))  # type: ignore[misc]
                emitted += await pages(bridge)
            emitted += await asyncio.to_thread(commands, secrets.path)
        finally:
            signals.stop.set()
            await asyncio.wait([running])
        await running
        for turn in (1, 2):
            for place in ("token_file", "sink-header", "route-header"):
                assert secret(place, turn) in str(seen)
        for turn, connect in ((1, broker.connects[0]), (2, broker.connects[-1])):
            assert connect.password == secret("mqtt_file", turn).encode()
        assert line_log
        assert "/hook" in "".join(emitted)
        assert any("deliver http" in one for one in spans) is (FATES[fate] == 200)
        assert ("Failed to export" in caplog.text) is (FATES[fate] != 200)
        secrets.assert_hidden(*emitted, *line_log, *spans, caplog.text, *capfd.readouterr())


async def test_what_a_rejected_reload_says_hides_the_old_and_the_new(tmp_path: Path, line_log: list[str]) -> None:
    async with scripted_broker() as broker, echoing_server(200, []) as (url, _):
        secrets = Secrets(tmp_path, broker.url, url)
        logs.configure("debug", "json", line_log.append)
        config = secrets.load()
        table, sinks = build_components(config)
        bridge = Bridge(config, table, sinks, SpoolStore(config.spool.path, ["http"]), SystemClock())
        signals = ControlSignals(asyncio.Event(), secrets.load)
        running = asyncio.create_task(bridge.run(signals.stop, signals))
        emitted: list[str] = []
        try:
            await eventually(broker.subscribed.is_set)
            for number, settings in enumerate(WRONG.values(), 1):
                secrets.settings = settings
                secrets.write(2)
                signals.reload.set()
                await eventually(lambda number=number: reloads(bridge, "refused") == number)  # type: ignore[misc]
                emitted += await pages(bridge)
        finally:
            signals.stop.set()
            await asyncio.wait([running])
        await running
        secrets.assert_hidden(*emitted, *line_log)


CREDENTIALS: dict[str, dict[str, Any]] = {
    "user and password": {"http": {"token_file": None, "username": "fleet", "password": f"{CANARY}-basic"}},
    "user and password_file": {"http": {"token_file": None, "username": "fleet", "password_file": "key.secret"}},
    "Authorization written": {"http": {"token_file": None, "headers": {"Authorization": f"Bearer {CANARY}-own"}}},
    "a cookie beside a field": {"http": {"headers": {"Cookie": f"sid={CANARY}-sid; device={{device_id}}"}}},
    "a URL with a query": {"routes": [{"topic": "#", "http": {"url": f"URL/x?sig={CANARY}-a%2Fb&d={{device_id}}"}}]},
    "a body of JSON": {
        "routes": [{"topic": "#", "http": {"path": "/", "body": {"auth": [{"token": f"{CANARY}-j {{device_id}}"}]}}}]
    },
    "a body of a form": {
        "routes": [{"topic": "#", "http": {"path": "/", "body": f"api_key={CANARY}-f&device={{device_id}}"}}]
    },
    "a line of a bulk": {
        "http": {"mode": "batch"},
        "routes": [{"topic": "#", "http": {"path": "/", "line_before": {"index": {"secret": f"{CANARY}-bulk"}}}}],
    },
}


@pytest.mark.parametrize("place", CREDENTIALS)
async def test_a_server_that_repeats_a_credential_does_not_show_it(
    place: str, tmp_path: Path, line_log: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    async with scripted_broker() as broker, echoing_server(400, []) as (url, seen):
        secrets = Secrets(tmp_path, broker.url, url, **CREDENTIALS[place])
        secrets.path.write_text(secrets.path.read_text().replace("URL/", f"{url}/"))
        logs.configure("debug", "json", line_log.append)
        config = secrets.load()
        table, sinks = build_components(config)
        bridge = Bridge(config, table, sinks, SpoolStore(config.spool.path, ["http"]), SystemClock())
        stop = asyncio.Event()
        running = asyncio.create_task(bridge.run(stop))
        try:
            await eventually(broker.subscribed.is_set)
            broker.publish(1, TOPIC, payload("a", 1))
            await eventually(lambda: "messages given up" in "".join(line_log))
            await asyncio.to_thread(wait_for_a_letter, secrets.path)
            emitted = [*await pages(bridge), *await asyncio.to_thread(commands, secrets.path)]
        finally:
            stop.set()
            await asyncio.wait([running])
        await running
        assert seen
        assert "answers 400" in "".join(emitted)
        assert "***" in "".join(emitted)
        secrets.assert_hidden(*emitted, *line_log, *capfd.readouterr())


WRONG: dict[str, dict[str, Any]] = {
    "broker, port": {"broker": f"mqtt://fleet:{CANARY}@h:99999", "mqtt": {"password_file": None}},
    "broker, # in the password": {"broker": f"mqtt://fleet:#{CANARY}@h:1", "mqtt": {"password_file": None}},
    "broker, scheme": {"broker": f"mqqt://fleet:{CANARY}@h:1", "mqtt": {"password_file": None}},
    "broker, path": {"broker": f"mqtts://fleet:{CANARY}@h:1/path", "mqtt": {"password_file": None}},
    "broker, two passwords": {"broker": f"mqtt://fleet:{CANARY}@h:1"},
    "http, url": {"http": {"url": f"htp://u:{CANARY}@h/"}},
    "http, url port": {"http": {"url": f"http://u:{CANARY}@h:99999/"}},
    "http, url query": {"http": {"url": f"http://h/?key={CANARY}"}},
    "http, two tokens": {"http": {"token": CANARY}},
    "http, token no text": {"http": {"token": [CANARY], "token_file": None}},
    "http, token of two lines": {"http": {"token": f"{CANARY}\nX", "token_file": None}},
    "http, header of two lines": {"http": {"headers": {"X-Api-Key": f"{CANARY}\nX"}}},
    "http, header with a field": {"http": {"headers": {"Authorization": f"{CANARY} {{none}}", "X-Api-Key": "x"}}},
    "http, proxy": {"http": {"proxy": f"socks5://u:{CANARY}@p:1"}},
    "http, proxy with a user": {"http": {"proxy": f"http://u:{CANARY}@p:99999"}},
    "route, query with a field": {"routes": [{"topic": "#", "http": {"path": f"/x?key={CANARY}{{none}}"}}]},
    "route, url": {"routes": [{"topic": "#", "http": {"url": f"http://u:{CANARY}@[h/"}}]},
    "route, fragment": {"routes": [{"topic": "#", "http": {"path": f"/x#{CANARY}"}}]},
    "kafka, user": {"kafka": {"bootstrap_servers": f"u:{CANARY}@h:1"}},
    "kafka, no route": {"kafka": {"properties": {"sasl.password": CANARY}}},
    "kafka, property that is none": {
        "kafka": {"properties": {"sasl.passwort": CANARY}},
        "routes": [{"topic": "edge/#", "kafka": "t", "http": "/"}],
    },
    "kafka, value no text": {"kafka": {"properties": {"sasl.password": [CANARY]}}},
    "tracing": {"tracing": {"endpoint": f"htp://u:{CANARY}@h/?key={CANARY}"}},
    "a key that is none": {"http": {"tokn": CANARY}},
}
"""What is wrong with what holds a secret."""


def test_kafka_credentials_are_not_shown(tmp_path: Path) -> None:
    sasl = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": secret("sasl-user")}
    for properties in ({"sasl.password": secret("sasl-password")}, {"sasl.password_file": "sasl.secret"}):
        secrets = Secrets(
            tmp_path,
            "mqtt://127.0.0.1:1",
            "http://127.0.0.1:1",
            kafka={"bootstrap_servers": "127.0.0.1:1", "timeout": "200ms", "properties": sasl | properties},
            routes=[{"topic": "edge/#", "kafka": {"topic": "t", "headers": {"X-Key": secret("kafka-header")}}}],
        )
        secrets.assert_hidden(*commands(secrets.path))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_the_environment_is_not_shown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in ("NO_PROXY", "no_proxy", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(one, raising=False)
    secrets = Secrets(tmp_path, "mqtt://127.0.0.1:1", "http://192.0.2.1", http={"token_file": None})
    monkeypatch.setenv(name, f"http://u:{secret('proxy')}@127.0.0.1:1")
    monkeypatch.setenv("BRIDGE_HTTP__TOKEN", secret("variable"))
    monkeypatch.setenv("BRIDGE_BROKER", f"mqtt://fleet:{secret('broker')}@127.0.0.1:1")
    monkeypatch.setenv("BRIDGE_MQTT", '{"password_file": null}')
    said = commands(secrets.path)
    assert "through the proxy 127.0.0.1:1" in "".join(said)
    secrets.assert_hidden(*said)
    for variable, value in (
        ("BRIDGE_BROKER", f"mqtt://fleet:#{secret('broker')}@h:1"),
        ("BRIDGE_HTTP__TOKN", secret("variable")),
        ("BRIDGE_KAFKA", f"{{{secret('variable')}"),
        ("BRIDGE_HTTP__TOKEN_FILE", str(tmp_path / "none")),
    ):
        monkeypatch.setenv(variable, value)
        secrets.assert_hidden(*commands(secrets.path))
