"""Who is let in: no page of another site, no name that is not ours, nobody without the token, and nothing too large."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from edgefleet.control import guard
from edgefleet.control.guard import ControlGuard
from edgewire.http_guard import MOST_BODY
from edgewire.paced_listener import RateLimit

TOKEN = "a-token-of-a-run-0123"
JSON = {"content-type": "application/json"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body that arrives."""
    body = (await receive())["body"] if scope["method"] == "POST" else b"seen"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def ask(
    headers: dict[str, str], *, method: str = "GET", token: str | None = None, parts: tuple[bytes, ...] = (b"{}",)
) -> tuple[int, Any]:
    """Send a request past the guard; return status and body."""
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]]
        + [{"type": "http.request", "body": parts[-1], "more_body": False}]
    )
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    whole = {"host": "127.0.0.1:8088"} | headers
    raw = [(name.encode(), value.encode()) for name, value in whole.items() if value]
    scope = {"type": "http", "path": "/v1/status", "method": method, "headers": raw}
    await ControlGuard(app, token=token)(scope, receive, send)
    body = sent[1]["body"]
    return sent[0]["status"], orjson.loads(body)["error"] if sent[0]["status"] != 200 else body


@pytest.mark.parametrize("host", ["127.0.0.1:8088", "localhost:8088", "[::1]:8088", "127.9.9.9", "LOCALHOST"])
async def test_this_machine_is_let_in_by_its_own_names(host: str) -> None:
    assert await ask({"host": host}) == (200, b"seen")
    assert await ask({"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}) == (200, b"seen")


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"host": "attacker.example:8088"}, 421, "the host 'attacker.example:8088' is not this machine"),
        ({"host": "localhost.attacker.example"}, 421, "is not this machine"),
        ({"host": "10.0.0.7:8088"}, 421, "is not this machine"),
        ({"host": ""}, 400, "names one host"),
        ({"origin": "http://attacker.example"}, 403, "the origin 'http://attacker.example' is another site"),
        ({"origin": "null"}, 403, "another site"),
        ({"origin": "http://[::1"}, 403, "another site"),
        ({"host": "[::1"}, 421, "is not this machine"),
        ({"origin": "http://127.0.0.1:9999"}, 403, "another site"),
        ({"sec-fetch-site": "cross-site"}, 403, "a page of another site"),
        ({"sec-fetch-site": "same-site"}, 403, "a page of another site"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_other_sites_and_other_names_are_kept_out(
    headers: dict[str, str], status: int, said: str, method: str
) -> None:
    found, error = await ask(JSON | headers, method=method)
    assert found == status
    assert said in error


async def test_the_token_is_asked_for_wherever_one_comes_from() -> None:
    for given in ("", "Bearer", "Bearer wrong-token-of-a-run", TOKEN, f"Basic {TOKEN}"):
        status, error = await ask({"authorization": given, "host": "fleet.example"}, token=TOKEN)
        assert (status, "send Authorization: Bearer TOKEN" in error) == (401, True)
        assert TOKEN not in error
    assert await ask({"authorization": f"Bearer {TOKEN}", "host": "fleet.example"}, token=TOKEN) == (200, b"seen")
    other = {"authorization": f"Bearer {TOKEN}", "host": "fleet.example", "origin": "http://attacker.example"}
    assert (await ask(other, token=TOKEN))[0] == 403


@pytest.mark.parametrize(
    "given", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"]
)
async def test_what_a_form_can_send_changes_nothing(given: str) -> None:
    status, error = await ask({"content-type": given}, method="POST")
    assert (status, error) == (415, "what changes something is sent as Content-Type: application/json")
    assert await ask({"content-type": "application/json; charset=utf-8"}, method="POST") == (200, b"{}")


async def test_a_body_is_bounded_in_size_however_it_comes() -> None:
    part = b" " * (MOST_BODY // 4)
    assert (await ask(JSON, method="POST", parts=(part,) * 4))[0] == 200
    for parts, headers in (((part,) * 5000, {}), ((b"{}",), {"content-length": str(10**12)})):
        status, error = await ask(JSON | headers, method="POST", parts=parts)
        assert (status, error) == (413, "the body is larger than 64 KiB")
    assert (await ask(JSON | {"content-encoding": "gzip"}, method="POST"))[0] == 415


async def test_a_body_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.01)
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    await ControlGuard(app, token=None)(
        {"type": "http", "path": "/v1/status", "method": "POST", "headers": raw}, receive, send
    )
    assert sent[0]["status"] == 408


async def test_so_many_requests_a_second_and_who_would_wait_too_long_is_told() -> None:
    pace = RateLimit(1000)
    begin = asyncio.get_running_loop().time()
    # A second's worth at once, the others one after the other.
    assert [await pace.take() for _ in range(1040)] == [True] * 1040
    assert 0.03 < asyncio.get_running_loop().time() - begin < 30
    slow = RateLimit(0.5)
    assert [await slow.take(0.5) for _ in range(3)] == [True, False, False]
