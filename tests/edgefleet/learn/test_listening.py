"""`edgefleet learn mqtt://…` hears a broker: what devices say in the meantime, and what it had kept of them."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import yaml

from edgefleet.embedded import MosquittoProcess
from edgefleet.learn.capture import HeardLimits
from edgefleet.learn.listening import listen
from edgefleet.report.broker_messages import BrokerAccess
from edgewire.link import BrokerUrl, close_and_wait, connect_link
from edgewire.mqtt import Session, SessionConfig
from tests.edgefleet.learn.installation import learn

pytestmark = pytest.mark.services


async def speak(port: int, stop: threading.Event) -> None:
    """Have three devices speak ten times a second, once at least and until they are told to stop."""
    session = Session(SessionConfig(client_id=f"learn-test-{uuid.uuid4().hex[:8]}"))
    link = await connect_link(BrokerUrl("mqtt", "127.0.0.1", port), session, lambda *_: None)
    for reading in count():
        for number in range(3):
            link.publish(f"learning/d-{number}/state", b'{"t": %d}' % (20 + reading % 7), qos=1, retain=True)
        if stop.is_set():
            break
        await asyncio.sleep(0.1)
    await close_and_wait(link)


@pytest.fixture
def installation(mosquitto: MosquittoProcess) -> Iterator[int]:
    """Have devices speak that have spoken before, and yield the port of their broker."""
    stop = threading.Event()
    stop.set()
    asyncio.run(speak(mosquitto.port, stop))
    stop.clear()
    devices = threading.Thread(target=lambda: asyncio.run(speak(mosquitto.port, stop)))
    devices.start()
    yield mosquitto.port
    stop.set()
    devices.join()


def test_a_broker_is_listened_to(installation: int, tmp_path: Path) -> None:
    result = learn(f"mqtt://user:c4n4ry@127.0.0.1:{installation}", "--for", "3s", "--topics", "learning/#",
                   "--out", tmp_path / "fleet.yaml")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "c4n4ry" not in result.output
    (group,) = yaml.safe_load((tmp_path / "fleet.yaml").read_text())["devices"]
    assert (group["topic"], group["count"], group["qos"], group["retain"]) == ("learning/{id}/state", 3, 1, True)
    assert "kept by the broker from before" in result.output


def test_it_ends_at_a_limit(installation: int) -> None:
    access = BrokerAccess(BrokerUrl("mqtt", "127.0.0.1", installation))
    heard = asyncio.run(listen(access, ["learning/#"], 60, HeardLimits(messages=5), asyncio.Event()))
    assert (len(heard.messages), heard.stopped_at) == (5, "5 messages")


def test_nothing_is_heard(mosquitto: MosquittoProcess, tmp_path: Path) -> None:
    result = learn(f"mqtt://127.0.0.1:{mosquitto.port}", "--for", "200ms", "--topics", "nobody/speaks/here", "--out",
                   tmp_path / "fleet.yaml")  # fmt: skip
    assert result.exit_code == 1
    assert str(result.exception).endswith("nothing was learned of 0 messages: there is none")
