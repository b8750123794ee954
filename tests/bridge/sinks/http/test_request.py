"""What the HTTP sink sends: forms, templates, credentials, compression, keys that stay; and where it sends it."""

import asyncio
from base64 import b64encode

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.routing.config import RouteConfig
from bridge.routing.table import RouteTable
from bridge.sinks.base import Rejected, Retry, Scope
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.idempotency import batch_key
from bridge.sinks.http.sink import HttpSink
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.bridge.fakes import TABLE, IngestStub, ingest_stub, routed


def sink_of(url: str, table: RouteTable = TABLE, **settings: object) -> HttpSink:
    return HttpSink(HttpSinkConfig(url=url, **settings), table.targets_in("http"), "bridge-1")  # type: ignore[arg-type]


async def sent(stub: IngestStub, table: RouteTable = TABLE, count: int = 2, **settings: object) -> list[object]:
    """Write some messages, and say what was not delivered."""
    sink = sink_of(stub.url, table, **settings)
    await sink.connect()
    batch = [routed(number, table=table) for number in range(1, count + 1)]
    failures = await sink.write(str(sink.queue_key(batch[0])), batch)
    await sink.close()
    return list(failures.values())


@pytest.mark.parametrize(
    ("settings", "content_type"),
    [
        ({}, "application/x-ndjson"),
        ({"format": "json"}, "application/json"),
        ({"format": "cloudevents"}, "application/cloudevents-batch+json"),
        ({"mode": "single"}, "application/json"),
        ({"mode": "single", "format": "cloudevents"}, "application/cloudevents+json"),
    ],
)
@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_every_form_arrives(settings: dict[str, str], content_type: str, compression: str) -> None:
    async with ingest_stub() as stub:
        assert not await sent(stub, compression=compression, **settings)
        assert stub.stored == ["a:1:1", "a:1:2"]
        assert all(headers["Content-Type"] == content_type for _, headers, _ in stub.requests)
        assert all(("Content-Encoding" in headers) is (compression == "gzip") for _, headers, _ in stub.requests)


async def test_a_cloud_event_is_whole_and_a_single_post_has_it_in_headers() -> None:
    async with ingest_stub() as stub:
        assert not await sent(stub, mode="single", format="cloudevents", count=1)
        assert not await sent(stub, mode="single", count=1)
        event, headers = orjson.loads(stub.requests[0][2]), stub.requests[1][1]
    expected = {
        "specversion": "1.0",
        "type": "edge.bme280.telemetry",
        "source": "/edge/site/bme280/a",
        "id": "a:1:1",
        "time": "2026-03-01T12:00:00.000Z",
    }
    data = orjson.loads(routed(1).message.payload)
    assert event == {**expected, "datacontenttype": "application/json", "data": data}
    assert {name.removeprefix("ce-"): headers[name] for name in headers if name.startswith("ce-")} == expected


async def test_url_headers_and_body_are_made_of_the_message() -> None:
    target = {
        "path": "/v1/{site}/{payload.seq}",
        "headers": {"X-Kind": "{kind}", "content-type": "application/vnd.x+json"},
        "body": {"id": "{message_id}", "device_id": "{device_id}", "boot": 1, "seq": "{payload.seq}"},
    }
    table = RouteTable([RouteConfig(topic="#", http=target)])
    async with ingest_stub() as stub:
        assert not await sent(stub, table, 1, mode="single", headers={"X-Kind": "other", "X-Site": "{site}"})
        path, headers, body = stub.requests[0]
    assert path == "/v1/site/1"
    assert orjson.loads(body) == {"id": "a:1:1", "device_id": "a", "boot": 1, "seq": 1}
    assert (headers["X-Kind"], headers["X-Site"]) == ("bme280", "site")
    assert headers["Content-Type"] == "application/vnd.x+json"


async def test_values_cannot_lead_a_request_elsewhere() -> None:
    row = RouteConfig(topic="#", http={"path": "/a/{payload.city|x}/b", "headers": {"X-City": "{payload.city|x}"}})
    table = RouteTable([row])
    async with ingest_stub() as stub:
        sink = sink_of(stub.url, table, mode="single")
        await sink.connect()
        cities = ["x?y=1#z", "a/../..", "..", "a\r\nX-Evil: 1", "Zürich"]
        batch = [routed(number, f"d{number}", table, city=city) for number, city in enumerate(cities)]
        failures = await sink.write(str(sink.queue_key(batch[0])), batch)
        await sink.close()
        assert {position: type(why) for position, why in failures.items()} == {2: Rejected, 3: Rejected}
        assert sorted(path for path, _, _ in stub.requests) == ["/a/Zürich/b", "/a/a/../../b", "/a/x?y=1#z/b"]
        assert all("X-Evil" not in headers for _, headers, _ in stub.requests)


async def test_a_message_that_a_template_does_not_fit_costs_itself_alone() -> None:
    table = RouteTable([RouteConfig(topic="#", http={"url": "http://x/", "body": {"v": "{payload.vehicle_id}"}})])
    async with ingest_stub() as stub:
        table = RouteTable(
            [RouteConfig(topic="#", http={"url": f"{stub.url}/batch", "headers": {"V": "{payload.vehicle_id}"}})]
        )
        sink = sink_of(stub.url, table)
        await sink.connect()
        batch = [routed(1, table=table, vehicle_id="v"), routed(2, table=table), routed(3, table=table, vehicle_id="v")]
        failures = await sink.write("lane", batch)
        await sink.close()
        assert failures == {1: Rejected("template field '{payload.vehicle_id}' has no value in this message")}
        assert stub.stored == ["a:1:1", "a:1:3"]


async def test_destinations_have_queues_of_their_own() -> None:
    table = RouteTable(
        [
            RouteConfig(topic="edge/+/gps/#", http="https://{site}.example.org/{kind}/{device_id}"),
            RouteConfig(topic="#", http="/rest"),
        ]
    )
    single, batch = (sink_of("http://h", table, mode=mode) for mode in ("single", "batch"))
    assert single.queue_key(routed(1, "d", table, kind="gps")) == "https://site.example.org/gps/{device_id}"
    assert single.queue_key(routed(1, "d", table)) == "/rest"
    lanes = {batch.queue_key(routed(1, f"d{n}", table, kind="gps")) for n in range(50)}
    assert lanes == {"https://site.example.org/gps/{device_id}#0", "https://site.example.org/gps/{device_id}#1"}
    assert str(batch.queue_key(routed(1, "d", table))).startswith("/ingest/batch#")


async def test_a_batch_for_several_urls_is_one_request_each_and_stops_where_one_must_wait() -> None:
    async with ingest_stub() as stub:
        table = RouteTable([RouteConfig(topic="#", http=f"{stub.url}/{{payload.zone|0}}/batch")])
        sink = sink_of(stub.url, table)
        await sink.connect()
        batch = [routed(n, f"d{n % 3}", table, zone=n % 3) for n in range(1, 7)]
        stub.answers = [None, web.Response(status=503)]
        failures = await sink.write("lane", batch)
        assert [path for path, _, _ in stub.requests] == ["/1/batch", "/2/batch"]
        assert sorted(failures) == [1, 2, 4, 5]
        assert not await sink.write("lane", [batch[position] for position in sorted(failures)])
        assert sorted(stub.stored) == sorted(one.message_id for one in batch)
        await sink.close()


async def test_a_url_of_a_device_that_is_not_there_holds_back_that_device_alone() -> None:
    table = RouteTable([RouteConfig(topic="#", http="/{device_id}")])
    async with ingest_stub() as stub:
        stub.poison = {"a:1:1": 404}
        sink = sink_of(stub.url, table, mode="single")
        await sink.connect()
        batch = [routed(1, "a", table), routed(2, "b", table), routed(3, "a", table)]
        failures = await sink.write("/{device_id}", batch)
        assert sorted(failures) == [0, 2]
        assert all(isinstance(why, Retry) and why.scope is Scope.DEVICE for why in failures.values())
        await sink.close()


async def test_a_batch_that_was_not_answered_is_sent_again_as_it_was() -> None:
    async with ingest_stub() as stub:
        sink = sink_of(stub.url)
        await sink.connect()
        first = [routed(n, f"d{n % 3}") for n in range(1, 7)]
        stub.answers = [web.Response(status=503), web.Response(status=502)]
        assert len(await sink.write("lane", first)) == 6
        # The runner offers them device by device, and others after them.
        order = sorted(first, key=lambda one: (one.device_id, one.message.id))
        again = [*order, routed(7, "d1")]
        assert len(await sink.write("lane", again)) == 7
        assert not await sink.write("lane", again)
        keys = [headers["Idempotency-Key"] for _, headers, _ in stub.requests]
        assert keys[0] == keys[1] == keys[2] == batch_key("bridge-1", first)
        assert keys[0].startswith("bridge-1:1-6:")
        assert stub.requests[0][2] == stub.requests[1][2] == stub.requests[2][2]
        assert keys[3] == batch_key("bridge-1", [again[-1]])
        assert stub.stored == [one.message_id for one in (*first, again[-1])]
        await sink.close()


async def test_another_choice_of_messages_has_another_key() -> None:
    one, two, three = (routed(n) for n in (1, 2, 3))
    assert batch_key("b", [one, three]) != batch_key("b", [one, two, three])
    assert batch_key("b", [one, two]) != batch_key("c", [one, two])
    async with ingest_stub() as stub:
        sink = sink_of(stub.url)
        await sink.connect()
        stub.answers = [web.Response(status=503)]
        await sink.write("lane", [one, two, three])
        assert not await sink.write("lane", [one, three])  # the second was given up meanwhile
        keys = [headers["Idempotency-Key"] for _, headers, _ in stub.requests]
        assert keys == [batch_key("bridge-1", [one, two, three]), batch_key("bridge-1", [one, three])]
        await sink.close()


async def test_retry_after_may_be_a_date() -> None:
    async with ingest_stub() as stub:
        stub.answers = [web.Response(status=429, headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"})]
        (why, _) = await sent(stub)
        assert isinstance(why, Retry)
        assert (why.cause, why.after_s) == ("429", 3600.0)


async def test_an_error_per_item_may_be_told_by_index() -> None:
    async with ingest_stub() as stub:
        stub.answers = [web.json_response({"items": [{"index": 1, "status": "rejected", "error": "no"}]})]
        assert await sent(stub) == [Rejected("no")]


async def test_a_password_is_sent_and_not_shown() -> None:
    async with ingest_stub() as stub:
        assert not await sent(stub, username="ann", password="pä:ss")
        headers = stub.requests[0][1]
        assert headers["Authorization"] == "Basic " + b64encode("ann:pä:ss".encode()).decode()
        sink = sink_of(stub.url, username="ann", password="pä:ss", headers={"X-Api-Key": "k3y"})
        shown = repr(sink.preview(routed(1))) + repr(sink.config)
        assert "'***'" in shown
        assert "pä:ss" not in shown
        assert "k3y" not in repr(sink.preview(routed(1)))


async def test_so_many_requests_at_once_and_no_more() -> None:
    now, most = 0, 0

    async def handle(_: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return web.Response()

    application = web.Application()
    application.router.add_post("/{path:.*}", handle)
    async with TestServer(application) as server:
        for settings, expected in (({"parallel": 3}, 3), ({"parallel": 8, "connections": 2}, 2)):
            most = 0
            sink = sink_of(str(server.make_url("")), mode="single", **settings)
            await sink.connect()
            batch = [routed(n, f"d{n}") for n in range(12)]
            assert not await sink.write(str(sink.queue_key(batch[0])), batch)
            assert most == expected
            await sink.close()


async def test_a_text_where_json_has_to_be_is_refused() -> None:
    table = RouteTable([RouteConfig(topic="#", http={"path": "/x", "body": "line {device_id}"})])
    for settings in ({"format": "json"}, {"format": "cloudevents"}, {"mode": "single", "format": "cloudevents"}):
        with pytest.raises(ConfigError, match=r"http.body is a text"):
            sink_of("http://h", table, **settings)
    assert sink_of("http://h", table).preview(routed(1, table=table))["body"] == "line a"
    nowhere = RouteTable([RouteConfig(topic="#", http={})])
    assert sink_of("http://h", nowhere).queue_key(routed(1, table=nowhere))
    with pytest.raises(ConfigError, match="neither path nor url"):
        sink_of("http://h", nowhere, mode="single")


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, ConfigError, "look at http.token"),
        (403, ConfigError, "look at http.token"),
        (503, ServiceUnavailable, "does not work"),
        (404, None, "look whether the path is right"),
        (405, None, "answers"),
    ],
)
async def test_a_probe_says_what_is_wrong_with_an_endpoint(
    status: int, error: type[Exception] | None, said: str
) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status)

    application = web.Application()
    application.router.add_get("/ingest/batch", handle)
    async with TestServer(application) as server:
        sink = sink_of(str(server.make_url("")))
        if error:
            with pytest.raises(error, match=said):
                await sink.probe()
        else:
            assert said in await sink.probe()
        await sink.close()


async def test_a_probe_looks_at_credentials_also_where_only_post_is_taken() -> None:
    seen: list[bytes] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(await request.read())
        return web.Response(status=200 if request.headers.get("X-Key") == "right" else 401)

    application = web.Application()
    application.router.add_post("/ingest/batch", handle)
    async with TestServer(application) as server:
        for key in ("right", "wrong"):
            sink = sink_of(str(server.make_url("")), headers={"X-Key": key})
            if key == "wrong":
                with pytest.raises(ConfigError, match=r"answers 401: look at http\.token"):
                    await sink.probe()
            else:
                assert "answers" in await sink.probe()
            await sink.close()
        # A single post of no message does not exist, and a check leaves nothing behind.
        single = sink_of(str(server.make_url("")), mode="single", headers={"X-Key": "wrong"})
        assert "answers" in await single.probe()
        await single.close()
    assert seen == [b"", b""]
