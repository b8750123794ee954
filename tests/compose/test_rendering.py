"""docker-compose.yml as an engine's compose reads it: what a place of one's own is sent."""

import os
import subprocess

import pytest
import yaml

pytestmark = [pytest.mark.compose, pytest.mark.timeout(120)]

OURS = {
    "BRIDGE_BROKER": {
        "BRIDGE_MQTT__CA_FILE": "/secrets/ca.crt",
        "BRIDGE_MQTT__PASSWORD_FILE": "/secrets/mqtt-password",
    },
    "BRIDGE_HTTP__URL": {"BRIDGE_HTTP__TOKEN_FILE": "/secrets/ingest-token"},
    "BRIDGE_KAFKA__BOOTSTRAP_SERVERS": {"BRIDGE_KAFKA__PROPERTIES_FILE": "/secrets/kafka-properties"},
    "EDGEFLEET_BROKER": {"EDGEFLEET_IDENTITIES": "/secrets/identities"},
}
"""Where a service is sent, and what of ours it shows there unless that is said to be another place."""
SERVICE = {"BRIDGE": "bridge", "EDGEFLEET": "devices"}


@pytest.fixture
def render(docker_compose_command: str, docker_compose_file: str, monkeypatch: pytest.MonkeyPatch) -> "Render":
    for name in list(os.environ):
        if name.startswith(("BRIDGE_", "EDGEFLEET_")) and name != "EDGEFLEET_REQUIRE_SERVICES":
            monkeypatch.delenv(name)
    return Render([*docker_compose_command.split(), "-f", docker_compose_file, "config"])


class Render:
    """Calls `compose config` with variables of the user's."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def __call__(self, service: str, **given: str) -> dict[str, str]:
        """Return the variables that a service gets a value for."""
        done = subprocess.run(self._command, capture_output=True, text=True, timeout=60, env=os.environ | given)
        assert done.returncode == 0, done.stderr
        found = yaml.safe_load(done.stdout)["services"][service]["environment"]
        pairs = [line.partition("=")[::2] for line in found] if isinstance(found, list) else list(found.items())
        return {name: str(value) for name, value in pairs if value}


def test_a_place_of_ones_own_gets_no_secret_of_ours(render: Render) -> None:
    """Each place alone is in test_compose_file.py; an engine is slow to ask."""
    for service, places in {"bridge": list(OURS)[:3], "devices": list(OURS)[3:]}.items():
        ours = {name: value for place in places for name, value in OURS[place].items()}
        given = {name: f"/given/{name}" for name in ours}
        elsewhere = dict.fromkeys(places, "elsewhere:1")
        assert ours.items() <= render(service).items()
        assert given.items() <= render(service, **given).items()
        moved = render(service, **elsewhere)
        # A mere name is resolved by one compose, and by the container's start of another.
        assert {moved.get(name, "elsewhere:1") for place in places for name in (place, place.lower())} == {
            "elsewhere:1"
        }
        assert not {moved.get(name) for name in ours} & set(ours.values())
        shown = render(service, **elsewhere, **given)
        assert {name: shown.get(name, given[name]) for name in given} == given
