"""Starts an MQTT broker on loopback: Mosquitto with the repository's own profile, or amqtt where there is none."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from edgefleet.embedded.process import LOOPBACK, Server, free_port, temporary_folder
from edgewire.errors import ServiceUnavailable

MOSQUITTO_HINT = "install it (`apt-get install mosquitto`, `brew install mosquitto`)"
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def find_mosquitto() -> str | None:
    """Return the Mosquitto program, also where it is installed outside a user's PATH, as on Debian."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_SBIN))


def mosquitto_version(program: str) -> tuple[int, ...]:
    """Return the version of a Mosquitto program, such as (2, 0, 22); empty where it does not say one."""
    done = subprocess.run([program, "-h"], capture_output=True, text=True, check=False, timeout=10)
    found = re.match(r"mosquitto version (\d+(?:\.\d+)+)", done.stdout)
    return tuple(map(int, found[1].split("."))) if found else ()


class Broker(Server):
    """Runs an MQTT broker in a process of its own; `url` is where its clients connect."""

    def __init__(self, name: str, command: list[str | Path], *, port: int, config: Path, settings: str) -> None:
        """Run `command`, which reads `config`; that is written with `settings` on every start."""
        super().__init__(name, command, port=port, folder=config.parent)
        self._config, self._settings = config, settings

    @property
    def url(self) -> str:
        """Return `mqtt://127.0.0.1:PORT`."""
        return f"mqtt://{self.host}:{self.port}"

    def start(self) -> Self:
        """Write the configuration, start the broker and wait until it accepts connections."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._config.write_text(self._settings, encoding="utf-8")
        return super().start()


class MosquittoProcess(Broker):
    """Runs Mosquitto with the development profile. Its sessions and queues survive `restart`, not `close`."""

    def __init__(self, *, port: int | None = None, options: Mapping[str, str] | None = None) -> None:
        """Replace settings of the profile by `options`, such as `{"max_queued_messages": "100"}`, or add them.

        Raises `ServiceUnavailable` where there is no Mosquitto.
        """
        program = find_mosquitto()
        if program is None:
            raise ServiceUnavailable(f"there is no mosquitto on the PATH: {MOSQUITTO_HINT}")
        port = port or free_port()
        config = temporary_folder("mosquitto") / "mosquitto.conf"
        settings = {"listener": f"{port} {LOOPBACK}", "persistence_location": f"{config.parent}/", **(options or {})}
        if os.geteuid() == 0:
            # Otherwise Mosquitto becomes the user `mosquitto`, who may not write to our folder.
            settings["user"] = "root"
        text = substitute(profile().read_text(encoding="utf-8"), settings)
        super().__init__("mosquitto", [program, "-c", config], port=port, config=config, settings=text)


class AmqttProcess(Broker):
    """Runs amqtt, a broker in Python: speaks MQTT 3.1.1 only, far slower than Mosquitto, forgets all when it stops."""

    def __init__(self, *, port: int | None = None) -> None:
        """Prepare amqtt; raises `ServiceUnavailable` where it is not installed."""
        if importlib.util.find_spec("amqtt") is None:
            raise ServiceUnavailable("amqtt is not installed: `pip install 'edgefleet[demo]'`")
        port = port or free_port()
        config = temporary_folder("amqtt") / "amqtt.yaml"
        command: list[str | Path] = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", config]
        text = _AMQTT_CONFIG.format(address=f"{LOOPBACK}:{port}")
        super().__init__("amqtt", command, port=port, config=config, settings=text)


def embedded_broker(port: int | None = None) -> Broker:
    """Return Mosquitto where it is installed, else amqtt; `name` says which. Not started yet.

    Raises `ServiceUnavailable` where neither is installed.
    """
    if find_mosquitto():
        return MosquittoProcess(port=port)
    if importlib.util.find_spec("amqtt"):
        return AmqttProcess(port=port)
    raise ServiceUnavailable(f"there is no MQTT broker: {MOSQUITTO_HINT}, or `pip install 'edgefleet[demo]'` for amqtt")


def profile(name: str = "mosquitto.conf") -> Path:
    """Return a profile of mosquitto/: beside this file in an installed package, at the top of a checkout."""
    installed = Path(__file__).with_name(name)
    return installed if installed.exists() else Path(__file__).parents[2] / "mosquitto" / name


def substitute(config: str, settings: Mapping[str, str]) -> str:
    """Return a Mosquitto configuration in which `settings` replace the lines of the same key; new keys come last."""
    kept = [line for line in config.splitlines() if line.split(" ", 1)[0] not in settings]
    return "\n".join([*kept, *(f"{key} {value}" for key, value in settings.items())]) + "\n"


# Everybody is let in by the base class of the authentication plugins. AnonymousAuthPlugin would do that too, but
# amqtt keeps no messages for an anonymous session that is away.
_AMQTT_CONFIG = """\
listeners:
  default: {{type: tcp, bind: "{address}"}}
plugins:
  amqtt.plugins.base.BaseAuthPlugin: {{}}
"""
