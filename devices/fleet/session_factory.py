"""Makes what a device introduces itself to the broker with: its session and its last will."""

from devices.firmware.firmware import Firmware
from devices.scenario.devices import Device
from devices.scenario.scenario import Scenario
from devices.timeline.wire_format import WireFormat
from edgewire.mqtt import Session, SessionConfig, Version, Will


def last_will(device: Device, firmware: Firmware, wire_format: WireFormat) -> Will:
    """Return what the broker publishes when the device goes without a goodbye."""
    will = wire_format.will(device, firmware.status("offline", None))
    # Copied: what orjson returns holds on to 4 KiB of memory, however short it is.
    return Will(topic=will.topic, payload=bytes(bytearray(will.payload)), qos=1, retain=will.retain)


def create_session(
    device: Device,
    firmware: Firmware,
    wire_format: WireFormat,
    scenario: Scenario,
    credentials: tuple[str | None, bytes | None],
    version: Version,
) -> Session:
    """Return the session of a device that has not connected yet; `credentials` are user name and password."""
    username, password = credentials
    config = SessionConfig(
        client_id=device.device_id,
        clean_start=False,
        keep_alive_s=scenario.keep_alive // 1000,
        session_expiry_s=scenario.session_expiry // 1000,
        # Devices publish and take the odd command: a small window and packet size keep tens of thousands cheap.
        receive_maximum=8,
        maximum_packet_size=64 * 1024,
        username=username,
        password=password,
        will=last_will(device, firmware, wire_format),
    )
    session = Session(config, version)
    # The probe has asked: no device need wonder whether a slow broker does not speak its version.
    session.accepted = True
    return session
