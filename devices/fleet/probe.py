"""Asks the brokers before thousands of devices do."""

import asyncio
import uuid

from devices.fleet.routes import Routes
from edgewire import logs
from edgewire.link import BrokerUrl, part
from edgewire.mqtt import Session, SessionConfig, Version
from edgewire.mqtt.limits import ServerLimits

log = logs.get("fleet")


async def probe(broker: BrokerUrl, routes: Routes) -> tuple[Version, ServerLimits]:
    """The MQTT version this broker speaks, and the limits that its CONNACK names.

    Raises `ServiceUnavailable` or `BrokerRefused` where there is none, or it turns us away.
    """
    client_id = f"edgefleet-probe-{uuid.uuid4().hex[:8]}"
    username, password = routes.identities.account(client_id, broker)
    session = Session(SessionConfig(client_id=client_id, username=username, password=password))
    link = await routes.dial(broker, session, lambda _link, _events: None)
    await part(link)
    log.info("broker answers", broker=str(broker), mqtt="5" if session.version == Version.V5 else "3.1.1")
    return session.version, session.limits


async def probe_all(routes: Routes) -> Version:
    """The version that all of them speak; raises as `probe`."""
    answers = await asyncio.gather(*(probe(broker, routes) for broker in dict.fromkeys(routes.brokers)))
    return min(version for version, _ in answers)
