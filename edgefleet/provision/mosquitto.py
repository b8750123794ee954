"""Words the files that Mosquitto reads: passwords, who may do what, and the secured profile. Pure text."""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgewire.messages import Channel
from edgewire.messages.topics import ROOT

_ITERATIONS = 101
"""That of `mosquitto_passwd`. The passwords are 128 random bits, which no number of iterations makes safer."""
_SALT_BYTES = 12

_WRITTEN = (Channel.TELEMETRY, Channel.EVENT, Channel.STATUS, Channel.RESULT)

KEEPS_SESSIONS = (2, 0, 13)
"""Version of Mosquitto before which a connection without a user name, although it is refused, ends the session whose
client id it names, on a listener with `use_username_as_clientid`."""

MOUNT = "/mosquitto/secrets"
"""Where the profile of the repository expects the folder of `edgefleet provision`."""


def password_line(user: str, password: str, salt: bytes | None = None) -> str:
    """Return a line of Mosquitto's password file: PBKDF2 with SHA-512, as `mosquitto_passwd` of 2.0 writes it."""
    salt = salt or secrets.token_bytes(_SALT_BYTES)
    derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"{user}:$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"


def password_file(credentials: Mapping[str, str]) -> str:
    """Return the file of user names and their passwords."""
    return "".join(f"{password_line(user, password)}\n" for user, password in credentials.items())


def acl_file(readers: Iterable[str], operators: Iterable[str]) -> str:
    """Let a device write its own topics and read its own commands, readers read all, and operators send commands.

    `%u` is the user name, which is the device id; Mosquitto allows nothing that no line allows.
    """
    lines = ["# Every device, by its user name."]
    lines += [f"pattern write {ROOT}/+/+/%u/{channel.value}" for channel in _WRITTEN]
    lines += [f"pattern read {ROOT}/+/+/%u/{Channel.CMD.value}"]
    for user in readers:
        lines += ["", f"user {user}", f"topic read {ROOT}/#", "topic read $SYS/#", f"topic write {user}/#"]
    for user in operators:
        lines += ["", f"user {user}", f"topic read {ROOT}/#", "topic read $SYS/#"]
        lines += [f"topic write {ROOT}/+/+/+/{Channel.CMD.value}"]
    return "\n".join(lines) + "\n"


def broker_profile(profile: str, folder: Path, *, certificates: bool, settings: Mapping[str, str]) -> str:
    """Return the secured profile with its files in `folder`; with `certificates` clients show one, and no password."""
    text = profile.replace(f"{MOUNT}/", f"{folder}/")
    if certificates:
        text = text.replace("require_certificate false", "require_certificate true\nuse_identity_as_username true")
    kept = [line for line in text.splitlines() if line.split(" ", 1)[0] not in settings]
    return "\n".join([*kept, *(f"{key} {value}" for key, value in settings.items())]) + "\n"
