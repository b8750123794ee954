"""The HTTP API, over a real socket."""

import asyncio
import gzip
import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
import orjson
import pytest

from edgewire.messages import ACCEPTED, BATCH_PATH

Make = Callable[..., dict[str, Any]]
Client = aiohttp.ClientSession

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


async def post(client: Client, path: str, body: object, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    async with client.post(path, data=io.BytesIO(data), headers=JSON | headers) as answer:
        return answer.status, await answer.json()


async def post_batch(client: Client, lines: list[object], query: str = "") -> tuple[int, Any]:
    body = b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines)
    return await post(client, BATCH_PATH + query, body, **NDJSON)


async def get(client: Client, path: str) -> tuple[int, Any]:
    async with client.get(path) as answer:
        return answer.status, await answer.json()


async def test_a_new_message_is_201_and_a_known_one_200(service: Client, bme280: Make) -> None:
    message_id = "bme280_fake_001:825667200:0"
    for status, word in ((201, "stored"), (200, "known"), (200, "known")):
        answer = await post(service, "/api/v1/sensors/bme280", bme280(), **{"Idempotency-Key": message_id})
        assert answer == (status, {"id": message_id, "status": word})


@pytest.mark.parametrize("kind", ACCEPTED)
async def test_every_message_of_every_kind_has_its_path(service: Client, kind: str) -> None:
    for seq, message in enumerate(ACCEPTED[kind].messages):
        payload = message.examples[0] | {"seq": seq}
        status, _ = await post(service, ACCEPTED[kind].http_path, payload)
        assert status == 201
    _, stats = await get(service, "/stats")
    assert stats["kinds"][kind]["stored"] == len(ACCEPTED[kind].messages)


@pytest.mark.parametrize(
    ("change", "headers", "status", "reason"),
    [
        ({"humidity": 101}, {}, 422, "humidity: Input should be less than or equal to 100, got 101"),
        ({}, {"Idempotency-Key": "other:1:2"}, 422, "Idempotency-Key"),
        ({}, {"Content-Encoding": "br"}, 415, "'br' is not taken"),
        ({"note": "x" * 30_000}, {}, 413, "larger than 20000 bytes"),
    ],
)
async def test_a_message_is_refused_with_the_reason(
    service: Client, bme280: Make, change: dict[str, Any], headers: dict[str, str], status: int, reason: str
) -> None:
    answered, body = await post(service, "/api/v1/sensors/bme280", bme280(**change), **headers)
    assert answered == status
    assert body.keys() == {"error"}
    assert reason in body["error"]
    _, page = await get(service, "/messages")
    assert page == {"messages": [], "next": None}


async def test_a_message_of_another_kind_is_refused(service: Client, bme280: Make) -> None:
    status, body = await post(service, "/ingest/gps", bme280())
    assert status == 422
    assert "key 'vehicle_id' is missing" in body["error"]


async def test_what_is_not_json_is_400(service: Client) -> None:
    status, body = await post(service, "/ingest/gps", b"fix=3d")
    assert status == 400
    assert "not JSON" in body["error"]


async def test_a_chunked_body_is_bounded_too(service: Client) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 1000

    async with service.post("/ingest/gps", data=chunks(), headers=JSON) as answer:
        assert answer.status == 413


async def test_a_body_without_end_is_cut_off(service: Client) -> None:
    ended = False

    async def endless() -> Any:
        nonlocal ended
        for _ in range(100_000):
            yield b" " * 10_000
        ended = True

    with suppress(aiohttp.ClientError, ConnectionError):
        async with service.post("/ingest/gps", data=endless(), headers=JSON) as answer:
            assert answer.status == 413
    assert not ended


async def test_a_batch_is_answered_per_line(service: Client, bme280: Make, gps: Make) -> None:
    lines = [bme280(0), gps(0, fix="4d"), gps(1), bme280(0), b"{"]
    status, body = await post_batch(service, lines)
    assert status == 200
    assert [body[key] for key in ("stored", "known", "rejected")] == [2, 1, 2]
    assert [(item["line"], item["status"], item["id"]) for item in body["items"]] == [
        (1, "rejected", "gps-0007:825667200:0"),
        (4, "rejected", None),
    ]
    assert "fix" in body["items"][0]["error"]
    _, again = await post_batch(service, lines, "?items=all")
    assert [(item["line"], item["status"]) for item in again["items"]] == [
        (0, "known"),
        (1, "rejected"),
        (2, "known"),
        (3, "known"),
        (4, "rejected"),
    ]


async def test_a_batch_of_another_type_is_415(service: Client, bme280: Make) -> None:
    status, body = await post(service, BATCH_PATH, bme280(), **{"Content-Type": "text/plain"})
    assert status == 415
    assert "takes application/x-ndjson, application/json, application/cloudevents-batch+json" in body["error"]
    status, _ = await post(service, BATCH_PATH, bme280(), **{"Content-Type": "application/x-ndjson; charset=utf-8"})
    assert status == 200


async def test_a_batch_may_be_an_array(service: Client, bme280: Make, gps: Make) -> None:
    entries = [bme280(0), gps(0, fix="4d"), 7, bme280(1)]
    status, body = await post(service, BATCH_PATH, entries, **{"Content-Type": "application/json"})
    assert (status, body["stored"], [item["line"] for item in body["items"]]) == (200, 2, [1, 2])
    _, page = await get(service, "/messages")
    assert [row["payload"] for row in page["messages"]] == [bme280(0), bme280(1)]


@pytest.mark.parametrize("body", [b"{}", b"[", b""])
async def test_an_array_that_is_none_is_400(service: Client, body: bytes) -> None:
    status, answer = await post(service, BATCH_PATH, body, **{"Content-Type": "application/json"})
    assert status == 400
    assert "not " in answer["error"]


def event(payload: dict[str, Any], **changes: Any) -> dict[str, Any]:
    key = f"{payload['device_id']}:{payload['boot']}:{payload['seq']}"
    return {"specversion": "1.0", "id": key, "source": "/test", "type": "t", "data": payload} | changes


async def test_cloudevents_are_taken_alone_and_in_batches(service: Client, bme280: Make) -> None:
    single = {"Content-Type": "application/cloudevents+json"}
    assert (await post(service, "/api/v1/sensors/bme280", event(bme280(0)), **single))[0] == 201
    status, body = await post(service, "/api/v1/sensors/bme280", event(bme280(1), id="other:1:1"), **single)
    assert (status, "event id is 'other:1:1'" in body["error"]) == (422, True)
    entries = [event(bme280(0)), event(bme280(1)), event(bme280(2), id="x:1:1"), {"id": "no data"}]
    batch = {"Content-Type": "application/cloudevents-batch+json"}
    status, body = await post(service, BATCH_PATH, entries, **batch)
    assert (status, body["stored"], body["known"], body["rejected"]) == (200, 1, 1, 2)
    assert "not a CloudEvent" in body["items"][1]["error"]


async def test_gzip_bodies_are_taken_and_bounded(service: Client, bme280: Make) -> None:
    async def send(body: bytes) -> tuple[int, Any]:
        return await post(service, BATCH_PATH, body, **NDJSON, **{"Content-Encoding": "gzip"})

    lines = [gzip.compress(orjson.dumps(bme280(seq)) + b"\n") for seq in range(3)]
    status, body = await send(b"".join(lines))
    assert (status, body["stored"]) == (200, 3)
    assert await send(lines[0][:-12]) == (400, {"error": "body is cut short: its gzip stream has no end"})
    assert (await send(b"not gzip"))[0] == 400
    status, body = await send(gzip.compress(b" " * (1 << 24)))
    assert status == 413
    assert "when decompressed" in body["error"]


async def test_stats_count_what_came(service: Client, bme280: Make, gps: Make) -> None:
    await post_batch(service, [bme280(0), bme280(1), gps(0), gps(0), b"{", gps(1, hdop=-1)])
    await post(service, "/ingest/traffic", b"{}")
    _, stats = await get(service, "/stats")
    assert [stats[key] for key in ("stored", "redelivered", "rejected")] == [3, 1, 3]
    assert stats["kinds"]["bme280"] == {"stored": 2, "redelivered": 0, "rejected": 0, "conflicts": 0}
    assert stats["kinds"]["gps"] == {"stored": 1, "redelivered": 1, "rejected": 1, "conflicts": 0}
    assert stats["kinds"]["traffic"] == {"stored": 0, "redelivered": 0, "rejected": 1, "conflicts": 0}
    assert stats["kinds"]["people"] == {"stored": 0, "redelivered": 0, "rejected": 0, "conflicts": 0}
    assert stats["kinds"]["unknown"] == {"stored": 0, "redelivered": 0, "rejected": 1, "conflicts": 0}


async def test_messages_are_read_back_page_by_page(service: Client, bme280: Make) -> None:
    await post_batch(service, [bme280(seq) for seq in range(5)])
    seqs = []
    after: int | None = 0
    while after is not None:
        _, page = await get(service, f"/messages?limit=2&after={after}")
        seqs += [row["payload"]["seq"] for row in page["messages"]]
        after = page["next"]
    assert seqs == [0, 1, 2, 3, 4]


async def test_a_row_has_what_verification_needs(service: Client, bme280: Make) -> None:
    await post(service, "/api/v1/sensors/bme280", bme280(4))
    _, page = await get(service, "/messages?payload=false")
    (row,) = page["messages"]
    received_ms = row.pop("received_ms")
    assert received_ms > 1_700_000_000_000
    assert row == {
        "cursor": 1,
        "id": "bme280_fake_001:825667200:4",
        "kind": "bme280",
        "device_id": "bme280_fake_001",
        "boot": 825667200,
        "seq": 4,
        "timestamp_ms": 1772439300000,
    }


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("kind=gps", [1]),
        ("device_id=bme280_fake_001", [0]),
        ("since=2026-03-02T08:15:01Z", [1]),
        ("until=2026-03-02T08:15:01", [0]),
        ("since=1772439300000&until=1772439300001", [0]),
        ("kind=sonar", []),
        ("device_id=bme280_fake_001&device_id=other&boot=825667200", [0]),
        ("device_id=bme280_fake_001&boot=1", []),
        ("received_since=2000-01-01T00:00:00Z", [0, 1]),
        ("received_since=2999-01-01T00:00:00Z", []),
        ("received_until=2000-01-01T00:00:00Z", []),
    ],
)
async def test_messages_by_kind_device_and_time(
    service: Client, bme280: Make, gps: Make, query: str, seqs: list[int]
) -> None:
    await post_batch(service, [bme280(0), gps(1, timestamp="2026-03-02T08:15:01.000Z")])
    _, page = await get(service, f"/messages?{query}")
    assert [row["seq"] for row in page["messages"]] == seqs


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=50001",
        "after=-1",
        f"after={2**63}",
        "since=yesterday",
        f"since={2**63}",
        "received_since=9999999999999999999",
        "boot=-1",
        "payload=perhaps",
    ],
)
async def test_a_wrong_parameter_is_named(service: Client, query: str) -> None:
    status, body = await get(service, f"/messages?{query}")
    assert status == 422
    assert f"parameter {query.partition('=')[0]}: " in body["error"]


async def test_unknown_paths_and_methods_are_answered_alike(service: Client) -> None:
    for status, path in ((404, "/nothing"), (405, "/ingest/gps")):
        answered, body = await get(service, path)
        assert answered == status
        assert body.keys() == {"error"}


async def test_health_and_metrics(service: Client, bme280: Make) -> None:
    assert await get(service, "/healthz") == (200, {"status": "ok"})
    assert await get(service, "/readyz") == (200, {"status": "ok"})
    await post_batch(service, [bme280(0), bme280(0), b"{"])
    await get(service, "/nothing")
    async with service.get("/metrics") as answer:
        text = await answer.text()
    for line in (
        'edgefleet_ingest_messages_total{kind="bme280",result="stored"} 1.0',
        'edgefleet_ingest_messages_total{kind="bme280",result="known"} 1.0',
        'edgefleet_ingest_messages_total{kind="unknown",result="rejected"} 1.0',
        'edgefleet_ingest_request_seconds_count{route="/ingest/batch",status="200"} 1.0',
        'edgefleet_ingest_request_seconds_count{route="none",status="404"} 1.0',
    ):
        assert line in text
    assert "/nothing" not in text


async def test_the_openapi_page_describes_every_message(service: Client) -> None:
    async with service.get("/docs") as answer:
        assert answer.status == 200
    _, page = await get(service, "/openapi.json")
    for contract in ACCEPTED.values():
        content = page["paths"][contract.http_path]["post"]["requestBody"]["content"]["application/json"]
        named = {one["$ref"].rpartition("/")[2] for one in content["schema"]["oneOf"]}
        assert named == {message.model.__name__ for message in contract.messages}
        assert named <= page["components"]["schemas"].keys()
        assert content["examples"].keys() == named


async def test_senders_at_once_store_every_message_once(service: Client, bme280: Make) -> None:
    async def send(seq: int) -> int:
        return (await post(service, "/api/v1/sensors/bme280", bme280(seq // 2)))[0]

    statuses = await asyncio.gather(*(send(seq) for seq in range(60)))
    assert sorted(statuses) == [200] * 30 + [201] * 30
