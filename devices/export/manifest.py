"""Writes what an export to a folder consists of: its files, their rows and checksums, and what it is of.

Readers of folders (Spark, pyarrow) leave out names that begin with "_". One shard of several has a manifest of its own,
so that all of them fit into one folder.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from devices.export.base import ExportError
from devices.export.provenance import Provenance
from edgewire.output import write_output

_LONGEST = 64 << 20
MANIFEST = re.compile(r"_manifest(-\d{8}T[\d.]+Z-\d{8}T[\d.]+Z)?(-\d+-of-\d+)?\.json")
"""Of a folder, of a span of a data set of parts, of one shard of either."""
DATA_SUFFIXES = (".jsonl", ".csv", ".parquet", ".arrow", ".gz", ".zst")


SHARD = re.compile(r"(-\d+-of-\d+)\.[a-z.]+$")
"""In the name of a file, before its suffix."""


def manifest_path(folder: Path, part: str) -> Path:
    """Return where the manifest of a folder is, or of the `part` of it that is one shard's."""
    return folder / f"_manifest{part}.json"


def write_manifest(
    folder: Path, part: str, provenance: Provenance, rows: Mapping[Path, int], former: Iterable[Path]
) -> None:
    """Write the manifest of complete files; raises `ExportError` where that cannot be.

    Files of a `former` export that are there still are told of apart, so that they can be removed later, too.
    """
    try:
        files = [
            {
                "name": path.relative_to(folder).as_posix(),
                "rows": count,
                "bytes": path.stat().st_size,
                "sha256": _sha256(path),
            }
            for path, count in rows.items()
            if path.is_file()
        ]
        left = sorted({path.relative_to(folder).as_posix() for path in former if path not in rows and path.is_file()})
        said = {"edgefleet": 1, **provenance.as_dict(), "rows": sum(rows.values()), "files": files, "former": left}
        write_output(manifest_path(folder, part), orjson.dumps(said, option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise ExportError(f"{manifest_path(folder, part)}: cannot be written: {error.strerror}") from None


def stale_files(folder: Path, part: str, provenance: Provenance) -> list[Path]:
    """Return the files of data in a folder that are neither of this export nor of another shard of it."""
    current = {
        folder / str(file["name"])
        for path in sorted(folder.glob("_manifest*.json"))
        if MANIFEST.fullmatch(path.name)
        for said in [_read(path)]
        if path == manifest_path(folder, part) or _is_same_export(said, provenance)
        for file in _files(said)
    }
    found = (path for path in folder.rglob("*") if path.name.endswith(DATA_SUFFIXES) and path.is_file())
    return sorted(
        path
        for path in found
        if path not in current and not _is_hidden(path.relative_to(folder)) and not _is_under_way(folder, path.name)
    )


def remove_former(folder: Path, stale: Iterable[Path], former: Iterable[Path]) -> list[Path]:
    """Remove what is stale and was told of in the manifest of a `former` export; return what was removed."""
    ours = set(former)
    removed = [path for path in stale if path in ours]
    try:
        for path in removed:
            path.unlink()
        for path in folder.glob("_manifest*.json"):
            if MANIFEST.fullmatch(path.name) and not any(
                (folder / str(file["name"])).exists() for file in _files(_read(path))
            ):
                path.unlink()
    except OSError as error:
        raise ExportError(f"{error.filename}: of a former export, cannot be removed: {error.strerror}") from None
    return removed


def listed_files(folder: Path, *, with_former: bool = True) -> list[Path]:
    """Return the files that all the manifests in a folder tell of, and those of a former export that are left."""
    told = [_read(path) for path in folder.glob("_manifest*.json") if MANIFEST.fullmatch(path.name)]
    names = [str(file["name"]) for said in told for file in _files(said)]
    left = [said["former"] for said in told if isinstance(said.get("former"), list)]
    if not with_former:
        return [folder / name for name in names]
    return [folder / name for name in names + [name for each in left for name in each if _is_inside(name)]]


def _is_same_export(said: Mapping[str, Any], provenance: Provenance) -> bool:
    """Return whether a manifest is of another shard of the same export."""
    ours = provenance.as_dict()
    of_count = str(said.get("shard")).partition("/")[2] == provenance.shard.partition("/")[2]
    # What is written in parts is another copy of the same messages.
    return (
        "layout" not in said
        and of_count
        and all(said.get(name) == value for name, value in ours.items() if name != "shard")
    )


def _is_under_way(folder: Path, name: str) -> bool:
    """Return whether a file is of another shard that has not written its manifest yet."""
    found = SHARD.search(name)
    return found is not None and (folder / f".checkpoint{found[1]}").exists()


def _files(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    files = said.get("files")
    listed = files if isinstance(files, list) else []
    return [file for file in listed if isinstance(file, dict) and _is_inside(file.get("name"))]


def _is_inside(name: object) -> bool:
    return isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _read(path: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError), path.open("rb") as file:
        said = orjson.loads(file.read(_LONGEST))
        if isinstance(said, dict):
            return said
    return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
