"""Serves what people look at: the list of paths at `/`, and Swagger UI at `/docs`, which works without any network."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles

from edgewire.http_index import ServedPath, render_index

DOCS_PATH = "/docs"
ASSETS_PATH = "/docs/assets"

# A browser lets the page load from this service alone. Swagger UI sets styles and draws its icons from `data:`.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_pages(app: FastAPI) -> None:
    """Add `/`, `/docs` and its assets to a service that was made without FastAPI's own, which load from a CDN.

    There is no `/redoc`: ReDoc loads a picture from its maker's CDN, wherever it is served from itself.
    """

    files = StaticFiles(packages=[("fastapi_offline", "static")])

    async def index(request: Request) -> Response:
        page = render_index(app.title, _served_paths(app.openapi()), request.headers.getlist("accept"))
        return Response(page.body, headers=page.headers)

    async def docs() -> Response:
        # The addresses are relative: a proxy may put the service under any path.
        assets = ASSETS_PATH.lstrip("/")
        page = get_swagger_ui_html(
            title=app.title,
            openapi_url="openapi.json",
            swagger_js_url=f"{assets}/swagger-ui-bundle.js",
            swagger_css_url=f"{assets}/swagger-ui.css",
            swagger_favicon_url=f"{assets}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # it would send the description to its makers' service
        )
        page.headers["Content-Security-Policy"] = _POLICY
        return page

    async def asset(request: Request, name: str) -> Response:
        return await files.get_response(name, request.scope)

    for path, page in (("/", index), (DOCS_PATH, docs), (f"{ASSETS_PATH}/{{name}}", asset)):
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False, response_class=Response)


def _served_paths(description: dict[str, Any]) -> Iterator[ServedPath]:
    """Yield every path of an OpenAPI description, with the first line that it says of it, without Markdown."""
    yield ServedPath("GET", DOCS_PATH, "This API, with examples to try.")
    yield ServedPath("GET", "/openapi.json", "The same for programs, as OpenAPI.")
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            said = operation["description"].partition("\n")[0].replace("`", "")
            token = " Needs a bearer token." if operation.get("security") else ""
            yield ServedPath(method.upper(), path, said + token)
