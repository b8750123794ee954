"""How the HTTP sink groups, splits and keeps devices in order."""

import asyncio

import orjson
import pytest
from aiohttp import web

from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import Rejected, Retry
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.sink import HttpSink
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.bridge.fakes import IngestStub, in_order, ingest_stub
from tests.bridge.fakes import routed as make
from tests.tcp import tcp_server

TABLE = RouteTable()


def routed(number: int, device: str = "a", table: RouteTable = TABLE, **fields: object) -> RoutedEvent:
    return make(number, device, table, **fields)


def http_sink(table: RouteTable = TABLE, **settings: object) -> HttpSink:
    return HttpSink(HttpSinkConfig(**settings), table.targets_in("http"), "bridge-1")  # type: ignore[arg-type]


async def connected(stub: IngestStub, **settings: object) -> HttpSink:
    sink = http_sink(url=stub.url, **settings)
    await sink.connect()
    return sink


async def test_one_poison_message_in_a_batch_costs_that_message_alone() -> None:
    async with ingest_stub() as stub:
        sink = await connected(stub)
        stub.poison = {"a:1:137": 422, "a:1:400": 400}
        batch = [routed(number) for number in range(1, 501)]
        failures = await sink.write("lane", batch)
        assert {batch[position].message_id: type(why) for position, why in failures.items()} == {
            "a:1:137": Rejected,
            "a:1:400": Rejected,
        }
        assert "a:1:137 is poison" in str(failures[136])
        assert stub.stored == [one.message_id for one in batch if one.message_id not in stub.poison]
        assert len(stub.requests) < 60
        await sink.close()


async def test_a_batch_that_is_too_large_is_split() -> None:
    async with ingest_stub() as stub:
        sink = await connected(stub)
        stub.answers = [web.Response(status=413), web.Response(status=413)]
        batch = [routed(number) for number in range(1, 9)]
        assert not await sink.write("lane", batch)
        assert stub.stored == [one.message_id for one in batch]
        assert [len(body.split(b"\n")) for _, _, body in stub.requests] == [8, 4, 2, 2, 4]
        await sink.close()


async def test_when_a_part_must_wait_the_rest_does_not_overtake() -> None:
    async with ingest_stub() as stub:
        sink = await connected(stub)
        stub.answers = [web.Response(status=413), None, web.Response(status=503, headers={"Retry-After": "2"})]
        batch = [routed(number) for number in range(1, 5)]
        failures = await sink.write("lane", batch)
        assert stub.stored == ["a:1:1", "a:1:2"]
        assert sorted(failures) == [2, 3]
        assert all(isinstance(why, Retry) and why.after_s == 2.0 for why in failures.values())
        await sink.close()


async def test_what_follows_a_part_that_must_wait_is_not_sent() -> None:
    async with ingest_stub() as stub:
        sink = await connected(stub)
        stub.answers = [web.Response(status=413), web.Response(status=503)]
        failures = await sink.write("lane", [routed(number) for number in range(1, 5)])
        assert stub.stored == []
        assert len(stub.requests) == 2
        assert sorted(failures) == [0, 1, 2, 3]
        await sink.close()


async def test_a_header_that_is_made_of_the_message_lets_no_message_of_a_device_overtake() -> None:
    async with ingest_stub() as stub:
        sink = await connected(stub, headers={"X-Time": "{timestamp}"})
        batch = [routed(n, "abc"[n % 3], timestamp=f"2026-03-01T12:00:0{n // 5 % 2}Z") for n in range(1, 31)]
        assert not await sink.write("lane", batch)
        assert set(stub.stored) == {one.message_id for one in batch}
        assert in_order(stub.stored)
        assert len(stub.requests) == 7
        stub.stored.clear()
        quiet = [routed(n, "ab"[n % 2], timestamp=f"2026-03-01T12:00:0{n % 2}Z") for n in range(1, 31)]
        assert not await sink.write("lane", quiet)
        assert len(stub.requests) == 7 + 2  # each device has one: nothing to divide
        await sink.close()


async def test_a_payload_of_several_lines_is_one_line_of_ndjson() -> None:
    async with ingest_stub() as stub:
        sink = await connected(stub)
        one = routed(1, text="a\nb")
        pretty = orjson.dumps(orjson.loads(one.message.payload), option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n")
        one.message.payload = pretty
        assert not await sink.write("lane", [one, routed(2)])
        lines = stub.requests[0][2].split(b"\n")
        assert orjson.loads(lines[0]) == orjson.loads(pretty)
        assert len(lines) == 2
        await sink.close()


async def test_single_posts_go_to_the_path_of_their_route_under_their_id() -> None:
    async with ingest_stub() as stub:
        sink = await connected(stub, mode="single", token="t0k", headers={"X-Tenant": "north"})
        one = routed(1)
        assert sink.queue_key(one) == "/api/v1/sensors/bme280"
        assert not await sink.write("/api/v1/sensors/bme280", [one])
        path, headers, body = stub.requests[0]
        assert path == "/api/v1/sensors/bme280"
        assert headers["Idempotency-Key"] == "a:1:1"
        assert headers["Authorization"] == "Bearer t0k"
        assert headers["X-Tenant"] == "north"
        assert headers["Content-Type"] == "application/json"
        assert body == one.message.payload
        await sink.close()


async def test_a_device_that_fails_waits_alone_and_in_order() -> None:
    async with ingest_stub() as stub:
        sink = await connected(stub, mode="single")
        stub.poison = {"a:1:3": 500, "b:1:2": 422}
        batch = [routed(number, device) for number, device in enumerate("ababab", 1)]
        failures = await sink.write("lane", batch)
        assert {batch[position].message_id: type(why) for position, why in failures.items()} == {
            "a:1:3": Retry,
            "a:1:5": Retry,
            "b:1:2": Rejected,
        }
        assert sorted(stub.stored) == ["a:1:1", "b:1:4", "b:1:6"]
        await sink.close()


async def test_network_faults_are_for_later() -> None:
    async with ingest_stub() as stub:
        url = stub.url
    sink = http_sink(url=url)
    await sink.connect()
    failures = await sink.write("lane", [routed(1)])
    assert isinstance(why := failures[0], Retry)
    assert (why.cause, why.needs_operator) == ("network", False)
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        await sink.probe()
    await sink.close()


async def test_a_server_that_does_not_answer_in_time_is_for_later() -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    async with tcp_server(silent) as port:
        sink = http_sink(url=f"http://127.0.0.1:{port}", timeout="50ms")
        await sink.connect()
        failures = await sink.write("lane", [routed(1)])
        assert isinstance(why := failures[0], Retry)
        assert why.cause == "timeout"
        await sink.close()
        await gone.wait()


async def test_a_missing_certificate_file_is_a_matter_of_configuration() -> None:
    sink = http_sink(url="https://x", ca_file="/nowhere.pem")
    with pytest.raises(ConfigError, match=r"http.ca_file /nowhere.pem"):
        await sink.connect()
