"""A Mosquitto with the secured profile, provisioned for a small fleet."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from edgefleet.embedded import free_port
from edgefleet.embedded.brokers import Broker, find_mosquitto, profile
from edgefleet.provision import Account, provision
from edgefleet.provision.folder import Auth
from tests.services.fixtures import unavailable

DEVICES = ("bme280-0001", "bme280-0002", "gps-0001")


@dataclass(frozen=True, slots=True)
class SecuredBroker:
    """A running broker: where devices and where others connect, and the folder of everybody's identity."""

    folder: Path
    devices: int
    """Port of the devices."""
    others: int
    """Port of the bridge and of people."""
    reload: Callable[[], None]
    """Has it read its files again."""

    @property
    def by_certificate(self) -> bool:
        """Whether clients show certificates; otherwise passwords."""
        settings: dict[str, str] = orjson.loads((self.folder / "identities.json").read_bytes())
        return settings["auth"] == "certificate"


def provisioned(folder: Path, auth: Auth = "password") -> Path:
    """A folder with identities for `DEVICES`, and a broker on loopback."""
    user = "root" if os.geteuid() == 0 else None
    text = profile("secured.conf").read_text()
    provision(
        folder, [*map(Account, DEVICES)], hosts=["localhost", "127.0.0.1"], auth=auth, days=2, profile=text, user=user
    )
    return folder


@contextmanager
def secured(folder: Path) -> Iterator[SecuredBroker]:
    """Mosquitto with the profile of a provisioned folder, on free ports."""
    program = find_mosquitto()
    if program is None:
        unavailable("there is no mosquitto on the PATH: `apt-get install mosquitto`")
    ports = free_port(), free_port()
    settings = (folder / "mosquitto.conf").read_text()
    for name, port in zip(("8883", "8884"), ports, strict=True):
        settings = settings.replace(f"listener {name}", f"listener {port} 127.0.0.1")
    config = folder / "test.conf"
    with Broker("mosquitto", [program, "-c", config], ports=ports, config=config, settings=settings) as running:
        yield SecuredBroker(folder, *ports, lambda: running.signal(signal.SIGHUP))


@pytest.fixture(scope="module", params=["password", "certificate"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured(provisioned(tmp_path_factory.mktemp("secrets") / "fleet", request.param)) as running:
        yield running
