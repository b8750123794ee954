"""Asks a broker about itself: CONNACK, `$SYS` where it is allowed, and its process if it runs here."""

import asyncio
import uuid
from dataclasses import dataclass, field, replace

from devices.fleet.brokers import BrokerPool, is_loopback
from edgefleet.doctor.machine import open_files_of_listener
from edgewire.link import BrokerUrl, Link, close_and_wait
from edgewire.mqtt import Event, Message, Session, SessionConfig, Subscription, Version
from edgewire.mqtt.limits import ServerLimits

# Mosquitto keeps its `$SYS` messages retained, so they come at once or not at all.
SYS_S = 0.7
SYS_TOPICS = ("$SYS/broker/version", "$SYS/broker/clients/connected", "$SYS/broker/clients/maximum")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFacts:
    """Holds what one broker said."""

    url: BrokerUrl
    version: Version
    limits: ServerLimits
    sys: dict[str, str] = field(default_factory=dict)
    """Some of its `$SYS` topics; empty where it hides them."""
    process: tuple[int, int] | None = None
    """Process id and open-file limit, where it runs on this machine and may be looked at."""


async def probe_brokers(
    brokers: BrokerPool,
    *,
    session_expiry_s: int = 0,
    ask_sys: bool = False,
) -> list[BrokerFacts]:
    """Probe each broker: whether it keeps sessions for so long, and with `ask_sys` what it says in `$SYS`.

    Raises `ServiceUnavailable` or `BrokerRefused` where there is none, or it turns us away.
    """
    return await asyncio.gather(
        *(_probe_broker(broker, brokers, session_expiry_s, ask_sys) for broker in dict.fromkeys(brokers.urls))
    )


async def _probe_broker(broker: BrokerUrl, brokers: BrokerPool, session_expiry_s: int, ask_sys: bool) -> BrokerFacts:
    client_id = f"edgefleet-probe-{uuid.uuid4().hex[:8]}"
    username, password = brokers.identities.credentials_for(client_id, broker)
    config = SessionConfig(
        client_id=client_id,
        # The longest there is: a broker that wants pings more often says so.
        keep_alive_s=65_535,
        session_expiry_s=session_expiry_s,
        username=username,
        password=password,
    )
    session = Session(config)
    heard: dict[str, str] = {}

    def on_events(_link: Link, events: list[Event]) -> None:
        heard.update(
            {event.topic: event.payload.decode(errors="replace") for event in events if isinstance(event, Message)}
        )

    link = await brokers.open_link(broker, session, on_events)
    try:
        if ask_sys:
            link.subscribe([Subscription(topic) for topic in SYS_TOPICS])
            await asyncio.sleep(SYS_S)
    finally:
        await close_and_wait(link)
        if session_expiry_s:
            # The session that the broker now keeps goes with a clean start.
            clean = Session(replace(config, clean_start=True, session_expiry_s=0), session.version)
            await close_and_wait(await brokers.open_link(broker, clean, lambda _link, _events: None))
    process = await asyncio.to_thread(open_files_of_listener, broker.port) if is_loopback(broker.host) else None
    return BrokerFacts(url=broker, version=session.version, limits=session.limits, sys=heard, process=process)
