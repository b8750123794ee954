"""Processes that make the parts of a data set, where they cannot even begin."""

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from devices.export.base import ExportError
from edgefleet.launch.part_processes import make_parts
from tests.devices.export.test_parts import data_set, parted


class Unsendable(str):
    """Text that no other process can be given."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle a socket")


def test_an_export_that_cannot_be_handed_to_a_process_is_one_sentence(tmp_path: Path) -> None:
    job = parted(tmp_path / "set")
    parts = data_set(job).begin(resume=False, is_replacing=False)
    assert len(parts) > 1
    making = make_parts(replace(job, compression=Unsendable("")), parts, lambda: False, lambda: None, jobs=2)
    with pytest.raises(ExportError, match="a process: cannot pickle a socket; make it with --jobs 1"):
        next(making)
