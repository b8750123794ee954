"""How a device introduces itself to the broker."""

from devices.firmware.firmware import Firmware
from devices.scenario.devices import Device
from devices.scenario.scenario import Scenario
from edgewire.messages import Channel
from edgewire.mqtt import Session, SessionConfig, Version, Will


def last_will(device: Device, firmware: Firmware) -> Will:
    """What the broker publishes when the device goes without a goodbye."""
    # Copied: what orjson returns holds on to 4 KiB of memory, however short it is.
    payload = bytes(bytearray(firmware.status("offline", None)))
    return Will(topic=device.topic(Channel.STATUS), payload=payload, qos=1, retain=True)


def create_session(device: Device, firmware: Firmware, scenario: Scenario, username: str | None, password: bytes | None,
                version: Version) -> Session:  # fmt: skip
    """The session of a device that has not connected yet."""
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
        will=last_will(device, firmware),
    )
    session = Session(config, version)
    # The probe has asked: no device need wonder whether a slow broker does not speak its version.
    session.accepted = True
    return session
