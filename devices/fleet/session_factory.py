"""Makes what a device introduces itself to the broker with: its session and its last will."""

from dataclasses import replace
from functools import lru_cache

from devices.firmware.firmware import Firmware
from devices.scenario.devices import Device
from devices.scenario.scenario import Scenario
from devices.timeline.wire_format import WireFormat
from edgewire.errors import ConfigError
from edgewire.mqtt import ServerLimits, Session, SessionConfig, Version, Will
from edgewire.mqtt.codec import write_text
from edgewire.mqtt.config import check_will
from edgewire.mqtt.errors import PACKET_TOO_LARGE, Unsendable
from edgewire.mqtt.reasons import QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED


def last_will(device: Device, firmware: Firmware, wire_format: WireFormat) -> Will | None:
    """Return what the broker publishes when the device goes without a goodbye; None where its format has no such."""
    will = wire_format.will(device, firmware.status("offline", None))
    if will is None:
        return None
    return Will(topic=will.topic, payload=will.payload, qos=will.qos, retain=will.retain)


def fitted_will(will: Will, limits: ServerLimits) -> Will | None:
    """Return as much of a will as a broker of these limits takes: without retain, at a lower QoS, or none at all."""
    if len(will.topic.encode()) + len(will.payload) >= limits.maximum_packet_size:
        return None
    return replace(will, qos=min(will.qos, limits.maximum_qos), retain=will.retain and limits.retain_available)


def learned_limits(limits: ServerLimits, will: Will, code: int) -> ServerLimits:
    """Return the limits that a broker seems to have which refuses CONNECT with this code, and this will."""
    if code == RETAIN_NOT_SUPPORTED:
        return replace(limits, retain_available=False)
    if code == QOS_NOT_SUPPORTED and will.qos:
        return replace(limits, maximum_qos=will.qos - 1)
    if code == PACKET_TOO_LARGE:
        return replace(limits, maximum_packet_size=len(will.payload))
    return limits


@lru_cache(maxsize=8)
def _config(keep_alive_s: int, session_expiry_s: int, username: str | None, password: bytes | None) -> SessionConfig:
    """Return what devices ask of a broker; one object, of 200 bytes, for all that log in as nobody, or as the same."""
    return SessionConfig(
        client_id="",
        clean_start=False,
        keep_alive_s=keep_alive_s,
        session_expiry_s=session_expiry_s,
        # Devices publish and take the odd command: a small window and packet size keep tens of thousands cheap.
        receive_maximum=8,
        maximum_packet_size=64 * 1024,
        username=username,
        password=password,
    )


def create_session(
    device: Device,
    firmware: Firmware,
    wire_format: WireFormat,
    scenario: Scenario,
    credentials: tuple[str | None, bytes | None],
    version: Version | None,
    limits: ServerLimits | None = None,
) -> Session:
    """Return the session of a device that has not connected yet; `credentials` are user name and password.

    Without a `version`, as nobody has asked the broker, it begins with 5 and finds out; `limits` are what is known of
    those of the broker. It has no will yet: that is written anew for each connection. Raises `ConfigError` where
    one of these could not be sent.
    """
    username, password = credentials
    try:
        config = _config(scenario.keep_alive // 1000, scenario.session_expiry // 1000, username, password)
        write_text(device.client_id)
        will = last_will(device, firmware, wire_format)
        if will is not None:
            check_will(will)
    except (Unsendable, ConfigError) as error:
        raise ConfigError(f"device '{device.device_id}': {error}") from None
    session = Session(config, version or Version.V5, device.client_id)
    # The probe has asked: no device need wonder whether a slow broker does not speak its version.
    session.accepted = version is not None
    if limits is not None:
        session.assume_limits(limits)
    return session
