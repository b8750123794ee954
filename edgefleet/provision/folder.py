"""Writes the folder of a fleet's identities: made once, added to as the fleet grows, never changed silently."""

import csv
import io
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import orjson

from devices.fleet.credentials import CREDENTIALS, DEVICES_FOLDER, OPERATOR, SETTINGS
from edgefleet.provision.authority import Authority, common_name, is_due
from edgefleet.provision.files import write_public, write_secret
from edgefleet.provision.mosquitto import acl_file, broker_profile, password_file, username_fault
from edgefleet.provision.rights import COMMON_NAME_BYTES, Account, ServiceRights, contract_ids
from edgewire.errors import ConfigError
from edgewire.output import make_output_folder, require_file

BRIDGE = "edgefleet-bridge"
"""User name of the bridge: reads all that the fleet says."""

_PASSWORD_BYTES = 16

Auth = Literal["password", "certificate"]


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Tells what was made, and what was there before."""

    folder: Path
    added: int
    kept: int
    renewed: list[str]
    """Whose certificate had to be replaced: it was of another user, or of a service and signed as one of a device."""
    profile: Path
    """The configuration with which Mosquitto uses the folder."""
    without_certificate: list[str] = field(default_factory=list)
    """Who has none, as the user name is too long for one."""


def provision(
    folder: Path,
    accounts: Sequence[Account],
    *,
    hosts: Sequence[str],
    auth: Auth,
    days: int,
    profile: str,
    services: ServiceRights | None = None,
    user: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Provisioned:
    """Write all that is missing in `folder`; `profile` is the secured profile, `user` whom a root Mosquitto becomes.

    Passwords and certificates that are there stay as they are, so devices that already have theirs go on working. Only
    passwords of files of identities are always those, and a certificate is made anew whose user is called otherwise
    now, that an earlier edgefleet let the devices' authority sign for a service, or of whose time a third is left.
    Raises `ConfigError` where the folder holds something else, or a device cannot have, or share, its user name.
    """
    _check_users(accounts, auth)
    now = datetime.now(UTC)
    make_output_folder(folder)
    make_output_folder(folder / DEVICES_FOLDER, 0o700)
    authority = Authority.open(folder, now)
    _check_certificates(accounts, authority, auth)
    credentials = _read_credentials(folder / CREDENTIALS)
    service_authority = Authority.open(folder, now, "service-ca", "edgefleet service CA")
    known = len(credentials)
    for name in (BRIDGE, OPERATOR):
        credentials.setdefault(name, secrets.token_urlsafe(_PASSWORD_BYTES))
    for account in accounts:
        if account.password is not None:
            credentials[account.user] = account.password
        else:
            credentials.setdefault(account.user, secrets.token_urlsafe(_PASSWORD_BYTES))
    renewed = []
    for name in (BRIDGE, OPERATOR):
        path = require_file(folder / f"{name}.pem")
        was_there = path.exists()
        if not was_there or not service_authority.has_issued(found := path.read_bytes()) or is_due(found, now):
            write_secret(path, service_authority.issue_client(name, now, days))
            renewed += [name] * was_there
    without_certificate = []
    for done, account in enumerate(accounts, start=1):
        if not account.has_common_name:
            without_certificate.append(account.name)
        elif account.certificate is None:
            path = require_file(folder / DEVICES_FOLDER / f"{account.name}.pem")
            was_there = path.exists()
            if not was_there or common_name(found := path.read_bytes()) != account.user or is_due(found, now):
                write_secret(path, authority.issue_client(account.user, now, days))
                renewed += [account.name] * was_there
        progress(done)
    # The broker's is always new: it is the one whose names may have changed, and nobody keeps a copy of it.
    write_secret(folder / "broker.pem", authority.issue_server(hosts, now, days))
    write_public(folder / "clients-ca.crt", authority.pem + service_authority.pem)
    rights = acl_file([BRIDGE], [OPERATOR], accounts, services or ServiceRights())
    _write_credentials(folder, credentials)
    write_public(folder / "acl", rights.encode())
    write_secret(folder / SETTINGS, orjson.dumps({"auth": auth, "ca": "ca.crt"}))
    settings = {"persistence_location": f"{folder.resolve()}/", **({"user": user} if user else {})}
    target = folder / "mosquitto.conf"
    text = broker_profile(profile, folder.resolve(), certificates=auth == "certificate", settings=settings)
    write_public(target, text.encode())
    return Provisioned(folder, len(credentials) - known, known, renewed, target, without_certificate)


def _check_users(accounts: Sequence[Account], auth: Auth) -> None:
    """Raise `ConfigError` where Mosquitto could not know somebody, or would take two for one."""
    seen = {BRIDGE: "", OPERATOR: ""}
    ids = contract_ids(accounts)
    for account in accounts:
        name, user = account.name, account.user
        called = f"device '{name}'" if user == name else f"device '{name}', whose user name is '{user}'"
        other = "another user name, in the column username of a file of identities, or another id"
        if fault := username_fault(user, has_password=auth == "password"):
            raise ConfigError(f"{called}: a user name that {fault}; give it {other}")
        if auth == "certificate" and account.certificate is None and not account.has_common_name:
            raise ConfigError(
                f"{called}: a certificate has room for {COMMON_NAME_BYTES} bytes of a name, and this has "
                f"{len(user.encode())}; give it {other}, or take --auth password"
            )
        if (speaker := ids.get(user, name)) != name:
            raise ConfigError(
                f"{called} may by that name speak as the device of that id, which is '{speaker}': give it {other}"
            )
        if (earlier := seen.setdefault(user, name)) == name:
            continue
        if not earlier:
            raise ConfigError(f"{called} has the name of an account with more rights; give it {other}")
        raise ConfigError(
            f"{called} has the user name of '{earlier}' as well, and the broker would take each for the other: give it "
            "one of its own"
        )


def _check_certificates(accounts: Sequence[Account], authority: Authority, auth: Auth) -> None:
    """Raise `ConfigError` where devices would show certificates that the broker does not trust, or of another name."""
    for account in accounts if auth == "certificate" else ():
        if account.certificate is None:
            continue
        pem = account.certificate.read_bytes()
        if not authority.has_issued(pem):
            raise ConfigError(
                f"device '{account.name}': {account.certificate} is not signed by the authority of this folder, which "
                "is the one that its broker trusts; leave the column certificate out, and it gets one of this folder"
            )
        if (found := common_name(pem)) != account.user:
            raise ConfigError(
                f"device '{account.name}': {account.certificate} is of '{found}', and the broker would take it for that"
                f" one; write that into the column username in the place of '{account.user}'"
            )


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
