"""Asks a service beside the run for its metrics, in bounded time and size, and reads those that are wanted of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, NoReturn, Protocol

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.redact import show_url

ASK_EVERY_S = 2.0
REST = 10
"""Times as long as an answer has taken nothing is asked: a bridge counts its spool for each."""
ANSWER_S = 3.0
MOST_BYTES = 2 << 20
_LARGEST = 1e13
"""Of a number that is taken: the sum of all that a page can have is a whole number of JSON still."""


class MetricSample(NamedTuple):
    """Holds one number of a page of metrics."""

    labels: Mapping[str, str]
    value: float


def parse_service_url(option: str, text: str) -> str:
    """Return the address of a service without a slash at its end. Raises `ConfigError` for what is none."""
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or url.query_string or url.fragment:
        raise ConfigError(
            f"{option}: '{show_url(text)}' is no address of a service: write http://HOST:PORT, without a query"
        )
    return text.rstrip("/")


class PageReader(Protocol):
    """Names what is needed of a service whose pages are read."""

    async def read(self, path: str, *statuses: int) -> bytes: ...


class ServicePages:
    """Reads pages of one service. Whatever goes wrong is `ServiceUnavailable`, in a sentence without secrets."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def read(self, path: str, *statuses: int) -> bytes:
        """Return the page at a path, which is answered by one of these statuses or 200."""
        try:
            async with self._session.get(f"{self._url}{path}", allow_redirects=False) as response:
                if response.status not in (200, *statuses):
                    raise ServiceUnavailable(f"{path} answers HTTP {response.status}")
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise ServiceUnavailable(f"{path} is more than {MOST_BYTES >> 20} MiB")
                return bytes(body)
        except TimeoutError:
            raise ServiceUnavailable(f"no answer within {ANSWER_S:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise ServiceUnavailable(f"no connection: {error.strerror or 'it cannot be reached'}") from None
        except aiohttp.ClientError as error:
            raise ServiceUnavailable(f"no answer that can be read: {type(error).__name__}") from None


@asynccontextmanager
async def service_pages(url: str) -> AsyncIterator[ServicePages]:
    """Yield what reads the pages of a service, over one connection that is kept."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=1)) as session:
        yield ServicePages(session, url)


async def ask_service(url: str, ask: Callable[[PageReader], Awaitable[None]], clock: Callable[[], float]) -> NoReturn:
    """Ask a service until cancelled, and never more often than it can answer without effort."""
    async with service_pages(url) as pages:
        while True:
            begun_s = clock()
            await ask(pages)
            await asyncio.sleep(max(ASK_EVERY_S, REST * (clock() - begun_s)))


async def read_samples(page: bytes, names: Collection[str]) -> dict[str, list[MetricSample]]:
    """Return the samples of these names off the event loop. Raises `ServiceUnavailable` where it is no such page."""
    return await asyncio.to_thread(parse_samples, page, names)


def parse_samples(page: bytes, names: Collection[str]) -> dict[str, list[MetricSample]]:
    """Return the samples of these names out of a page in the Prometheus text format. Raises as `read_samples`."""
    found: dict[str, list[MetricSample]] = {name: [] for name in names}
    try:
        text = "".join(_lines_of(page.decode(), frozenset(names)))
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if abs(sample.value) <= _LARGEST:  # nor is it no number
                    found[sample.name].append(MetricSample(sample.labels, sample.value))
    except (ValueError, KeyError, IndexError):
        raise ServiceUnavailable("what answers there tells no metrics that can be read") from None
    return found


def _lines_of(text: str, names: frozenset[str]) -> Iterator[str]:
    """Yield the lines that are wanted: a page has many more, of histograms, and each costs time."""
    for line in text.splitlines(keepends=True):
        if line.partition("{")[0].partition(" ")[0] in names:
            yield line
