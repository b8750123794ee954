"""Keeps a data set of parts whole: one writer, parts that are complete, a manifest of each span that was written.

    kind=bme280/date=2026-03-01/part-060000.parquet    the files, as Hive has partitions
    _manifest-20260301T060000Z-20260302T000000Z.json   what one export has written
    _parts/2026-03-01T060000.json                      of an export under way: a part that is complete

Another span of the same messages may be added; what would make two data sets of one, or rows that are there twice, is
refused.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from devices.export.base import ExportError
from devices.export.manifest import DATA_SUFFIXES, MANIFEST, SHARD
from devices.export.part_maker import MadePart, PartedExport
from devices.export.parts import Part, cut_parts
from devices.export.stores import FolderStore, Store
from edgewire.errors import ConfigError

LAYOUT = "kind/date"
_SAME = ("seed", "scenario", "clean", "delays", "options", "suffix")
"""What two exports of one data set have in common, as their manifests say it."""


@dataclass(slots=True)
class DataSet:
    """Holds what is there of a data set; its lock is the caller's."""

    job: PartedExport
    options: Sequence[object]
    """What else decides which columns there are."""
    store: Store
    rate_per_s: float
    """Of readings: how much the devices say."""
    parts: list[Part] = field(init=False)
    done: dict[str, MadePart] = field(default_factory=dict, init=False)
    """Part -> what it consists of."""
    _others: dict[str, Mapping[str, Any]] = field(default_factory=dict, init=False)
    """Manifest -> what it says, of those that are there already."""

    def __post_init__(self) -> None:
        span = self.job.span
        self.parts = list(cut_parts(span.from_ms, span.to_ms, self.rate_per_s))

    @property
    def manifest(self) -> str:
        """Return the name of this export's manifest."""
        begin, end = (
            re.sub(r"[-:]|\.000(?=Z)", "", text) for text in (self.job.provenance.begin, self.job.provenance.end)
        )
        return f"_manifest-{begin}-{end}{self.job.part_suffix}.json"

    def begin(self, *, resume: bool, is_replacing: bool) -> list[Part]:
        """Look at what is there, and return the parts that are to be made.

        Raises `ConfigError` where another data set is there, or a span that overlaps, unless it is to be replaced.
        """
        self._others = {
            name: said
            for name in self.store.sizes()
            if "/" not in name and MANIFEST.fullmatch(name) and (said := _parsed(self.store.read(name)))
        }
        if not is_replacing:
            for name, said in self._others.items():
                if conflict := self._conflict(name, said):
                    raise ConfigError(conflict)
        found, left, is_ours = self._complete_parts()
        if resume and not is_ours:
            raise ExportError(
                f"{self.store}/{self.job.progress_folder} is of an export with another scenario, time span, shard or "
                "format: repeat its command, or leave out --resume to begin anew"
            )
        if resume:
            self.done = found
        else:
            told = {str(file["name"]) for said in self._others.values() for file in _files(said)}
            for name in left - told:
                self.store.remove(name)
            self.store.remove_folder(self.job.progress_folder)
        return [part for part in self.parts if part.name not in self.done]

    def finish(self, *, is_replacing: bool) -> tuple[list[str], list[str]]:
        """Write the manifest; return the files that are in none, and those of former exports that were removed."""
        made = [self.done[part.name] for part in self.parts]
        files = [file for part in made for file in part.files]
        there = self.store.sizes()
        gone = [str(file["name"]) for file in files if there.get(str(file["name"])) != file["bytes"]]
        if gone:
            raise ExportError(
                f"{self.store}: {len(gone):,} of {len(files):,} files that were made are not there, the first "
                f"{gone[0]}: where workers are on other machines, give a folder that all of them share, or s3://BUCKET/FOLDER/"
            )
        said = {"edgefleet": 1, **self._identity(), "rows": sum(part.rows for part in made), "files": files}
        self.store.write(self.manifest, orjson.dumps(said, option=orjson.OPT_INDENT_2))
        told = {str(file["name"]) for file in files}
        removed = []
        for name, other in self._others.items():
            theirs = {str(file["name"]) for file in _files(other)}
            if name != self.manifest and not (is_replacing and self._conflict(name, other)):
                told |= theirs
                continue
            if is_replacing:
                removed += sorted(theirs - told)
            if name != self.manifest:
                self.store.remove(name)
        for name in removed:
            self.store.remove(name)
        self.store.remove_folder(self.job.progress_folder)
        stale = [name for name in there if _is_data(name, there) and name not in told and name not in removed]
        return sorted(stale), removed

    def _identity(self) -> dict[str, Any]:
        options = [one if one is None or isinstance(one, str | int | bool) else str(one) for one in self.options]
        return {
            **self.job.provenance.as_dict(),
            "layout": LAYOUT,
            "suffix": self.job.suffix,
            "options": options,
        }

    def _conflict(self, name: str, said: Mapping[str, Any]) -> str:
        """Return why what a manifest says cannot be beside this export, nothing where it can."""
        ours = self._identity()
        if any(said.get(key) != ours[key] for key in _SAME) or said.get("layout") != LAYOUT:
            return (
                f"{self.store} has another data set: {name} is of seed {said.get('seed')}, scenario "
                f"{said.get('scenario')}, {said.get('suffix', 'without parts')}; this one is of seed {ours['seed']}, "
                f"scenario {ours['scenario']}, {ours['suffix']}, or has other options: write to another place, or let "
                "--replace remove what is there"
            )
        theirs = _span(said)
        same_parts = str(said.get("shard")).partition("/")[2] == str(ours["shard"]).partition("/")[2]
        if same_parts and (said.get("shard") != ours["shard"] or theirs == (ours["begin"], ours["end"])):
            return ""
        if theirs[0] < str(ours["end"]) and str(ours["begin"]) < theirs[1]:
            return (
                f"{self.store} has messages from {theirs[0]} to {theirs[1]} of shard {said.get('shard')} already "
                f"({name}), and those in both spans would be there twice: give --from and --to so that they do "
                "not overlap, write to another place, or let --replace remove what is there"
            )
        return ""

    def _complete_parts(self) -> tuple[dict[str, MadePart], set[str], bool]:
        """Return the parts that an export under way has completed, their files, and whether it is this one."""
        folder = self.job.progress_folder
        if isinstance(self.store, FolderStore):
            self.store.drop_stages(folder)
        sizes = self.store.sizes()
        found: dict[str, MadePart] = {}
        left: set[str] = set()
        is_ours = True
        for name in sizes:
            if not (name.startswith(f"{folder}/") and name.endswith(".json")):
                continue
            said = _parsed(self.store.read(name))
            files = _files(said)
            left |= {str(file["name"]) for file in files}
            is_ours = is_ours and said.get("fingerprint") == self.job.fingerprint
            if "part" in said and all(sizes.get(str(file["name"])) == file.get("bytes") for file in files):
                found[str(said["part"])] = MadePart(str(said["part"]), sum(int(one["rows"]) for one in files), files)
        return found, left, is_ours


def _is_data(name: str, there: Mapping[str, int]) -> bool:
    """Return whether a file is of data, and not of another shard that has not written its manifest yet."""
    if not name.endswith(DATA_SUFFIXES) or any(one[0] in "._" for one in name.split("/")):
        return False
    shard = SHARD.search(name)
    return shard is None or not any(one.startswith(f"_parts{shard[1]}/") for one in there)


def _span(said: Mapping[str, Any]) -> tuple[str, str]:
    return str(said.get("begin")), str(said.get("end"))


def _parsed(content: bytes) -> Mapping[str, Any]:
    with suppress(ValueError):
        said = orjson.loads(content)
        if isinstance(said, dict):
            return said
    return {}


def _files(said: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    files = said.get("files")
    return tuple(one for one in files if isinstance(one, dict) and _is_file(one)) if isinstance(files, list) else ()


def _is_file(said: Mapping[str, Any]) -> bool:
    name = said.get("name")
    is_inside = isinstance(name, str) and not name.startswith("/") and ".." not in name.split("/")
    return is_inside and type(said.get("rows")) is int
