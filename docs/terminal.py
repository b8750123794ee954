"""Records `edgefleet demo` as a terminal of 80 columns shows it, as docs/images/demo.svg: `python docs/terminal.py`.

What the program writes to a pseudo-terminal is put on a screen of characters, which is drawn every other second. The
picture plays once and stays at its end; it has no scripts, follows the light or dark of its reader, and stands still
for those who want no motion.
"""

import codecs
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from html import escape
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

IMAGE = Path(__file__).parent / "images" / "demo.svg"
COLUMNS, ROWS = 80, 32
EVERY_S = 2.0
"""So long after a screen the next one is taken, at the least."""
LONGEST_S = 1.0
"""Longer than this no screen is shown: the picture is faster than the run."""
LIMIT_S = 300.0
CELL_W, CELL_H, EDGE = 8.4, 17, 12

_ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07]*\x07|[\r\n]|[^\x1b\r\n]")
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


class Style(NamedTuple):
    """Says how a character is shown."""

    bold: bool = False
    dim: bool = False
    italic: bool = False
    colour: str = ""

    @property
    def classes(self) -> str:
        """Return the names of what is not plain."""
        named = [name for name in ("bold", "dim", "italic") if getattr(self, name)]
        return " ".join([*named, self.colour] if self.colour else named)


Cell = tuple[str, Style]
Frame = tuple[tuple[Cell, ...], ...]


class Screen:
    """Holds what a terminal shows. It knows what edgefleet writes; anything else is an error and no wrong picture."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._cells: list[list[Cell]] = [self._blank() for _ in range(rows)]
        self._row = self._column = 0
        self._style = Style()
        self._rest = ""

    def feed(self, text: str) -> None:
        """Show more of what was written. Raises `ValueError` for what the terminal does not know."""
        text, self._rest = self._rest + text, ""
        # An escape sequence may come in two pieces.
        if (start := text.rfind("\x1b")) >= 0 and not _ESCAPE.match(text, start):
            text, self._rest = text[:start], text[start:]
        for found in _ESCAPE.finditer(text):
            if found[2] is not None:
                self._control(found[1], found[2])
            elif found[0] == "\r":
                self._column = 0
            elif found[0] == "\n":
                self._feed_line()
            elif not found[0].startswith("\x1b"):
                self._put(found[0])

    def frame(self) -> Frame:
        """Return what is shown now."""
        return tuple(tuple(row) for row in self._cells)

    def _blank(self) -> list[Cell]:
        return [(" ", Style())] * self._columns

    def _put(self, character: str) -> None:
        if self._column == self._columns:
            self._column = 0
            self._feed_line()
        self._cells[self._row][self._column] = character, self._style
        self._column += 1

    def _feed_line(self) -> None:
        if self._row < self._rows - 1:
            self._row += 1
            return
        self._cells = [*self._cells[1:], self._blank()]

    def _control(self, numbers: str, command: str) -> None:
        match command, numbers:
            case "m", _:
                for number in numbers.split(";"):
                    self._set_style(int(number or 0))
            case "A", _:
                self._row = max(0, self._row - int(numbers or 1))
            case "K", "2":
                self._cells[self._row] = self._blank()
            case (("h" | "l"), "?25"):
                pass  # the cursor is not drawn
            case _:
                raise ValueError(f"ESC [ {numbers}{command} is written, and this terminal does not know it: teach it")

    def _set_style(self, number: int) -> None:
        colour = {**{30 + place: name for place, name in enumerate(_COLOURS)}, 39: ""}
        match number:
            case 0:
                self._style = Style()
            case 1:
                self._style = self._style._replace(bold=True)
            case 2:
                self._style = self._style._replace(dim=True)
            case 3:
                self._style = self._style._replace(italic=True)
            case 22:
                self._style = self._style._replace(bold=False, dim=False)
            case 23:
                self._style = self._style._replace(italic=False)
            case _ if number in colour or number - 60 in colour:
                self._style = self._style._replace(colour=colour.get(number, colour.get(number - 60, "")))
            case _:
                raise ValueError(f"ESC [ {number}m is written, and this terminal does not know it: teach it")


def frame_text(frame: Frame) -> str:
    """Return the characters of a screen."""
    return "\n".join("".join(character for character, _ in row).rstrip() for row in frame).rstrip()


def record(command: Sequence[str], columns: int = COLUMNS, rows: int = ROWS) -> list[tuple[float, Frame]]:
    """Run a command of this Python in a terminal; return what it shows and since when (s). Raises `SystemExit`."""
    screen, began = Screen(columns, rows), time.monotonic()
    screen.feed(f"\x1b[1m$ {' '.join(command)}\x1b[0m\r\n")
    frames = [(0.0, screen.frame())]
    for text in _output([sys.executable, "-m", *command], columns, rows):
        screen.feed(text)
        if (now_s := time.monotonic() - began) - frames[-1][0] >= EVERY_S:
            frames.append((now_s, screen.frame()))
    return [*frames, (time.monotonic() - began, screen.frame())]


def _output(command: Sequence[str], columns: int, rows: int) -> Iterator[str]:
    own, its = pty.openpty()
    ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": str(rows)}
    decoder, deadline = codecs.getincrementaldecoder("utf-8")(), time.monotonic() + LIMIT_S
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        try:
            while time.monotonic() < deadline:
                if not select.select([own], [], [], 0.5)[0]:
                    continue
                try:
                    some = os.read(own, 65536)
                except OSError:  # EIO: nobody has it open any more
                    some = b""
                if not some:
                    break
                yield decoder.decode(some)
            else:
                raise SystemExit(f"{' '.join(command)}: did not end within {LIMIT_S:g} s")
        finally:
            process.kill() if time.monotonic() >= deadline else process.wait(30)
            os.close(own)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: failed with exit code {process.returncode}: try it by itself")


STYLE = """\
svg{--paper:#fff;--ink:#1f2328;--dim:#59636e;--red:#b3261e;--green:#116329;--yellow:#7d4e00;--blue:#0550ae}
@media (prefers-color-scheme:dark){
svg{--paper:#0d1117;--ink:#e6edf3;--dim:#9198a1;--red:#ff7b72;--green:#56d364;--yellow:#e3b341;--blue:#79c0ff}}
.paper{fill:var(--paper);stroke:var(--dim)}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:var(--ink)}
text{white-space:pre}
.bold{font-weight:700}.dim{fill:var(--dim)}.italic{font-style:italic}
.red{fill:var(--red)}.green{fill:var(--green)}.yellow{fill:var(--yellow)}.blue,.cyan,.magenta{fill:var(--blue)}
.frame{visibility:hidden;animation:shown 1s 1 linear}
.last{visibility:visible;animation:hidden 1s 1 linear}
@keyframes shown{from,to{visibility:visible}}
@keyframes hidden{from,to{visibility:hidden}}
@media (prefers-reduced-motion:reduce){.frame,.last{animation:none!important}}
"""
"""The last screen is there where nothing moves: it is hidden while the others are shown, one after the other."""


def draw_svg(frames: Sequence[tuple[float, Frame]], title: str) -> str:
    """Return screens as one picture that plays them; its description is what the last of them says."""
    rows = max(frame_text(frame).count("\n") + 1 for _, frame in frames)
    width = round(len(frames[0][1][0]) * CELL_W + 2 * EDGE)
    height = rows * CELL_H + 2 * EDGE
    last = frames[-1][1]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(frame_text(last))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width - 1}" height="{height - 1}" x=".5" y=".5" rx="8"/>',
    ]
    since = 0.0
    for (begin_s, frame), (end_s, _) in pairwise(frames):
        shown = min(end_s - begin_s, LONGEST_S)
        parts.append(f'<g class="frame" style="animation-delay:{since:.2f}s;animation-duration:{shown:.2f}s">')
        parts += [*_draw_rows(frame), "</g>"]
        since += shown
    style = f' style="animation-duration:{since:.2f}s"' if since else ' style="animation:none"'
    parts += [f'<g class="last"{style}>', *_draw_rows(last), "</g>", "</svg>", ""]
    return "\n".join(parts)


def _draw_rows(frame: Frame) -> Iterator[str]:
    for number, row in enumerate(frame):
        column = 0
        for style, cells in groupby(row, key=lambda cell: cell[1]):
            text = "".join(character for character, _ in cells)
            if text.strip():
                yield _draw_run(text, style, number, column)
            column += len(text)


def _draw_run(text: str, style: Style, row: int, column: int) -> str:
    column, text = column + len(text) - len(text.lstrip()), text.strip()
    named = f' class="{style.classes}"' if style.classes else ""
    place = f'x="{EDGE + column * CELL_W:.1f}" y="{EDGE + row * CELL_H + 13}" textLength="{len(text) * CELL_W:.1f}"'
    return f"<text{named} {place}>{escape(text)}</text>"


def record_demo(duration: str) -> str:
    """Return the picture of a demo that runs for so long."""
    command = ["edgefleet", "demo", "--duration", duration]
    return draw_svg(record(command), " ".join(command))


if __name__ == "__main__":
    IMAGE.write_text(record_demo("20s"), encoding="utf-8")
