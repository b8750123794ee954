"""Serves the page on which people watch a run and change it. All that it knows it asks of the interface."""

import re
from importlib.resources import files
from pathlib import PurePath

from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException

PAGE_PATH = "/page/"

_FOLDER = files("edgefleet.control.page")
_CHARTS = files("edgefleet.report.html")
_RUN = re.compile(r"^/runs/[0-9]{1,6}(?=/|$)")
"""Where one of several runs is served."""
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_ASSETS = {
    **{one.name: one for one in _FOLDER.iterdir() if PurePath(one.name).suffix in _MEDIA_TYPES},
    # Reports have them as well.
    **{name: _CHARTS.joinpath(name) for name in ("charts.css", "charts.js", "run_charts.js")},
}

# A browser loads from this service alone, and runs no script that stands in the page itself.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def is_page(method: str, path: str) -> bool:
    """Return whether a request is for the page itself, which tells nothing of a run and asks for its token."""
    path = _RUN.sub("", path, count=1)
    return method in ("GET", "HEAD") and (path in ("", "/") or path.removeprefix(PAGE_PATH) in _ASSETS)


def add_run_page(app: FastAPI) -> None:
    """Add the page at `/`, and what it loads."""

    async def page() -> Response:
        return Response(_FOLDER.joinpath("index.html").read_bytes(), headers=_HEADERS, media_type="text/html")

    async def asset(name: str) -> Response:
        found = _ASSETS.get(name)
        if found is None:
            raise HTTPException(404, "there is no such file")
        media_type = _MEDIA_TYPES[PurePath(name).suffix]
        return Response(found.read_bytes(), headers=_HEADERS, media_type=media_type)

    for path, answer in (("/", page), (f"{PAGE_PATH}{{name}}", asset)):
        app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False, response_class=Response)
