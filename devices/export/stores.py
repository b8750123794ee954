"""Keeps the files of a data set that is written in parts: in a folder here, or behind `s3://`.

A file is there whole or not at all, under names with "/" between their parts.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

import orjson

from devices.export.base import ExportError
from edgewire.errors import ConfigError
from edgewire.output import make_output_folder, require_file, write_output
from edgewire.output_lock import OutputBusyError, OutputLock
from edgewire.redact import KnownSecrets, escape_hint, show_url

_LONGEST = 64 << 20
_CONNECT_S = 5.0
_REQUEST_S = 20.0
_ATTEMPTS = 3
LOCK_S = 120.0
"""A lock behind `s3://` that has not been renewed for so long is of a process that is gone."""
RENEW_S = 20.0


class Store(Protocol):
    """Keeps files by name. Every method raises `ExportError`, which names the place, where it is away or refuses."""

    def sizes(self, under: str = "") -> dict[str, int]:
        """Return how many bytes the files have whose names begin with a folder's, all of them without one."""
        ...

    def read(self, name: str) -> bytes:
        """Return what is in a file, nothing where there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        ...

    def publish(self, file: Path, name: str) -> None:
        """Give a complete file of the stage its place."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it, if it is there."""
        ...

    def stage(self, under: str) -> TemporaryDirectory[str]:
        """Return a folder of this machine for files under construction; of a folder, it is `under` that."""
        ...

    def lock(self, part: str) -> "StoreLock":
        """Return what keeps others from writing here; `part` is of a shard, which leaves room for the others."""
        ...


class StoreLock(Protocol):
    """Owns a store from `acquire` to `release`."""

    def acquire(self) -> None:
        """Own it; raises `OutputBusyError` where another process does."""
        ...

    def check(self) -> None:
        """Renew it now and then; raises `OutputBusyError` where it is lost."""
        ...

    def release(self) -> None:
        """Let others have it."""
        ...


@dataclass(frozen=True, slots=True)
class FolderStore:
    """Keeps files in a folder."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def sizes(self, under: str = "") -> dict[str, int]:
        """Return how many bytes the files have whose names begin with a folder's, all of them without one."""
        found: dict[str, int] = {}
        with self._explained():
            for folder, _, names in os.walk(self.folder / under):
                for name in names:
                    path = Path(folder, name)
                    # Another shard's may be gone by now.
                    with suppress(FileNotFoundError):
                        found[path.relative_to(self.folder).as_posix()] = path.stat().st_size
        return found

    def read(self, name: str) -> bytes:
        """Return what is in a file, nothing where there is none."""
        with self._explained(), suppress(FileNotFoundError), (self.folder / name).open("rb") as file:
            return file.read(_LONGEST)
        return b""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._explained(name):
            write_output(self.folder / name, content)

    def publish(self, file: Path, name: str) -> None:
        """Give a complete file of the stage its place."""
        with self._explained(name):
            found = require_file(self.folder / name)
            make_output_folder(found.parent)
            file.replace(found)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there, and the folders that are empty then."""
        path = self.folder / name
        with self._explained(name):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            for parent in path.parents:
                if parent == self.folder:
                    break
                parent.rmdir()

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it, if it is there."""
        with self._explained(name), suppress(FileNotFoundError):
            shutil.rmtree(self.folder / name)

    def stage(self, under: str) -> TemporaryDirectory[str]:
        """Return a folder for files under construction, on the disk where they stay."""
        with self._explained(under):
            make_output_folder(self.folder / under)
            return TemporaryDirectory(prefix="stage-", dir=self.folder / under)

    def drop_stages(self, under: str) -> None:
        """Remove what processes that were killed have left under construction."""
        for path in (self.folder / under).glob("stage-*"):
            shutil.rmtree(path, ignore_errors=True)

    def lock(self, part: str) -> StoreLock:
        """Return what keeps others from writing here: the lock that a folder without parts has."""
        with self._explained():
            make_output_folder(self.folder)
        return _FolderLock(self.folder, part)

    @contextmanager
    def _explained(self, name: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
            raise ExportError(f"{self.folder / name} cannot be written: {reason}") from None


class _FolderLock:
    def __init__(self, folder: Path, part: str) -> None:
        self._folder = folder
        self._lock = OutputLock(folder / f".checkpoint{part}", folder)

    def acquire(self) -> None:
        try:
            self._lock.acquire()
        except OSError as error:
            raise ExportError(f"{self._folder} cannot be written: {error.strerror}") from None

    def check(self) -> None:
        self._lock.check()

    def release(self) -> None:
        self._lock.release()


@dataclass(frozen=True, slots=True)
class S3Place:
    """Says where in an object store a data set is, and how to get there."""

    bucket: str
    prefix: str
    options: Mapping[str, str] = field(repr=False)
    """Of pyarrow's `S3FileSystem`: what the URL and the environment say."""

    @classmethod
    def parse(cls, url: str, environment: Mapping[str, str]) -> "S3Place":
        """Read s3://[KEY:SECRET@]BUCKET/FOLDER?region=…&endpoint=…; raises `ConfigError`, which shows no secret."""
        shown = show_url(url)
        parts = urlsplit(url)
        user, at, bucket = parts.netloc.rpartition("@")
        prefix = parts.path.strip("/")
        if (
            not bucket
            or parts.fragment
            or "@" in prefix
            or any(part in ("", ".", "..") for part in prefix.split("/")[1:])
        ):
            raise ConfigError(f"{shown}: write s3://BUCKET/FOLDER/{escape_hint(url)}")
        options: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            known = {"region": "region", "endpoint": "endpoint_override", "endpoint_override": "endpoint_override"}
            if (name not in known and name != "scheme") or not value:
                raise ConfigError(f"{shown}: behind ? there are region, endpoint and scheme")
            options[known.get(name, name)] = value
        if at:
            key, colon, secret = user.partition(":")
            if not (key and colon and secret):
                raise ConfigError(
                    f"{shown}: before @ write KEY:SECRET, or give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )
            options |= {"access_key": unquote(key), "secret_key": unquote(secret)}
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        if endpoint and "endpoint_override" not in options:
            options["endpoint_override"] = endpoint
        scheme, separator, host = options.get("endpoint_override", "").partition("://")
        if separator:
            options["endpoint_override"] = host.rstrip("/")
            options.setdefault("scheme", scheme)
        if options.get("scheme", "https") not in ("http", "https"):
            raise ConfigError(f"{shown}: its endpoint is reached by http or https")
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        if region or "endpoint_override" in options:
            options.setdefault("region", region or "us-east-1")
        return cls(bucket, prefix, options)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


class S3Store:
    """Keeps files behind `s3://`: what is written is there when its upload is complete, or not at all."""

    def __init__(
        self, place: S3Place, *, connect_s: float = _CONNECT_S, request_s: float = _REQUEST_S, attempts: int = _ATTEMPTS
    ) -> None:
        """Reach the place by pyarrow, each request tried again a few times; raises `ImportError` without it."""
        from pyarrow import fs

        self._place = place
        self._secrets = KnownSecrets([place.options.get("secret_key", ""), place.options.get("access_key", "")])
        self._fs: Any = fs
        with self._explained():
            self._files = fs.S3FileSystem(
                connect_timeout=connect_s,
                request_timeout=request_s,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=attempts),
                **place.options,
            )

    def __str__(self) -> str:
        return str(self._place)

    def sizes(self, under: str = "") -> dict[str, int]:
        """Return how many bytes the files have whose names begin with a folder's, all of them without one."""
        return {name: size for name, size, _ in self.listed(under)}

    def listed(self, under: str = "", *, recursive: bool = True) -> list[tuple[str, int, float]]:
        """Return name, bytes and time (Unix, by the store's clock) of files."""
        root = self._path("")
        with self._explained():
            selector = self._fs.FileSelector(self._path(under), allow_not_found=True, recursive=recursive)
            return [
                (one.path[len(root) :].lstrip("/"), one.size, one.mtime.timestamp())
                for one in self._files.get_file_info(selector)
                if one.is_file
            ]

    def read(self, name: str) -> bytes:
        """Return what is in a file, nothing where there is none."""
        with self._explained(), suppress(FileNotFoundError), self._files.open_input_stream(self._path(name)) as file:
            return bytes(file.read(_LONGEST))
        return b""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._explained(), self._files.open_output_stream(self._path(name), compression=None) as stream:
            stream.write(content)

    def publish(self, file: Path, name: str) -> None:
        """Upload a complete file of the stage; raises `ExportError` where less of it arrived."""
        size = file.stat().st_size
        with (
            self._explained(),
            file.open("rb") as content,
            self._files.open_output_stream(self._path(name), compression=None) as stream,
        ):
            shutil.copyfileobj(content, stream, 1 << 20)
        with self._explained():
            found = self._files.get_file_info(self._path(name)).size
        if found != size:
            raise ExportError(f"{self}/{name}: {found} of {size} bytes are there after its upload: begin anew")
        file.unlink()

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._explained(), suppress(FileNotFoundError):
            self._files.delete_file(self._path(name))

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it, if it is there."""
        if self.sizes(name):
            with self._explained():
                self._files.delete_dir(self._path(name))

    def stage(self, under: str) -> TemporaryDirectory[str]:
        """Return a folder of this machine for files under construction."""
        return TemporaryDirectory(prefix="edgefleet-")

    def lock(self, part: str) -> StoreLock:
        """Return what keeps others from writing here, as far as an object store can."""
        return _S3Lock(self, part)

    def _path(self, name: str) -> str:
        return "/".join(one for one in (self._place.bucket, self._place.prefix, name) if one)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchKey" in str(error) or "Path does not exist" in str(error):
                raise
            raise ExportError(f"{self} cannot be written: {self._said(error)}") from None
        except (OSError, ValueError) as error:
            raise ExportError(f"{self} cannot be written: {self._said(error)}") from None

    def _said(self, error: Exception) -> str:
        said = self._secrets.hide(" ".join(str(error).split()))
        hint = next((hint for sign, hint in _S3_HINTS.items() if sign in said), "")
        return said[:500] + hint


_S3_HINTS = {
    "ACCESS_DENIED": ": give credentials that may list, read, write and delete there",
    "NETWORK_CONNECTION": ": is the endpoint right, and reached from here?",
    "NO_SUCH_BUCKET": ": make the bucket first",
    "NoSuchBucket": ": make the bucket first",
    "curlCode": ": is the endpoint right, and reached from here?",
}


class _S3Lock:
    """Owns a place by an object of its own beside those of others: whoever sees another's lets go of it.

    An object store has no locks, but what is written is listed from then on: of two that begin at once, at least one
    sees the other. How old a lock is, is told by the store's clock alone: by the time of our own that was just written.
    """

    def __init__(self, store: S3Store, part: str) -> None:
        self._store = store
        self._prefix = f"_lock{part}."
        self._name = f"{self._prefix}{uuid4().hex}.json"
        self._content = orjson.dumps(
            {"process": os.getpid(), "host": os.uname().nodename if hasattr(os, "uname") else ""}
        )
        self._renewed = 0.0
        self._is_held = False

    def acquire(self) -> None:
        self._renew()
        self._is_held = True
        try:
            if other := self._other():
                raise OutputBusyError(
                    f"{self._store} is being written by another process{other}: wait until it has ended (what "
                    f"was killed on another machine counts as ended after {LOCK_S:.0f} s), or write to another place"
                )
        except BaseException:
            self.release()
            raise

    def check(self) -> None:
        if time.monotonic() - self._renewed < RENEW_S:
            return
        if self._name not in self._found():
            raise OutputBusyError(
                f"{self._store}: another process took it over, as this one had not been heard of for {LOCK_S:.0f} s: "
                "begin anew, one after the other"
            )
        self._renew()

    def release(self) -> None:
        if self._is_held:
            self._is_held = False
            with suppress(ExportError):
                self._store.remove(self._name)

    def _renew(self) -> None:
        self._store.write(self._name, self._content)
        self._renewed = time.monotonic()

    def _found(self) -> dict[str, float]:
        """Return all locks, and when they were renewed."""
        listed = self._store.listed(recursive=False)
        return {name: at for name, _, at in listed if name.startswith(self._prefix)}

    def _other(self) -> str:
        """Return who else has it; remove the locks of those that are gone."""
        listed = self._found()
        now = listed.get(self._name, 0.0)
        for name, at in listed.items():
            if name == self._name:
                continue
            said: dict[str, Any] = {}
            with suppress(ValueError):
                read = orjson.loads(self._store.read(name) or b"{}")
                said = read if isinstance(read, dict) else {}
            if now - at > LOCK_S or _is_gone(said):
                self._store.remove(name)
                continue
            return f" ({said.get('process')} on {str(said.get('host'))[:255]!r})"
        return ""


def _is_gone(said: Mapping[str, Any]) -> bool:
    """Return whether the owner of a lock was a process of this machine that has ended."""
    process = said.get("process")
    if not hasattr(os, "uname") or said.get("host") != os.uname().nodename or type(process) is not int or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
