"""A folder that is there after a power cut, made with all that it is in."""

from pathlib import Path

import pytest

from edgewire.output import make_durable_folder


def test_a_durable_folder_is_made_with_all_that_it_is_in(tmp_path: Path) -> None:
    """That the names are synced is what tests/power_loss looks at."""
    folder = tmp_path / "a" / "b"
    make_durable_folder(folder)
    make_durable_folder(folder)
    assert folder.is_dir()
    (folder / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_durable_folder(folder / "file" / "c")
