"""A bridge that is paused, drained and rid of dead letters over HTTP; and who is not let near that."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.config import BridgeConfig
from bridge.spool.accounting import count_messages
from edgewire.errors import ConfigError
from tests.bridge.fakes import ingest_stub
from tests.bridge.live import Publisher, Stage, staged
from tests.waiting import eventually

pytestmark = pytest.mark.services

TOKEN = "a-token-of-a-bridge-0123"


async def ask(
    stage: Stage, path: str, body: object = None, *, method: str | None = None, **headers: str
) -> tuple[int, Any]:
    """Ask a bridge, as its operator does; names of headers have `_` for `-`."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    how = method or ("GET" if body is None else "POST")
    async with (
        aiohttp.ClientSession(stage.bridge.admin.url) as client,
        client.request(how, path, json=body, headers=given) as answer,
    ):
        return answer.status, await answer.json()


async def test_a_paused_sink_keeps_its_messages_and_delivers_them_once_resumed(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        publisher = Publisher(mosquitto.url, stage.site)
        await publisher.more(100)
        assert await ask(stage, "/v1/pause", {}) == (200, {"paused": ["http"]})
        assert await ask(stage, "/v1/pause", {"sink": "http"}) == (200, {"paused": ["http"]})
        stored = len(ingest.stored)
        await publisher.more(300)
        # It stays so when the configuration is read again, and is said.
        await stage.signal(http={"url": ingest.url, "batch_messages": 40})
        _, ready = await ask(stage, "/readyz")
        assert (ready["ready"], ready["paused"]) == (True, ["http"])
        assert ready["waiting"] == ["http: an operator has paused it: nothing is delivered"]
        assert len(ingest.stored) == stored
        status, said = await ask(stage, "/v1/resume", {"sink": "htp"})
        assert (status, said["error"]) == (422, "sink: there is no 'htp', did you mean 'http'?; there are http")
        assert await ask(stage, "/v1/resume", {}) == (200, {"paused": []})
        await publisher.finish()
        await stage.settled()
        assert sorted(ingest.stored) == sorted(publisher.sent)


async def test_a_drain_delivers_what_a_paused_sink_has_kept(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        publisher = Publisher(mosquitto.url, stage.site)
        await ask(stage, "/v1/pause", {})
        await publisher.more(200)
        await publisher.finish()
        assert await ask(stage, "/v1/drain", {}) == (200, {"draining": True})
        await asyncio.wait_for(stage.running, 30)
        assert set(ingest.stored) == set(publisher.sent)
        (books,) = count_messages(stage.path)
        assert (books.pending, books.balanced) == (0, True)


async def test_dead_letters_are_listed_replayed_and_dropped(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        ingest.poison = {f"d1:1:{number}": 400 for number in (1, 4, 7)}
        publisher = Publisher(mosquitto.url, stage.site)
        await publisher.more(30)
        await publisher.finish()
        await eventually(lambda: sum(one.dead_lettered for one in count_messages(stage.path)) == 3)
        _, listed = await ask(stage, "/v1/dead-letters?sink=http&limit=2")
        assert [one["number"] for one in listed["dead_letters"]] == [3, 2]
        ingest.poison = {}
        status, replayed = await ask(stage, "/v1/dead-letters/replay", {"numbers": [1]})
        assert (status, replayed) == (200, {"replaying": 1, "messages": {"http": ["d1:1:1"]}, "named": 1})
        await eventually(lambda: "d1:1:1" in ingest.stored)
        status, dropped = await ask(stage, "/v1/dead-letters/drop", {"all": True})
        assert (status, dropped["dropped"], sorted(dropped["messages"]["http"])) == (200, 2, ["d1:1:4", "d1:1:7"])
        assert (await ask(stage, "/v1/dead-letters"))[1] == {"dead_letters": []}
        await stage.settled()
        (books,) = count_messages(stage.path)
        assert (books.dead_lettered, books.discarded, books.balanced) == (0, 2, True)


async def test_what_is_wrong_is_said_and_changes_nothing(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        for path, body, status, said in (
            ("/v1/dead-letters/drop", {}, 422, "say which: numbers, sink, topic, reason, since, until, or all"),
            ("/v1/dead-letters/drop", {"all": True, "sink": "http"}, 422, "say which"),
            ("/v1/dead-letters/replay", {"topic": "a/#/b"}, 422, "topic: "),
            ("/v1/dead-letters/replay", {"since": "soon"}, 422, "since: 'soon' is no time"),
            ("/v1/dead-letters/replay", {"numbers": [1] * 1001}, 422, "numbers: "),
            ("/v1/dead-letters/replay", {"numbrs": [1]}, 422, "unknown key 'numbrs', did you mean 'numbers'?"),
            ("/v1/pause", {"sinks": "http"}, 422, "unknown key 'sinks', did you mean 'sink'?"),
            ("/v1/drain", {"now": True}, 422, "unknown key 'now'"),
            ("/v1/drain", [], 422, ""),
            ("/v1/dead-letters?limit=0", None, 422, "limit: '0' is no number"),
            ("/v1/dead-letters?number=1&number=x", None, 422, "number: 'x' is no number"),
            ("/v1/dead-letters?color=red", None, 422, "unknown key 'color'"),
        ):
            found, answer = await ask(stage, path, body)
            assert (found, said in answer["error"]) == (status, True), answer
        for path, headers, status in (
            ("/v1/pause", {"Host": "attacker.example"}, 421),
            ("/v1/dead-letters", {"Host": "attacker.example:9464"}, 421),
            ("/v1/pause", {"Origin": "http://attacker.example"}, 403),
            ("/v1/dead-letters", {"Sec_Fetch_Site": "cross-site"}, 403),
            ("/v1/pause", {"Content_Type": "text/plain"}, 415),
            ("/v1/pause", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ):
            method = "POST" if path == "/v1/pause" else "GET"
            found, answer = await ask(stage, path, {} if method == "POST" else None, method=method, **headers)
            assert (found, bool(answer["error"])) == (status, True), answer
        found, answer = await ask(stage, "/v1/pause", {"sink": "x" * 70_000})
        assert (found, answer["error"]) == (413, "the body is larger than 64 KiB")
        assert (await ask(stage, "/readyz"))[1]["paused"] == []


async def test_the_token_is_asked_for_and_may_change(mosquitto: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    admin = {"port": 0, "host": "0.0.0.0", "token_file": str(file)}
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest, admin=admin) as stage:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            status, answer = await ask(stage, "/v1/pause", {}, **headers)
            assert (status, TOKEN in answer["error"]) == (401, False)
        assert (await ask(stage, "/readyz"))[0] == 200
        other = TOKEN[::-1]
        assert (await ask(stage, "/v1/dead-letters", Authorization=f"Bearer {TOKEN}"))[0] == 200
        file.write_text(other)
        await stage.signal()
        assert (await ask(stage, "/v1/dead-letters", Authorization=f"Bearer {TOKEN}"))[0] == 401
        assert (await ask(stage, "/v1/dead-letters", Authorization=f"Bearer {other}"))[0] == 200


async def test_nobody_changes_a_bridge_that_others_reach_and_that_has_no_token(mosquitto: Any, tmp_path: Path) -> None:
    admin = {"port": 0, "host": "0.0.0.0"}
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest, admin=admin) as stage:
        for path, body in (("/v1/pause", {}), ("/v1/dead-letters", None)):
            status, answer = await ask(stage, path, body)
            assert (status, "set admin.token_file" in answer["error"]) == (403, True)


@pytest.mark.parametrize(
    ("admin", "line", "status"),
    [
        ({"port": 0}, b"Host: \xff", 421),
        ({"port": 0}, b"Host: localhost\r\nOrigin: \xff", 403),
        ({"port": 0, "token": TOKEN}, b"Host: localhost\r\nAuthorization: Bearer \xff", 401),
        ({"port": 0}, b"Host: localhost\r\nExpect: \xff", 417),
    ],
)
async def test_a_head_that_is_no_text_is_refused_with_a_sentence(
    admin: dict[str, Any], line: bytes, status: int, mosquitto: Any, tmp_path: Path
) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest, admin=admin) as stage:
        host, port = stage.bridge.admin.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/dead-letters HTTP/1.1\r\nConnection: close\r\n" + line + b"\r\n\r\n")
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        assert b'{"error":"' in answer


async def test_a_body_that_is_held_back_is_asked_for(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        assert await ask(stage, "/v1/pause", {}, Expect="100-continue") == (200, {"paused": ["http"]})


@pytest.mark.parametrize("token", ["short", "a token with spaces in it", "tökentökentöken12", "a" * 15])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises((ConfigError, ValueError), match="16 characters of ASCII"):
        BridgeConfig(http={"url": "http://127.0.0.1:1"}, admin={"token": token})


@pytest.mark.slow
async def test_many_connections_are_bounded_and_idle_ones_are_closed(
    mosquitto: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.admin.HEAD_S", 0.5)
    monkeypatch.setattr("bridge.admin.MOST_CONNECTIONS", 5)
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        host, port = stage.bridge.admin.url.removeprefix("http://").split(":")
        connections = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
        async with asyncio.timeout(30):
            # Those beyond are closed at once, the others as they ask for nothing.
            assert [await reader.read() for reader, _ in connections] == [b""] * 20
        for _, writer in connections:
            writer.close()
        assert (await ask(stage, "/readyz"))[0] == 200
