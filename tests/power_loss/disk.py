"""A disk that loses power: what was synced stays, and of the rest any part may be there.

The model is stricter than common file systems: a write is there by sectors, in any combination; a new name is there
only once its folder is synced; the changes of one folder's names keep their order, as a journal does.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.power_loss.syscalls import Syscall

_SECTOR = 512
_PAGE = 4096


class Survival(Enum):
    """What is left of that which was not synced."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    NAMES = "names without contents"
    SOME = "some names, some pages, one of them torn"


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Resize:
    size: int


@dataclass(eq=False, slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Write | _Resize] = field(default_factory=list)
    size: int = 0
    """As the program sees it."""

    def write(self, offset: int, data: bytes) -> None:
        self.pending.append(_Write(offset, data))
        self.size = max(self.size, offset + len(data))

    def resize(self, size: int) -> None:
        self.pending.append(_Resize(size))
        self.size = size

    def sync(self, upto: int) -> None:
        """Make the first `upto` pending changes durable."""
        for change in self.pending[:upto]:
            _apply(self.durable, change)
        del self.pending[:upto]

    def after(self, survival: Survival, rng: random.Random) -> bytes:
        left = bytearray(self.durable)
        if survival is Survival.EVERYTHING:
            for change in self.pending:
                _apply(left, change)
        elif survival is Survival.SOME:
            for change in self.pending:
                for piece in _pieces(change, rng):
                    _apply(left, piece)
        return bytes(left)


@dataclass(eq=False, slots=True)
class _Folder:
    entries: dict[str, "_File | _Folder"] = field(default_factory=dict)
    """As the program sees them."""
    durable: dict[str, "_File | _Folder"] = field(default_factory=dict)
    pending: list[dict[str, "_File | _Folder | None"]] = field(default_factory=list)
    """Changes of names, each there as a whole or not at all; None: the name is gone."""

    def change(self, names: dict[str, "_File | _Folder | None"]) -> None:
        self.pending.append(names)
        _put_names(self.entries, names)

    def sync(self, upto: int) -> None:
        for names in self.pending[:upto]:
            _put_names(self.durable, names)
        del self.pending[:upto]

    def after(self, survival: Survival, rng: random.Random) -> dict[str, "_File | _Folder"]:
        kept = {Survival.NOTHING: 0, Survival.SOME: rng.randint(0, len(self.pending))}.get(survival, len(self.pending))
        left = dict(self.durable)
        for names in self.pending[:kept]:
            _put_names(left, names)
        return left


@dataclass(slots=True)
class _Open:
    node: _File | _Folder
    appends: bool = False
    position: int = 0


class UnknownCall(Exception):
    """The program did something with the folder that the model does not know."""


class RecordedDisk:
    """What was done with one folder, which was there and empty at the start, and what a power loss leaves of it.

    The program has to name what is in it by absolute paths.
    """

    def __init__(self, root: Path) -> None:
        self._root = _Folder()
        self._place = str(root)
        self._open: dict[int, _Open] = {}
        self._syncing: dict[int, int] = {}
        """By thread: how many pending changes there were when its sync began."""
        self._closing: set[int] = set()
        """Threads whose close has begun."""

    def apply(self, call: Syscall) -> bool:
        """Take a call; return whether it touched the folder. Raises `UnknownCall`."""
        act = self._ACTS.get(call.name)
        if act is None:
            written = call.numbers[self._WRITTEN[call.name]] if call.name in self._WRITTEN else "-1"
            is_ours = int(written) in self._open or any(self._names(text) is not None for text in call.texts)
            if is_ours and call.result is not None and call.result >= 0:
                raise UnknownCall(call.name)
            return False
        if call.result is None:
            return self._begin(call)
        return call.result >= 0 and act(self, call)

    def _begin(self, call: Syscall) -> bool:
        """Take the begin of a call that others overtake, where that is what counts."""
        if call.name in {"fsync", "fdatasync"} and (opened := self._open.get(int(call.numbers[0]))):
            self._syncing[call.thread] = len(opened.node.pending)
        if call.name == "close":  # another thread may be given the number before it ends
            self._closing.add(call.thread)
            return self._open.pop(int(call.numbers[0]), None) is not None
        return False

    def lose_power(self, survival: Survival, rng: random.Random) -> dict[str, bytes | None]:
        """Return what is left: contents by path below the folder, None for a folder."""
        left: dict[str, bytes | None] = {}
        _collect(self._root, "", left, survival, rng)
        return left

    # -- calls, each of which says whether it concerned the folder

    def _open_file(self, call: Syscall) -> bool:
        assert call.result is not None
        path, flags = call.texts[-1], "".join(call.numbers)
        self._open.pop(call.result, None)
        if (place := self._names(path)) is None:
            return False
        if not place:
            self._open[call.result] = _Open(self._root)
            return True
        folder, name = self._find(place)
        node = folder.entries.get(name)
        if node is None and "O_CREAT" not in flags:
            raise UnknownCall(f"{place} is opened, and nothing is known of it")
        if node is None:
            node = _File()
            folder.change({name: node})
        elif "O_TRUNC" in flags and isinstance(node, _File) and node.size:
            node.resize(0)
        self._open[call.result] = _Open(node, appends="O_APPEND" in flags)
        return True

    def _close(self, call: Syscall) -> bool:
        if call.thread in self._closing:
            self._closing.remove(call.thread)
            return False
        return self._open.pop(int(call.numbers[0]), None) is not None

    def _seek(self, call: Syscall) -> bool:
        if opened := self._open.get(int(call.numbers[0])):
            opened.position = call.result or 0
        return False

    def _write(self, call: Syscall) -> bool:
        if (opened := self._open.get(int(call.numbers[0]))) is None or not isinstance(opened.node, _File):
            return False
        data = b"".join(call.texts)[: call.result]
        if call.name in {"pwrite64", "pwritev"}:
            opened.node.write(int(call.numbers[-1]), data)
            return True
        start = opened.node.size if opened.appends else opened.position
        opened.node.write(start, data)
        opened.position = start + len(data)
        return True

    def _truncate(self, call: Syscall) -> bool:
        if (opened := self._open.get(int(call.numbers[0]))) is None or not isinstance(opened.node, _File):
            return False
        opened.node.resize(int(call.numbers[1]))
        return True

    def _sync(self, call: Syscall) -> bool:
        begun = self._syncing.pop(call.thread, None)
        if (opened := self._open.get(int(call.numbers[0]))) is None:
            return False
        opened.node.sync(len(opened.node.pending) if begun is None else begun)
        return True

    def _make_folder(self, call: Syscall) -> bool:
        if not (place := self._names(call.texts[0])):
            return False
        folder, name = self._find(place)
        folder.change({name: _Folder()})
        return True

    def _remove(self, call: Syscall) -> bool:
        if not (place := self._names(call.texts[0])):
            return False
        folder, name = self._find(place)
        folder.change({name: None})
        return True

    def _rename(self, call: Syscall) -> bool:
        before, after = map(self._names, call.texts)
        if before is None and after is None:
            return False
        if not before or not after:
            raise UnknownCall("a rename into or out of the folder")
        (folder, old), (target, new) = self._find(before), self._find(after)
        if folder is not target:
            raise UnknownCall("a rename from one folder into another")
        folder.change({old: None, new: folder.entries[old]})
        return True

    _ACTS: dict[str, Callable[["RecordedDisk", Syscall], bool]] = {
        **dict.fromkeys(("open", "openat"), _open_file),
        **dict.fromkeys(("write", "writev", "pwrite64", "pwritev"), _write),
        **dict.fromkeys(("fsync", "fdatasync"), _sync),
        **dict.fromkeys(("mkdir", "mkdirat"), _make_folder),
        **dict.fromkeys(("unlink", "unlinkat", "rmdir"), _remove),
        **dict.fromkeys(("rename", "renameat", "renameat2"), _rename),
        "close": _close,
        "lseek": _seek,
        "ftruncate": _truncate,
    }

    _WRITTEN = {"fallocate": 0, "sendfile": 0, "copy_file_range": 2}
    """Calls that the model does not know -> which of their arguments is the file that they change."""

    def _names(self, path: bytes) -> str | None:
        """Return the path below the folder, '' for the folder itself; None for what is elsewhere."""
        text = os.path.normpath(path.decode())
        if text == self._place:
            return ""
        return text.removeprefix(f"{self._place}/") if text.startswith(f"{self._place}/") else None

    def _find(self, place: str) -> tuple[_Folder, str]:
        *above, name = place.split("/")
        folder = self._root
        for one in above:
            below = folder.entries[one]
            assert isinstance(below, _Folder)
            folder = below
        return folder, name


def write_state(state: dict[str, bytes | None], root: Path) -> None:
    """Put what is left into an empty folder."""
    for place, content in state.items():
        if content is None:
            (root / place).mkdir()
        else:
            (root / place).write_bytes(content)


def _apply(content: bytearray, change: _Write | _Resize) -> None:
    if isinstance(change, _Resize):
        content[change.size :] = bytes(max(0, change.size - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _pieces(change: _Write | _Resize, rng: random.Random) -> list[_Write | _Resize]:
    """Return the parts of a change that reach the disk: whole pages, and of a torn one some sectors."""
    if isinstance(change, _Resize):
        return [change] if rng.random() < 0.5 else []
    pieces: list[_Write | _Resize] = []
    odds = rng.choice((0.1, 0.5, 0.9))
    for page in _cut(change, _PAGE):
        if rng.random() < odds:
            pieces.append(page)
        elif rng.random() < 0.2:
            pieces += [sector for sector in _cut(page, _SECTOR) if rng.random() < 0.5]
    return pieces


def _cut(change: _Write, size: int) -> list[_Write]:
    """Cut a write at the borders of pages or sectors of the file."""
    end, cut, start = change.offset + len(change.data), [], change.offset
    while start < end:
        border = min(end, (start // size + 1) * size)
        cut.append(_Write(start, change.data[start - change.offset : border - change.offset]))
        start = border
    return cut


def _put_names(entries: dict[str, "_File | _Folder"], names: dict[str, "_File | _Folder | None"]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _collect(
    folder: _Folder, place: str, left: dict[str, bytes | None], survival: Survival, rng: random.Random
) -> None:
    for name, node in sorted(folder.after(survival, rng).items()):
        below = f"{place}{name}"
        if isinstance(node, _Folder):
            left[below] = None
            _collect(node, f"{below}/", left, survival, rng)
        else:
            left[below] = node.after(survival, rng)
