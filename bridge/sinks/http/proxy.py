"""Chooses the HTTP proxy for a URL: by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or as `http.proxy` says."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from pydantic import AfterValidator

from edgewire.errors import ConfigError

_ENVIRONMENT, _NONE = "environment", "none"

_KNOWN_ORIGINS = 10_000


def _setting(text: str) -> str:
    if text in (_ENVIRONMENT, _NONE):
        return text
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname or "@" in parts.netloc or parts.path.strip("/"):
        raise ValueError("a proxy is environment, none or http://HOST:PORT; with a password it is given by HTTP_PROXY")
    return text


ProxySetting = Annotated[str, AfterValidator(_setting)]


class ProxyChooser:
    """Finds the proxy of each URL; the environment is read once, when it is made."""

    def __init__(self, setting: str) -> None:
        """Take `http.proxy`. Raises `ConfigError` for a proxy in the environment that is not of HTTP."""
        self._proxies: Mapping[str, str] = {}
        self._bypass = setting == _ENVIRONMENT
        if setting == _ENVIRONMENT:
            found = getproxies_environment()
            self._proxies = {
                name: _of_environment(name, url)
                for name in ("http", "https")
                if (url := found.get(name) or found.get("all"))
            }
        elif setting != _NONE:
            self._proxies = {"http": setting, "https": setting}
        self._known: dict[str, str | None] = {}

    def proxy_for(self, url: str) -> str | None:
        """Return the URL of the proxy for a request, which may hold a password; None for none."""
        if not self._proxies:
            return None
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._known:
            if len(self._known) >= _KNOWN_ORIGINS:
                self._known.clear()
            self._known[origin] = self._choose(origin)
        return self._known[origin]

    def describe(self, url: str) -> str:
        """Return ` through the proxy HOST:PORT`, without its password; empty where there is none."""
        proxy = self.proxy_for(url)
        return f" through the proxy {urlsplit(proxy).netloc.rpartition('@')[2]}" if proxy else ""

    def _choose(self, origin: str) -> str | None:
        parts = urlsplit(origin)
        if self._bypass and proxy_bypass(parts.netloc):
            return None
        return self._proxies.get(parts.scheme)


def _of_environment(name: str, url: str) -> str:
    url = url if "://" in url else f"http://{url}"
    parts = urlsplit(url)
    try:
        usable = parts.scheme == "http" and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"the environment's proxy for {name} is none of the form http://[USER:PASSWORD@]HOST:PORT, which the HTTP"
            " sink can use; change it or write http.proxy: none"
        )
    return url
