"""Small requests cost little: in memory, in time and in what is answered; and odd ones are refused in a sentence."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from edgefleet.ingest import body, validation
from edgefleet.ingest.body import BodyLimits
from edgefleet.ingest.server import IngestConfig
from edgewire.messages import BATCH_PATH
from edgewire.messages.bme280 import BME280_EXAMPLES
from tests.edgefleet.ingest.conftest import serving
from tests.edgefleet.ingest.test_api import JSON, NDJSON, get, post, post_batch

Make = Callable[..., dict[str, Any]]
Client = aiohttp.ClientSession

PATH = "/api/v1/sensors/bme280"
EMPTY_MEMBER = gzip.compress(b"", mtime=0)  # a time in it would give a test another name in each process


@pytest.fixture
def config(config: IngestConfig) -> IngestConfig:
    """The usual limits."""
    return replace(config, limits=BodyLimits(bytes=8 << 20, seconds=30))


async def send_gzip(client: Client, data: bytes, **headers: str) -> tuple[int, Any]:
    return await post(client, BATCH_PATH, data, **(NDJSON | {"Content-Encoding": "gzip"} | headers))


# -- encodings


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (EMPTY_MEMBER * 300_000, 413, "more than 10000 gzip members"),
        (gzip.compress(b"[" * (20 << 20), mtime=0), 413, "when decompressed"),
        (gzip.compress(b"x" * (8 << 20), mtime=0) + gzip.compress(b"x", mtime=0), 413, "when decompressed"),
        (gzip.compress(b"{}", mtime=0) + b"garbage", 400, "not gzip behind its gzip member 1"),
        (gzip.compress(b"{}", mtime=0) + b"\0\0", 400, "not gzip behind"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-1], 400, "cut short"),
        (gzip.compress(b"{}", mtime=0) + EMPTY_MEMBER[:5], 400, "cut short"),
        (zlib.compress(b"{}"), 400, "not gzip: "),
        (b"", 400, "cut short"),
    ],
)
async def test_gzip_is_bounded_and_complete(service: Client, data: bytes, status: int, reason: str) -> None:
    answered, said = await send_gzip(service, data)
    assert (answered, reason in said["error"]) == (status, True), said


async def test_many_members_and_the_older_name_are_gzip(service: Client, bme280: Make) -> None:
    members = [gzip.compress(orjson.dumps(bme280(seq)) + b"\n") + EMPTY_MEMBER for seq in range(100)]
    status, said = await send_gzip(service, b"".join(members), **{"Content-Encoding": "x-gzip"})
    assert (status, said["stored"]) == (200, 100)


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip", "gzip,identity", "x" * 5000])
async def test_other_encodings_are_415(service: Client, encoding: str) -> None:
    status, said = await send_gzip(service, gzip.compress(gzip.compress(b"{}")), **{"Content-Encoding": encoding})
    assert status == 415
    assert len(said["error"]) < 300


async def test_an_encoding_in_two_headers_is_not_half_undone(service: Client) -> None:
    headers = [*NDJSON.items(), ("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]
    async with service.post(BATCH_PATH, data=gzip.compress(gzip.compress(b"{}")), headers=headers) as answer:
        assert answer.status == 415


# -- types


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        (PATH, "application/json", 201),
        (PATH, "Application/JSON ; Charset=UTF-8", 201),
        (PATH, 'application/json; charset="utf8"; profile=x', 201),
        (PATH, "text/plain", 415),
        (PATH, "application/x-www-form-urlencoded", 415),
        (PATH, "application/x-ndjson", 415),
        (PATH, "application/json; charset=latin-1", 415),
        (PATH, "", 415),
        (BATCH_PATH, "application/x-ndjson; charset=utf-16", 415),
        (BATCH_PATH, "multipart/form-data; boundary=" + "x" * 5000, 415),
    ],
)
async def test_the_type_of_a_body_is_looked_at(
    service: Client, bme280: Make, path: str, form: str, status: int
) -> None:
    answered, said = await post(service, path, bme280(), **{"Content-Type": form})
    assert answered == status, said
    assert len(orjson.dumps(said)) < 400


async def test_a_body_without_a_type_or_with_two_is_415(service: Client) -> None:
    for headers in ([], [*JSON.items(), ("Content-Type", "text/plain")]):
        async with service.post(PATH, data=b"{}", headers=headers, skip_auto_headers=["Content-Type"]) as answer:
            assert answer.status == 415


# -- what JSON and lines can be


async def test_a_long_list_of_refusals_is_cut_and_says_so(service: Client, bme280: Make) -> None:
    lines = [b"{", *[b"!"] * 30_000, orjson.dumps(bme280(0)), orjson.dumps(bme280(0, humidity=1.0))]
    for query in ("", "?items=all"):
        async with service.post(BATCH_PATH + query, data=gzip.compress(b"\n".join(lines)), headers=NDJSON | {
            "Content-Encoding": "gzip"
        }) as answer:  # fmt: skip
            text = await answer.read()
        said = orjson.loads(text)
        assert (said["rejected"], said["conflicts"], said["unlisted"]) == (30_001, 1, 29_002)
        assert said["stored"] + said["known"] == 1
        assert len(said["items"]) == validation.MAX_LISTED + (query != "")
        assert len(text) < 200_000
    _, stats = await get(service, "/stats")
    assert (stats["rejected"], stats["conflicts"]) == (60_002, 2)


@pytest.mark.parametrize(
    ("data", "form", "status", "reason"),
    [
        (b"\n" * (8 << 20), NDJSON, 413, "body has 8388608 lines, and at most 50000"),
        (b"[" + b"1," * 60_000 + b"1]", JSON, 413, "body has 60001 entries"),
        (b"[" + b"1," * 1_500_000 + b"1]", JSON, 413, "more than 1000000 values"),
        (b"[" + b"[]," * 600_000 + b"{}]", JSON, 413, "more than 500000 objects and arrays"),
        (b"[" * 5000 + b"]" * 5000, JSON, 400, "not JSON"),
        (b"[" * 500 + b"]" * 500, JSON, 422, "nested deeper than 100"),
        (b'[{"a":1,"a":2}]', JSON, 422, "key 'a' stands twice"),
        (b'[{"a":1e-99999}]', JSON, 422, "exponent of more than 3 digits"),
        (b"[NaN]", JSON, 400, "not JSON"),
        (b"[Infinity]", JSON, 400, "not JSON"),
        (b"[1e999]", JSON, 400, "not JSON"),
        (b'["\xff"]', JSON, 400, "not JSON"),
        (rb'["\ud800"]', JSON, 400, "not JSON"),
    ],
)
async def test_a_batch_that_costs_too_much_is_refused_as_a_whole(
    service: Client, data: bytes, form: dict[str, str], status: int, reason: str
) -> None:
    answered, said = await post(service, BATCH_PATH, data, **form)
    assert (answered, reason in said["error"]) == (status, True), said


async def test_a_message_is_no_larger_than_a_broker_takes(service: Client, bme280: Make) -> None:
    large = bme280(0, note="x" * validation.MESSAGE_BYTES)
    status, said = await post(service, PATH, large)
    assert (status, said["error"]) == (413, "body is larger than 1048576 bytes; send smaller batches")
    _, said = await post_batch(service, [large, bme280(1)])
    assert (said["stored"], said["rejected"]) == (1, 1)
    assert said["items"][0]["error"] == f"the line has {len(orjson.dumps(large))} bytes; at most 1048576 are taken"
    _, said = await post(service, BATCH_PATH, [large, bme280(2)])
    assert (said["stored"], said["rejected"]) == (1, 1)
    status, _ = await post(service, PATH, bme280(3, note="x" * 500_000))
    assert status == 201


# -- bodies that do not come, or never end


async def raw(client: Client, head: bytes, *parts: bytes) -> bytes:
    """Return all that the service sends until it closes the connection."""
    base = client._base_url
    assert base is not None
    reader, writer = await asyncio.open_connection(base.host, base.port)
    writer.write(head)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


HEAD = b"POST /ingest/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"


@pytest.mark.parametrize(
    ("head", "parts", "line"),
    [
        (b"Content-Length: 99999999999999\r\n\r\n", (b"{}",), b"HTTP/1.1 413"),
        (b"Content-Length: -1\r\n\r\n", (), b"HTTP/1.1 400"),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", (b"{}{}{}",), b"HTTP/1.1 400"),
        (b"Transfer-Encoding: chunked\r\n\r\n", (b"2\r\n{}\r\n",), b"HTTP/1.1 408"),
        (b"Transfer-Encoding: chunked\r\n\r\n", (b"ffffffffffffffffffffffffffffff\r\n{}",), b"HTTP/1.1 400"),
    ],
)
async def test_a_body_that_is_not_what_its_head_says_ends_its_connection(
    config: IngestConfig, head: bytes, parts: tuple[bytes, ...], line: bytes
) -> None:
    async with serving(replace(config, limits=BodyLimits(bytes=8 << 20, seconds=0.2))) as client:
        assert (await raw(client, HEAD + head, *parts)).startswith(line)
        assert (await get(client, "/healthz"))[0] == 200


async def test_a_head_without_end_is_cut_off(service: Client) -> None:
    answer = await raw(service, HEAD + b"X: ", *[b"x" * 100_000] * 20)
    assert answer[:12] in (b"", b"HTTP/1.1 400")  # nothing where the connection was reset under what was being sent
    assert (await get(service, "/healthz"))[0] == 200


async def test_many_bodies_at_once_leave_room_for_small_ones(
    config: IngestConfig, bme280: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "_AT_ONCE", 1)
    config = replace(config, limits=BodyLimits(bytes=200_000, seconds=30))
    async with serving(config) as client:
        base = client._base_url
        assert base is not None
        _, stalled = await asyncio.open_connection(base.host, base.port)
        stalled.write(HEAD + b"Content-Length: 190000\r\n\r\n" + b" " * 180_000)
        await stalled.drain()
        answers = 0
        while not answers:  # until the stalled one has arrived
            async with client.post(BATCH_PATH, data=b" " * 100_000, headers=NDJSON) as answer:
                answers = answer.status == 503
                assert answer.status in (200, 503)
        assert answer.headers["Retry-After"] == "1"
        assert (await post(client, PATH, bme280(0)))[0] == 201
        stalled.close()
        await stalled.wait_closed()
        status = 503
        while status == 503:  # until its end has been noticed
            status, _ = await post(client, BATCH_PATH, b" " * 100_000, **NDJSON)


async def test_an_order_to_stop_waits_for_no_body(config: IngestConfig) -> None:
    async with asyncio.timeout(20):
        async with serving(config) as client:
            sending = [asyncio.create_task(send_gzip(client, EMPTY_MEMBER * 300_000)) for _ in range(4)]
            for one in sending:
                assert (await one)[0] == 413
        # Eight of them blocked the service, and its end, for 20 s before.


# -- parameters


@pytest.mark.parametrize(
    "query",
    [
        "after=9223372036854775808",
        "after=-9223372036854775809",
        "after=",
        "after=1&after=2",
        "after=1e3",
        "limit=9223372036854775808",
        "limit=" + "9" * 5000,
        "since=" + "9" * 23,
        "since=" + "9" * 5000,
        "since=",
        "since=%00",
        "since=-5",
        "until=NaN",
        "received_since=10000-01-01",
        "device_id=%00",
        "device_id=",
        "device_id=a%0A",
        "device_id=" + "x" * 65,
        "device_id=ok&device_id=%00",
        "boot=9223372036854775808",
        "kind=%00",
        "kind=",
        "kind=a&kind=b",
        "devise_id=d-1",
        "payload=",
        "%00=1",
    ],
)
async def test_an_absurd_parameter_is_422_and_named(service: Client, query: str) -> None:
    status, said = await get(service, f"/messages?{query}")
    assert status == 422, said
    assert said["error"].startswith("parameter ")
    assert query.partition("=")[0].replace("%00", "x00") in said["error"]
    assert len(said["error"]) < 400
    assert "pattern" not in said["error"]


ODD_VALUES = (
    *("%00", "%ED%A0%80", "%FF", "%F0%9F%98%80", "9" * 30, "-1", "-0", "+1", "1.5", "1e400", "NaN", "Infinity", "true"),
    *("[]", "{}", "0x10", "1_000", "%D9%A1", "%20", "%0D%0A", "'", "%22", "%25", "2147483648", "9223372036854775807"),
    *("9223372036854775808", "-9223372036854775808", "0001-01-01", "0000-01-01", "9999-12-31T23:59:59Z", "2026-02-30"),
    *("2026-01-01T00:00:00%2B99:99", "2026-W01-1", "1969-12-31", "now", "", "0", "a,b"),
)
PARAMETERS = (
    *("after", "since", "until", "received_since", "received_until", "conflict_since", "limit", "device_id", "kind"),
    *("boot", "payload"),
)


@pytest.mark.slow
async def test_no_question_is_an_error_of_the_service(service: Client, bme280: Make) -> None:
    assert (await post(service, PATH, bme280()))[0] == 201
    rng = random.Random(7)
    questions = [f"{name}={value}" for name in PARAMETERS for value in ODD_VALUES]
    questions = rng.sample(questions, 100) + ["&".join(rng.sample(questions, 3)) for _ in range(20)]
    for question in questions:
        url = URL(f"/messages?{question}", encoded=True)
        async with service.get(url) as answer:
            assert answer.status in (200, 422), question
            assert len(await answer.read()) < 5000, question


FORMS = ("application/json", "application/x-ndjson", *map("application/cloudevents{}+json".format, ("", "-batch")))
GOOD = orjson.dumps(BME280_EXAMPLES[0])
ODD_BODIES = (
    *(b"", b" ", b"null", b"1", b'"x"', b"[[]]", b"[null]", b"{}", b"\xef\xbb\xbf" + GOOD, GOOD + GOOD, GOOD + b"\0"),
    *(
        GOOD.decode().encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"id":1,"data":[]}',
    ),
    *(b'{"id":"\\u0000","data":{}}', b'[{"id":{}}]', b'{"id":"a:1:1","data":{"a":1,"a":2}}', b"1e" + b"9" * 100_000),
    *(
        GOOD[:-1] + b',"' + key + b'":' + value + b"}"
        for key in (b"boot", b"seq", b"timestamp", b"temperature_c", b"extra", b"\\u0000", b"\\ud800", b"id")
        for value in (
            b"null",
            b"[]",
            b"-1",
            b"1e400",
            b"1e-400",
            b"9" * 400,
            b"NaN",
            b'"\\ud800"',
            b'"\\u0000"',
            b"1.5",
        )
    ),
)


@pytest.mark.slow
async def test_no_body_is_an_error_of_the_service(service: Client) -> None:
    """In any form, alone or as a batch, it is refused, or taken and there to be read."""
    rng = random.Random(7)
    for odd in [*ODD_BODIES[:19], *rng.sample(ODD_BODIES[19:], 30)]:
        path, form = rng.choice((PATH, BATCH_PATH)), rng.choice(FORMS)
        status, said = await post(service, path, odd, **{"Content-Type": form})
        assert status in (200, 201, 400, 413, 415, 422), (path, form, odd[:60], said)
        assert len(orjson.dumps(said)) < 1000, (path, form, odd[:60])
    assert (await get(service, "/messages"))[0] == 200


async def test_a_batch_has_no_other_parameters(service: Client, bme280: Make) -> None:
    for query in ("?items=none", "?item=all", "?items=all&items=all"):
        assert (await post_batch(service, [bme280()], query))[0] == 422
    assert (await get(service, "/messages"))[1]["messages"] == []


# -- one id, two contents


async def test_a_known_id_with_other_content_is_422_and_counted_apart(service: Client, bme280: Make) -> None:
    message_id = "bme280_fake_001:825667200:0"
    assert (await post(service, PATH, bme280(0)))[0] == 201
    again = orjson.dumps(bme280(0), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    assert await post(service, PATH, again) == (200, {"id": message_id, "status": "known"})
    status, said = await post(service, PATH, bme280(0, humidity=12.5))
    assert (status, said["status"], said["id"]) == (422, "conflict", message_id)
    assert "is stored with other content" in said["error"]
    _, said = await post_batch(service, [bme280(1), bme280(0, humidity=12.5), bme280(1)])
    assert [said[name] for name in ("stored", "known", "rejected", "conflicts", "unlisted")] == [1, 1, 0, 1, 0]
    (item,) = said["items"]
    assert (item["line"], item["status"], item["id"]) == (1, "conflict", message_id)
    _, page = await get(service, "/messages?conflict_since=2000-01-01T00:00:00Z")
    assert [row["seq"] for row in page["messages"]] == [0]
    assert page["messages"][0]["conflict_ms"] >= page["messages"][0]["received_ms"]
    _, page = await get(service, "/messages")
    assert ["conflict_ms" in row for row in page["messages"]] == [True, False]
    _, stats = await get(service, "/stats")
    assert stats["kinds"]["bme280"] == {"stored": 2, "redelivered": 2, "rejected": 0, "conflicts": 2}
    async with service.get("/metrics") as answer:
        assert 'edgefleet_ingest_messages_total{kind="bme280",result="conflict"} 2.0' in await answer.text()


async def test_results_are_counted_from_nought(service: Client) -> None:
    async with service.get("/metrics") as answer:
        text = await answer.text()
    for result in ("stored", "known", "conflict", "rejected"):
        assert f'edgefleet_ingest_messages_total{{kind="gps",result="{result}"}} 0.0' in text
