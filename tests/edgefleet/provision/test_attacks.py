"""Who tries to be somebody else at the secured broker: on each listener, with every credential, with any client id."""

from pathlib import Path

import pytest

from edgefleet.provision import BRIDGE, OPERATOR
from tests.edgefleet.provision.attacks import ATTACKS, QUEUED, attack_listener, certificates, messages_waiting
from tests.edgefleet.provision.conftest import SecuredBroker
from tests.edgefleet.provision.test_secured_broker import OTHER, OWN, A, B, client

pytestmark = [pytest.mark.services, pytest.mark.slow]

SECURITY = Path(__file__).parents[3] / "docs" / "security.md"


@pytest.fixture(scope="module")
def pems(broker: SecuredBroker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificates by name, those of others too."""
    return certificates(broker, tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("listener", ["devices", "others"])
def test_nobody_is_let_in_as_somebody_else(broker: SecuredBroker, pems: dict[str, Path], listener: str) -> None:
    with messages_waiting(broker) as given, client(broker, B) as victim:
        for attack, client_id, who in attack_listener(broker, pems, listener):
            assert who == (attack.expected(broker, listener) or "refused"), (attack.text, client_id)
        assert not victim.lost
        assert victim.publish(f"{OTHER}/telemetry")
    assert given == [QUEUED]
    for attack, _, who in attack_listener(broker, pems, listener, as_bridge=True):
        assert who == attack.expected(broker, listener), attack.text


def test_every_attack_has_its_row_in_the_document() -> None:
    text = SECURITY.read_text(encoding="utf-8")
    for attack in ATTACKS:
        cells = [who or "refused" for pair in (attack.by_password, attack.by_certificate) for who in pair]
        assert f"| {attack.text} | {' | '.join(cells)} |" in text


def test_a_device_has_no_last_words_for_another(broker: SecuredBroker) -> None:
    with client(broker, BRIDGE, client_id="watch") as bridge:
        assert bridge.subscribe("edge/+/+/+/status")
        with client(broker, A, will=f"{OTHER}/status") as device:
            broken = device.mqtt.socket()
            assert broken is not None
            device.mqtt.loop_stop()
            broken.close()
        with client(broker, A, will=f"{OWN}/status") as device:
            broken = device.mqtt.socket()
            assert broken is not None
            device.mqtt.loop_stop()
            broken.close()
        # Its own are heard, and those that it had for another came before.
        assert {topic for topic, _ in bridge.wait("messages")} == {f"{OWN}/status"}


def test_a_device_hears_nothing_of_others(broker: SecuredBroker) -> None:
    with client(broker, B) as other, client(broker, A) as device:
        assert other.publish(f"{OTHER}/status")  # is retained
        for topic in ("#", "$SYS/#", "+/+/+/+/+", f"{OTHER}/#", "$share/group/edge/#"):
            device.subscribe(topic)
        with client(broker, OPERATOR, client_id="watch") as operator:
            assert operator.publish(f"{OTHER}/cmd")
            assert operator.publish(f"{OWN}/cmd")
        assert {topic for topic, _ in device.wait("messages")} == {f"{OWN}/cmd"}
