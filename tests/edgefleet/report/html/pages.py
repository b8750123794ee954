"""Reads a report as a browser does, as far as tests need it."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import orjson

LOADING = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}
VOID = {"meta"}


@dataclass
class Page:
    """What a test asks about."""

    text: str
    tags: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    """Values of attributes for which a browser asks somebody."""
    figures: dict[str, set[str]] = field(default_factory=dict)
    """Place in the JSON -> how the page shows it."""
    unlabelled: int = 0
    """Pictures without a sentence about them."""
    charts: list[dict[str, Any]] = field(default_factory=list)
    """What is drawn."""
    scripts: list[str] = field(default_factory=list)
    """What runs."""
    styles: list[str] = field(default_factory=list)
    policy: str = ""

    def chart(self, title: str) -> dict[str, Any]:
        """Return the chart of this title; without one, of this type."""
        return next(one for one in self.charts if title in (one.get("title"), one["type"]))


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page, self.open = page, list[str]()
        self.path: str | None = None
        self.script: str | None = None
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.page.tags.append(tag)
        self.page.loads += [value or "" for name, value in attrs if name in LOADING]
        self.page.unlabelled += given.get("role") in ("img", "region") and not given.get("aria-label")
        if tag == "svg":
            assert given.get("aria-hidden") == "true" or given.get("aria-label")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.page.policy = given["content"] or ""
        self.script = given.get("type") if tag == "script" else None
        self.in_style = tag == "style"
        if tag not in VOID:
            self.open.append(tag)
        self.path = given.get("data-figure")

    def handle_data(self, data: str) -> None:
        if self.script == "application/json":
            self.page.charts.append(orjson.loads(data))
        elif self.script:
            self.page.scripts.append(data)
        elif self.in_style:
            self.page.styles.append(data)
        self.script, self.in_style = None, False
        if self.path:
            self.page.figures.setdefault(self.path, set()).add(data)
            self.path = None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read_page(content: bytes) -> Page:
    """Return the page; fails where an element is not closed, or in the wrong order."""
    page = Page(content.decode())
    assert page.text.startswith("<!DOCTYPE html>")
    reader = _Reader(page)
    reader.feed(page.text)
    reader.close()
    assert not reader.open
    return page


def require_self_contained(page: Page) -> None:
    """Fail where anything would be loaded, or run that is not ours, or a picture has no words."""
    assert page.loads == []
    (script,), (style,) = page.scripts, page.styles
    for kind, content in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in page.policy
    assert not re.search(r"^(import|export) |</|<!--|fetch\(|innerHTML|eval\(", script, re.MULTILINE)
    assert page.tags.count("script") == len(page.charts) + 1
    assert page.tags.count("details") >= sum(one["type"] != "spark" for one in page.charts)
    assert not {"link", "iframe", "img", "object", "embed", "base", "form"} & set(page.tags)
    assert not re.search(r"url\(|@import|javascript:|\son\w+=|\sstyle=", page.text.replace(script, ""))
    assert page.policy.startswith("default-src 'none';")
    assert page.unlabelled == 0
