"""Words the files that Mosquitto reads: passwords, who may do what, and the secured profile. Pure text."""

import base64
import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from edgefleet.provision.rights import Account, ServiceRights
from edgewire.errors import ConfigError
from edgewire.messages import Channel
from edgewire.messages.topics import ROOT

_ITERATIONS = 101
"""That of `mosquitto_passwd`. The passwords are 128 random bits, which no number of iterations makes safer."""
_SALT_BYTES = 12

_WRITTEN = (Channel.TELEMETRY, Channel.EVENT, Channel.STATUS, Channel.RESULT)
_CONTRACT = (
    *(("write", f"{ROOT}/+/+/%u/{channel.value}") for channel in _WRITTEN),
    ("read", f"{ROOT}/+/+/%u/{Channel.CMD.value}"),
)
"""What every device may by its user name, which mostly is its id."""

_MOST_PATTERNS = 200
"""Mosquitto goes through all of them for every message, and through all users whenever one connects."""

_LONGEST_NAME = 1000
"""Characters of a user name: ids have no more either."""

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


def username_fault(username: str, *, has_password: bool) -> str | None:
    """Return why Mosquitto can know no user of this name; None where it can."""
    if not username or len(username) > _LONGEST_NAME:
        return f"has to have 1 to {_LONGEST_NAME} characters"
    if not username.isprintable():
        return "has a character that is invisible, which no line of the broker's files can hold"
    if username != username.strip():
        return "begins or ends with a space, which Mosquitto cuts off"
    if "+" in username or "#" in username:
        return "has a + or #, and Mosquitto lets nobody of such a name do anything"
    if has_password and ":" in username:
        return "has a colon, where Mosquitto's file of passwords takes a name to end"
    return None


def acl_file(
    readers: Iterable[str], operators: Iterable[str], accounts: Sequence[Account], services: ServiceRights
) -> str:
    """Let a device write its own topics and read its own commands, readers read all, and operators send commands.

    `%u` is the user name; what many may by theirs is one line, for Mosquitto looks through all users at each CONNECT.
    Mosquitto allows nothing that no line allows. Raises `ConfigError` for a topic that no line can name.
    """
    patterns, own = _sorted_rights(accounts)
    lines = ["# Every device, by its user name."]
    lines += [f"pattern {access} {topic}" for access, topic in (*_CONTRACT, *patterns)]
    for user in readers:
        lines += ["", f"user {user}", *_topics("read", services.reads), "topic read $SYS/#", f"topic write {user}/#"]
        lines += _topics("write", services.requests)
    for user in operators:
        lines += ["", f"user {user}", *_topics("read", services.reads), "topic read $SYS/#"]
        lines += [*_topics("write", services.commands)]
    for user, rights in own.items():
        lines += ["", f"user {user}", *(line for access, topic in rights for line in _topics(access, (topic,)))]
    return "\n".join(lines) + "\n"


def _sorted_rights(
    accounts: Sequence[Account],
) -> tuple[list[tuple[str, str]], dict[str, list[tuple[str, str]]]]:
    """Return what several users may, each by its name, and of each user what is left."""
    counted: Counter[tuple[str, str]] = Counter()
    for account in accounts if _are_apart(accounts) else ():
        counted.update(list(dict.fromkeys(one for one, _ in _by_name(account) if one is not None)))
    several = [one for one, count in counted.most_common(_MOST_PATTERNS) if count > 1]
    shared = frozenset(several)
    own: dict[str, list[tuple[str, str]]] = {}
    for account in accounts:
        left = [right for one, right in _by_name(account) if one not in shared]
        if left:
            own[account.user] = left
    return several, own


def _are_apart(accounts: Sequence[Account]) -> bool:
    """Return whether nobody's name is a level of a topic of somebody else, so that a pattern gives to nobody that."""
    users: dict[str, str | None] = {}
    for account in accounts:
        for level in {level for topics in account.rights for topic in topics for level in topic.split("/")}:
            users[level] = account.user if users.get(level, account.user) == account.user else None
    return all(users.get(account.user, account.user) == account.user for account in accounts)


def _by_name(account: Account) -> Iterator[tuple[tuple[str, str] | None, tuple[str, str]]]:
    """Yield each right that not all have, and the same with `%u` for the name where that is a level of the topic."""
    for access, filters in (("write", account.rights.writes), ("read", account.rights.reads)):
        for topic in filters:
            levels = topic.split("/")
            named = ["%u" if level == account.user else level for level in levels]
            if (access, "/".join([*levels[:1], "+", "+", *named[3:]])) in _CONTRACT:
                continue
            # In a pattern Mosquitto puts something in the place of these, in a topic not.
            is_pattern = "%u" in named and "%u" not in topic and "%c" not in topic
            yield ((access, "/".join(named)) if is_pattern else None), (access, topic)


def _topics(access: str, topics: Iterable[str]) -> Iterator[str]:
    for topic in topics:
        if topic != topic.strip() or not topic.isprintable():
            raise ConfigError(
                f"topic '{topic}' begins or ends with a space, or has an invisible character, which no line of "
                "Mosquitto's acl can hold: write another topic"
            )
        yield f"topic {access} {topic}"


def broker_profile(profile: str, folder: Path, *, certificates: bool, settings: Mapping[str, str]) -> str:
    """Return the secured profile with its files in `folder`; with `certificates` clients show one, and no password."""
    text = profile.replace(f"{MOUNT}/", f"{folder}/")
    if certificates:
        text = text.replace("require_certificate false", "require_certificate true\nuse_identity_as_username true")
    kept = [line for line in text.splitlines() if line.split(" ", 1)[0] not in settings]
    return "\n".join([*kept, *(f"{key} {value}" for key, value in settings.items())]) + "\n"
