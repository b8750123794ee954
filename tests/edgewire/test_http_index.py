"""The list of paths at `/`: which form whom is given, and that nothing in it is taken for markup."""

import orjson
import pytest

from edgewire.http_index import ServedPath, render_index

PATHS = [ServedPath("GET", "/healthz", "It works."), ServedPath("POST", "/in", "Takes a message.")]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ([BROWSER], True),
        (["text/html"], True),
        (["TEXT/HTML ; charset=utf-8"], True),
        (["text/*"], True),
        (["application/json;q=0.5", "text/html"], True),
        (["text/html, application/json"], True),
        ([], False),
        ([""], False),
        (["*/*"], False),
        (["application/json"], False),
        (["application/json, text/html;q=0.9"], False),
        (["text/html;q=0.1, */*"], False),
        (["text/html;q=0"], False),
        (["text/html;q=0, text/*"], False),
        (["text/html;q=nan"], False),
        (["text/htmlx"], False),
        ([";;q=,,;" * 1000], False),
    ],
)
def test_whoever_asks_for_html_gets_a_page_and_others_json(accept: list[str], html: bool) -> None:
    page = render_index("a service", PATHS, accept)
    assert page.headers["Content-Type"] == ("text/html; charset=utf-8" if html else "application/json")
    assert page.headers["Vary"] == "Accept"
    if not html:
        assert orjson.loads(page.body) == {"service": "a service", "paths": [path._asdict() for path in PATHS]}


def test_a_page_links_what_a_browser_can_open_and_loads_nothing() -> None:
    page = render_index("a service", PATHS, [BROWSER])
    text = page.body.decode()
    assert '<span>GET</span> <a href="./healthz">/healthz</a></dt><dd>It works.</dd>' in text
    assert "<span>POST</span> /in</dt><dd>Takes a message.</dd>" in text
    assert "prefers-color-scheme:dark" in text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not any(word in text for word in ("<script", "src=", "url(", "http:", "https:"))


def test_what_looks_like_markup_is_text() -> None:
    bad = "<script>alert('\"&')</script>"
    paths = [ServedPath("GET", f"/{bad}", bad), ServedPath(bad, bad, bad)]
    text = render_index(bad, paths, ["text/html"]).body.decode()
    assert "<script" not in text
    assert "alert('" not in text
    assert text.count("&lt;script&gt;alert(&#x27;&quot;&amp;&#x27;)&lt;/script&gt;") == 8
