"""Writes the folder of a run: a checkpoint of its record every so often, at the end the record itself.

A reader finds the newest checkpoint, whole, or the record, never half a file and never the evidence of an earlier run.
"""

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edgewire.clock import iso_ms
from edgewire.errors import ConfigError
from edgewire.output import is_stream, resolve_output
from edgewire.run_checkpoint import RunCheckpoint
from edgewire.run_record import FILE_NAME, RunRecord, make_folder, write_record


class RunFolder:
    """Holds the folder of one run. Call `claim` before the run, `begin` and `write_start` as it starts, then others.

    `companions` are the names of the files that others write beside the record: they belong to the same run.
    """

    def __init__(
        self,
        path: Path,
        companions: Sequence[str] = (),
        rescue_places: Callable[[], Iterable[Path]] | None = None,
    ) -> None:
        self.path = path
        self._rescue_places = rescue_places or find_rescue_places
        self._companions = companions
        self._made: list[Path] = []
        # A checkpoint is written on a thread, which may be late.
        self._lock = threading.Lock()
        self._is_final = False
        # Whether what says that the run begins is all that has been written.
        self._has_start = False

    def claim(self, *, overwrite: bool) -> None:
        """Make the folder. Raises `ConfigError` where nothing can be written there, or where it holds another run.

        With `overwrite` the other run may be there; it stays until `begin`.
        """
        found = [name for name in (FILE_NAME, *self._companions) if self._holds(name)]
        if found and not overwrite:
            raise ConfigError(
                f"--record {self.path}: it holds {' and '.join(found)} of another run; "
                "name another folder, or give --overwrite"
            )
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        make_folder(self.path)
        self._made = missing

    def _holds(self, name: str) -> bool:
        # What was written into a stream is gone.
        return (self.path / name).exists() and not is_stream(self.path / name)

    def find_unfinished(self, run_id: str) -> str | None:
        """Return a sentence about an earlier process of this same run that has left a checkpoint here and no record.

        So it is where the machine of a shard was lost, and another has taken its place.
        """
        with suppress(ConfigError):
            earlier = RunRecord.load(self.path)
            if earlier.state == "running" and earlier.run_id == run_id:
                return (
                    f"an earlier process of this run was killed after its checkpoint of {iso_ms(earlier.stopped_ms)}, "
                    f"by which its devices had emitted {earlier.totals['emitted']:,} messages: they are unaccounted for"
                )
        return None

    def begin(self) -> None:
        """Remove what another run has left here. Raises `ConfigError` where that cannot be done."""
        for name in (FILE_NAME, *self._companions):
            try:
                if not is_stream(self.path / name):
                    resolve_output(self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"{self.path / name}: is of another run and cannot be removed: {error.strerror}"
                ) from None

    def write_start(self, checkpoint: RunCheckpoint) -> None:
        """Write that the run begins, before anything is sent; raises as `write_checkpoint`."""
        write_record(self.path, checkpoint.to_bytes())
        self._has_start = True

    def write_checkpoint(self, checkpoint: RunCheckpoint) -> None:
        """Write what is known while the run goes on; if nothing else is written, it is known not to have ended.

        Raises `ConfigError` where it cannot be written. Once the record is written, it does nothing.
        """
        with self._lock:
            if not self._is_final:
                self._has_start = False
                write_record(self.path, checkpoint.to_bytes())

    def write_final(self, record: RunRecord) -> Path:
        """Write the record of a run that is over, in the place of its checkpoints, and return the file.

        Where it cannot be written there, as on a disk that is full, another place is tried: the system's folder for
        temporary files, the one in memory, the current and the home folder. Raises `ConfigError` where none takes it.
        """
        record = replace(record, state="complete")
        with self._lock:
            self._is_final, self._has_start = True, False
            try:
                return record.save(self.path)
            except ConfigError as error:
                for place in self._rescue_places():
                    folder = place / f"edgefleet-run-{record.run_id}"
                    with suppress(OSError):
                        folder.mkdir(mode=0o700)
                        try:
                            return record.save(folder)
                        except ConfigError:
                            folder.rmdir()
                raise error

    def abandon(self) -> None:
        """Remove what says that the run begins, and the folders that `claim` made, where that is all: it did not."""
        for path in (self.path / name for name in (FILE_NAME, *self._companions)):
            if self._has_start and not is_stream(path):
                with suppress(OSError):
                    resolve_output(path).unlink(missing_ok=True)
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()


def find_rescue_places() -> Iterator[Path]:
    """Yield where a record may go that its own disk does not take."""
    finders: tuple[Callable[[], Path], ...] = (
        lambda: Path(tempfile.gettempdir()),
        lambda: Path("/dev/shm"),  # noqa: S108 - the folder in it is made, and is nobody else's
        Path,
        Path.home,
    )
    for find in finders:
        # Where no temporary folder takes a file, or nobody is at home.
        with suppress(OSError, RuntimeError):
            if (place := find()).is_dir():
                yield place
