"""Says at `/` of an HTTP service what it serves: as a page to a browser, as JSON to everybody else."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

HTML = "text/html; charset=utf-8"
JSON = "application/json"

# The page loads nothing, whatever stands in it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = (
    ":root{color-scheme:light dark;--bg:#fff;--text:#1f2328;--quiet:#59636e;--edge:#d1d9e0;--link:#0969da}"
    "@media(prefers-color-scheme:dark){"
    ":root{--bg:#0d1117;--text:#e6edf3;--quiet:#9198a1;--edge:#30363d;--link:#4493f8}}"
    'body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}'
    "main{max-width:820px;margin:0 auto;padding:28px 24px}h1{font-size:22px;margin:0 0 12px}dl,dd{margin:0}"
    "dl div{border-top:1px solid var(--edge);padding:8px 0}dt{font-family:ui-monospace,Consolas,monospace;"
    "font-size:14px;overflow-wrap:anywhere}dt span{color:var(--quiet)}dd{color:var(--quiet)}a{color:var(--link)}"
)

_QUALITY = re.compile(r"q=(0(\.\d{0,3})?|1(\.0{0,3})?)", re.IGNORECASE)


class ServedPath(NamedTuple):
    """Holds one path of a service, and a sentence about what it is for."""

    method: str
    path: str
    sentence: str


class IndexPage(NamedTuple):
    """Holds the answer to a GET of `/`."""

    body: bytes
    headers: dict[str, str]


def render_index(service: str, paths: Iterable[ServedPath], accept: Sequence[str]) -> IndexPage:
    """Return the list of a service's paths in the form that the request's `Accept` headers ask for."""
    headers = {"Vary": "Accept", "X-Content-Type-Options": "nosniff"}
    if _prefers_html(",".join(accept)):
        page = _render_html(service, paths)
        return IndexPage(page, headers | {"Content-Type": HTML, "Content-Security-Policy": _POLICY})
    document = {"service": service, "paths": [path._asdict() for path in paths]}
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return IndexPage(body, headers | {"Content-Type": JSON})


def _prefers_html(accept: str) -> bool:
    """Tell whether HTML is asked for, and not less than JSON; `*/*`, as programs send it, asks for no page."""
    qualities: dict[str, float] = {}
    for one in accept.split(","):
        media, *parameters = (part.strip().lower() for part in one.split(";"))
        stated = [parameter for parameter in parameters if parameter.startswith("q=")]
        match = _QUALITY.fullmatch(stated[0]) if stated else None
        if match or not stated:
            qualities[media] = float(match[1]) if match else 1.0
    as_html = _first(qualities, "text/html", "text/*")
    return as_html > 0 and as_html >= _first(qualities, "application/json", "application/*", "*/*")


def _first(qualities: dict[str, float], *ranges: str) -> float:
    """Return the quality of the most specific range that is stated."""
    return next((qualities[one] for one in ranges if one in qualities), 0.0)


def _render_html(service: str, paths: Iterable[ServedPath]) -> bytes:
    rows = "".join(
        f"<div><dt><span>{html.escape(method)}</span> {_link(method, path)}</dt><dd>{html.escape(sentence)}</dd></div>"
        for method, path, sentence in paths
    )
    title = html.escape(service)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1><dl>{rows}</dl></main></body></html>\n"
    ).encode()


def _link(method: str, path: str) -> str:
    """Return the path, as a link where a browser can follow it; relative, as a proxy may put the service anywhere."""
    text = html.escape(path)
    return f'<a href="./{html.escape(path.lstrip("/"))}">{text}</a>' if method == "GET" else text
