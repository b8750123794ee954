"""Which proxy a request goes through, and that no password of one is shown."""

import asyncio

import pytest
from pydantic import ValidationError

from bridge.sinks.base import Retry
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.proxy import ProxyChooser
from bridge.sinks.http.sink import HttpSink
from edgewire.errors import ConfigError
from tests.bridge.fakes import TABLE, routed
from tests.tcp import tcp_server

_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "setting", "url", "proxy"),
    [
        ({}, "environment", "http://h/x", None),
        ({"HTTP_PROXY": "http://p:3128"}, "environment", "http://h/x", "http://p:3128"),
        ({"http_proxy": "p:3128"}, "environment", "http://h:81/x?y", "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128"}, "environment", "https://h/x", None),
        ({"HTTPS_PROXY": "http://u:pw@p:3128"}, "environment", "https://h/x", "http://u:pw@p:3128"),
        ({"ALL_PROXY": "http://p:1"}, "environment", "https://h/x", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "h,.example.org"}, "environment", "http://h:8000/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".example.org"}, "environment", "http://a.example.org/", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".example.org"}, "environment", "http://example.com/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, "environment", "http://h/", None),
        ({"HTTP_PROXY": "http://p:1"}, "none", "http://h/", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "h"}, "http://q:2", "http://h/", "http://q:2"),
    ],
)
def test_the_environment_chooses_unless_the_configuration_does(
    environment: dict[str, str], setting: str, url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chooser = ProxyChooser(HttpSinkConfig(proxy=setting).proxy)
    assert chooser.proxy_for(url) == proxy
    assert (" through the proxy " in chooser.describe(url)) is (proxy is not None)
    assert "pw" not in chooser.describe(url)


@pytest.mark.parametrize("url", ["socks5://u:s3cret@p:1080", "https://u:s3cret@p", "http://", "http://u:s3cret@p:0"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", url)
    with pytest.raises(ConfigError, match="the environment's proxy for http is none of the form") as raised:
        HttpSink(HttpSinkConfig(), TABLE.targets_in("http"), "bridge-1")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("setting", ["socks5://p:1", "p:3128", "http://u:pw@p", "http://p/path", "", "off"])
def test_a_setting_that_is_no_proxy_is_refused(setting: str) -> None:
    with pytest.raises(ValidationError, match="a proxy is environment, none or http://HOST:PORT"):
        HttpSinkConfig(proxy=setting)


async def test_messages_go_through_the_proxy_and_its_answers_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []
    heads: list[bytes] = []
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"] * 2

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        lines.append(head.split(b"\r\n")[0])
        writer.write(answers[len(lines) - 1])
        await writer.drain()
        writer.close()

    async with tcp_server(serve) as port:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://ann:s3cret@127.0.0.1:{port}")
        found = []
        for url in ("http://far.example.org", "http://far.example.org", "https://far.example.org"):
            sink = HttpSink(HttpSinkConfig(url=url), TABLE.targets_in("http"), "bridge-1")
            await sink.connect()
            if lines == []:
                assert "through the proxy 127.0.0.1" in sink._client.proxies.describe(url)
            if url.startswith("https"):
                answers[2] = answers[1]
            found.append((await sink.write("lane", [routed(1)])).get(0))
            await sink.close()
    assert lines == [
        b"POST http://far.example.org/ingest/batch HTTP/1.1",
        b"POST http://far.example.org/ingest/batch HTTP/1.1",
        b"CONNECT far.example.org:443 HTTP/1.1",
    ]
    assert all(b"Proxy-Authorization: Basic" in head for head in heads)
    assert found[0] is None
    for one, cause in ((found[1], "407"), (found[2], "proxy")):
        assert isinstance(one, Retry)
        assert (one.cause, one.needs_operator) == (cause, True)
        assert "s3cret" not in one.reason
