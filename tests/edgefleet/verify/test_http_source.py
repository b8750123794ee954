"""Reading the ingest store over HTTP, from the real service."""

import asyncio
import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from edgefleet.embedded import free_port
from edgefleet.ingest.server import IngestConfig, serve
from edgefleet.ingest.store import Delivery, NewMessage, open_store
from edgefleet.verify import http_source
from edgefleet.verify.http_source import HttpSource
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ingest.db'}"


@pytest.fixture
async def url(store_url: str) -> AsyncIterator[str]:
    """Of a running ingest."""
    async with serving(store_url) as url:
        yield url


@asynccontextmanager
async def serving(store_url: str, port: int = 0) -> AsyncIterator[str]:
    """An ingest for the length of the block; its URL."""
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(IngestConfig(port=port, store=store_url), stop, ready.set_result))
    try:
        yield await ready
    finally:
        stop.set()
        await running


async def put(store_url: str, *seqs: int) -> None:
    store = await open_store(store_url)
    await store.add(Delivery(50, [NewMessage("d", 2, seq, "gps", 1000 + seq, "{}") for seq in seqs]))
    await store.close()


def seqs(source: HttpSource) -> list[int]:
    return [seq for arrivals in source.read_arrivals() for seq in arrivals.seq]


async def test_only_what_came_since_and_of_these_devices_is_read(url: str, store_url: str) -> None:
    store = await open_store(store_url)
    for received_ms, device, seq in ((10, "d", 0), (50, "d", 1), (60, "e", 2), (70, "f", 3)):
        await store.add(Delivery(received_ms, [NewMessage(device, 2, seq, "gps", 1000, "{}")]))
    await store.close()
    since = HttpSource(url, since_ms=50)
    assert await asyncio.to_thread(seqs, since) == [1, 2, 3]
    named = HttpSource(url, since_ms=50, device_ids=["d", "f"])
    assert await asyncio.to_thread(seqs, named) == [1, 3]
    find = lambda *boots: [seq for found in since.find_arrivals(boots) for seq in found.seq]  # noqa: E731 - for a thread
    assert await asyncio.to_thread(find, ("d", 2), ("e", 2)) == [0]
    assert await asyncio.to_thread(find, ("d", 3)) == [], "of another boot"
    many = HttpSource(url, since_ms=50, device_ids=[f"x-{number}" for number in range(501)])
    assert await asyncio.to_thread(seqs, many) == [1, 2, 3], "too many to name in one question"


async def test_every_page_is_read_and_only_what_is_new_the_next_time(
    url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "CHUNK", 2)
    source = HttpSource(url + "/")
    assert await asyncio.to_thread(seqs, source) == []
    await put(store_url, 4, 1, 2, 3)
    assert await asyncio.to_thread(seqs, source) == [4, 1, 2, 3]
    await put(store_url, 5)
    assert await asyncio.to_thread(seqs, source) == [5]
    source.close()


@pytest.mark.slow
async def test_a_connection_that_the_service_ended_between_two_looks_is_made_anew(store_url: str) -> None:
    port = free_port()
    source = HttpSource(f"http://127.0.0.1:{port}")
    for seq in (1, 2):
        await put(store_url, seq)
        async with serving(store_url, port):
            assert await asyncio.to_thread(seqs, source) == [seq]
    source.close()


def conflicts(source: HttpSource) -> list[tuple[int, int]]:
    return [
        (seq, at_ms)
        for found in source.find_conflicts()
        for seq, at_ms in zip(found.seq, found.arrived_ms, strict=True)
    ]


async def test_ids_under_which_other_content_came_are_read_with_when_it_did(
    url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "CHUNK", 2)
    await put(store_url, 0, 1, 2, 3, 4)
    store = await open_store(store_url)
    for received_ms, seq in ((40, 0), (60, 1), (70, 3), (80, 4)):
        await store.add(Delivery(received_ms, [NewMessage("d", 2, seq, "gps", 1000 + seq, '{"other":1}')]))
    await store.close()
    assert await asyncio.to_thread(conflicts, HttpSource(url, since_ms=50)) == [(1, 60), (3, 70), (4, 80)]
    assert await asyncio.to_thread(conflicts, HttpSource(url, since_ms=50, device_ids=["d"])) == [
        (1, 60),
        (3, 70),
        (4, 80),
    ]
    assert await asyncio.to_thread(conflicts, HttpSource(url, since_ms=50, device_ids=["e"])) == []
    assert await asyncio.to_thread(conflicts, HttpSource(url)) == [(0, 40), (1, 60), (3, 70), (4, 80)]


def test_an_ingest_that_knows_nothing_of_conflicts_has_none() -> None:
    row = b'{"cursor":1,"device_id":"d","boot":2,"seq":0,"kind":"gps","timestamp_ms":1,"received_ms":2,"id":"d:2:0"}'
    with answering(200, b'{"messages":[%s],"next":null}' % row) as url:
        source = HttpSource(url, since_ms=0)
        assert conflicts(source) == []
        source.close()


async def test_the_columns_are_those_of_the_store(url: str, store_url: str) -> None:
    await put(store_url, 7)
    source = HttpSource(url)
    (arrivals,) = await asyncio.to_thread(lambda: list(source.read_arrivals()))
    assert arrivals == ("http", ["d"], [2], [7], [1007], [50], ())
    source.close()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host:port"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=f"ingest '{url}'"):
        HttpSource(url)


def test_an_ingest_that_is_not_there_is_named() -> None:
    with pytest.raises(ServiceUnavailable, match=r"http://127.0.0.1:1 cannot be read: .*refused; is it running there"):
        list(HttpSource("http://127.0.0.1:1").read_arrivals())


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The URL of some other service, that answers everything with this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{other.server_port}"
        finally:
            other.shutdown()
            thread.join()


ROW = b'{"cursor": 1, "device_id": "d", "boot": 1, "seq": 1, "timestamp_ms": 1, "received_ms": 1}'


@pytest.mark.parametrize(
    "body",
    [
        *(b"<html>", b"[]", b'{"messages": [1], "next": null}', b'{"messages": []}'),
        b'{"messages": [], "next": 5}',
        b'{"messages": [%b], "next": 1}' % ROW,  # the same page again and again
        b'{"messages": [%b], "next": 1}' % ROW.replace(b"1,", b'"x",', 1),
    ],
)
def test_another_service_is_recognised(body: bytes) -> None:
    with answering(200, body) as url, pytest.raises(EdgefleetError, match=f"{url} is no edgefleet ingest"):
        read(url)


def test_a_token_that_is_not_known_is_named() -> None:
    with answering(401, b"") as url, pytest.raises(ServiceUnavailable, match="another bearer token; give --ingest-tok"):
        read(url)


def test_an_error_answer_is_named() -> None:
    with answering(503, b"") as url, pytest.raises(ServiceUnavailable, match="answers 503 to GET /messages"):
        read(url)


def read(url: str) -> None:
    source = HttpSource(url)
    try:
        list(source.read_arrivals())
    finally:
        source.close()
