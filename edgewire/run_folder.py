"""Writes the folder of a run: a checkpoint of its record every so often, at the end the record itself.

A reader finds the newest checkpoint, whole, or the record, never half a file and never the evidence of an earlier run.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edgewire.errors import ConfigError
from edgewire.run_record import FILE_NAME, RunRecord, make_folder


class RunFolder:
    """Holds the folder of one run. Call `claim` before the run, `begin` as it starts, then the writers.

    `companions` are the names of the files that others write beside the record: they belong to the same run.
    """

    def __init__(self, path: Path, companions: Sequence[str] = ()) -> None:
        self.path = path
        self._companions = companions
        self._made: list[Path] = []

    def claim(self, *, overwrite: bool) -> None:
        """Make the folder. Raises `ConfigError` where nothing can be written there, or where it holds another run.

        With `overwrite` the other run may be there; it stays until `begin`.
        """
        found = [name for name in (FILE_NAME, *self._companions) if (self.path / name).exists()]
        if found and not overwrite:
            raise ConfigError(
                f"--record {self.path}: it holds {' and '.join(found)} of another run; "
                "name another folder, or give --overwrite"
            )
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        make_folder(self.path)
        self._made = missing

    def begin(self) -> None:
        """Remove what another run has left here. Raises `ConfigError` where that cannot be done."""
        for name in (FILE_NAME, *self._companions):
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"{self.path / name}: is of another run and cannot be removed: {error.strerror}"
                ) from None

    def write_checkpoint(self, record: RunRecord) -> Path:
        """Write what is known while the run goes on; if nothing else is written, it is known not to have ended."""
        return replace(record, state="running").save(self.path)

    def write_final(self, record: RunRecord) -> Path:
        """Write the record of a run that is over, in the place of its checkpoints."""
        return replace(record, state="complete").save(self.path)

    def abandon(self) -> None:
        """Remove the folders that `claim` made, where nothing has been written there: the run did not begin."""
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()
