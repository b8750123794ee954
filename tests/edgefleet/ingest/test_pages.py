"""What people look at: `/`, and `/docs`, which a browser without any network shows."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest

from edgefleet.ingest.server import IngestConfig
from tests.edgefleet.ingest.conftest import serving

Client = aiohttp.ClientSession

ATTRIBUTES = {"src", "href", "srcset", "data", "poster", "action"}


class References(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, _: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attributes if name in ATTRIBUTES and value]


async def test_the_docs_page_loads_everything_from_the_service(service: Client) -> None:
    async with service.get("/docs") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        base = answer.url
    described = re.findall(r"url: '([^']+)'", page)
    references = References(page).found + described
    assert len(references) == 4
    types = set()
    for reference in references:
        assert not urlsplit(reference).netloc
        assert not reference.startswith("/"), "a proxy may put the service under any path"
        async with service.get(urljoin(str(base), reference)) as answer:
            assert answer.status == 200, reference
            types.add(answer.content_type)
            text = await answer.text("latin-1")
        if reference.endswith(".css"):
            loaded = re.findall(r"url\(\s*[\"']?([^\"')]*)", text)
            assert all(one.startswith(("data:", "#")) for one in loaded)
            assert "@import" not in text
    assert types == {"text/javascript", "text/css", "image/png", "application/json"}
    # Whatever the scripts would like to load.
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*", policy)
    assert '"validatorUrl": null' in page


@pytest.mark.parametrize(
    "path",
    ["/docs/assets/nothing.js", "/docs/assets/..%2f__init__.py", "/docs/assets/", "/redoc"],
)
async def test_nothing_else_is_served(service: Client, path: str) -> None:
    async with service.get(path) as answer:
        assert answer.status == 404
        assert "error" in await answer.json()


async def test_the_metrics_name_the_pages_by_their_routes(service: Client) -> None:
    for path in ("/", "/docs", "/docs/assets/favicon.png", "/docs/assets/nothing.js"):
        async with service.get(path) as answer:
            await answer.read()
    async with service.get("/metrics") as answer:
        text = await answer.text()
    routes = set(re.findall(r'request_seconds_count\{route="([^"]+)"', text))
    assert routes == {"/", "/docs", "/docs/assets/{name}"}


async def test_the_root_lists_every_path_with_a_sentence(config: IngestConfig) -> None:
    async with serving(replace(config, tokens=["a-secret"])) as client:
        async with client.get("/openapi.json") as answer:
            described = await answer.json()
        async with client.get("/") as answer:
            assert (answer.status, answer.content_type) == (200, "application/json")
            listed = await answer.json()
        async with client.get("/", headers={"Accept": "text/html,*/*;q=0.8"}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
            page = await answer.text()
        async with client.head("/") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        sentences = {(one["method"], one["path"]): one["sentence"] for one in listed["paths"]}
        operations = {(method.upper(), path) for path, found in described["paths"].items() for method in found}
        assert sentences.keys() == operations | {("GET", "/docs"), ("GET", "/openapi.json")}
        assert all(sentence.endswith(".") and "`" not in sentence for sentence in sentences.values())
        assert sentences["GET", "/stats"].endswith("Needs a bearer token.")
        assert "token" not in sentences["GET", "/healthz"]
        assert "a-secret" not in page + str(listed)
        links = References(page).found
        assert {f"./{path[1:]}" for method, path in sentences if method == "GET"} == set(links)
        for link in links:
            async with client.get(urljoin("/", link), headers={"Authorization": "Bearer a-secret"}) as answer:
                assert answer.status == 200, link
