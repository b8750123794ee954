"""Asks the brokers before thousands of devices do."""

import asyncio
import uuid
from collections.abc import Sequence

from devices.fleet.routes import Routes
from edgewire import logs
from edgewire.link import BrokerUrl
from edgewire.mqtt import Session, SessionConfig, Version
from edgewire.mqtt.limits import ServerLimits

log = logs.get("fleet")


async def probe(broker: BrokerUrl, source_addresses: Sequence[str] = ()) -> tuple[Version, ServerLimits]:
    """The MQTT version this broker speaks, and the limits that its CONNACK names.

    Raises `ServiceUnavailable` or `BrokerRefused` where there is none, or it turns us away.
    """
    password = None if broker.password is None else broker.password.encode()
    config = SessionConfig(
        client_id=f"edgefleet-probe-{uuid.uuid4().hex[:8]}", username=broker.username, password=password
    )
    session = Session(config)
    link = await Routes([broker], source_addresses).dial(broker, session, lambda _link, _events: None)
    link.close()
    log.info("broker answers", broker=str(broker), mqtt="5" if session.version == Version.V5 else "3.1.1")
    return session.version, session.limits


async def probe_all(brokers: Sequence[BrokerUrl], source_addresses: Sequence[str] = ()) -> Version:
    """The version that all of them speak; raises as `probe`."""
    answers = await asyncio.gather(*(probe(broker, source_addresses) for broker in dict.fromkeys(brokers)))
    return min(version for version, _ in answers)
