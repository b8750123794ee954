"""Reads secrets from files of their own, as container managers and password stores hand them out."""

import os
import stat
from pathlib import Path
from typing import Any

import structlog

_MOST_BYTES = 64 << 10


def read_secret(path: Path) -> str:
    """Return the text of a file that holds one secret, without the line break at its end.

    Raises `ValueError` that names the file. One that everybody can read is taken, with a warning in the log, unless it
    is in a file system of its own, as container managers mount secrets.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ValueError(f"{path} is no file: a secret is read from one, again at every reload")
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file: make it, or correct its name") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder, not a file") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path} is larger than {_MOST_BYTES >> 10} KiB: is it the file of a secret?")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8: a secret is written as text") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"{path} is empty: write the secret into it")
    if not secret.isprintable():
        raise ValueError(f"{path} has more than one line, or a control character: a secret is one line")
    if found.st_mode & stat.S_IROTH and structlog.is_configured() and not os.path.ismount(path.parent):
        log = structlog.get_logger(component="config")
        log.warning("everybody on this machine can read a file with a secret: chmod 600 it", file=str(path))
    return secret


def take_secret(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the keys of a model with `name` from the file that `name_file` names, where it does; for its validator.

    Raises `ValueError` that names the file, or where both are given.
    """
    path = values.get(f"{name}_file")
    if path is None:
        return values
    if values.get(name) is not None:
        raise ValueError(f"{name} and {name}_file are both set: leave one out")
    if not isinstance(path, str | Path):
        return values  # whose type is told by its own check
    try:
        return {**values, name: read_secret(Path(path))}
    except ValueError as error:
        raise ValueError(f"{name}_file: {error}") from None
