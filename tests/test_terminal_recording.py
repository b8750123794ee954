"""The recording of the README can be made again: a demo in a terminal, as a picture that ends with its verdict."""

import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
RECORDING = runpy.run_path(str(ROOT / "docs" / "terminal.py"))
SVG = "{http://www.w3.org/2000/svg}"


def screen_after(*pieces: str, columns: int = 10, rows: int = 3) -> tuple[str, Any]:
    screen = RECORDING["Screen"](columns, rows)
    for piece in pieces:
        screen.feed(piece)
    return RECORDING["frame_text"](screen.frame()), screen.frame()


def assert_told_to_all(picture: str) -> None:
    """It has the verdict in its last screen and its description, light and dark, and nothing that moves for ever."""
    # What is parsed is what this repository has just written.
    root = ElementTree.fromstring(picture)
    described = root.find(f"{SVG}desc")
    last = root.find(f"{SVG}g[@class='last']")
    assert described is not None
    assert last is not None
    shown = ["".join(one.itertext()) for one in last]
    assert "PASS" in shown
    assert re.search(r"^PASS .*lost 0", described.text or "", re.MULTILINE)
    assert root.find(f"{SVG}title") is not None
    assert root.get("role") == "img"
    assert not list(root.iter(f"{SVG}script"))
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "").split("<desc")[0]
    assert "prefers-reduced-motion:reduce" in picture
    assert "prefers-color-scheme:dark" in picture
    assert "infinite" not in picture
    assert float(root.get("width") or 0) < 760, "80 columns"


@pytest.mark.documents
@pytest.mark.services
def test_a_demo_is_recorded_to_its_verdict() -> None:
    picture = RECORDING["record_demo"]("2s")
    assert_told_to_all(picture)
    assert picture.count('class="frame"') > 2


def test_the_recording_that_the_readme_shows_says_pass() -> None:
    assert "docs/images/demo.svg" in (ROOT / "README.md").read_text()
    assert_told_to_all((ROOT / "docs" / "images" / "demo.svg").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("a\r\nb\r\nc\r\nd",), "b\nc\nd"),
        (("0123456789ab",), "0123456789\nab"),
        (("old\r\n\x1b[", "1A\x1b[2Knew"), "new"),
        (("ab\rc\x1b[?25l\x1b[0m",), "cb"),
    ],
    ids=["scrolled", "wrapped", "written again", "overwritten"],
)
def test_a_screen_shows_what_a_terminal_would(pieces: tuple[str, ...], text: str) -> None:
    assert screen_after(*pieces)[0] == text


def test_styles_are_kept_and_what_is_not_known_is_an_error() -> None:
    _, frame = screen_after("\x1b[1;32ma\x1b[22mb\x1b[0mc")
    assert [style.classes for _, style in frame[0][:3]] == ["bold green", "green", ""]
    with pytest.raises(ValueError, match="teach it"):
        screen_after("\x1b[5m")
    with pytest.raises(ValueError, match="teach it"):
        screen_after("\x1b[2J")
