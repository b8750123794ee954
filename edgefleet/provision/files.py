"""Writes the files of an identities' folder; those with secrets for their owner alone."""

from pathlib import Path

from edgewire.output import require_file, write_output


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises `OSError`, also for what is no file."""
    write_output(require_file(path), content, mode=0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write a file that others may read, whole or not at all. Raises `OSError`, also for what is no file."""
    write_output(require_file(path), content, mode=0o644)
