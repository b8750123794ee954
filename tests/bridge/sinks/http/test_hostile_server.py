"""Servers that answer as no server should: all of it is bounded, in time and size, and costs no other message."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.routing.config import RouteConfig
from bridge.routing.table import RouteTable
from bridge.sinks.base import Failure, Rejected, Remark, Retry
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.sink import HttpSink
from tests.bridge.fakes import TABLE, routed
from tests.tcp import tcp_server

_OK = b"HTTP/1.1 200 OK\r\n"
_LIMIT = 64 << 10
_BOMB = gzip.compress(bytes(8 << 20))


@dataclass
class RawServer:
    """Answers with bytes: those of `script`, and when that is used up as a server should."""

    url: str = ""
    script: list[Callable[[asyncio.StreamWriter], Awaitable[None]]] = field(default_factory=list)
    written: int = 0
    """Bytes of answers that the client has let us write."""
    requests: int = 0
    bodies: list[bytes] = field(default_factory=list)
    failing: bytes | None = None
    """What stands in a body that is answered 500."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-le"))
                self.bodies.append(await reader.readexactly(length))
                self.requests += 1
                if self.script:
                    await self.script.pop(0)(writer)
                else:
                    fails = self.failing is not None and self.failing in self.bodies[-1]
                    await self.write(writer, status(500 if fails else 200))
        writer.close()

    async def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        self.written += len(data)

    def says(self, data: bytes, *, again: bytes = b"", every_s: float = 0.0, then_close: bool = False) -> None:
        """Answer the next request with `data`, then with `again` for ever."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            await self.write(writer, data)
            while again:
                await asyncio.sleep(every_s)
                await self.write(writer, again)
            if then_close:
                writer.close()
                raise ConnectionResetError

        self.script.append(answer)


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    server = RawServer()
    async with tcp_server(server.serve) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server


@asynccontextmanager
async def sink_at(url: str, table: RouteTable = TABLE, **settings: Any) -> AsyncIterator[HttpSink]:
    settings = {"timeout": "300ms", "answer_limit": _LIMIT, **settings}
    sink = HttpSink(HttpSinkConfig(url=url, **settings), table.targets_in("http"), "bridge-1")  # type: ignore[arg-type]
    await sink.connect()
    try:
        yield sink
    finally:
        await sink.close()


CHUNKED = _OK + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"
GZIP = _OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
DEFLATED = zlib.compress(bytes(8 << 20))

ATTACKS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    # what it says; what becomes of a batch, whose fate is in the answer; and of a single post, whose status says all
    "endless chunks": ({"data": CHUNKED, "again": CHUNK}, "answer_too_large", None),
    "endless body without a length": ({"data": _OK + b"\r\n", "again": bytes(1 << 16)}, "answer_too_large", None),
    "a length of a terabyte": (
        {"data": _OK + b"Content-Length: 1000000000000\r\n\r\n", "again": CHUNK},
        "answer_too_large",
        None,
    ),
    "gzip bomb": ({"data": GZIP % len(_BOMB) + _BOMB}, "answer_too_large", None),
    "deflate bomb": (
        {"data": _OK + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(DEFLATED) + DEFLATED},
        "answer_too_large",
        None,
    ),
    "bad gzip": ({"data": GZIP % 9 + b"no gzip!!"}, "network", None),
    "endless headers": ({"data": _OK, "again": b"X-More: " + b"x" * 4000 + b"\r\n"}, "network", "network"),
    "one endless header": ({"data": _OK + b"X-More: ", "again": b"x" * 60_000}, "network", "network"),
    "endless status line": ({"data": b"HTTP/1.1 200 ", "again": b"x" * 60_000}, "network", "network"),
    "100 Continue for ever": (
        {"data": b"HTTP/1.1 100 Continue\r\n\r\n" * 2, "again": b"HTTP/1.1 100 Continue\r\n\r\n", "every_s": 0.01},
        "timeout",
        "timeout",
    ),
    "thousands of 100 Continue": (
        {"data": b"HTTP/1.1 100 Continue\r\n\r\n", "again": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000},
        "network",
        "network",
    ),
    "silence": ({"data": b"", "again": b"", "every_s": 9}, "timeout", "timeout"),
    "a drop now and then": ({"data": CHUNKED, "again": b"1\r\n \r\n", "every_s": 0.02}, "timeout", None),
    "less than its length": ({"data": _OK + b"Content-Length: 9\r\n\r\n{}", "then_close": True}, "network", None),
    "more than its length": ({"data": _OK + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 500 No\r\n\r\n"}, None, None),
    "HTTP/1.0 without a length": ({"data": b"HTTP/1.0 200 OK\r\n\r\n{}", "then_close": True}, None, None),
    "204 with a body": ({"data": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}"}, None, None),
    "204 in chunks": (
        {"data": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"},
        None,
        None,
    ),
    "204 with an endless body": ({"data": b"HTTP/1.1 204 No Content\r\n\r\n", "again": bytes(1 << 16)}, None, None),
    "204 with its body later": (
        {"data": b"HTTP/1.1 204 No\r\nContent-Length: 99999\r\n\r\n", "again": b"{}", "every_s": 0.01},
        None,
        None,
    ),
    "304 with a body": ({"data": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n{}"}, "304", "304"),
    "an encoding that nobody asked for": (
        {"data": _OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"},
        "network",
        "network",
    ),
    "no charset that exists": (
        {"data": _OK + b"Content-Type: text/plain; charset=\xff\r\nContent-Length: 1\r\n\r\n\xfe"},
        None,
        None,
    ),
    "something else than HTTP": ({"data": b"SSH-2.0-OpenSSH_9.2\r\n", "then_close": True}, "network", "network"),
    "the end": ({"data": b"", "then_close": True}, "network", "network"),
    "101": ({"data": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "then_close": True}, "101", "101"),
}


def cause_of(failures: Any) -> str | None:
    failure: Failure | None = failures.get(0)
    assert not isinstance(failure, Rejected)
    return failure.cause if failure else None


@pytest.mark.parametrize("mode", ["batch", "single"])
@pytest.mark.parametrize("name", ATTACKS)
async def test_no_answer_is_read_without_a_limit_or_costs_the_next_message(name: str, mode: str) -> None:
    said, batch, single = ATTACKS[name]
    async with raw_server() as server, sink_at(server.url, mode=mode) as sink:
        server.says(**said)
        async with asyncio.timeout(5):
            failures = await sink.write("lane", [routed(1)])
        assert cause_of(failures) == (batch if mode == "batch" else single)
        assert server.written < 24 << 20  # what fits into the buffers of the two sockets
        failures = await sink.write("lane", [routed(2)])
        if failures:  # what was left of the answer has spoilt the connection, and another one is made
            assert cause_of(failures) == "network"
            assert not await sink.write("lane", [routed(2)])


async def test_a_redirect_says_where_to_and_no_secret() -> None:
    async with raw_server() as server, sink_at(server.url) as sink:
        to = b"Location: https://ann:pw@login.example.org/sso?token=s3cret\r\n"
        server.says(b"HTTP/1.1 302 Found\r\n" + to + b"Content-Length: 0\r\n\r\n")
        (failure,) = (await sink.write("lane", [routed(1)])).values()
        assert isinstance(failure, Retry)
        assert failure.needs_operator
        assert "it leads to login.example.org/sso" in failure.reason
        assert "s3cret" not in failure.reason
        assert "pw" not in failure.reason


def status(code: int, body: bytes = b"", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (code, len(body), headers, body)


async def test_until_when_a_server_wants_to_be_left_alone_is_said() -> None:
    async with raw_server() as server, sink_at(server.url) as sink:
        server.says(status(429, b"", b"Retry-After: 99999999\r\n"))
        (failure,) = (await sink.write("lane", [routed(1)])).values()
        assert isinstance(failure, Retry)
        assert failure.after_s == 3600
        assert "it wants to be left alone until 20" in failure.reason
        server.says(status(503, b"", b"Retry-After: Sun, 01 Mar 99999999999 12:00:00 GMT\r\n"))
        (failure,) = (await sink.write("lane", [routed(1)])).values()
        assert isinstance(failure, Retry)
        assert (failure.cause, failure.after_s) == ("503", None)


@pytest.mark.parametrize("mode", ["batch", "single"])
@pytest.mark.parametrize("code", [409, 412])
async def test_a_conflict_after_a_lost_answer_is_delivered(mode: str, code: int) -> None:
    async with raw_server() as server, sink_at(server.url, mode=mode) as sink:
        server.says(b"", then_close=True)
        server.says(status(429))
        server.says(status(code, b'{"error": "known"}'))
        batch = [routed(1)]
        assert cause_of(await sink.write("lane", batch)) == "network"
        assert cause_of(await sink.write("lane", batch)) == "429"
        (remark,) = (await sink.write("lane", batch)).values()
        assert isinstance(remark, Remark)
        assert remark.reason.endswith(f"answers {code}: known: it was sent before and counts as delivered")
        server.says(status(code))  # another message, which was never sent before
        advice = f"; if it answers so to all that it has, write http.statuses: {{{code}: delivered}} and replay it"
        assert await sink.write("lane", [routed(2)]) == {0: Rejected(f"{_where(server, mode)} answers {code}{advice}")}


async def test_a_conflict_after_a_refusal_is_none_of_a_resend() -> None:
    """What was answered 429, or never connected, was not taken: a conflict is not ours then."""
    async with raw_server() as server, sink_at(server.url, mode="single") as sink:
        server.says(status(429))
        server.says(status(409))
        assert cause_of(await sink.write("lane", [routed(1)])) == "429"
        assert isinstance((await sink.write("lane", [routed(1)]))[0], Rejected)


@pytest.mark.parametrize("mode", ["batch", "single"])
async def test_what_is_too_long_once_filled_in_costs_itself_before_it_is_sent(mode: str) -> None:
    async with raw_server() as server:
        rows = [
            RouteConfig(topic="edge/+/gps/#", http=f"{server.url}/{{payload.text|}}"),
            RouteConfig(topic="#", http={"url": f"{server.url}/", "headers": {"X-Text": "{payload.text|}"}}),
        ]
        table = RouteTable(rows)
        async with sink_at(server.url, table, mode=mode) as sink:
            batch = [
                routed(1, "a", table, kind="gps", text="x" * 70_000),
                routed(2, "a", table, kind="gps", text="x"),
                routed(3, "b", table, text="é" * 5000),
                routed(4, "b", table, text="a\r\nb"),
                routed(5, "b", table, text="x"),
            ]
            failures = await sink.write("lane", batch)
        reasons = {position: one.reason for position, one in failures.items() if isinstance(one, Rejected)}
        size = 10_020 if mode == "batch" else 10_016  # with Content-Type
        assert reasons == {
            0: f"the URL has {len(server.url) + 70_001:,} characters with its fields filled in, more than 8,000",
            2: f"the headers have {size:,} bytes with their fields filled in, more than 8,000",
            3: "the value of header 'X-Text' has a line break or another control character",
        }
        assert server.requests == 2


async def test_a_server_that_fails_on_one_message_of_a_batch_stops_nobody_else() -> None:
    """A second 500 to the same batch halves it; where everything fails, that costs a few requests and no more."""
    async with raw_server() as server, sink_at(server.url) as sink:
        batch = [routed(number, f"d{number % 8}") for number in range(1, 33)]
        server.failing = b'"seq":19'
        assert len(await sink.write("lane", batch)) == 32
        failures = await sink.write("lane", batch)
        assert {batch[position].message_id for position in failures} == {"d3:1:19", "d3:1:27"}
        assert server.requests < 15
        server.failing = b'"seq":'
        before = server.requests
        again = [routed(number, f"d{number % 8}") for number in range(101, 133)]
        for _ in range(2):
            assert len(await sink.write("lane", again)) == 32
        assert server.requests - before < 12


def _where(server: RawServer, mode: str) -> str:
    return server.url + ("/ingest/batch" if mode == "batch" else "/api/v1/sensors/bme280")


@pytest.mark.parametrize("others", [[], [routed(2, "b")], [routed(2, "b"), routed(3, "c")]])
async def test_a_conflict_after_a_lost_answer_is_delivered_whatever_was_sent_in_between(others: list[Any]) -> None:
    """A destination that fails gets one message at a time, of another device each time: none is forgotten."""
    async with raw_server() as server, sink_at(server.url) as sink:
        first = routed(1, "a")
        for event in (first, *others):
            server.says(b"", then_close=True)
            assert cause_of(await sink.write("lane", [event])) == "network"
        for event in (first, *others):
            server.says(status(409))
            (remark,) = (await sink.write("lane", [event])).values()
            assert isinstance(remark, Remark)
        server.says(status(409))
        assert isinstance((await sink.write("lane", [first]))[0], Rejected)  # settled, and forgotten


async def test_a_batch_that_is_cut_otherwise_knows_which_of_its_messages_were_sent_before() -> None:
    async with raw_server() as server, sink_at(server.url) as sink:
        batch = [routed(1, "a"), routed(2, "b"), routed(3, "c")]
        server.says(b"", then_close=True)
        assert len(await sink.write("lane", batch[:2])) == 2
        for code in (409, 409, 200):  # both, the one that was sent before, the other
            server.says(status(code))
        failures = await sink.write("lane", batch[1:])
        assert [type(failures.get(position)) for position in range(2)] == [Remark, type(None)]


async def test_an_item_that_conflicts_is_known_where_it_was_sent_before() -> None:
    def items(*codes: int) -> bytes:
        told = ",".join(f'{{"create":{{"status":{code}}}}}' for code in codes)
        return status(200, f'{{"items":[{told}]}}'.encode(), b"Content-Type: application/json\r\n")

    async with raw_server() as server, sink_at(server.url, success={"items": {}}) as sink:
        batch = [routed(1, "a"), routed(2, "a"), routed(3, "b"), routed(4, "c")]
        server.says(items(429, 201, 503, 409))  # the second was taken and comes again, behind the first
        failures = await sink.write("lane", batch)
        assert [type(failures[position]) for position in range(4)] == [Retry, Retry, Retry, Rejected]
        server.says(items(409, 409, 409))
        failures = await sink.write("lane", batch[:3])
        assert [type(failures[position]) for position in range(3)] == [Rejected, Remark, Remark]
