"""Writes the folder of a fleet's identities: made once, added to as the fleet grows, never changed silently."""

import csv
import io
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import orjson

from devices.fleet.credentials import CREDENTIALS, DEVICES_FOLDER, OPERATOR, SETTINGS
from edgefleet.provision.authority import Authority
from edgefleet.provision.files import write_public, write_secret
from edgefleet.provision.mosquitto import acl_file, broker_profile, password_file
from edgewire.errors import ConfigError
from edgewire.output import make_output_folder, require_file

BRIDGE = "edgefleet-bridge"
"""User name of the bridge: reads every topic."""

_PASSWORD_BYTES = 16

Auth = Literal["password", "certificate"]


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Tells what was made, and what was there before."""

    folder: Path
    added: int
    kept: int
    renewed: list[str]
    """Whose certificate had to be replaced, for it was signed by the authority of the devices."""
    profile: Path
    """The configuration with which Mosquitto uses the folder."""


def provision(
    folder: Path,
    device_ids: Sequence[str],
    *,
    hosts: Sequence[str],
    auth: Auth,
    days: int,
    profile: str,
    user: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Provisioned:
    """Write all that is missing in `folder`; `profile` is the secured profile, `user` whom a root Mosquitto becomes.

    Passwords and certificates that are there stay as they are, so devices that already have theirs go on working; only
    of the services a certificate that an earlier edgefleet let the devices' authority sign is made anew.
    Raises `ConfigError` where the folder holds something else, or a device has the name of a service.
    """
    if taken := {BRIDGE, OPERATOR}.intersection(device_ids):
        raise ConfigError(f"device '{taken.pop()}' has the name of an account with more rights; give it another id")
    now = datetime.now(UTC)
    make_output_folder(folder)
    make_output_folder(folder / DEVICES_FOLDER, 0o700)
    authority = Authority.open(folder, now)
    credentials = _read_credentials(folder / CREDENTIALS)
    services = Authority.open(folder, now, "service-ca", "edgefleet service CA")
    known = len(credentials)
    for name in (BRIDGE, OPERATOR, *device_ids):
        credentials.setdefault(name, secrets.token_urlsafe(_PASSWORD_BYTES))
    renewed = []
    for name in (BRIDGE, OPERATOR):
        path = require_file(folder / f"{name}.pem")
        was_there = path.exists()
        if not was_there or not services.has_issued(path.read_bytes()):
            write_secret(path, services.issue_client(name, now, days))
            renewed += [name] * was_there
    for done, name in enumerate(device_ids, start=1):
        path = folder / DEVICES_FOLDER / f"{name}.pem"
        _keep(path, lambda name=name: authority.issue_client(name, now, days))  # type: ignore[misc]
        progress(done)
    # The broker's is always new: it is the one whose names may have changed, and nobody keeps a copy of it.
    write_secret(folder / "broker.pem", authority.issue_server(hosts, now, days))
    write_public(folder / "clients-ca.crt", authority.pem + services.pem)
    _write_credentials(folder, credentials)
    write_public(folder / "acl", acl_file([BRIDGE], [OPERATOR]).encode())
    write_secret(folder / SETTINGS, orjson.dumps({"auth": auth, "ca": "ca.crt"}))
    settings = {"persistence_location": f"{folder.resolve()}/", **({"user": user} if user else {})}
    target = folder / "mosquitto.conf"
    text = broker_profile(profile, folder.resolve(), certificates=auth == "certificate", settings=settings)
    write_public(target, text.encode())
    return Provisioned(folder, len(credentials) - known, known, renewed, target)


def _keep(path: Path, make: Callable[[], bytes]) -> None:
    if not require_file(path).exists():
        write_secret(path, make())


def _read_credentials(path: Path) -> dict[str, str]:
    try:
        text = require_file(path).read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(text)))
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, csv.Error):
        rows = []
    if not rows or rows[0] != ["username", "password"] or any(len(row) != 2 for row in rows):
        raise ConfigError(f"{path}: is not a list of user names and passwords; restore it or name another folder")
    return dict((user, password) for user, password in rows[1:])  # noqa: C402 - says what the two are


def _write_credentials(folder: Path, credentials: dict[str, str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("username", "password"), *credentials.items()])
    write_secret(folder / CREDENTIALS, text.getvalue().encode())
    write_secret(folder / "passwords", password_file(credentials).encode())
    services = {name: credentials[name] for name in (BRIDGE, OPERATOR)}
    write_secret(folder / "service-passwords", password_file(services).encode())
