"""Reads a file of identities: a row a device, with its id, what it logs in with, and any field of the user's own.

    id,client_id,username,password,line
    press-01,PLC 4711,press-01,s3cret,a

Of the columns only `id` has to be there. Devices are those of the file, in its order: a file that grows leaves the
devices of its first rows as they were.
"""

import base64
import binascii
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from edgewire.bounded_lines import LinesTooLarge, bounded_lines
from edgewire.errors import ConfigError

ID, CLIENT_ID, SITE = "id", "client_id", "site"
USERNAME, PASSWORD, CERTIFICATE, KEY = "username", "password", "certificate", "key"
SAS_KEY = "sas_key"
"""Of Azure IoT Hub: the primary key of a device, in base64, of which its tokens are made."""
SECRETS = (USERNAME, PASSWORD, CERTIFICATE, KEY, SAS_KEY)
"""Columns that say how a device logs in, and are read by who connects alone."""

MOST_ROWS = 1_000_000
LONGEST_CELL = 4096
"""Characters: a cell is an id, a name or a path."""
_MOST_COLUMNS = 100
_SHORTEST_KEY = 16
"""Bytes; a hub's have 16 to 64."""
_MOST_CHARACTERS = 256 << 20
"""In memory as long as the devices are: a row of six columns has about a hundred."""
_LONGEST_LINE = _MOST_COLUMNS * LONGEST_CELL
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Login:
    """Says how one device logs in; None where the file has no such column, or nothing in it."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None
    sas_key: str | None = field(default=None, repr=False)
    """In base64; `_check_login` has seen that it is one."""


@dataclass(frozen=True, slots=True)
class IdentityTable:
    """Holds the columns of a file that are no secrets, each as long as there are devices."""

    ids: tuple[str, ...]
    client_ids: tuple[str, ...] = ()
    """Empty where the file has no such column: the ids, then."""
    sites: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The user's own columns, by their names."""


def read_identities(path: Path, count: int | None = None) -> IdentityTable:
    """Return the devices of the first `count` rows of a file, or of all.

    Raises `ConfigError` that names file and line for whatever is not as it has to be; no cell with a secret is shown.
    """
    rows = [*_rows(path, count)]
    header = rows[0][1]
    columns: dict[str, tuple[str, ...]] = {
        name: tuple(cells[at] for _, cells in rows[1:]) for at, name in enumerate(header)
    }
    lines = [line for line, _ in rows[1:]]
    if count is not None and len(lines) < count:
        raise ConfigError(f"{path}: has {len(lines):,} devices, and count asks for {count:,}")
    if not lines:
        raise ConfigError(f"{path}: has no device below its header")
    for name in (ID, CLIENT_ID):
        if name in columns:
            _check_names(path, name, columns[name], lines)
    own = {name: cells for name, cells in columns.items() if name not in (ID, CLIENT_ID, SITE, *SECRETS)}
    # Checked here, so that what is wrong is told before anybody connects.
    for line, login in zip(lines, _logins(path, columns, len(lines)), strict=True):
        _check_login(path, line, login)
    return IdentityTable(columns[ID], columns.get(CLIENT_ID, ()), columns.get(SITE, ()), own)


def read_logins(path: Path, count: int) -> Iterator[tuple[str, Login]]:
    """Yield how each of the first `count` devices of a file logs in, with its id. Raises as `read_identities`."""
    rows = [*_rows(path, count)]
    columns = {name: tuple(cells[at] for _, cells in rows[1:]) for at, name in enumerate(rows[0][1])}
    return zip(columns[ID], _logins(path, columns, len(columns[ID])), strict=True)


def line_of_device(path: Path, position: int) -> int:
    """Return the line of a file in which the device at a position, from 0, stands; 1 where it has gone since."""
    lines = [line for line, _ in _rows(path, position + 1)]
    return lines[-1] if len(lines) == position + 2 else 1


def login_columns(path: Path, count: int) -> list[str]:
    """Return the columns by which devices would log in that say something of the first `count`. Raises as others."""
    rows = [*_rows(path, count)]
    return [name for at, name in enumerate(rows[0][1]) if name in SECRETS and any(cells[at] for _, cells in rows[1:])]


def _logins(path: Path, columns: Mapping[str, Sequence[str]], count: int) -> Iterator[Login]:
    def cell(name: str, row: int) -> str | None:
        return (columns[name][row] or None) if name in columns else None

    for row in range(count):
        certificate, key = (cell(name, row) for name in (CERTIFICATE, KEY))
        yield Login(
            cell(USERNAME, row),
            cell(PASSWORD, row),
            None if certificate is None else path.parent / certificate,
            None if key is None else path.parent / key,
            cell(SAS_KEY, row),
        )


def _check_login(path: Path, line: int, login: Login) -> None:
    if login.password is not None and login.username is None:
        raise ConfigError(f"{path}:{line}: has a password and no username, which MQTT 3.1.1 does not know")
    if login.sas_key is not None and (login.password is not None or login.certificate is not None):
        raise ConfigError(f"{path}:{line}: has a {SAS_KEY} beside a password or certificate: a device logs in by one")
    if login.sas_key is not None and not _is_key(login.sas_key):
        raise ConfigError(f"{path}:{line}: {SAS_KEY} is no key of a hub in base64: copy the whole of a primary key")
    if login.key is not None and login.certificate is None:
        raise ConfigError(f"{path}:{line}: has a key and no certificate that it belongs to")
    for name, file in ((CERTIFICATE, login.certificate), (KEY, login.key)):
        if file is not None and not file.is_file():
            raise ConfigError(f"{path}:{line}: {name}: there is no file {file}")


def _is_key(written: str) -> bool:
    try:
        return len(base64.b64decode(written, validate=True)) >= _SHORTEST_KEY
    except (ValueError, binascii.Error):
        return False


def _check_names(path: Path, column: str, names: Sequence[str], lines: Sequence[int]) -> None:
    seen: dict[str, int] = {}
    for name, line in zip(names, lines, strict=True):
        if not name:
            raise ConfigError(f"{path}:{line}: {column} is empty")
        if (earlier := seen.setdefault(name, line)) != line:
            raise ConfigError(f"{path}:{line}: {column} '{name}' is that of line {earlier} as well")


def _rows(path: Path, count: int | None) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and the rows below it, each with its line; empty ones are passed over."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _parsed(path, file, count)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}:{_undecodable_line(path)}: is no text in UTF-8: save the file as that") from None


def _undecodable_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _parsed(path: Path, file: TextIO, count: int | None) -> Iterator[tuple[int, list[str]]]:
    begin = file.read(LONGEST_CELL)
    file.seek(0)
    first = begin.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    # The limit is of the process; the other readers of CSV here have no longer cells either.
    before = csv.field_size_limit(LONGEST_CELL)
    lines = bounded_lines(file, path, longest=_LONGEST_LINE, most=_MOST_CHARACTERS)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width, found = 0, -1
    try:
        for cells in reader:
            if not any(cells):
                continue
            if found < 0:
                cells = _check_header(path, [cell.strip() for cell in cells])
                width = len(cells)
            if len(cells) != width:
                raise ConfigError(f"{path}:{reader.line_num}: has {len(cells)} cells, and the header {width}")
            found += 1
            if found > MOST_ROWS:
                raise ConfigError(f"{path}:{reader.line_num}: has more than {MOST_ROWS:,} devices")
            yield reader.line_num, cells
            if count is not None and found == count:
                return
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: is no CSV: {error}") from None
    except LinesTooLarge as error:
        raise ConfigError(str(error)) from None
    finally:
        csv.field_size_limit(before)
    if found < 0:
        raise ConfigError(f"{path}: is empty: its first line has to name the columns, of which one is id")


def _check_header(path: Path, names: list[str]) -> list[str]:
    if ID not in names:
        near = next((name for name in names if name.lower() == ID), None)
        hint = (
            "columns are parted by commas, semicolons or tabs" if near is None else f"write '{near}' in small letters"
        )
        raise ConfigError(f"{path}:1: has no column 'id'; it has {', '.join(names[:10])[:200]}: {hint}")
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ConfigError(f"{path}:1: has two columns '{twins[0]}'")
    if len(names) > _MOST_COLUMNS:
        raise ConfigError(f"{path}:1: has {len(names)} columns; at most {_MOST_COLUMNS} are read")
    for name in ("user", "pass", "passwd", "secret", "cert"):
        if name in names:
            meant = {"user": USERNAME, "cert": CERTIFICATE}.get(name, PASSWORD)
            raise ConfigError(
                f"{path}:1: column '{name}' would be a field that messages may have in them; for what a device logs in "
                f"with, call it {meant}"
            )
    return names
