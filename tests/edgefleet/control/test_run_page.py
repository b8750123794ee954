"""The page is served to whoever reaches the interface, tells nothing by itself, and loads nothing from afar."""

import asyncio
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.edgefleet.control.test_server import TOKEN, served

PAGE = files("edgefleet.control.page")
CHARTS = files("edgefleet.report.html")
SHARED = ("charts.css", "charts.js", "run_charts.js")
LOADED = sorted([*SHARED, *(one.name for one in PAGE.iterdir() if one.name.endswith((".css", ".js")))])
ASSETS = sorted(re.findall(r"""["']\.?/?(?:page/)?([a-z]+\.(?:css|js))["']""", PAGE.joinpath("index.html").read_text()))


async def ask(method: str, url: str, **options: Any) -> requests.Response:
    return await asyncio.to_thread(requests.request, method, url, timeout=10, **options)


@pytest.mark.parametrize("token", [None, TOKEN])
async def test_the_page_and_what_it_loads_need_no_token_and_all_else_does(tmp_path: Path, token: str | None) -> None:
    async with served(tmp_path, token) as (url, _):
        page = await ask("GET", f"{url}/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for name in LOADED:
            asset = await ask("GET", f"{url}/page/{name}")
            assert asset.status_code == 200
            assert asset.headers["content-type"].startswith("text/css" if name.endswith("css") else "text/javascript")
            assert asset.headers["x-content-type-options"] == "nosniff"
        for path in ("/v1/status", "/v1/groups", "/page/__init__.py", "/page/none.js", "/docs"):
            expected = 401 if token else (404 if path.startswith("/page") else 200)
            assert (await ask("GET", url + path)).status_code == expected, path
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert (await ask("GET", f"{url}/v1/status", headers=bearer)).status_code == 200
        assert (await ask("POST", f"{url}/", json={})).status_code == (401 if token else 405)
        foreign = {"origin": "http://elsewhere.example"}
        assert (await ask("GET", f"{url}/", headers=foreign)).status_code == 403
        assert (await ask("GET", f"{url}/", headers={"host": "rebound.example"})).status_code == (200 if token else 421)


async def test_a_browser_runs_no_script_but_the_files_of_the_page(tmp_path: Path) -> None:
    async with served(tmp_path) as (url, _):
        page = await ask("GET", f"{url}/")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert ASSETS == ["charts.css", "page.css", "page.js"]
    for name in ("index.html", *LOADED):
        text = (CHARTS if name in SHARED else PAGE).joinpath(name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|innerHTML|insertAdjacentHTML|document\.write|eval\(", text), name
        assert not re.search(r" on[a-z]+=| style=", text), name
