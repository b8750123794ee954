"""Keeps secrets out of everything that is shown: errors, logs, metrics, reports. One function shows URLs, everywhere.

What is taken for a secret: the user information of a URL, the values of its query, its fragment, and values under names
such as `token` and `password`. A path is shown: a secret that is part of one has no sign by which it could be told.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus

MASK = "***"

_SHORTEST = 6
"""Characters of a secret that is looked for in the words of others."""

_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>|`]+")
_HOST_FIRST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?[/?#][^?#]*")
_PARAMETER = re.compile(r"([^=&;]*)(=?)([^&;]*)")
_JSON_MEMBER = re.compile(r'("([^"\\]{1,100})"\s*:\s*)"(?:[^"\\]|\\.)*"')
_FORM_FIELD = re.compile(r"(?:^|(?<=[&?;,\s]))([A-Za-z0-9_.\[\]-]{1,100})=([^&\s\"']+)")
_BRACES = re.compile(r"\{[^{}]*\}")

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|^pass|token|secret|credential|authorization|cookie|api[-_.]?key|sasl\.(username|jaas)|"
    r"jaas|oauthbearer|key\.pem|ssl\.key|signature",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(r"[-_.](file|location|path|url)$", re.IGNORECASE)

_HARMLESS_HEADERS = frozenset(
    {"accept", "accept-encoding", "content-type", "content-encoding", "traceparent", "user-agent"}
)


def show_url(text: str) -> str:
    """Return a URL, or what was meant to be one, with user information and the values of its query as `***`.

    It is for refused URLs as well, so it takes the last `@` for the end of the user information: a password in which
    `#`, `/` or `?` is not escaped ends there all the same. Only where HTTP has a host already, one in a path is left.
    """
    if not ("@" in text or "?" in text or "#" in text):
        return text
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    if "@" in rest and not (scheme.lower() in ("http", "https") and _HOST_FIRST.match(rest)):
        rest = f"{MASK}@{rest.rpartition('@')[2]}"
    rest, hash_sign, fragment = rest.partition("#")
    place, question_mark, query = rest.partition("?")
    shown = "".join(_show_parameter(*found.groups()) + query[found.end() : found.end() + 1] for found in _fields(query))
    return f"{scheme}{separator}{place}{question_mark}{shown}{hash_sign}{MASK if fragment else ''}"


def show_servers(text: str) -> str:
    """Return a list of servers with commas between, each shown as a URL is."""
    return ",".join(map(show_url, text.split(",")))


def hide_urls(text: str) -> str:
    """Return a text with each URL in it shown as by `show_url`; for texts of others, such as an error of a library."""
    return _URL_IN_TEXT.sub(lambda found: show_url(found[0]), text) if "://" in text else text


def url_fault(error: ValueError) -> str:
    """Return what is wrong with a URL, of an error of `urllib`, which may show a part of it."""
    said = str(error)
    if "ort" in said:
        return "its port is no number from 1 to 65535"
    return "its host is no IPv6 address" if "IP" in said else "it has characters that no host has"


def escape_hint(text: str) -> str:
    """Return what to do about a URL whose password may have a sign in it that ends the host."""
    rest = text.partition("://")[2]
    before = rest.rpartition("@")[0]
    found = [sign for sign in "#/?@" if sign in before]
    if not found:
        return ""
    return "; in a user name or password " + ", ".join(f"write {sign} as %{ord(sign):02X}" for sign in found)


def hide_named_secrets(text: str) -> str:
    """Return a text with `***` for what stands under names of secrets in it, be it JSON or the fields of a form."""
    text = _JSON_MEMBER.sub(lambda found: f'{found[1]}"{MASK}"' if is_secret_name(found[2]) else found[0], text)
    return _FORM_FIELD.sub(lambda found: f"{found[1]}={MASK}" if is_secret_name(found[1]) else found[0], text)


def named_secrets(text: str) -> list[str]:
    """Return what `hide_named_secrets` hides in a text, without the fields of a template in it."""
    found = [match[0][len(match[1]) + 1 : -1] for match in _JSON_MEMBER.finditer(text) if is_secret_name(match[2])]
    found += [match[2] for match in _FORM_FIELD.finditer(text) if is_secret_name(match[1])]
    return [word for value in found for part in _BRACES.split(value) for word in part.split()]


class KnownSecrets:
    """Hides secrets that are known by their text, for what others say: a server may repeat what it was sent."""

    def __init__(self, values: Iterable[str]) -> None:
        """Take them; what is very short is left out, as it would be found everywhere."""
        self._texts = sorted({value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return a text with `***` for each of them, and URLs shown as by `show_url`."""
        for secret in self._texts:
            text = text.replace(secret, MASK)
        return hide_urls(text)


def query_values(url: str) -> list[str]:
    """Return the values of the query of a URL, as they are written and as they are meant."""
    query = url.partition("?")[2].partition("#")[0]
    written = [field.partition("=")[2] or field for field in re.split("[&;]", query)]
    return [*written, *map(unquote_plus, written)]


def is_harmless_header(name: str) -> bool:
    """Return whether a header of this name never holds a secret."""
    return name.lower() in _HARMLESS_HEADERS


def is_secret_name(name: str) -> bool:
    """Return whether a value under this name is not to be shown; one that names a file is."""
    return bool(_SECRET_NAME.search(name)) and not _FILE_NAME.search(name)


def show_header(name: str, written: str, value: str) -> str:
    """Return the value of a header for people: what the configuration has `written` into it may be a secret.

    What a template fills in is of the message, and shown; text of its own is only where the name is a harmless one.
    """
    if name.lower() in _HARMLESS_HEADERS or (not is_secret_name(name) and not _BRACES.sub("", written).strip()):
        return value
    return MASK


def hide_secrets(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a log line with secrets hidden."""
    return {name: _hide(name, value) for name, value in event.items()}


def _hide(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return MASK if is_secret_name(name) else hide_urls(value)
    if isinstance(value, dict):
        return {key: _hide(str(key), one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_hide(name, one) for one in value]
    return value


def _fields(query: str) -> list[re.Match[str]]:
    return [found for found in _PARAMETER.finditer(query) if found[0]]


def _show_parameter(name: str, sign: str, value: str) -> str:
    # Without a sign the whole may be the secret, as in `?S3CRET`.
    return f"{name}={MASK}" if sign else MASK
