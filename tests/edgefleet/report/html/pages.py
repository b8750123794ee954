"""Reads a report as a browser does, as far as tests need it."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

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


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page, self.open = page, list[str]()
        self.path: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.page.tags.append(tag)
        self.page.loads += [value or "" for name, value in attrs if name in LOADING]
        self.page.unlabelled += given.get("role") in ("img", "region") and not given.get("aria-label")
        if tag == "svg":
            assert given.get("aria-hidden") == "true"
        if tag not in VOID:
            self.open.append(tag)
        self.path = given.get("data-figure")

    def handle_data(self, data: str) -> None:
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
    """Fail where anything would be loaded or run, or a picture has no words."""
    assert page.loads == []
    assert not {"script", "link", "iframe", "img", "object", "embed", "base", "form"} & set(page.tags)
    assert not re.search(r"url\(|@import|javascript:|\son\w+=", page.text)
    assert "default-src &#x27;none&#x27;" in page.text
    assert page.unlabelled == 0
