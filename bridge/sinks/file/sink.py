"""Writes messages as lines of files that are rotated. A line is on disk before it counts as delivered."""

import asyncio
import errno
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from bridge.message import cloudevents
from bridge.message.template import TemplateError, one_line
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failure, Failures, NotConnected, Rejected, Retry
from bridge.sinks.file.config import FileSinkConfig, FileTarget
from bridge.sinks.file.folder import Folder
from bridge.sinks.file.rotating_file import RotatingFile, Rotation
from edgewire import logs
from edgewire.clock import Clock, SystemClock
from edgewire.errors import ConfigError, EdgefleetError

_LONGEST_NAME = 200
_NEEDS_OPERATOR = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ELOOP,
}

log = logs.get("file")


class FileSink:
    """Appends. There is a queue a path; where that depends on the device, one for all of a site, kind and channel."""

    name = "file"
    last_error: str | None = None  # every error comes out of `write`

    def __init__(
        self, config: FileSinkConfig, targets: Sequence[FileTarget], _bridge: str, clock: Clock | None = None
    ) -> None:
        """Take the settings. Raises `ConfigError` for a target that does not fit the settings."""
        if config.format == "cloudevents" and any(target.body and target.body.is_text for target in targets):
            raise ConfigError("a route's file.body is a text, which format cloudevents has no place for")
        self.config = config
        self.batch_messages = config.batch_messages
        self.linger_s = config.linger / 1000
        age_s = None if config.max_age is None else config.max_age / 1000
        self._rotation = Rotation(config.max_bytes, age_s, config.compression == "gzip", config.keep)
        now_ms = (clock or SystemClock()).now_ms
        paths = [target.path for target in targets]
        self.destinations = list(dict.fromkeys(path.fixed for path in paths if path.fixed))
        self._folder = Folder(config.folder, self._rotation, paths, lambda: now_ms() / 1000)
        self._writer: ThreadPoolExecutor | None = None
        self._cleaner: ThreadPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None

    def queue_key(self, event: RoutedEvent) -> str | None:
        target: Any = event.route.targets.get("file")
        return None if target is None else str(target.path.render_static(event.topic_info))

    async def connect(self) -> None:
        # One thread writes, so that files need no locks; another compresses, so that nothing waits for it.
        writer, cleaner = ThreadPoolExecutor(1, "file-sink"), ThreadPoolExecutor(1, "file-sink-clean-up")
        self._writer, self._cleaner = writer, cleaner  # from here on `close` waits for what they do
        try:
            await asyncio.get_running_loop().run_in_executor(writer, self._folder.lock)
        except EdgefleetError:
            await self.close()
            raise
        self._watch_age()

    async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        writer = self._writer
        if writer is None:
            raise NotConnected(f"the files in {self.config.folder} are closed")
        failures: dict[int, Failure] = {}
        lines: dict[str, list[bytes]] = {}
        positions: dict[str, list[int]] = {}
        for position, event in enumerate(batch):
            try:
                path, line = self._line(event)
            except TemplateError as error:
                failures[position] = Rejected(str(error))
                continue
            lines.setdefault(path, []).append(line)
            positions.setdefault(path, []).append(position)
        loop = asyncio.get_running_loop()
        for path, part in lines.items():
            try:
                await loop.run_in_executor(writer, self._append, path, b"\n".join([*part, b""]))
            except OSError as error:
                retry = _retry(self.config.folder / path, error)
                # The following ones are not written: they would overtake.
                paths = list(lines)
                for late in paths[paths.index(path) :]:
                    failures.update(dict.fromkeys(positions[late], retry))
                break
        return failures

    async def close(self) -> None:
        writer, cleaner, self._writer, self._cleaner = self._writer, self._cleaner, None, None
        if self._timer:
            self._timer.cancel()
        for pool in (writer, cleaner):
            if pool:
                await asyncio.to_thread(pool.shutdown)
        self._folder.close()

    async def probe(self) -> str:
        folder = self.config.folder.absolute()
        there = folder
        while not there.exists():
            there = there.parent
        try:
            TemporaryFile(dir=there).close()  # has no name, so it is gone at once; rights alone do not tell
        except OSError as error:
            raise ConfigError(f"{there} cannot be written to: {error.strerror}; set file.folder") from None
        free = shutil.disk_usage(there).free
        return f"{folder} {'is there' if there == folder else 'will be made'}, {free / 2**30:,.1f} GiB are free"

    def preview(self, event: RoutedEvent) -> dict[str, Any]:
        path, line = self._line(event)
        return {
            "lane": self.queue_key(event),
            "destination": str(self.config.folder / path),
            "body": line.decode(errors="backslashreplace"),
        }

    def _line(self, event: RoutedEvent) -> tuple[str, bytes]:
        target: Any = event.route.targets["file"]
        path = target.path.render(event, _part)
        if target.path.fields and max(map(len, path.encode().split(b"/"))) > _LONGEST_NAME:
            raise TemplateError(f"template '{target.path}' makes a name of more than {_LONGEST_NAME} bytes")
        data = target.body.render(event) if target.body else event.body
        # A line of bytes that may be anything is an event, with the bytes inside in a form that keeps them.
        is_event = self.config.format == "cloudevents" or (event.is_raw and target.body is None)
        return path, one_line(cloudevents.structured(event, data) if is_event else data)

    def _append(self, path: str, lines: bytes) -> None:
        """Append lines, in the writer's thread."""
        if file := self._folder.append_lines(path, lines):
            self._clean_up(file)

    def _watch_age(self) -> None:
        """Look now and then for files that are too old: one that gets no more lines is rotated too."""
        if self._writer and self._rotation.max_age_s is not None:
            self._writer.submit(self._rotate_aged)
            self._timer = asyncio.get_running_loop().call_later(min(self._rotation.max_age_s / 4, 60), self._watch_age)

    def _rotate_aged(self) -> None:
        """Rotate what is too old, in the writer's thread."""
        for file in self._folder.rotate_aged():
            self._clean_up(file)

    def _clean_up(self, file: RotatingFile) -> None:
        def clean_up() -> None:
            try:
                file.clean_up()
            except OSError as error:
                log.warning("a rotated file cannot be compressed or deleted", path=str(file.path), fault=error.strerror)

        cleaner = self._cleaner
        if cleaner and (self._rotation.compress or self._rotation.keep):
            cleaner.submit(clean_up)


def _part(value: str) -> str:
    """Return a value as part of a path: one name, and none that is hidden or leads elsewhere."""
    if not value or value.startswith(".") or "/" in value or not value.isprintable():
        raise TemplateError(f"'{value[:80]}' cannot be part of the name of a file")
    return value


def _retry(path: Path, error: OSError) -> Retry:
    cause = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "io"
    reason = f"{path} cannot be written: {error.strerror or error}"
    return Retry(cause=cause, reason=reason, needs_operator=error.errno in _NEEDS_OPERATOR)
